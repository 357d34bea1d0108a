"""An Iceberg table's metadata: its schemas, and its snapshots, one for each published run that has changed the table.

A snapshot stands for its run and for those after it up to the next snapshot, which have the same files.

Source: https://iceberg.apache.org/spec/#table-metadata
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Collection, Container, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.errors import DocumentError
from bqdump.core.version import VERSION

NAME_MAPPING = "schema.name-mapping.default"
RUN = "bqdump.run"
# A metadata file grows with its snapshots, and each run that changes a table writes one: more than a year of nights.
MOST_SNAPSHOTS = 400


# Of a run: its snapshot time (ms), and its id.
Age = tuple[int, str]


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

    @property
    def mapping(self) -> list[dict[str, Any]]:
        """The name mapping of the files of its snapshots."""
        try:
            return msgspec.json.decode(self.properties.get(NAME_MAPPING, "[]"), type=list[dict[str, Any]])
        except msgspec.MsgspecError:
            return []

    def runs(self) -> list[str]:
        """The runs that it has snapshots of, the earliest first."""
        return [snapshot["summary"][RUN] for snapshot in self.snapshots]

    def only(self, ages: Iterable[Age], lists: Container[str]) -> History:
        """The same with the snapshots that stand for runs of these ages and have one of these manifest lists."""
        standing = self.standing(ages)
        kept = [one for one in self.snapshots if one["snapshot-id"] in standing and one["manifest-list"] in lists]
        return msgspec.structs.replace(self, snapshots=kept)

    def standing(self, ages: Iterable[Age]) -> dict[int, list[Age]]:
        """The snapshots that stand for runs of these ages, by their ids, with those ages."""
        sorted_, begins = sorted(ages), [age_of(snapshot) for snapshot in self.snapshots]
        places = [*(bisect_left(sorted_, begin) for begin in begins), len(sorted_)]
        return {
            snapshot["snapshot-id"]: sorted_[place:end]
            for snapshot, place, end in zip(self.snapshots, places, places[1:], strict=False)
            if place < end
        }

    def as_of(self, age: Age) -> dict[str, Any] | None:
        """The snapshot that stands for a run of this age."""
        return next((one for one in reversed(self.snapshots) if age_of(one) <= age), None)

    def of_list(self, address: str) -> dict[str, Any] | None:
        """The first snapshot that has this manifest list."""
        return next((snapshot for snapshot in self.snapshots if snapshot["manifest-list"] == address), None)


def mark_of(snapshot: dict[str, Any]) -> tuple[str, int]:
    """The run of a snapshot and its snapshot time (ms): a pruned run's id may be used again."""
    return snapshot["summary"][RUN], snapshot["timestamp-ms"]


def age_of(snapshot: dict[str, Any]) -> Age:
    """What orders snapshots."""
    run, time = mark_of(snapshot)
    return time, run


def read_history(data: bytes, name: str) -> History:
    """What a metadata file records. Raises DocumentError where it is none."""
    try:
        history = msgspec.json.decode(data, type=History)
        listed = msgspec.convert(history.snapshots, list[_Listed])
        schemas = msgspec.convert(history.schemas, list[_Schema])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DocumentError("read", name, f"it is not valid Iceberg metadata ({error})") from None
    if {schema.schema_id for schema in listed} - {schema.schema_id for schema in schemas}:
        raise DocumentError("read", name, "it is not valid Iceberg metadata (a snapshot has no schema)")
    return history


class Remaining(NamedTuple):
    """Metadata without some snapshots. run, sequence: of its current snapshot, the last one."""

    data: bytes
    run: str
    sequence: int


def without_snapshots(data: bytes, name: str, ids: Collection[int]) -> Remaining | None:
    """The metadata without the snapshots of these ids; the same bytes where it has none, None where none is left.

    Raises DocumentError where it is not a metadata file.
    """
    document = read_history(data, name)
    kept = [snapshot for snapshot in document.snapshots if snapshot["snapshot-id"] not in ids]
    if not kept:
        return None
    current = kept[-1]
    if len(kept) < len(document.snapshots):
        whole = msgspec.json.decode(data)
        used = {snapshot["schema-id"] for snapshot in kept}
        whole |= {
            "schemas": [schema for schema in document.schemas if schema["schema-id"] in used],
            "current-schema-id": current["schema-id"],
            "current-snapshot-id": current["snapshot-id"],
            **_listed(kept),
        }
        data = msgspec.json.encode(whole)
    return Remaining(data, current["summary"][RUN], current["sequence-number"])


def no_history(place: str) -> History:
    """Of a table that has no metadata yet. place: names the table among all others."""
    digest = hashlib.sha256(place.encode()).hexdigest()
    return History(table_uuid=f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}")


def encoded(history: History, location: str) -> bytes:
    """The metadata file with these snapshots, of which the last one is the current one."""
    snapshots = history.snapshots[-MOST_SNAPSHOTS:]
    current, used = snapshots[-1], {snapshot["schema-id"] for snapshot in snapshots}
    schemas = [schema for schema in history.schemas if schema["schema-id"] in used]
    document = {
        "format-version": 2,
        "table-uuid": history.table_uuid,
        "location": location,
        "last-sequence-number": history.last_sequence_number,
        "last-updated-ms": current["timestamp-ms"],
        "last-column-id": history.last_column_id,
        "schemas": sorted(schemas, key=lambda schema: schema["schema-id"]),
        "current-schema-id": current["schema-id"],
        "partition-specs": [{"spec-id": 0, "fields": []}],
        "default-spec-id": 0,
        "last-partition-id": 999,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "default-sort-order-id": 0,
        "properties": {
            NAME_MAPPING: msgspec.json.encode(history.mapping).decode(),
            "bqdump.version": VERSION,
        },
        "current-snapshot-id": current["snapshot-id"],
        **_listed(snapshots),
        "metadata-log": [],
    }
    return msgspec.json.encode(document)


def _listed(snapshots: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What lists the snapshots, of which the last one is the current one."""
    log = [{"timestamp-ms": snapshot["timestamp-ms"], "snapshot-id": snapshot["snapshot-id"]} for snapshot in snapshots]
    return {"refs": _refs(snapshots), "snapshots": list(snapshots), "snapshot-log": log}


def _refs(snapshots: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The branch `main`, and a tag for each run that has changed the table."""
    tags = {snapshot["summary"][RUN]: {"snapshot-id": snapshot["snapshot-id"], "type": "tag"} for snapshot in snapshots}
    return tags | {"main": {"snapshot-id": snapshots[-1]["snapshot-id"], "type": "branch"}}
