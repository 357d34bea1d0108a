"""What `import bqdump` offers keeps up with the settings and the errors, and costs nothing until it is used."""

from __future__ import annotations

import inspect
import pickle
import pkgutil
import pydoc
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import get_type_hints

import pytest

import bqdump
from bqdump import api
from bqdump.api.calls import OF_TARGET
from bqdump.core import errors
from bqdump.core.exit_codes import CODES
from bqdump.core.results import Rows
from bqdump.core.settings.settings import BY_NAME


def test_every_setting_is_an_argument() -> None:
    settings = set(BY_NAME)
    assert set(bqdump.Options.__annotations__) == settings | {"config"}, "run python -m bqdump_reference"


def test_every_error_that_a_command_ends_with_is_exported() -> None:
    exported = {name for name in dir(bqdump) if name.endswith("Error")}
    assert {error.__name__ for error in CODES} | {"BqdumpError"} <= exported
    assert exported <= set(vars(errors))


@pytest.mark.parametrize("name", dir(bqdump))
def test_every_name_is_there(name: str) -> None:
    assert getattr(bqdump, name) is not None
    assert name in dir(bqdump)


TYPES = [name for name in dir(bqdump) if isinstance(getattr(bqdump, name), type)]
RESULTS = ("Diagnosis", "Export", "Manifest", "Planned", "RunLine", "Status", "TableChange", "Verified")


@pytest.mark.parametrize("name", TYPES)
def test_every_type_names_this_package_as_its_module(name: str) -> None:
    kind = getattr(bqdump, name)
    assert (kind.__module__, kind.__qualname__) == ("bqdump", name)
    assert pickle.loads(pickle.dumps(kind)) is kind


@pytest.mark.parametrize("name", RESULTS)
def test_types_in_the_fields_of_results_are_exported(name: str) -> None:
    ours = {str(found) for found in re.findall(r"bqdump[\w.]*\.(\w+)", str(get_type_hints(getattr(bqdump, name))))}
    assert ours <= set(dir(bqdump))


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_made_by_keyword_only(name: str) -> None:
    parameters = inspect.signature(getattr(bqdump, name)).parameters.values()
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}


def test_results_and_errors_can_be_pickled() -> None:
    line = bqdump.RunLine(run="r", state="complete", published=True, snapshot_time=datetime(2026, 1, 31, tzinfo=UTC))
    assert pickle.loads(pickle.dumps(Rows([line]))) == [line]
    error = pickle.loads(pickle.dumps(bqdump.NotFoundError("find", "run r", "there is none", "Start one.")))
    assert str(error) == "cannot find run r: there is none. Start one."


def test_help_shows_every_setting_with_its_type_and_default() -> None:
    parameters = inspect.signature(bqdump.run).parameters
    assert set(parameters) == set(bqdump.Options.__annotations__) | {"task", "tasks", "yes"}
    assert "Literal['csv', 'json', 'avro', 'parquet']" in str(parameters["format"])
    assert str(parameters["format"]).endswith(" = 'csv'")
    assert str(parameters["header"]) == "header: bool | None = True"
    assert parameters["project"].default is None
    shown = inspect.getdoc(bqdump.run) or ""
    assert all(f"\n    {name} (" in shown for name in bqdump.Options.__annotations__)
    for described in ("header (bool = True)", "dataset (str | Sequence[str])", "patience (str | timedelta)",
                      "format (str = 'csv')", "tables (Mapping[str, Mapping[str, Any]] | str)"):  # fmt: skip
        assert f"\n    {described}: " in shown
    assert "--" not in shown


def test_settings_are_a_section_of_the_help_beside_its_paragraphs() -> None:
    begins = {bqdump.run: "config (str): ", bqdump.diff: "config, bucket, ", bqdump.plan: "Those of bqdump.run."}
    for function, words in begins.items():
        assert f"\n\nSettings:\n    {words}" in (inspect.getdoc(function) or ""), function


def test_only_the_help_of_run_has_a_line_for_each_setting() -> None:
    functions = [getattr(bqdump, name) for name in dir(bqdump) if inspect.isfunction(getattr(bqdump, name))]
    assert [function.__name__ for function in functions if "\n    config (" in (inspect.getdoc(function) or "")] == [
        "run"
    ]
    shown = " ".join((inspect.getdoc(bqdump.runs) or "").partition("Settings:")[2].split())
    names = ", ".join(["config", *OF_TARGET, "trust"])
    assert shown == f"{names}. help(bqdump.run) describes them; others have no effect."


def test_help_ends_after_what_is_public_and_packages_below_are_found_all_the_same() -> None:
    shown = pydoc.plain(pydoc.render_doc(bqdump))
    sections = re.findall(r"^[A-Z]+(?: [A-Z]+)*$", shown, re.MULTILINE)
    assert sections == ["NAME", "DESCRIPTION", "CLASSES", "FUNCTIONS", "VERSION", "FILE"]
    assert "core" in {module.name for module in pkgutil.iter_modules(bqdump.__path__)}


def test_functions_that_read_a_target_show_what_they_use() -> None:
    assert list(inspect.signature(bqdump.runs).parameters) == [
        "storage",
        "growth",
        "run",
        "since",
        "config",
        *OF_TARGET,
        "trust",
    ]
    assert "delimiter" not in (bqdump.runs.__doc__ or "")


def test_rows_are_dictionaries_of_plain_values_and_a_table_that_escapes_them() -> None:
    when = datetime(2026, 1, 31, 3, tzinfo=UTC)
    line = bqdump.RunLine(run="<b>", state="complete", published=True, snapshot_time=when)
    (row,) = Rows([line]).to_dicts()
    assert (row["run"], row["snapshot_time"], row["ended"]) == ("<b>", when, None)
    shown = Rows([line])._repr_html_()
    assert "<td>&lt;b&gt;</td>" in shown
    assert "<td>2026-01-31 03:00:00+00:00</td>" in shown
    assert "<b>" not in line._repr_html_()
    assert Rows([])._repr_html_() == "<p>none</p>"


def test_a_result_is_shown_with_its_rows() -> None:
    finding = bqdump.Finding(bqdump.FindingKind.MISSING, "a&b", "f", "1 bytes", "")
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    found = bqdump.Verified(run="r", snapshot_time=moment, tables=1, files=1, bytes=1, findings=(finding,))
    assert found.to_dicts() == [{"kind": "missing", "table": "a&b", "file": "f", "expected": "1 bytes", "found": ""}]
    assert "<p>findings</p><table>" in found._repr_html_()
    assert "<td>a&amp;b</td>" in found._repr_html_()


def test_help_opens_with_an_example_and_every_function() -> None:
    # A screen of 40 lines.
    screen = pydoc.plain(pydoc.render_doc(bqdump)).splitlines()[:40]
    functions = [name for name in dir(bqdump) if inspect.isfunction(getattr(bqdump, name))]
    assert "run" in functions
    assert [name for name in functions if not any(re.search(rf" {name}  ", line) for line in screen)] == []
    example = "\n".join(line.strip() for line in screen if "=" in line)
    compile(example, "help", "exec")
    assert "bqdump.Backup(project=" in example


def test_help_ends_after_functions_the_object_and_the_root_of_errors() -> None:
    lines = pydoc.plain(pydoc.render_doc(bqdump)).splitlines()
    classes = [line.split()[1] for line in lines if re.match(r"    class \w", line)]
    assert classes == ["Backup(builtins.object)", "BqdumpError(builtins.Exception)"]
    # From Python 3.13 on, pydoc breaks a long signature into lines.
    assert len(lines) < 1_100
    text = " ".join(" ".join(lines).split()).replace("( ", "(")
    assert " tag(run: str, *, add: str | collections.abc.Sequence[str] = (), remove:" in text
    assert "    plan(*, tasks: int = 1, **settings) -> bqdump.Planned" in lines


def test_a_backup_has_each_function_as_a_method_but_what_needs_none() -> None:
    functions = {name for name in dir(bqdump) if inspect.isfunction(getattr(bqdump, name))}
    assert {name for name in vars(bqdump.Backup) if not name.startswith("_")} == functions - {"check_service"}
    for name in functions - {"check_service"}:
        own, bound = getattr(bqdump, name), getattr(bqdump.Backup(bucket="my-exports"), name)
        assert inspect.signature(bound) == inspect.signature(own)
        assert inspect.getdoc(bound) == inspect.getdoc(own)


def test_a_backup_gives_a_function_the_settings_that_it_uses_and_a_call_takes_precedence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, object]] = []

    def settings_of(options: dict[str, object], required: object) -> object:
        asked.append(dict(options))
        raise KeyboardInterrupt

    backup = bqdump.Backup(bucket="my-exports", dataset="sales", include="a*", format="parquet", prefix="x")
    for module in ("operations", "inspection"):
        monkeypatch.setattr(f"bqdump.api.{module}.settings_of", settings_of)
    with pytest.raises(KeyboardInterrupt):
        backup.plan(format="csv")
    with pytest.raises(KeyboardInterrupt):
        backup.ls(prefix="y")
    everything = {"bucket": "my-exports", "dataset": "sales", "include": "a*", "format": "csv", "prefix": "x"}
    assert asked == [everything, {"bucket": "my-exports", "prefix": "y"}]


def test_a_backup_refuses_wrong_settings_at_once_and_shows_no_address_of_its_notices() -> None:
    with pytest.raises(bqdump.UsageError, match="file_size"):
        bqdump.Backup(bucket="my-exports", file_size="much")
    backup = bqdump.Backup(bucket="my-exports", prefix="x", notify="https://chat.example/secret")
    assert repr(backup) == "Backup(bucket='my-exports', prefix='x')"


def test_a_line_shows_the_first_fields_of_a_result_and_counts_what_is_long() -> None:
    when = datetime(2026, 1, 31, 3, tzinfo=UTC)
    line = bqdump.RunLine(run="r1", state="complete", published=True, snapshot_time=when, tables=38, files=40, bytes=5)
    assert repr(line) == (
        "RunLine(run='r1', state='complete', published=True, snapshot_time=datetime(2026-01-31T03:00:00.000+00:00), "
        "tables=38, files=40, 1 more)"
    )
    assert repr(Rows([line] * 3)) == f"Rows([{line!r}, 2 more])"
    assert repr(Rows([])) == "Rows([])"
    findings = tuple(bqdump.Finding(bqdump.FindingKind.MISSING, "a", "f", "1 bytes", "") for _ in range(1000))
    found = bqdump.Verified(run="r", snapshot_time=when, tables=1, files=1, bytes=1, findings=findings)
    assert "findings=<1,000 items>" in repr(found)
    assert len(repr(found)) < 300


def test_a_table_in_a_notebook_has_at_most_eight_columns_those_with_values_first() -> None:
    lines = [bqdump.RunLine(run=f"r{n}", state="complete", published=False, tables=n, tags=("keep",)) for n in (1, 2)]
    shown = Rows(lines)._repr_html_()
    heads = re.findall("<th>(.*?)</th>", shown)
    assert heads == ["run", "state", "tables", "tags"]
    assert "more columns: to_dicts()" in shown
    full = bqdump.RunLine(run="r", state="complete", published=True, snapshot_time=datetime(2026, 1, 31, tzinfo=UTC),
                          tables=1, files=1, bytes=1, rows=1, failed=1, skipped=1)  # fmt: skip
    assert len(re.findall("<th>", Rows([full])._repr_html_())) == 8
    answer = bqdump.Answer(columns=tuple("abcdefghij"), rows=[[None] * 10])
    assert len(re.findall("<th>", answer._repr_html_())) == 10


def test_the_names_that_are_listed_are_those_that_the_api_imports() -> None:
    imported = {name for name, value in vars(api).items() if not (name.startswith("_") or inspect.ismodule(value))}
    assert imported == set(dir(bqdump)) - {"__version__"}


def test_a_name_that_is_not_listed_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'rum'"):
        # Type checkers refuse it, too.
        bqdump.rum  # type: ignore[attr-defined]  # noqa: B018


def test_the_import_costs_nothing() -> None:
    code = "import sys; before = set(sys.modules); import bqdump; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['bqdump', 'bqdump.core', 'bqdump.core.version']"
