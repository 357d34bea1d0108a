"""The examples of the page on Python run as they stand there; the schedulers' decorators are replaced by plain ones."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import polars
import pytest

import bqdump
from bqdump.core.results import State
from bqdump_local.seed import special
from bqdump_local.stack import running
from docs.walk import seed_few

PAGE = (Path(__file__).parents[2] / "docs/python.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module", autouse=True)
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with running(root=tmp_path_factory.mktemp("buckets")) as stack, pytest.MonkeyPatch.context() as patch:
        seed_few(stack, next(special()))
        for name, value in stack.variables().items():
            patch.setenv(name, value)
        yield


def block(*words: str) -> str:
    """The example that has these words."""
    (found,) = [str(text) for text in BLOCKS if all(word in text for word in words)]
    return found


def execute(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(text, "docs/python.md", "exec"), names)
    return names


def module(patch: pytest.MonkeyPatch, name: str, **names: Any) -> None:
    made = types.ModuleType(name)
    vars(made).update(names)
    patch.setitem(sys.modules, name, made)


class Airflow:
    """Decorators that leave functions as they are; a DAG's body calls its tasks one after the other."""

    def __init__(self) -> None:
        self.operators: list[dict[str, Any]] = []

    def dag(self, **options: Any) -> Callable[[Any], Any]:
        return lambda function: function

    def task(self, function: Any = None, **options: Any) -> Any:
        if function is None:
            return self.task
        context = inspect.signature(function).parameters.get("ts_nodash")
        if context is None:
            return function
        # Airflow fills in what is named after a part of its context, and refuses any default but None.
        assert context.default is None
        return functools.partial(function, ts_nodash="20260131T030000")

    def sensor(self, **options: Any) -> Callable[[Any], Any]:
        return lambda function: function

    def operator(self, **options: Any) -> None:
        self.operators.append(options)


class Taskflow:
    """`task` and `task.sensor`."""

    def __init__(self, airflow: Airflow) -> None:
        self._airflow, self.sensor = airflow, airflow.sensor

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._airflow.task(*arguments, **options)


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    made = Airflow()
    for name in ("airflow", "airflow.providers", "airflow.providers.standard", "airflow.providers.standard.operators"):
        module(monkeypatch, name)
    module(monkeypatch, "airflow.sdk", dag=made.dag, task=Taskflow(made))
    module(monkeypatch, "airflow.providers.standard.operators.python", PythonOperator=made.operator)
    return made


EXAMPLES = re.findall(r"^\| `(?:bqdump|sales)\.(\w+)\(", PAGE, re.MULTILINE)


def test_every_function_and_no_other_has_an_example_on_the_page() -> None:
    functions = {name for name in dir(bqdump) if isinstance(getattr(bqdump, name), types.FunctionType)}
    assert set(EXAMPLES) == functions


def test_examples_of_functions_return_what_stands_beside_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"bqdump": bqdump}
    exec(block("{run}/{table}/"), names)
    rows = re.findall(r"^\| `((?:bqdump|sales)\..*)` \| \[?`?(\w+)", PAGE, re.MULTILINE)
    kinds = {"the": (bqdump.Export, str, tuple)}
    for example, kind in rows:
        # What follows the call takes a value from its result.
        made = eval(re.sub(r"(\))(\[.*|\.\w+)$", r"\1", example), names)
        assert isinstance(made, kinds.get(kind) or getattr(bqdump, kind)), example
        eval(example, names) if example[-1] != ")" else None
    assert len(rows) == 20


def test_the_page_explains_each_state_and_where_it_appears() -> None:
    rows = re.findall(r"^\| `([\w ]+)` \| .* \| (`[`\w,; ]+`) \|$", PAGE, re.MULTILINE)
    assert [state for state, _ in rows] == list(get_args(State))
    for kind in (bqdump.Status, bqdump.RunLine, bqdump.RetainedRun, bqdump.Export):
        output = {state for state, places in rows if f"`{kind.__name__}`" in places}
        assert set(get_args(get_type_hints(kind)["state"])) == output


def test_every_example_is_run_here() -> None:
    assert len(BLOCKS) == 9


def test_the_script_and_the_notebook_run(capsys: pytest.CaptureFixture[str]) -> None:
    execute(block("sys.exit"))
    output = capsys.readouterr().out.splitlines()
    assert re.match(r"5 tables, [0-9]+ rows, [0-9]+ bytes as of ", output[0])
    assert output[1].startswith("gs://my-exports/script/_bqdump/runs/")
    names = execute(block("largest"))
    assert (names["tables"].height, names["runs"].height) == (5, 1)
    assert names["tables"]["snapshot_time"].dtype == polars.Datetime("us", "UTC")
    assert names["largest"].uris[0].startswith("gs://my-exports/script/")
    assert "<td>dummy_01</td>" in names["manifest"]._repr_html_()


def test_an_export_is_read_with_duckdb_polars_and_pandas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    # pandas is not installed here. Its read_parquet takes the path of one file, as polars' does.
    module(monkeypatch, "pandas", read_parquet=lambda path: polars.read_parquet(str(path)), concat=polars.concat)
    names = execute(block("read_parquet") + block("bqdump.sql"))
    counts = (len(names["rows"]), names["frame"].height, names["table"].height, names["counted"].item())
    assert counts == (names["events"].rows,) * 4
    assert "<th>events</th>" in names["answer"]._repr_html_()
    assert Path(names["events"].uris[0]).is_relative_to(tmp_path / "exports")


def test_the_airflow_taskflow_exports_and_senses(airflow: Airflow) -> None:
    names = execute(block("nightly_export"))
    status = bqdump.status(**names["TARGET"])
    assert (status.run, status.state) == ("20260131T030000", "published")
    sensor = execute(block("export_is_published"))["export_is_published"]
    assert sensor("20260131T030000") is True
    assert sensor("not-begun") is False


def test_the_airflow_operator_exports(airflow: Airflow) -> None:
    execute(block("PythonOperator("))
    (operator,) = airflow.operators
    assert operator["op_kwargs"] == {"run_id": "{{ ts_nodash }}"}
    manifest = operator["python_callable"](run_id="20260201T030000")
    assert manifest == "gs://my-exports/operator/_bqdump/runs/20260201T030000/manifest.json"


def test_the_dagster_asset_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    class Context(NamedTuple):
        run_id: str

    class Result(NamedTuple):
        metadata: dict[str, Any]

    module(
        monkeypatch, "dagster", asset=lambda function: function, AssetExecutionContext=Context, MaterializeResult=Result
    )
    asset = execute(block("dg.asset"))["sales_export"]
    metadata = asset(Context("0b5c8a0e-4b8e-4a53-9f38-6d1c5a1f2b11")).metadata
    assert metadata["tables"] == 5
    assert metadata["manifest"].startswith("gs://my-exports/dagster/")
