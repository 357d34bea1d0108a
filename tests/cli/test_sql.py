"""bqdump sql: one statement, several, or a prompt."""

from __future__ import annotations

import asyncio
import builtins
import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import bqdump
from bqdump.adapters.folder.store import FolderStore
from bqdump.adapters.memory import MemoryStore
from bqdump.cli.main import start
from bqdump.core.documents.run import Owner
from bqdump.core.errors import UsageError
from bqdump.core.formats.types import Column
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.services.opening import open_shell
from bqdump_memory import MemoryWarehouse

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of two tables in a folder."""
    made = tmp_path_factory.mktemp("exported")
    store = MemoryStore()
    warehouse = MemoryWarehouse(store, lambda: 1_800_000_000_000, shard_rows=2)
    warehouse.put("p", "d", "letters", ["a", "b", "c"])
    warehouse.put("p", "d", "Größe", ["x"])
    settings = Settings(project="p", dataset="d", target=Target("gs", "memory"), header=False)
    asyncio.run(run(Task(store, warehouse, settings, "r1", Owner("x", 0), 1)))

    async def copy() -> None:
        target = FolderStore(made)
        for name in store.names_now():
            found = store.peek(name)
            assert found
            await target.write(name, found[0], 0)

    asyncio.run(copy())
    return made


@pytest.fixture
def say(folder: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    def answer(*arguments: str) -> tuple[int, str, str]:
        code = start(["sql", "--to", str(folder), *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return answer


def test_a_statement_is_answered_as_a_table_csv_or_json(say: Say) -> None:
    statement = "SELECT line, upper(line) AS upper FROM letters ORDER BY 1"
    code, out, err = say("-c", statement)
    assert (code, out) == (0, "line  upper\na     A\nb     B\nc     C\n")
    assert "reading letters: 2 files" in err
    assert "3 rows" in err
    assert list(csv.reader(io.StringIO(say("-c", statement, "--csv")[1])))[1:] == [["a", "A"], ["b", "B"], ["c", "C"]]
    assert json.loads(say("-c", statement, "--json")[1])["rows"] == [["a", "A"], ["b", "B"], ["c", "C"]]


@pytest.mark.parametrize("statement", ["DROP TABLE letters", "SET threads = 1", "CREATE SCHEMA mine"])
def test_a_statement_without_rows_is_done_and_leaves_the_export_as_it_is(say: Say, statement: str) -> None:
    code, out, err = say("-c", statement)
    assert (code, out) == (0, "")
    assert err.endswith("done; a statement never changes the export\n")
    assert json.loads(say("-c", statement, "--json")[1]) == {"columns": [], "rows": []}
    assert say("-c", "SELECT count(*) AS n FROM letters", "--csv")[1] == "n\n3\n"


def test_line_breaks_and_control_characters_are_visible_in_tables_only(say: Say) -> None:
    statement = "SELECT 'a' || chr(10) || 'b' || chr(9) || chr(27) || '[31mc' AS \"x\ny\", 1 AS z"
    assert say("-c", statement)[1] == "x↵y         z\na↵b␉␛[31mc  1\n"
    assert json.loads(say("-c", statement, "--json")[1])["rows"] == [["a\nb\t\x1b[31mc", 1]]
    assert list(csv.reader(io.StringIO(say("-c", statement, "--csv")[1], newline="")))[1] == ["a\nb\t\x1b[31mc", "1"]


@pytest.mark.parametrize(
    ("rows", "shown", "told"),
    [
        (100, 100, "100 rows\n"),
        (
            101,
            100,
            "101 rows, of which the first 100 are shown. For all: `bqdump sql -c SQL | less`, or --csv or --json.\n",
        ),
    ],
)
def test_a_terminal_shows_the_first_100_rows_and_says_how_many_there_are(
    say: Say, monkeypatch: pytest.MonkeyPatch, rows: int, shown: int, told: str
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    statement = f"SELECT 'row' || range AS line FROM range({rows})"
    _, out, err = say("-c", statement)
    assert (out.count("row"), err) == (shown, told)
    assert say("-c", statement, "--csv")[1].count("row") == rows
    assert len(json.loads(say("-c", statement, "--json")[1])["rows"]) == rows


def test_a_pipe_gets_all_rows(say: Say) -> None:
    _, out, err = say("-c", "SELECT 'row' || range AS line FROM range(10_000)")
    assert (out.count("row"), err) == (10_000, "10,000 rows\n")


def test_a_table_of_any_name_is_a_view(say: Say) -> None:
    assert say("-c", 'SELECT * FROM "Größe"', "--csv")[1] == "line\nx\n"


VALUES = (
    "TIMESTAMP '2020-01-31 10:00:00' AS d, 'ab'::BLOB AS b, [{'n': 'nan'::DOUBLE, 'd': TIMESTAMP '2020-01-31'}] AS l"
)


def test_datetimes_bytes_and_nested_values_are_printed_as_exported_files_have_them(say: Say) -> None:
    nested = [{"n": "nan", "d": "2020-01-31T00:00:00"}]
    assert json.loads(say("-c", f"SELECT {VALUES}", "--json")[1])["rows"] == [["2020-01-31T10:00:00", "YWI=", nested]]
    cells = list(csv.reader(io.StringIO(say("-c", f"SELECT {VALUES}", "--csv")[1])))[1]
    assert cells[:2] == ["2020-01-31 10:00:00", "YWI="]
    assert json.loads(cells[2]) == nested
    assert say("-c", f"SELECT {VALUES}")[1].splitlines()[1] == "  ".join(cells)


def test_tables_whose_names_differ_by_case_only_do_not_hold_back_the_others() -> None:
    shell = open_shell()
    try:
        for table in ("orders", "Orders", "items"):
            shell.define(table, [Column("id", "INT64")])
        assert shell.needed("FROM items") == ["items"]
        with pytest.raises(UsageError, match="tables orders and Orders: DuckDB does not distinguish names"):
            shell.needed('SELECT * FROM items JOIN "Orders" USING (id)')
    finally:
        shell.close()


@pytest.mark.parametrize(
    "statements",
    [
        ["PREPARE p AS SELECT count(*) AS n FROM letters", "EXECUTE p"],
        ["-- all\nprepare p AS SELECT count(*) AS n FROM letters", "EXECUTE p"],
        ["CREATE VIEW v AS FROM letters", "SELECT count(*) AS n FROM v"],
        ["CREATE MACRO m() AS TABLE FROM letters", "SELECT count(*) AS n FROM m()"],
        ["CREATE MACRO m(t) AS TABLE FROM query_table(t)", "SELECT count(*) AS n FROM m('letters')"],
        ["SET VARIABLE t = 'let' || 'ters'", "SELECT count(*) AS n FROM query_table(getvariable('t'))"],
        ["SET VARIABLE n = (SELECT count(*) FROM letters)", "SELECT getvariable('n') AS n"],
        ["SELECT n FROM query('SELECT count(*) AS n FROM letters')"],
        ["SELECT 1; SELECT count(*) AS n FROM query_table('letters')"],
        ["ATTACH ':memory:' AS y", 'CREATE TABLE y."letters" AS FROM "letters"', "SELECT count(*) AS n FROM y.letters"],
        [
            "ATTACH ':memory:' AS y; ATTACH ':memory:' AS z; CREATE TABLE y.copy AS FROM letters",
            "COPY FROM DATABASE y TO z",
            "SELECT count(*) AS n FROM z.copy",
        ],
    ],
    ids=lambda statements: statements[0],
)
def test_a_table_has_its_rows_however_a_statement_names_it(say: Say, statements: list[str]) -> None:
    code, out, err = say(*(part for one in statements for part in ("-c", one)), "--json")
    assert (code, json.loads(out)["rows"]) == (0, [[3]]), err


@pytest.mark.parametrize(
    ("statement", "hint"),
    [
        ("COPY FROM DATABASE memory TO y", 'one by one: CREATE TABLE y."Größe" AS FROM "Größe";'),
        ('copy /* all */ from database "MEMORY" to y (SCHEMA)', "CREATE TABLE"),
        ("ATTACH ':memory:' AS z; -- then\nCOPY FROM DATABASE memory TO z;", "CREATE TABLE"),
        ("EXPORT DATABASE 'folder'", """one by one: COPY (FROM "Größe") TO 'Größe.parquet';"""),
        ("EXPORT DATABASE memory TO 'folder' (FORMAT parquet)", "COPY (FROM"),
    ],
)
def test_a_copy_of_all_tables_is_refused_as_it_would_have_no_rows(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = say("-c", "ATTACH ':memory:' AS y", "-c", statement)
    # The answer to ATTACH.
    assert (code, out) == (2, "")
    assert "DATABASE does not read the files of the export's tables" in err
    assert hint in err
    assert "reading" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_one_s_own_is_exported(say: Say, tmp_path: Path) -> None:
    own = "ATTACH ':memory:' AS y", "CREATE TABLE y.copy AS FROM letters"
    code, _, err = say("-c", own[0], "-c", own[1], "-c", f"EXPORT DATABASE y TO '{tmp_path}/a'")
    assert code == 0, err
    assert (tmp_path / "a/copy.csv").read_text().split() == ["line", "a", "b", "c"]
    code, _, err = say("-c", own[0], "-c", own[1], "-c", "USE y", "-c", f"EXPORT DATABASE '{tmp_path}/b'")
    assert code == 0, err
    assert (tmp_path / "b/copy.csv").exists()


def test_numbers_that_json_does_not_have_are_strings(say: Say) -> None:
    assert json.loads(say("-c", "SELECT 'nan'::DOUBLE AS n, NULL AS m", "--json")[1])["rows"] == [["nan", None]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-c", "SELECT * FROM lettres"), "table with name lettres does not exist"),
        (("-c", "SELEC"), "syntax error"),
        (("r2", "-c", "SELECT 1"), "cannot find run r2"),
        (("-c", "SELECT 1", "--csv", "--json"), "--csv and --json exclude each other"),
    ],
)
def test_a_mistake_is_one_clear_sentence(say: Say, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = say(*arguments)
    assert code == 2 or "r2" in arguments
    assert out == ""
    assert words in err
    assert "Traceback" not in err


def test_a_prompt_goes_on_after_a_mistake(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([".tables", "SELEC;", "SELECT count(*) AS n", "FROM letters;", ".help", ".exit"])
    monkeypatch.setattr(builtins, "input", lambda prompt: next(typed))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    code, out, err = say()
    assert code == 0
    assert out.split() == ["table", "rows", "size", "Größe", "2", "B", "letters", "6", "B", "n", "3"]
    assert "Run r1, the dataset as of" in err
    assert "syntax error" in err


def test_the_end_of_input_and_ctrl_c_are_no_errors(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    events: Iterator[BaseException] = iter([KeyboardInterrupt(), EOFError()])

    def raising(prompt: str) -> str:
        raise next(events)

    monkeypatch.setattr(builtins, "input", raising)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert say()[0] == 0


def test_python_has_the_same_rows(folder: Path) -> None:
    answer = bqdump.sql("SELECT line, count(*) AS n FROM letters GROUP BY ALL ORDER BY ALL", to=str(folder))
    assert answer.to_dicts() == [{"line": letter, "n": 1} for letter in "abc"]
    assert "<th>line</th><th>n</th>" in answer._repr_html_()
    assert bqdump.sql("FROM letters", "r1", to=str(folder)).columns == ("line",)


def test_values_are_those_of_python_and_columns_may_share_a_name(folder: Path) -> None:
    moment = "TIMESTAMPTZ '2026-01-31 12:00:00.5+09:00'"
    answer = bqdump.sql(f"SELECT 1 AS a, 2 AS a, {moment} AS t, [{moment}] AS l, DATE '0001-01-01'", to=str(folder))
    (row,) = answer.rows
    assert answer.columns[:2] == ("a", "a")
    assert row[:2] == [1, 2]
    assert row[2] == datetime(2026, 1, 31, 3, 0, 0, 500_000, tzinfo=UTC)
    assert row[3] == ["2026-01-31 03:00:00.5+00"]


@pytest.mark.parametrize("statement", ["SELEC 1", "SELECT * FROM lettres"])
def test_python_raises_for_what_the_database_refuses(folder: Path, statement: str) -> None:
    with pytest.raises(bqdump.UsageError, match="the statement: "):
        bqdump.sql(statement, to=str(folder))


def test_the_extra_is_named_where_it_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.delitem(sys.modules, "bqdump.adapters.duckdb_shell", raising=False)
    with pytest.raises(bqdump.UsageError, match=r"need duckdb, which is not installed.*\[verify\]"):
        bqdump.sql("SELECT 1", to=str(folder))
