"""The manifest: the record of a complete export. Units of its fields: see `document`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bqdump.core.documents.copying import CopyOf
from bqdump.core.documents.definitions import Definitions
from bqdump.core.documents.document import FORMAT_VERSION, Count, Mode, ReadAt, RunId, Time, UnitId
from bqdump.core.documents.run import Failure, Flag, OfExport, Skipped
from bqdump.core.documents.unchanged import Look, Removed, RemovedPartitions
from bqdump.core.results import public
from bqdump.core.tables.catalog import WHOLE, Shape

Crc32c = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{6}==$(?!\n)")]
Sha256 = Annotated[str, Meta(pattern=r"^(?:[0-9a-f]{64})?$(?!\n)")]


@public
class File(msgspec.Struct, frozen=True, omit_defaults=True):
    """One object: name below the bucket, size in bytes, CRC32C (base64, big-endian) and generation.

    rows: as counted from the file; None (omitted) for formats that are not counted cheaply. sha256: in hexadecimal, of
    a file that `bqdump copy` has read; "" (omitted) for others.
    """

    name: str
    size: Count
    crc32c: Crc32c
    generation: Count
    rows: Count | None = None
    sha256: Sha256 = ""


@public
class IcebergFile(msgspec.Struct, frozen=True):
    """One object of a table's Iceberg metadata: name below the bucket, size in bytes and generation."""

    name: str
    size: Count
    generation: Count


class TableFiles(msgspec.Struct, frozen=True):
    """The part of a manifest's table that a later publication reads. iceberg: see TableEntry."""

    table: str
    files: tuple[File, ...]
    iceberg: tuple[IcebergFile, ...] = ()

    @property
    def objects(self) -> tuple[File | IcebergFile, ...]:
        """Every object of the table."""
        return (*self.files, *self.iceberg)


class Carried(msgspec.Struct, frozen=True):
    """The origin of a table that an earlier run exported: that run, its snapshot time, and its bqdump version.

    snapshot: when its content was read. settings: those with which its files were written, where they differ from the
    manifest's. unchanged_at: the latest snapshot time at which the table was found unchanged, so that its content is
    also that of this time; 0 for a table that was carried over without a look at it.
    """

    run: RunId
    snapshot: Time
    snapshot_time: str
    tool: str
    settings: dict[str, Any]
    unchanged_at: Time = 0

    @property
    def as_of(self) -> int:
        """The latest time (ms) of which the content is known to be."""
        return max(self.snapshot, self.unchanged_at)


class PartitionEntry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A partition that was exported by itself. files: how many of the table's files are its own, in their order.

    rows: exported rows, None where neither the files nor the job report them. planned_rows, planned_bytes: BigQuery's
    numbers while planning. look: at the partition, equal before the snapshot time and after the job; None where no such
    looks prove that it did not change in between. carried: set where an earlier run exported it.
    """

    id: str
    route: str
    job: str
    files: Count
    planned_rows: Count
    planned_bytes: Count
    rows: Count | None = None
    billed: Count | None = None
    look: Look | None = None
    carried: Carried | None = None


class TableEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One exported table in a manifest. `planned_rows` and `planned_bytes` are BigQuery's numbers while planning.

    rows: exported rows, None where neither the files nor the job report them. expected_rows: BigQuery's rows at the
    snapshot time, where that count is certain; both were compared before publishing.
    read_at: "job" where the table was read when its job ran, instead of at the snapshot time (see why).
    format, compression: of its files. planned_billed, billed: bytes of its query, by the dry run and as billed.
    carried: set where an earlier run exported it. look: as of planning, after the snapshot time; None where the table
    can change without a trace in its metadata. look_before: the last one before the snapshot time, if there was one.
    changed_at: the snapshot time of the last run that found it changed, 0 where none is known. iceberg: what makes its
    files an Iceberg table; the last object is the metadata file, which names the others. partitions: of a table that
    was exported by partition; the files of one follow those of the one before.
    """

    table: str
    kind: str
    route: str
    unit: UnitId
    jobs: tuple[str, ...]
    planned_rows: Count
    planned_bytes: Count
    created: Time
    started: Time
    ended: Time
    task: Count
    files: tuple[File, ...]
    definition: msgspec.Raw
    rows: Count | None = None
    expected_rows: Count | None = None
    read_at: ReadAt = "snapshot"
    why: str = ""
    format: str = ""
    compression: str = ""
    shape: Shape = WHOLE
    planned_billed: Count | None = None
    billed: Count | None = None
    carried: Carried | None = None
    look: Look | None = None
    look_before: Look | None = None
    changed_at: Time = 0
    iceberg: tuple[IcebergFile, ...] = ()
    partitions: tuple[PartitionEntry, ...] = ()


@public
class Totals(msgspec.Struct, frozen=True):
    """Sums over a manifest's tables; `bytes` is the size of the files.

    rows: exported rows, of tables for which they are known. billed: bytes billed by the run's own queries.
    carried: tables carried over from earlier runs. reused: unchanged tables, whose files earlier runs exported.
    """

    tables: Count
    files: Count
    bytes: Count
    planned_rows: Count
    planned_bytes: Count
    rows: Count = 0
    billed: Count = 0
    carried: Count = 0
    reused: Count = 0


@public
class Erased(msgspec.Struct, frozen=True):
    """A table that was taken out of an export that is kept: when (ms), by whom, and why."""

    table: str
    at: Time
    by: str
    reason: str


class Head(OfExport, msgspec.Struct, frozen=True, kw_only=True):
    """The part of a manifest that is not about single tables, and that its index has as well.

    removed: tables of the run that was published before which this export does not have; removed_partitions: such
    partitions of tables that it has. oldest_snapshot_time: of the
    oldest table. erased: tables that it had, and that `bqdump erase` has taken out of it.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    tool: str
    status: Literal["complete", "partial"]
    project: str
    dataset: str
    location: str
    snapshot_time: str
    snapshot: Time
    mode: Mode
    settings: dict[str, Any]
    totals: Totals
    skipped: tuple[Skipped, ...]
    failed: tuple[Failure, ...]
    flags: tuple[Flag, ...] = ()
    removed: tuple[Removed, ...] = ()
    removed_partitions: tuple[RemovedPartitions, ...] = ()
    oldest_snapshot_time: str = ""
    erased: tuple[Erased, ...] = ()


class Manifest(Head, frozen=True, kw_only=True):
    """The record of a complete run (or, with --allow-partial, of a partial one).

    left: files of an earlier export that stay for tables that failed in this one. found: files under these tables'
    names that existed before the first publication, from an export without a manifest. number: 1 for the first
    published export, then one more for each; overlapping runs may have the same. over: the run that was published
    before, "" for none. definitions: of everything that is not a table, to rebuild the dataset. copy_of: set where
    `bqdump copy` has brought the run here.
    """

    number: Count = 0
    digest: str
    tables: tuple[TableEntry, ...]
    left: tuple[TableFiles, ...]
    found: tuple[File, ...]
    over: str = ""
    definitions: Definitions = msgspec.field(default_factory=Definitions)
    copy_of: CopyOf | None = None


class Named(msgspec.Struct, frozen=True):
    """The name of a table."""

    table: str


class ManifestFiles(msgspec.Struct, frozen=True):
    """The part of a manifest that a later publication reads: the objects that it lists."""

    run: RunId
    status: Literal["complete", "partial"]
    totals: Totals
    tables: tuple[TableFiles, ...]
    left: tuple[TableFiles, ...]
    found: tuple[File, ...]
    failed: tuple[Named, ...] = ()
    removed: tuple[Named, ...] = ()
    format_version: int = FORMAT_VERSION
    number: Count = 0
    over: str = ""
    oldest_snapshot_time: str = ""

    @property
    def named(self) -> set[str]:
        """Every table that it names."""
        tables: tuple[TableFiles | Named, ...] = (*self.tables, *self.left, *self.failed, *self.removed)
        return {table.table for table in tables}
