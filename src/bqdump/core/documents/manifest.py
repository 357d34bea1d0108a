"""The manifest: the record of a complete export. Units of its fields: see `document`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bqdump.core.documents.copying import CopyOf
from bqdump.core.documents.definitions import Definitions
from bqdump.core.documents.document import FORMAT_VERSION, Count, ExportDocument, Mode, ReadAt, RunId, Time, UnitId
from bqdump.core.documents.run import ByLabel, Failure, Flag, Skipped
from bqdump.core.documents.unchanged import Reading, Removed, RemovedPartitions
from bqdump.core.results import public
from bqdump.core.tables.catalog import WHOLE, Shape

Crc32c = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{6}==$(?!\n)")]
Sha256 = Annotated[str, Meta(pattern=r"^(?:[0-9a-f]{64})?$(?!\n)")]


@public
class File(msgspec.Struct, frozen=True, omit_defaults=True):
    """One object: name below the bucket, size in bytes, CRC32C (base64, big-endian) and generation.

    rows: as counted from the file; None (omitted) for formats that are not counted cheaply.
    sha256: in hexadecimal, of a file whose bytes bqdump has written or copied; "" (omitted) for others.
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

    snapshot: when its content was read.
    settings: those with which its files were written, where they differ from the manifest's.
    unchanged_at: the latest snapshot time at which the table was found unchanged, so that its content is also that of
        this time; 0 for a table that was carried over without a reading of it.
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
    """A partition that was exported by itself.

    files: how many of the table's files are its own, in their order.
    rows: exported rows, None where neither the files nor the job report them.
    planned_rows, planned_bytes: BigQuery's numbers while planning.
    look: at the partition, equal before the snapshot time and after the job; None where no such readings prove that it
        did not change in between.
    carried: set where an earlier run exported it.
    """

    id: str
    route: str
    job: str
    files: Count
    planned_rows: Count
    planned_bytes: Count
    rows: Count | None = None
    billed: Count | None = None
    look: Reading | None = None
    carried: Carried | None = None


class TableEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One exported table in a manifest.

    The fields keep the order in which they are stored. `rows` and `expected_rows` were compared before publishing.
    """

    # What was exported.
    table: str
    """Its name in the dataset."""
    kind: str
    """BigQuery's type of the object, such as TABLE or VIEW."""
    route: str
    """How it left BigQuery: extract, query or read; of a table by partition, that of most of its files."""
    unit: UnitId
    """Its unit in the plan of the run that exported it."""
    jobs: tuple[str, ...]
    """The ids of its jobs."""
    planned_rows: Count
    """BigQuery's number of rows while planning."""
    planned_bytes: Count
    """BigQuery's number of logical bytes while planning."""

    # When its job was created, started and ended, and by whom.
    created: Time
    started: Time
    ended: Time
    task: Count
    """The number of the task that exported it."""

    # What it became.
    files: tuple[File, ...]
    """Every file with its rows; by partition, the files of one follow those of the one before."""
    definition: msgspec.Raw
    """The resource of the table as BigQuery's API returned it."""
    rows: Count | None = None
    """Exported rows; None where neither the files nor the job report them."""
    expected_rows: Count | None = None
    """BigQuery's number of rows at the snapshot time; None where that count is not certain."""
    read_at: ReadAt = "snapshot"
    """"job" where it was read when its job ran, instead of at the snapshot time."""
    why: str = ""
    """The reason for its route, and for `read_at`."""
    format: str = ""
    """The format of its files."""
    compression: str = ""
    """The codec of its files."""
    shape: Shape = WHOLE
    """Which of its columns and rows are exported."""
    planned_billed: Count | None = None
    """The bytes that its query bills, by the dry run; None without a query."""
    billed: Count | None = None
    """The bytes that its query billed; None without a query."""

    # What proves that it did not change, here and in later runs.
    carried: Carried | None = None
    """The run that exported it; None where that is the run of this manifest."""
    look: Reading | None = None
    """The reading of planning, after the snapshot time; None for a table that can change without a trace in it."""
    look_before: Reading | None = None
    """The last reading before the snapshot time; None where there was none."""
    changed_at: Time = 0
    """The snapshot time of the last run that found it changed; 0 where none is known."""

    iceberg: tuple[IcebergFile, ...] = ()
    """What makes its files an Iceberg table; the last object is the metadata file, which names the others."""
    partitions: tuple[PartitionEntry, ...] = ()
    """The partitions that were exported by themselves, in the order of their files."""


@public
class Totals(msgspec.Struct, frozen=True):
    """Sums over a manifest's tables; `bytes` is the size of the files.

    rows: exported rows, of tables for which they are known.
    billed: bytes billed by the run's own queries.
    carried: tables carried over from earlier runs.
    reused: unchanged tables, whose files earlier runs exported.
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


class Head(ExportDocument, msgspec.Struct, frozen=True, kw_only=True):
    """The part of a manifest that is not about single tables, and that its index has as well."""

    # Which run.
    format_version: int = FORMAT_VERSION
    """The version of the stored format."""
    run: RunId
    """The id of the run."""
    tool: str
    """The version of bqdump that exported it."""
    status: Literal["complete", "partial"]
    """`partial` where tables are missing that failed (--allow-partial)."""

    # What it exported.
    project: str
    """The Google Cloud project of the dataset."""
    dataset: str
    location: str
    """The location of the dataset, such as EU."""
    snapshot_time: str
    """The snapshot time in RFC 3339."""
    snapshot: Time
    """The snapshot time in milliseconds."""
    mode: Mode
    """Whether its files replaced those of the export before."""
    settings: dict[str, Any]
    """The settings of the run, by name."""

    # What came of it.
    totals: Totals
    """Sums over its tables."""
    skipped: tuple[Skipped, ...]
    """Objects of the dataset that are not exported."""
    failed: tuple[Failure, ...]
    """Tables that are missing because they failed."""
    by_label: tuple[ByLabel, ...] = ()
    """What label patterns have brought in, left out, or applied to."""
    flags: tuple[Flag, ...] = ()
    """Risks of the export, each allowed."""
    removed: tuple[Removed, ...] = ()
    """Tables of the run that was published before which this export does not have."""
    removed_partitions: tuple[RemovedPartitions, ...] = ()
    """The same for partitions, of tables that this export does have."""
    oldest_snapshot_time: str = ""
    """The earliest time of which the content of a table is known, in RFC 3339: earlier where one was carried over."""
    erased: tuple[Erased, ...] = ()
    """Tables that it had, and that `bqdump erase` has taken out of it."""
    number: Count = 0
    """1 for the first published export, then one more for each; overlapping runs may have the same."""
    over: str = ""
    """The run that was published before; "" for none."""


class Manifest(Head, frozen=True, kw_only=True):
    """The record of a complete run (or, with --allow-partial, of a partial one)."""

    digest: str
    """The digest of the settings that all tasks of the run agree on."""
    tables: tuple[TableEntry, ...]
    left: tuple[TableFiles, ...]
    """Files of an earlier export that stay for tables that failed in this one."""
    found: tuple[File, ...]
    """Files under these tables' names from before the first publication, by an export without a manifest."""
    definitions: Definitions = msgspec.field(default_factory=Definitions)
    """Definitions of everything that is not a table, to rebuild the dataset."""
    copy_of: CopyOf | None = None
    """The export that `bqdump copy` has brought the run from; None for an export of its own."""


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
    snapshot: Time = 0

    @property
    def named(self) -> set[str]:
        """Every table that it names."""
        tables: tuple[TableFiles | Named, ...] = (*self.tables, *self.left, *self.failed, *self.removed)
        return {table.table for table in tables}
