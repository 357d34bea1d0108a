"""The catalog of the local BigQuery, as jobs that run at the same time use it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bqdump_local.bigquery.rows import writing
from bqdump_local.bigquery.settings import JobSettings
from bqdump_local.bigquery.tables import buffers
from bqdump_local.bigquery.tables import warehouse as warehouses
from bqdump_local.bigquery.tables.catalog import Catalog
from bqdump_local.bigquery.tables.warehouse import Warehouse
from bqdump_local.bigquery.types import parse_fields


def test_a_table_that_two_jobs_delete_is_dropped_once_and_its_successor_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse()
    catalog = Catalog(warehouse, JobSettings())
    dropped: list[str] = []
    monkeypatch.setattr(warehouse, "drop", dropped.extend)
    catalog.create_dataset("p", "d", {})
    first = catalog.create_table("p", "d", "t", {"schema": {"fields": [{"name": "a", "type": "INT64"}]}})
    catalog.delete_table(first)
    second = catalog.create_table("p", "d", "t", {"schema": {"fields": [{"name": "b", "type": "INT64"}]}})
    catalog.delete_table(first)
    assert dropped == [first.current.name]
    assert catalog.find_table("p", "d", "t") is second
    warehouse.close()


class KilledError(BaseException):
    """The end of the process."""


class Mortal(Warehouse):
    """A warehouse whose process is killed before one of its writes; writes that follow do not happen either."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.left: int | None = None

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        with super().cursor() as cursor:
            yield _Cursor(self, cursor)


class _Cursor:
    def __init__(self, warehouse: Mortal, cursor: duckdb.DuckDBPyConnection) -> None:
        self._warehouse, self._cursor = warehouse, cursor

    def execute(self, sql: str, *arguments: Any) -> Any:
        if self._warehouse.left is not None and not sql.startswith("SELECT"):
            if not self._warehouse.left:
                raise KilledError
            self._warehouse.left -= 1
        return self._cursor.execute(sql, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def _schema(*names: str) -> dict[str, Any]:
    return {"schema": {"fields": [{"name": name, "type": "STRING"} for name in names]}}


def _filled(folder: Path) -> Catalog:
    """A stored catalog with a table that has a row and a streamed row."""
    catalog = Catalog(Mortal(folder), JobSettings())
    catalog.create_dataset("p", "d", {})
    table = catalog.create_table("p", "d", "t", {**_schema("a"), "description": "old"})
    catalog.new_version(table, lambda cursor, name: cursor.execute(f"CREATE TABLE {name} AS SELECT 'x' AS a"))
    table.policies = [{"rowAccessPolicyReference": {"policyId": "own"}}]
    catalog.keep_table(table)
    catalog.create_table("p", "d", "u", _schema("a"))
    return catalog


def _stream(catalog: Catalog) -> None:
    def insert(cursor: duckdb.DuckDBPyConnection, name: str) -> int:
        cursor.execute(f"INSERT INTO {name} VALUES ('streamed')")
        return 1

    buffers.stream(catalog, catalog.table("p", "d", "t"), insert, 1)


def _seen(catalog: Catalog) -> Any:
    """All that a user sees of the catalog."""
    if not catalog.datasets("p"):
        return None
    found = {}
    with catalog.warehouse.cursor() as cursor:
        for table in catalog.tables("p", "d"):
            rows = cursor.execute(f"SELECT * FROM {table.current.name}").fetchall()
            streamed = cursor.execute(f"SELECT * FROM {table.buffer.name}").fetchall() if table.buffer else []
            columns = [field.name for field in table.fields]
            assert {len(row) for row in (*rows, *streamed)} <= {len(columns)}, "the rows have other columns"
            found[table.table_id] = (columns, rows, streamed, table.properties.get("description"), table.policies)
    return found


def _replace(catalog: Catalog) -> None:
    catalog.create_table("p", "d", "t", _schema("b"), replace=True)


def _rename(catalog: Catalog) -> None:
    catalog.rename_table(catalog.table("p", "d", "t"), "renamed")


def _delete_dataset(catalog: Catalog) -> None:
    catalog.delete_dataset("p", "d", contents=True)


def _add_column(catalog: Catalog) -> None:
    table = catalog.table("p", "d", "t")
    catalog.change_table(table, {**table.properties, **_schema("a", "b"), "description": "new"})


def _truncate(catalog: Catalog) -> None:
    place = {"projectId": "p", "datasetId": "d", "tableId": "t"}
    options = {"writeDisposition": "WRITE_TRUNCATE"}
    fields = parse_fields([{"name": "b", "type": "STRING"}])
    writing.place(catalog, place, options, fields, "SELECT 'y' AS b")


@pytest.mark.parametrize("change", [_replace, _rename, _delete_dataset, _add_column, _truncate])
def test_a_killed_process_leaves_a_change_done_or_undone(
    change: Callable[[Catalog], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No query is translated here, and the macros take most of the time of a start.
    monkeypatch.setattr(warehouses, "MACROS", "CREATE SCHEMA IF NOT EXISTS bq")
    catalog = _filled(tmp_path / "start")
    if change in (_add_column, _truncate):
        _stream(catalog)
    before = _seen(catalog)
    catalog.warehouse.close()
    seen = [before]
    for writes in range(100):
        folder = tmp_path / str(writes)
        shutil.copytree(tmp_path / "start", folder)
        warehouse = Mortal(folder)
        catalog = Catalog(warehouse, JobSettings())
        warehouse.left = writes
        with suppress(KilledError):
            change(catalog)
        ended, warehouse.left = warehouse.left > 0, None
        warehouse._connection.close()
        again = Catalog(Warehouse(folder), JobSettings())
        seen.append(_seen(again))
        again.warehouse.close()
        if ended:
            break
    assert before != seen[-1]
    assert [state for state in seen if state not in (before, seen[-1])] == []
