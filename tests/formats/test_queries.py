"""`bqdump sql` has the values of every format with the types of BigQuery, as far as DuckDB has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bqdump.adapters.duckdb_shell import DuckDBShell
from bqdump.check.query import Export
from bqdump.core.errors import DocumentError, UsageError
from bqdump.core.formats.types import Column
from bqdump.services.opened import serve
from formats.exports import WAYS, Exports, Way
from formats.values import Kind, expected

# What DuckDB has no type for is text, in the form of the file.
AS_IN_THE_FILE = ("BIGNUMERIC", "JSON", "GEOGRAPHY", "INTERVAL", "RANGE")
SOME = [way for way in WAYS if way.codec == "none" or (way.codec, way.format) == ("gzip", "json")]


@pytest.fixture
def shell() -> Iterator[DuckDBShell]:
    made = DuckDBShell()
    yield made
    made.close()


def opened(exports: Exports, way: Way, shell: DuckDBShell) -> Callable[[str], list[dict[str, Any]]]:
    """A function that queries an export."""
    settings = exports.stage.settings(prefix=str(way))
    export = Export(exports.manifest(way), shell)

    def query(statement: str) -> list[dict[str, Any]]:
        asyncio.run(serve(settings, lambda at: export.attach(at.store, statement)))
        answer = shell.run(statement)
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]

    return query


def kinds(way: Way) -> list[Kind]:
    """Those whose values are the same in all formats."""
    text = way.format in ("csv", "json")
    return [kind for kind in way.kinds if kind.type not in AS_IN_THE_FILE and not (text and kind.name == "as_")]


def wanted(way: Way, kind: Kind, value: Any) -> Any:
    if way.format == "csv" and way.route != "read" and value in ("", b""):
        return None
    return value


def same(actual: Any, value: Any) -> bool:
    return bool(actual == value) or (actual != actual and value != value)


@pytest.mark.parametrize("way", SOME, ids=str)
def test_values_have_their_types_and_a_table_without_rows_is_empty(
    exports: Exports, way: Way, shell: DuckDBShell
) -> None:
    query = opened(exports, way, shell)
    rows = query(f"SELECT * FROM values_{way.route}_{way.format} ORDER BY id")
    assert [row["id"] for row in rows] == list(range(len(rows)))
    for kind in kinds(way):
        if kind.name == "st":
            assert [row["st"] and row["st"]["a"] for row in rows][:3] == [1, 2, None]
            continue
        values = [wanted(way, kind, value) for value in expected(kind)]
        found = [row[kind.name] for row in rows]
        assert [(one, other) for one, other in zip(found, values, strict=True) if not same(one, other)] == [], kind.name
    assert query(f"SELECT * FROM empty_{way.route}_{way.format}") == []


def test_a_table_is_read_when_it_is_named_and_only_once(exports: Exports, shell: DuckDBShell) -> None:
    way = Way("read", "csv", "none")
    settings = exports.stage.settings(prefix=str(way))
    received: list[str] = []
    export = Export(exports.manifest(way), shell, lambda entry: received.append(entry.table))

    def attach(statement: str) -> None:
        asyncio.run(serve(settings, lambda at: export.attach(at.store, statement)))

    for statement in ("SELECT 1", "FROM values_read_csv", "SELECT count(*) FROM VALUES_READ_CSV v", "SHOW TABLES"):
        attach(statement)
        shell.run(statement)
    assert received == ["values_read_csv"]


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("SELCT 1", 'the statement: syntax error at or near "SELCT".'),
        ("SELECT 1;\n\nSELCT 2", 'the statement: syntax error at or near "SELCT", in line 3.'),
        ("FROM known.orderz", 'the statement: table with name orderz does not exist. Did you mean "orders"?'),
        (
            "SELECT nme FROM known.orders",
            'the statement: referenced column "nme" not found in FROM clause. Did you mean "name" or "age"?',
        ),
        (
            "SELECT o.zzz FROM known.orders o",
            'the statement: table "o" does not have a column named "zzz". Did you mean "age"?',
        ),
    ],
)
def test_a_statement_that_fails_is_one_sentence(shell: DuckDBShell, statement: str, error: str) -> None:
    shell.run("CREATE SCHEMA known; CREATE TABLE known.orders (name VARCHAR, age INTEGER)")
    with pytest.raises(UsageError) as refused:
        shell.run(statement)
    assert str(refused.value) == error


def test_a_statement_that_is_no_text_is_one_clear_error(shell: DuckDBShell) -> None:
    with pytest.raises(UsageError, match=r"the statement: it is not valid UTF-8"):
        shell.needed("SELECT '\udcff'")


def test_an_instant_that_python_has_no_value_for_is_text(shell: DuckDBShell) -> None:
    (row,) = shell.run("SELECT TIMESTAMPTZ '9999-12-31 00:00:00Z' + INTERVAL 1 DAY").rows
    assert row == ["10000-01-01 00:00:00"]


def test_columns_that_no_table_can_have_are_one_clear_error(shell: DuckDBShell) -> None:
    with pytest.raises(DocumentError, match=r"cannot define table t: DuckDB has no table of these columns"):
        shell.define("t", (Column("r", "STRUCT"),))
