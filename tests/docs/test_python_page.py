"""The examples of the page on Python run as they stand there."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

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
    assert len(BLOCKS) == 5


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
