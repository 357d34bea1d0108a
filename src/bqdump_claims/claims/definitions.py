"""Definitions: what a table created from its definition has, what a copy keeps, what queries of metadata see."""

from __future__ import annotations

from typing import Any

import msgspec

from bqdump.core.errors import ConflictError
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.scratch import MOST_BYTES_BILLED, Scratch

PAGE = "internals/restore.md#how-tables-are-loaded"
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "INTEGER", "mode": "REQUIRED", "description": "the key"},
    {"name": "day", "type": "DATE", "mode": "NULLABLE", "defaultValueExpression": "CURRENT_DATE()"},
    {"name": "price", "type": "NUMERIC", "mode": "NULLABLE", "precision": "10", "scale": "2"},
    {"name": "name", "type": "STRING", "mode": "NULLABLE", "maxLength": "20"},
]
FULL: dict[str, Any] = {
    "schema": {"fields": FIELDS},
    "description": "a table",
    "friendlyName": "Full",
    "labels": {"team": "check"},
    "timePartitioning": {"type": "DAY", "field": "day"},
    "requirePartitionFilter": True,
    "clustering": {"fields": ["name"]},
    "tableConstraints": {"primaryKey": {"columns": ["id"]}},
}


STALENESS = "0-0 0 0:10:0"


async def _created(scratch: Scratch) -> Observed:
    await scratch.begin(scratch.destination.create_table(scratch.dataset, "full", _raw(FULL)))
    _, resource = await scratch.described("full")
    return {key: _form(_part(resource.get(key), value)) for key, value in FULL.items()} | {
        "expires": "yes" if "expirationTime" in resource else "no"
    }


def _part(actual: Any, expected: Any) -> Any:
    """The part of what was found that is compared: its keys are the expected ones. BigQuery may add others."""
    if isinstance(actual, dict) and isinstance(expected, dict):
        return {key: _part(actual.get(key), value) for key, value in expected.items()}
    if isinstance(actual, list) and isinstance(expected, list) and len(actual) == len(expected):
        return [_part(*pair) for pair in zip(actual, expected, strict=True)]
    return actual


def _form(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


async def _copied(scratch: Scratch) -> Observed:
    fields = [{"name": "n", "type": "INTEGER"}]
    kept = {"description": "the target", "labels": {"team": "check"}}
    for name, more in (("copy_source", {"description": "the source"}), ("copy_target", kept)):
        body = _raw({"schema": {"fields": fields}, **more})
        await scratch.begin(scratch.destination.create_table(scratch.dataset, name, body))
    await scratch.run(f"INSERT INTO {scratch.table('copy_source')} (n) VALUES (1), (2)")
    await scratch.copy("copy_source", "copy_target")
    table, resource = await scratch.described("copy_target")
    return {
        "rows": str(table.rows),
        "description": resource.get("description", ""),
        "labels": _form(resource.get("labels")),
    }


async def _keys(scratch: Scratch) -> Observed:
    """A table with a primary key and no stream of changes."""
    statement = f"CREATE TABLE {scratch.table('keyed')} (n INT64, PRIMARY KEY (n) NOT ENFORCED)"
    await scratch.run(statement)
    return {"tables": ", ".join(await scratch.destination.captured(scratch.dataset, MOST_BYTES_BILLED)) or "none"}


async def _staleness(scratch: Scratch) -> Observed:
    """A table whose queries may lack the newest changes, before any is streamed into it."""
    keyed = {"schema": {"fields": FIELDS[:1]}, "tableConstraints": FULL["tableConstraints"], "maxStaleness": STALENESS}
    await scratch.begin(scratch.destination.create_table(scratch.dataset, "late", _raw(keyed)))
    _, resource = await scratch.described("late")
    return {"maxStaleness": resource.get("maxStaleness", "none")}


async def _indexes(scratch: Scratch) -> Observed:
    listed = await scratch.destination.indexes(scratch.dataset, MOST_BYTES_BILLED)
    return {"indexes": ", ".join(index.name for index in listed) or "none"}


async def _routines(scratch: Scratch) -> Observed:
    body = {
        "routineType": "SCALAR_FUNCTION",
        "language": "SQL",
        "definitionBody": "n + 1",
        "arguments": [{"name": "n", "dataType": {"typeKind": "INT64"}}],
    }
    create = scratch.destination.create_routine(scratch.dataset, "plus_one", _raw(body), replace=False)
    await scratch.begin(create)
    call = f"SELECT {scratch.table('plus_one')}(1) AS two"
    return {
        "listed": ", ".join(await scratch.destination.routines(scratch.dataset)),
        "called": str((await scratch.ask(call))[0]),
    }


async def _views(scratch: Scratch) -> Observed:
    body = _raw({"view": {"query": "SELECT 1 AS one", "useLegacySql": False}})
    await scratch.begin(scratch.destination.create_table(scratch.dataset, "a_view", body))
    kinds = {table.name: table.kind for table in await scratch.destination.tables(scratch.dataset)}
    return {"kind": kinds.get("a_view", "")}


async def _patched(scratch: Scratch) -> Observed:
    body = {"schema": {"fields": FIELDS[:1]}, "description": "first", "labels": {"a": "1", "b": "2"}}
    await scratch.begin(scratch.destination.create_table(scratch.dataset, "patched", _raw(body)))
    changes = _raw({"description": None, "labels": {"a": None, "c": "3"}})
    await scratch.begin(scratch.destination.change_table(scratch.dataset, "patched", changes))
    _, resource = await scratch.described("patched")
    return {"description": resource.get("description", "none"), "labels": _form(resource.get("labels"))}


async def _stale(scratch: Scratch) -> Observed:
    """Its own access entries again, as of another reading."""
    resource = await scratch.destination.find_dataset(scratch.dataset.project, scratch.dataset.name)
    access = msgspec.json.decode(resource or b"{}").get("access", [])
    try:
        await scratch.begin(scratch.destination.change_access(scratch.dataset, _raw(access), "of-another-reading"))
    except ConflictError:
        return {"change": "refused"}
    return {"change": "done"}


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


CLAIMS = (
    Claim(
        "definitions.table",
        "a table that is created from its definition has all of it",
        PAGE,
        {key: _form(value) for key, value in FULL.items()} | {"expires": "yes"},
        _created,
    ),
    Claim(
        "definitions.copy",
        "a copy job over a table keeps its labels and description",
        PAGE,
        {"rows": "2", "description": "the target", "labels": '{"team":"check"}'},
        _copied,
        {"definitions.copy": 1},
    ),
    Claim(
        "definitions.captured",
        "INFORMATION_SCHEMA.TABLES names no table without change data capture, even with a primary key",
        "limits.md#change-data-capture",
        {"tables": "none"},
        _keys,
        {"definitions.captured": 1},
    ),
    Claim(
        "definitions.staleness",
        "tables.get reports the max_staleness of a table, which is created with it",
        "limits.md#change-data-capture",
        {"maxStaleness": STALENESS},
        _staleness,
    ),
    Claim(
        "definitions.indexes",
        "INFORMATION_SCHEMA has views of search and vector indexes",
        "manifest.md#definitions",
        {"indexes": "none"},
        _indexes,
        {"definitions.indexes": 2},
    ),
    Claim(
        "definitions.routine",
        "a routine is created from its definition, listed, and can be called",
        PAGE,
        {"listed": "plus_one", "called": "2"},
        _routines,
    ),
    Claim("definitions.patch", "changing a table merges its labels and replaces other properties; null removes",
          PAGE, {"description": "none", "labels": '{"b":"2","c":"3"}'}, _patched),
    Claim("definitions.etag", "access entries are changed only if the dataset has not changed since they were read",
          PAGE, {"change": "refused"}, _stale),
    Claim("definitions.view", "a view is created from its definition, and listed as a view", PAGE,
          {"kind": "VIEW"}, _views),
)  # fmt: skip
