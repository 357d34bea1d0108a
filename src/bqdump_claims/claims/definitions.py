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


async def _create_with_everything(scratch: Scratch) -> Observed:
    await scratch.begin(scratch.destination.create_table(scratch.dataset, "full", _raw(FULL)))
    _, resource = await scratch.described("full")
    return {key: _as_text(_expected_part(resource.get(key), value)) for key, value in FULL.items()} | {
        "expires": "yes" if "expirationTime" in resource else "no"
    }


def _expected_part(actual: Any, expected: Any) -> Any:
    """The part of what was found that is compared: its keys are the expected ones. BigQuery may add others."""
    if isinstance(actual, dict) and isinstance(expected, dict):
        return {key: _expected_part(actual.get(key), value) for key, value in expected.items()}
    if isinstance(actual, list) and isinstance(expected, list) and len(actual) == len(expected):
        return [_expected_part(*pair) for pair in zip(actual, expected, strict=True)]
    return actual


def _as_text(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


async def _copy_over(scratch: Scratch) -> Observed:
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
        "labels": _as_text(resource.get("labels")),
    }


async def _list_captured(scratch: Scratch) -> Observed:
    """A table with a primary key and no stream of changes."""
    statement = f"CREATE TABLE {scratch.table('keyed')} (n INT64, PRIMARY KEY (n) NOT ENFORCED)"
    await scratch.run(statement)
    return {"tables": ", ".join(await scratch.destination.captured(scratch.dataset, MOST_BYTES_BILLED)) or "none"}


async def _create_with_staleness(scratch: Scratch) -> Observed:
    """A table whose queries may lack the newest changes, before any is streamed into it."""
    keyed = {"schema": {"fields": FIELDS[:1]}, "tableConstraints": FULL["tableConstraints"], "maxStaleness": STALENESS}
    await scratch.begin(scratch.destination.create_table(scratch.dataset, "late", _raw(keyed)))
    _, resource = await scratch.described("late")
    return {"maxStaleness": resource.get("maxStaleness", "none")}


async def _list_indexes(scratch: Scratch) -> Observed:
    listed = await scratch.destination.indexes(scratch.dataset, MOST_BYTES_BILLED)
    return {"indexes": ", ".join(index.name for index in listed) or "none"}


async def _create_routine(scratch: Scratch) -> Observed:
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


async def _create_view(scratch: Scratch) -> Observed:
    body = _raw({"view": {"query": "SELECT 1 AS one", "useLegacySql": False}})
    await scratch.begin(scratch.destination.create_table(scratch.dataset, "a_view", body))
    kinds = {table.name: table.kind for table in await scratch.destination.tables(scratch.dataset)}
    return {"kind": kinds.get("a_view", "")}


async def _patch_table(scratch: Scratch) -> Observed:
    body = {"schema": {"fields": FIELDS[:1]}, "description": "first", "labels": {"a": "1", "b": "2"}}
    await scratch.begin(scratch.destination.create_table(scratch.dataset, "patched", _raw(body)))
    changes = _raw({"description": None, "labels": {"a": None, "c": "3"}})
    await scratch.begin(scratch.destination.change_table(scratch.dataset, "patched", changes))
    _, resource = await scratch.described("patched")
    return {"description": resource.get("description", "none"), "labels": _as_text(resource.get("labels"))}


async def _change_access_twice(scratch: Scratch) -> Observed:
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
        sentence="a table that is created from its definition has all of it",
        page=PAGE,
        expected={key: _as_text(value) for key, value in FULL.items()} | {"expires": "yes"},
        observe=_create_with_everything,
    ),
    Claim(
        "definitions.copy",
        sentence="a copy job over a table keeps its labels and description",
        page=PAGE,
        expected={"rows": "2", "description": "the target", "labels": '{"team":"check"}'},
        observe=_copy_over,
        reads={"definitions.copy": 1},
    ),
    Claim(
        "definitions.captured",
        sentence="INFORMATION_SCHEMA.TABLES names no table without change data capture, even with a primary key",
        page="limits.md#change-data-capture",
        expected={"tables": "none"},
        observe=_list_captured,
        reads={"definitions.captured": 1},
    ),
    Claim(
        "definitions.staleness",
        sentence="tables.get reports the max_staleness of a table, which is created with it",
        page="limits.md#change-data-capture",
        expected={"maxStaleness": STALENESS},
        observe=_create_with_staleness,
    ),
    Claim(
        "definitions.indexes",
        sentence="INFORMATION_SCHEMA has views of search and vector indexes",
        page="manifest.md#definitions",
        expected={"indexes": "none"},
        observe=_list_indexes,
        reads={"definitions.indexes": 2},
    ),
    Claim(
        "definitions.routine",
        sentence="a routine is created from its definition, listed, and can be called",
        page=PAGE,
        expected={"listed": "plus_one", "called": "2"},
        observe=_create_routine,
    ),
    Claim(
        "definitions.patch",
        sentence="changing a table merges its labels and replaces other properties; null removes",
        page=PAGE,
        expected={"description": "none", "labels": '{"b":"2","c":"3"}'},
        observe=_patch_table,
    ),
    Claim(
        "definitions.etag",
        sentence="access entries are changed only if the dataset has not changed since they were read",
        page=PAGE,
        expected={"change": "refused"},
        observe=_change_access_twice,
    ),
    Claim(
        "definitions.view",
        sentence="a view is created from its definition, and listed as a view",
        page=PAGE,
        expected={"kind": "VIEW"},
        observe=_create_view,
    ),
)
