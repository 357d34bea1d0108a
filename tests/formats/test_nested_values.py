"""Values of every type at their extremes, however deep they are: a restore brings each back, or plan names its column.

Rows are compared as BigQuery's API has them: each value is a text there, which has the sign of a zero, and tells a JSON
null from NULL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import bqdump
from bqdump.core.documents.manifest import Manifest
from bqdump.core.formats.formats import unfit
from bqdump.core.formats.types import Column
from bqdump.core.formats.types import columns as columns_of
from bqdump.core.plan.altered import altered_columns
from bqdump.core.sql.statements import JSON_LACKS
from formats.exports import WAYS, Exports, Way
from formats.values import KINDS, Kind

# Queries write what extract jobs do, and the read route makes no strings of nested columns.
NESTED = [
    way for way in WAYS if way.codec == "none" and way.route != "query" and (way.route, way.format) != ("read", "csv")
]
SCALARS = [kind for kind in KINDS if kind.type not in ("STRUCT", "ARRAY")]
# What becomes of a value by the words of a plan; other values of the column are exact.
CHANGES = {
    '"" becomes NULL': ("", None),
    "b'' becomes NULL": ("", None),
    "-0.0 becomes 0.0": ("-0.0", "0.0"),
    "a JSON null becomes NULL": ("null", None),
}


def kinds_of(way: Way) -> list[Kind]:
    """The types that a way holds when they are nested: all of them where nested columns become strings."""
    few = [
        # Hours that nanoseconds in 64 bits cannot count do not come through the Storage Read API.
        kind._replace(values=kind.values[:2]) if (way.route, kind.type) == ("read", "INTERVAL") else kind
        for kind in SCALARS
    ]
    return few if way.format == "csv" else [kind for kind in few if not unfit(way.format, way.route, [kind.column])]


def statements(table: str, kinds: Sequence[Kind]) -> Iterator[str]:
    """A table with each type as a member, an element, and a member of elements, with NULL and empty ones of each.

    What TO_JSON_STRING has no encoding for is in columns of its own: the local stack knows the type of a column only.
    """
    others = [kind for kind in kinds if kind.type in JSON_LACKS]
    groups = [group for group in ([kind for kind in kinds if kind not in others], others) if group]
    columns = ["id INT64"]
    for number, group in enumerate(groups):
        members = ", ".join(f"{kind.name} {kind.ddl}" for kind in group)
        lists = ", ".join(f"l_{kind.name} ARRAY<{kind.ddl}>" for kind in group)
        columns.append(f"m{number} STRUCT<{members}>, {lists}")
        columns.append(f"r{number} ARRAY<STRUCT<{members}, deep STRUCT<{members}>, {lists}>>")
    yield f"CREATE TABLE {table} ({', '.join(columns)})"
    for row in range(max(len(kind.values) for kind in kinds)):
        yield f"INSERT INTO {table} VALUES ({', '.join([str(row), *(_cells(group, row) for group in groups)])})"
    yield f"INSERT INTO {table} (id) VALUES (100)"


def _cells(group: Sequence[Kind], row: int) -> str:
    """A STRUCT, a list of each type, and a list of STRUCTs, of which only the first has the values of this row."""
    nothing = [f"CAST(NULL AS {kind.ddl.partition('(')[0]})" for kind in group]
    empty = [f"CAST([] AS ARRAY<{kind.ddl.partition('(')[0]}>)" for kind in group]
    every = [f"[{', '.join(sql for sql, _ in kind.values)}]" for kind in group]
    values = [
        kind.values[row][0] if row < len(kind.values) else null for kind, null in zip(group, nothing, strict=True)
    ]
    names = [kind.name for kind in group]
    lists = [f"[{value}]" if row < len(kind.values) else "[]" for kind, value in zip(group, values, strict=True)]
    deep, listed = [*names, "deep", *(f"l_{name}" for name in names)], every if row == 0 else lists
    elements = (
        _struct(deep, [*values, _struct(names, values), *every]),
        _struct(deep, [*nothing, _struct(names, nothing), *empty]),
        _struct(deep, [*nothing, "NULL", *every]),
    )
    return f"{_struct(names, values)}, {', '.join(listed)}, [{', '.join(elements if row % 2 == 0 else ())}]"


def _struct(names: Sequence[str], values: Sequence[str]) -> str:
    return f"STRUCT({', '.join(f'{value} AS {name}' for name, value in zip(names, values, strict=True))})"


def raw_rows(exports: Exports, dataset: str, table: str) -> list[Any]:
    """The rows as the API has them, sorted by id."""
    big = exports.stage.big
    path = f"/projects/{exports.stage.project}/datasets/{dataset}/tables/{table}/data"
    answer = big._connection.api_request(method="GET", path=path, query_params={"maxResults": 1000})
    assert "pageToken" not in answer
    return sorted((row["f"] for row in answer["rows"]), key=lambda cells: int(cells[0]["v"]))


def readable(
    columns: Sequence[Column], cells: Sequence[dict[str, Any]], changed: dict[str, str], above: str = ""
) -> dict[str, Any]:
    """A row, or a STRUCT, by the names of its columns, after the changes that are named for their paths."""
    named = {}
    for column, cell in zip(columns, cells, strict=True):
        path = f"{above}{column.name}"
        items = [item["v"] for item in cell["v"]] if column.repeated else [cell["v"]]
        found = [_readable(column, item, changed, path) for item in items]
        named[column.name] = found if column.repeated else found[0]
    return named


def _readable(column: Column, value: Any, changed: dict[str, str], path: str) -> Any:
    if column.fields and value is not None:
        return readable(column.fields, value["f"], changed, f"{path}.")
    before, after = CHANGES[changed[path]] if path in changed else (None, None)
    return after if value == before else value


def differing(found: Any, wanted: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The paths of the values that differ, with both values."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in wanted:
            yield from differing(found[name], wanted[name], f"{path}.{name}")
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for number, pair in enumerate(zip(found, wanted, strict=True)):
            yield from differing(*pair, f"{path}[{number}]")
    elif found != wanted:
        yield path, found, wanted


@pytest.mark.parametrize("way", NESTED, ids=str)
def test_what_changes_is_named_and_everything_else_comes_back(exports: Exports, way: Way) -> None:
    kinds, table = kinds_of(way), f"nested_{way.route}_{way.format}"
    for statement in statements(table, kinds):
        exports.stage.sql(statement)
    folder = f"nested-{way}"
    exports.run(way, folder, include=table, **({"on_unsupported": "string"} if way.format == "csv" else {}))
    manifest: Manifest = exports.published(folder)
    (entry,) = manifest.tables
    changed = {one.column: one.change for one in altered_columns([entry], manifest.settings)}
    place: dict[str, Any] = {"project": exports.stage.project, "bucket": exports.stage.bucket, "prefix": folder}
    into = f"back_{table}"
    result = bqdump.restore(into=into, **place)
    assert (result.state, result.failed) == ("restored", ())
    columns = columns_of(entry.definition)
    wanted = [readable(columns, row, changed) for row in raw_rows(exports, exports.stage.dataset, table)]
    found = [readable(columns, row, {}) for row in raw_rows(exports, into, table)]
    assert [*differing(found, wanted)] == []
    drilled = bqdump.drill(**place)
    assert (drilled.state, drilled.problems) == ("proven", ())
