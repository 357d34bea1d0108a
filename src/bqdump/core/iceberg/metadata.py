"""An Iceberg table's metadata: its schemas, and its snapshots, one for each published run that still has its files.

Source: https://iceberg.apache.org/spec/#table-metadata
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.errors import DocumentError
from bqdump.core.iceberg.columns import Node, last_id, name_mapping, schema_fields
from bqdump.core.iceberg.manifests import Totals
from bqdump.core.times import rfc3339
from bqdump.core.version import VERSION

NAME_MAPPING = "schema.name-mapping.default"
RUN = "bqdump.run"
# A metadata file grows with its snapshots, and each run writes one for each table.
MOST_SNAPSHOTS = 100


class Snapshot(NamedTuple):
    """The snapshot of one run. time: in milliseconds since 1970 UTC. list: the address of its manifest list."""

    id: int
    run: str
    time: int
    sequence: int
    list: str
    totals: Totals


class _Summary(msgspec.Struct):
    run: str = msgspec.field(name=RUN)
    files: str = msgspec.field(name="total-data-files")
    rows: str = msgspec.field(name="total-records")
    bytes: str = msgspec.field(name="total-files-size")


class _Listed(msgspec.Struct, rename="kebab"):
    """What each snapshot of a metadata file must have."""

    snapshot_id: int
    sequence_number: int
    timestamp_ms: int
    schema_id: int
    manifest_list: str
    summary: _Summary


class _Schema(msgspec.Struct, rename="kebab"):
    """What each schema of a metadata file must have."""

    schema_id: int
    fields: list[dict[str, Any]]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a metadata file records of earlier runs."""

    table_uuid: str = msgspec.field(name="table-uuid")
    last_sequence_number: int = msgspec.field(name="last-sequence-number", default=0)
    last_updated_ms: int = msgspec.field(name="last-updated-ms", default=0)
    last_column_id: int = msgspec.field(name="last-column-id", default=0)
    schemas: list[dict[str, Any]] = []
    properties: dict[str, str] = {}
    snapshots: list[dict[str, Any]] = []

    def runs(self) -> list[str]:
        """The runs that it has snapshots of, the earliest first."""
        return [snapshot["summary"].get(RUN, "") for snapshot in self.snapshots]

    def only(self, runs: Collection[str]) -> History:
        """The same with the snapshots of these runs only, of the newest of them, and their schemas."""
        kept = [one for one in self.snapshots if one["summary"].get(RUN, "") in runs][1 - MOST_SNAPSHOTS :]
        used = {one["schema-id"] for one in kept}
        schemas = [schema for schema in self.schemas if schema["schema-id"] in used]
        return msgspec.structs.replace(self, snapshots=kept, schemas=schemas)


def read_history(data: bytes, name: str) -> History:
    """What a metadata file records. Raises DocumentError where it is none."""
    try:
        history = msgspec.json.decode(data, type=History)
        msgspec.convert(history.snapshots, list[_Listed])
        msgspec.convert(history.schemas, list[_Schema])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DocumentError("read", name, f"it is not valid Iceberg metadata ({error})") from None
    return history


class Remaining(NamedTuple):
    """Metadata without some snapshots. run, sequence: of its current snapshot, the last one."""

    data: bytes
    run: str
    sequence: int


def without(data: bytes, name: str, ids: Collection[int]) -> Remaining | None:
    """The metadata without the snapshots of these ids; the same bytes where it has none, None where none is left.

    Raises DocumentError where it is not a metadata file.
    """
    document = read_history(data, name)
    kept = [one for one in document.snapshots if one["snapshot-id"] not in ids]
    if not kept:
        return None
    current = kept[-1]
    if len(kept) < len(document.snapshots):
        whole = msgspec.json.decode(data)
        used = {one["schema-id"] for one in kept}
        whole |= {
            "schemas": [schema for schema in document.schemas if schema["schema-id"] in used],
            "current-schema-id": current["schema-id"],
            "current-snapshot-id": current["snapshot-id"],
            **_listed(kept),
        }
        data = msgspec.json.encode(whole)
    return Remaining(data, current["summary"].get(RUN, ""), current["sequence-number"])


def no_history(place: str) -> History:
    """Of a table that has no metadata yet. place: names the table among all others."""
    digest = hashlib.sha256(place.encode()).hexdigest()
    return History(table_uuid=f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}")


def snapshot_id(run: str, place: str, time: int) -> int:
    """A positive number of 63 bits for a run's snapshot."""
    digest = hashlib.sha256(f"{run}\n{time}\n{place}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1 or 1


def schema_of(history: History, columns: Sequence[Node], docs: dict[str, str]) -> dict[str, Any]:
    """The schema of these columns: an earlier one if it is the same."""
    fields = schema_fields(columns, docs)
    for schema in history.schemas:
        if schema["fields"] == fields:
            return schema
    number = max((schema["schema-id"] for schema in history.schemas), default=-1) + 1
    return {"type": "struct", "schema-id": number, "fields": fields}


def metadata(
    history: History, location: str, schema: dict[str, Any], columns: Sequence[Node], snapshot: Snapshot
) -> bytes:
    """The metadata file with one more snapshot, which becomes the current one."""
    schemas = [one for one in history.schemas if one["schema-id"] != schema["schema-id"]]
    snapshots = [*history.snapshots, _snapshot(history, snapshot, schema)]
    document = {
        "format-version": 2,
        "table-uuid": history.table_uuid,
        "location": location,
        "last-sequence-number": snapshot.sequence,
        "last-updated-ms": snapshot.time,
        "last-column-id": max(history.last_column_id, last_id(columns)),
        "schemas": sorted([*schemas, schema], key=lambda one: one["schema-id"]),
        "current-schema-id": schema["schema-id"],
        "partition-specs": [{"spec-id": 0, "fields": []}],
        "default-spec-id": 0,
        "last-partition-id": 999,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "default-sort-order-id": 0,
        "properties": {NAME_MAPPING: _mapping(history, columns), "bqdump.version": VERSION},
        "current-snapshot-id": snapshot.id,
        **_listed(snapshots),
        "metadata-log": [],
    }
    return msgspec.json.encode(document)


def _mapping(history: History, columns: Sequence[Node]) -> str:
    """The name mapping of all files of all snapshots."""
    known = name_mapping(columns)
    try:
        before = msgspec.json.decode(history.properties.get(NAME_MAPPING, "[]"), type=list[dict[str, Any]])
    except msgspec.MsgspecError:
        before = []
    return msgspec.json.encode(_merged(known, before if history.snapshots else [])).decode()


def _merged(known: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Both mappings; where a name has another id now, the id in use."""
    by_name = {one["names"][0]: one for one in before}
    merged = []
    for one in known:
        other = by_name.pop(one["names"][0], {})
        members = _merged(one.get("fields", []), other.get("fields", []))
        merged.append(one | ({"fields": members} if members else {}))
    return merged + list(by_name.values())


def _listed(snapshots: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What lists the snapshots, of which the last one is the current one."""
    log = [{"timestamp-ms": one["timestamp-ms"], "snapshot-id": one["snapshot-id"]} for one in snapshots]
    return {"refs": _refs(snapshots), "snapshots": list(snapshots), "snapshot-log": log}


def _refs(snapshots: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The branch `main`, and a tag for each run."""
    tags = {one["summary"][RUN]: {"snapshot-id": one["snapshot-id"], "type": "tag"} for one in snapshots}
    return tags | {"main": {"snapshot-id": snapshots[-1]["snapshot-id"], "type": "branch"}}


def _snapshot(history: History, snapshot: Snapshot, schema: dict[str, Any]) -> dict[str, Any]:
    parent = history.snapshots[-1] if history.snapshots else None
    files, rows, bytes_ = map(str, snapshot.totals)
    summary = {
        "operation": "overwrite" if parent else "append",
        "added-data-files": files,
        "added-records": rows,
        "added-files-size": bytes_,
        "total-data-files": files,
        "total-records": rows,
        "total-files-size": bytes_,
        "total-delete-files": "0",
        "total-position-deletes": "0",
        "total-equality-deletes": "0",
        RUN: snapshot.run,
        "bqdump.snapshot-time": rfc3339(snapshot.time),
    }
    if parent:
        summary["deleted-data-files"] = parent["summary"]["total-data-files"]
        summary["deleted-records"] = parent["summary"]["total-records"]
    made: dict[str, Any] = {
        "sequence-number": snapshot.sequence,
        "snapshot-id": snapshot.id,
        "timestamp-ms": snapshot.time,
        "summary": summary,
        "manifest-list": snapshot.list,
        "schema-id": schema["schema-id"],
    }
    if parent:
        made["parent-snapshot-id"] = parent["snapshot-id"]
    return made
