"""tabledata.insertAll: rows that go to the streaming buffer of a table.

Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from bqdump_local.bigquery.errors import BigQueryError, invalid
from bqdump_local.bigquery.rows import defaults
from bqdump_local.bigquery.rows.readers import reader
from bqdump_local.bigquery.rows.writing import check_values
from bqdump_local.bigquery.sql import refusals
from bqdump_local.bigquery.tables import buffers
from bqdump_local.bigquery.types import Field, quote

if TYPE_CHECKING:
    from bqdump_local.bigquery.tables.catalog import Catalog
    from bqdump_local.bigquery.tables.tables import Table

KIND = {"kind": "bigquery#tableDataInsertAllResponse"}
Row = dict[str, Any]


def insert_all(catalog: Catalog, table: Table, body: dict[str, Any]) -> dict[str, Any]:
    """Add rows, unless one of them is invalid; then only the others, and only if `skipInvalidRows` is set."""
    sent = body.get("rows") or []
    if not sent:
        raise invalid("No rows present in the request.")
    table.require_plain()
    absent = defaults.values(catalog, table)
    rows = [absent | _row(row.get("json") or {}, table.fields) for row in sent]
    ids = [row.get("insertId") for row in sent]
    errors = dict(_problems(catalog, table, rows, ignore=bool(body.get("ignoreUnknownValues"))))
    catalog.require(table)
    if errors and not body.get("skipInvalidRows"):
        stopped = {"reason": "stopped", "location": "", "debugInfo": "", "message": ""}
        return KIND | {"insertErrors": [_errors(n, errors.get(n, stopped)) for n in range(len(rows))]}
    with table.lock:
        # Rows are known once they are stored: a client that sends them again after a failure loses none.
        seen: set[str] = set()
        kept = [row for n, row in enumerate(rows) if n not in errors and _is_new(ids[n], table.inserted, seen)]
        if kept:
            text = _lines(kept)
            buffers.stream(
                catalog, table, lambda cursor, name: _insert(catalog, cursor, name, table.fields, text), len(text)
            )
        table.inserted |= seen
    if errors:
        return KIND | {"insertErrors": [_errors(n, error) for n, error in sorted(errors.items())]}
    return dict(KIND)


def _is_new(insert_id: str | None, inserted: set[str], seen: set[str]) -> bool:
    """Whether no row had this id before, of those inserted or seen in this request; without an id, each row is new."""
    known = insert_id in inserted or insert_id in seen
    if insert_id is not None:
        seen.add(insert_id)
    return not known


def _errors(number: int, error: dict[str, str]) -> dict[str, Any]:
    return {"index": number, "errors": [error]}


def _problem(location: str, message: str) -> dict[str, str]:
    return {"reason": "invalid", "location": location, "debugInfo": "", "message": message}


def _row(values: Row, fields: Sequence[Field]) -> Row:
    """The row with the values of JSON columns, which come as strings that contain JSON."""
    known = {field.name.lower(): field for field in fields}
    return {name: _value(value, known.get(name.lower())) for name, value in values.items()}


def _value(value: Any, field: Field | None) -> Any:
    if field is None:
        return value
    if field.mode == "REPEATED" and isinstance(value, list):
        return [_value(item, field.element) for item in value]
    if field.type == "RECORD" and isinstance(value, dict):
        return _row(value, field.fields)
    if field.type == "JSON" and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            # Not JSON, which is an error of the row.
            return _Invalid(f"syntax error while parsing value - invalid literal: {value!r}")
    return value


class _Invalid:
    """A value that cannot be read."""

    def __init__(self, message: str) -> None:
        self.message = message


def _problems(
    catalog: Catalog, table: Table, rows: Sequence[Row], *, ignore: bool
) -> Iterator[tuple[int, dict[str, str]]]:
    """The invalid rows by number. ignore: columns that the table does not have are no error."""
    problems: dict[int, dict[str, str]] = {}
    for number, row in enumerate(rows):
        if problem := next(_unknown(row, table.fields, "", ignore=ignore), None):
            problems[number] = problem
    yield from problems.items()
    valid = [number for number in range(len(rows)) if number not in problems]
    if _error(catalog, table, [rows[number] for number in valid]):
        for number in valid:
            if message := _error(catalog, table, [rows[number]]):
                yield number, _problem("", message)


def _unknown(row: Row, fields: Sequence[Field], path: str, *, ignore: bool) -> Iterator[dict[str, str]]:
    known = {field.name.lower(): field for field in fields}
    for name, value in row.items():
        field = known.get(name.lower())
        if field is None and not ignore:
            yield _problem(f"{path}{name}", f"no such field: {path}{name}.")
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, _Invalid):
                yield _problem(f"{path}{name}", item.message)
            elif field is not None and field.type == "RECORD" and isinstance(item, dict):
                yield from _unknown(item, field.fields, f"{path}{name}.", ignore=ignore)


def _error(catalog: Catalog, table: Table, rows: Sequence[Row]) -> str:
    """Why these rows cannot be added; "" if they can."""
    if not rows:
        return ""
    with catalog.warehouse.cursor() as cursor:
        name = "trial"
        try:
            columns = ", ".join(quote(field.name) for field in table.fields)
            cursor.execute(f"CREATE TEMP TABLE {name} AS SELECT {columns} FROM {table.current.name} WHERE false")
            _insert(catalog, cursor, name, table.fields, _lines(rows))
            check_values(cursor, name, table.fields)
        except BigQueryError as error:
            return error.message
        except duckdb.Error as error:
            return refusals.of_data(error)
        finally:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")
    return ""


def _lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _insert(
    catalog: Catalog, cursor: duckdb.DuckDBPyConnection, name: str, fields: tuple[Field, ...], text: str
) -> int:
    with catalog.warehouse.folder() as folder:
        path = folder / "rows.json"
        path.write_text(text, encoding="utf-8")
        columns, select = reader(cursor, [path], {"sourceFormat": "NEWLINE_DELIMITED_JSON"}, fields)
        names = ", ".join(quote(field.name) for field in columns)
        cursor.execute(f"INSERT INTO {name} ({names}) {select}")
    return text.count("\n")
