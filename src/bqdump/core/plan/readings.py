"""Readings of a table's metadata, and the part of the published manifest that they are compared with.

If two readings are equal, the table did not change between them. `lastModifiedTime` is not monotonic: after a deletion
it falls back to the newest of the rows that are left, and rows that leave the streaming buffer late get the time of
their streaming. So readings are compared for equality, never by <.
A table that can change without a trace in its metadata has no reading.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.documents.document import FORMAT_VERSION, Count, ExportDocument, Mode, ReadAt, RunId, Time
from bqdump.core.documents.manifest import Carried, File, PartitionEntry
from bqdump.core.documents.run import Flag
from bqdump.core.documents.unchanged import Reading, RemovalReason, Removed
from bqdump.core.plan.hidden_data import Captured, protected_columns
from bqdump.core.tables.catalog import EXTRACTABLE, KIND_WORDS, WHOLE, Shape, Table, is_iceberg, state_of
from bqdump.core.tables.patterns import Labelled, Labels
from bqdump.core.times import rfc3339

# Fields that differ from one reading to the next although nothing changed; so does every field of a size or count.
VOLATILE = (
    "kind",
    "id",
    "etag",
    "selfLink",
    "creationTime",
    "lastModifiedTime",
    "streamingBuffer",
    "replicas",
    "schema",
)
SIZES = "num"
GONE = "it no longer exists"
PARTITIONS_EXPIRE = "its partitions expire"
INCOMPLETE = "BigQuery does not report its creationTime, lastModifiedTime, numRows and numBytes"


def reading_of(definition: msgspec.Raw) -> Reading | None:
    """The reading of a table, or at a partition of it, that a response of tables.get is.

    None if BigQuery does not report all numbers. Whether equal readings prove anything: see `why_inconclusive`.
    """
    try:
        decoded: dict[str, Any] = msgspec.json.decode(definition) or {}
        reading = Reading(
            int(decoded["creationTime"]),
            int(decoded["lastModifiedTime"]),
            int(decoded["numRows"]),
            int(decoded["numBytes"]),
            _fingerprint(decoded.get("schema")),
            _fingerprint({name: value for name, value in decoded.items() if not _volatile(name)}),
        )
        return msgspec.convert(msgspec.to_builtins(reading), Reading)
    except (KeyError, TypeError, ValueError, AttributeError, msgspec.MsgspecError):
        return None


def why_inconclusive(table: Table, policies: Sequence[RowPolicy] | None, captured: Captured) -> str:
    """Why readings of this table prove nothing, in a few words; "" where they do.

    policies: its row access policies, None where they cannot be listed.
    captured: the dataset's change data capture.
    """
    if reason := of_other_kind(table):
        return reason
    if bytes(table.definition) == b"null":
        return GONE
    if table.name in captured.keyed and captured.tables is None:
        return "change data capture cannot be checked"
    if captured.tables and table.name in captured.tables:
        return "change data capture"
    if policies is None:
        return "row access policies cannot be listed"
    if policies:
        return "row access policies"
    if protected_columns(table.definition):
        # Which values an account sees depends on grants, and these are no part of the table.
        return "policy tags or data masking"
    return changing(table.definition) or ("" if reading_of(table.definition) else INCOMPLETE)


def of_other_kind(table: Table) -> str:
    """Why objects of this kind are always exported; "" for tables and table snapshots."""
    if is_iceberg(table.definition):
        return "Iceberg tables are always exported"
    if table.kind in EXTRACTABLE:
        return ""
    kind = KIND_WORDS.get(table.kind, "").partition(" ")[2]
    return f"{kind}s are always exported" if kind else "objects of this kind are always exported"


def changing(definition: msgspec.Raw) -> str:
    """Why the rows of a table may change without a change of its metadata; "" where they cannot."""
    try:
        state = state_of(definition)
    except msgspec.MsgspecError:
        return INCOMPLETE
    if state is None:
        return GONE
    if state.streaming_buffer is not None:
        return "streaming buffer"
    if state.max_staleness:
        return "max_staleness is set"
    # A table that expires is dropped as a whole. Of partitions, no property of the table says which are left.
    return PARTITIONS_EXPIRE if state.partitions_expire_ms else ""


def difference(before: Reading, now: Reading) -> str:
    """How two readings differ, in a few words; "" where they are equal."""
    if before.created != now.created:
        return "recreated"
    if before.schema != now.schema:
        return "schema changed"
    for name, was, is_ in (("numRows", before.rows, now.rows), ("numBytes", before.bytes, now.bytes)):
        if was != is_:
            return f"changed: {name} {was:,} → {is_:,}"
    edited = before.properties != now.properties
    if before.modified != now.modified:
        # An edit of a label, too, moves the time, and nothing tells it from changed rows of the same size.
        time = f"lastModifiedTime {rfc3339(before.modified)} → {rfc3339(now.modified)}"
        return f"changed: {time}{', and properties' if edited else ''}"
    return "properties changed" if edited else ""


def _volatile(name: str) -> bool:
    return name in VOLATILE or name.startswith(SIZES)


def _fingerprint(value: object) -> str:
    return hashlib.blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=8).hexdigest()


class PublishedTable(msgspec.Struct, frozen=True):
    """A table of the published export; see TableEntry. An entry of `left` has a name and files only."""

    table: str
    definition: Labelled | None = None
    kind: str = ""
    route: str = ""
    planned_rows: Count | None = None
    planned_bytes: Count = 0
    rows: Count | None = None
    files: tuple[File, ...] = ()
    read_at: ReadAt = "snapshot"
    format: str = ""
    compression: str = ""
    shape: Shape = WHOLE
    carried: Carried | None = None
    look: Reading | None = None
    look_before: Reading | None = None
    changed_at: Time = 0
    partitions: tuple[PartitionEntry, ...] = ()


class Published(ExportDocument, msgspec.Struct, frozen=True):
    """The published manifest, of definitions with the labels only."""

    run: RunId
    snapshot: Time
    snapshot_time: str
    mode: Mode
    tables: tuple[PublishedTable, ...]
    left: tuple[PublishedTable, ...]
    format_version: int = FORMAT_VERSION
    project: str = ""
    dataset: str = ""
    tool: str = ""
    settings: dict[str, Any] = {}
    flags: tuple[Flag, ...] = ()

    @property
    def labels(self) -> Labels:
        """The labels that its tables had, by name."""
        return {table.table: table.definition.labels or {} for table in self.tables if table.definition}

    def without(self, tables: Collection[str]) -> dict[str, PublishedTable]:
        """Its tables by name, except these."""
        return {table.table: table for table in (*self.left, *self.tables) if table.table not in tables}

    def removed(self, table: PublishedTable, reason: RemovalReason) -> Removed:
        """The record of one of its tables that the next export does not have."""
        of = table.carried or self
        return Removed(
            table.table, reason, of.run, of.snapshot_time, table.planned_rows if table.rows is None else table.rows
        )

    def origin(self, table: PublishedTable) -> tuple[str, int]:
        """The run that exported a table, and its snapshot time: when the content was read."""
        of = table.carried or self
        return of.run, of.snapshot

    def origin_of(self, table: PublishedTable, partition: PartitionEntry) -> tuple[str, int]:
        """The run that exported a partition, and its snapshot time."""
        return (partition.carried.run, partition.carried.snapshot) if partition.carried else self.origin(table)

    def settings_of(self, table: PublishedTable) -> dict[str, Any]:
        """The settings with which a table was exported."""
        return self.settings | table.carried.settings if table.carried else self.settings
