"""Manifests to restore, and what their plans say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bqdump.core.documents.definitions import Definitions
from bqdump.core.documents.manifest import File, Manifest, TableEntry, Totals
from bqdump.core.restore.plan import Options, RestorePlan, TableStep, TargetState
from bqdump.core.restore.planning import plan_of
from bqdump.core.tables.catalog import Dataset

SOURCE, TARGET = Dataset("proj", "shop", "EU"), Dataset("proj", "back", "EU")
NOW = 1_800_000_000_000
DAY = 24 * 60 * 60 * 1000
SETTINGS = {"format": "parquet", "compression": "none", "header": True, "delimiter": ",", "null_marker": ""}
EMPTY = TargetState("EU", {}, frozenset())


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def read(value: msgspec.Raw) -> Any:
    return msgspec.json.decode(value)


def column(name: str, type_: str = "INTEGER", **more: object) -> dict[str, Any]:
    return {"name": name, "type": type_, **more}


def file(name: str = "orders_000000000000.parquet", size: int = 100, rows: int | None = 7) -> File:
    return File(name, size, "AAAAAA==", 1, rows)


def entry(
    table: str = "orders", fields: Sequence[dict[str, Any]] = (column("id"),), /, *, kind: str = "TABLE", **changed: Any
) -> TableEntry:
    """A table. Keyword arguments of an entry, or properties of its definition in the names of the API."""
    own = {name: changed.pop(name) for name in list(changed) if name in TableEntry.__struct_fields__}
    definition = {
        "kind": "bigquery#table", "etag": "x", "id": f"proj:shop.{table}", "selfLink": "https://x", "type": kind,
        "tableReference": {"projectId": "proj", "datasetId": "shop", "tableId": table}, "numRows": "7", "numBytes": "9",
        "numActiveLogicalBytes": "9", "creationTime": "1", "lastModifiedTime": "2", "location": "EU",
        "schema": {"fields": list(fields)}, **changed,
    }  # fmt: skip
    usual: dict[str, Any] = {
        "route": "extract", "files": (file(),), "rows": 7, "definition": raw(definition), "planned_rows": 7,
        "planned_bytes": 9,
    }  # fmt: skip
    return TableEntry(
        table=table, kind=kind, unit="00000-00000", jobs=(), created=1, started=1, ended=1, task=0, **usual | own,
    )  # fmt: skip


def manifest(*tables: TableEntry, settings: dict[str, Any] | None = None, **changed: Any) -> Manifest:
    usual: dict[str, Any] = {"skipped": (), "failed": (), "left": (), "found": (), "definitions": Definitions()}
    return Manifest(
        run="r1", tool="1.0", status="complete", project=SOURCE.project, dataset=SOURCE.name, location=SOURCE.location,
        snapshot=5, mode="replace", snapshot_time="2026-01-01T00:00:00Z", settings=SETTINGS | (settings or {}),
        digest="", totals=Totals(1, 1, 1, 1, 1), tables=tables, **usual | changed,
    )  # fmt: skip


def plan(export: Manifest, target: TargetState | None = None, **options: Any) -> RestorePlan:
    chosen = Options(**{"project": TARGET.project, "dataset": TARGET.name} | options)
    return plan_of(export, chosen, target, NOW)


def holding(**kinds: str) -> TargetState:
    """A target with objects of these kinds."""
    return EMPTY._replace(tables={name: (kind, {}) for name, kind in kinds.items()})


def step(table: TableEntry, target: TargetState | None = None, **options: Any) -> TableStep:
    """The step for a table that an export has alone."""
    (only,) = plan(manifest(table), target, **options).tables
    return only
