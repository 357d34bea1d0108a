"""The documents of a run, from plan to receipt: each step reads only the document of the step before.

Those of a published export are in `manifest`. Units of the fields: see `document`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from bqdump.core.documents.document import (
    FORMAT_VERSION,
    Attempt,
    Count,
    ExportDocument,
    Mode,
    Nonce,
    ReadAt,
    RunId,
    Time,
    UnitId,
)
from bqdump.core.documents.unchanged import Reading, Removed, RemovedPartitions, Reused, ReusedPartitions
from bqdump.core.results import public
from bqdump.core.risks import Risk
from bqdump.core.tables.catalog import WHOLE, Shape


class Share(msgspec.Struct, frozen=True, array_like=True):
    """The place and size of one task's part of the units object.

    crc32: of these bytes, because Cloud Storage has no checksum for a part of an object.
    """

    offset: Count
    length: Count
    units: Count
    bytes: Count
    crc32: Count


class Split(msgspec.Struct, frozen=True, array_like=True):
    """A table that is split into several units, in this order: each reads its part of one read session's streams."""

    table: str
    units: tuple[UnitId, ...]


class Partitioned(msgspec.Struct, frozen=True, array_like=True):
    """A table of which each partition is a unit.

    lead: the unit of its first partition.
    units: their number.
    """

    table: str
    lead: UnitId
    units: Count


@public
class Skipped(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object of the dataset that is not exported, and why. asked: a setting says so (`--on-unsupported
    skip`), or it has no rows that could be lost. labels: those that an erased table had.
    """

    table: str
    kind: str
    reason: str
    asked: bool = False
    labels: dict[str, str] = {}


@public
class Flag(msgspec.Struct, frozen=True):
    """One risk of an export, about one table, or (table "") about the complete export.

    columns: those that it concerns.
    allowed: a setting allows it, or it loses nothing. False only in drafts: a run with a risk that is not allowed
        stores no plan.
    """

    risk: Risk
    table: str
    columns: tuple[str, ...]
    detail: str
    allowed: bool


class TablePlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a table, or one partition of a table, is exported."""

    id: UnitId
    """Its name within the plan."""
    table: str
    """The name of the table in the dataset."""
    kind: str
    """BigQuery's type of the object, such as TABLE or VIEW."""
    route: str
    """How it leaves BigQuery: extract, query or read."""
    rows: Count
    """BigQuery's number of rows while planning."""
    bytes: Count
    """BigQuery's number of logical bytes while planning."""
    pattern: str
    """The final object name with one `*`; only to be shown where the table is exported by partition."""
    definition: msgspec.Raw
    """The resource of the table as BigQuery's API returned it."""
    why: str = ""
    """The reason for its route."""
    format: str = ""
    """The format of its files; "" for that of the settings."""
    compression: str = ""
    """The codec of its files; "" for that of the settings."""
    shape: Shape = WHOLE
    """Which of its columns and rows are exported."""
    read_at: ReadAt = "snapshot"
    """"job" where it is read when its job runs, instead of at the snapshot time."""

    # What its query bills.
    bills: Count | None = None
    """The bytes that its query bills, by a dry run; None without a query."""
    bills_at_least: bool = False
    """Whether `bills` is a lower bound."""

    # Whether it changed.
    look: Reading | None = None
    """See TableEntry."""
    look_before: Reading | None = None
    """See TableEntry."""
    changed_at: Time = 0
    """See TableEntry."""
    reason: str = ""
    """Why it is exported although the export is incremental; "" where it is not."""

    # Of one partition.
    partition_look: Reading | None = None
    """The reading of the partition before the snapshot time."""
    partition: str = ""
    """The id of the only partition that is exported; "" for the complete table."""

    # Of a table that is exported by partition.
    rows_at: Count | None = None
    """The rows of the complete table at the snapshot time, where they were counted."""
    partitions: tuple[TablePlan, ...] = ()
    """The plan of each partition, by id."""

    @property
    def pieces(self) -> tuple[TablePlan, ...]:
        """The plans of its partitions, where it is exported by partition; else its own."""
        return self.partitions or (self,)


LabelSetting = Literal["include", "exclude", "tables"]


@public
class ByLabel(msgspec.Struct, frozen=True):
    """What a label pattern has matched.

    setting: `include` brought these tables in, `exclude` left them out, and a section of `tables` applies to them.
    """

    setting: LabelSetting
    pattern: str
    tables: tuple[str, ...]


class Plan(ExportDocument, msgspec.Struct, frozen=True, kw_only=True):
    """What a run does, the same for all its tasks. Its units are in an object of their own, one JSON line each."""

    # Which run, and of what.
    format_version: int = FORMAT_VERSION
    """The version of the stored format."""
    run: RunId
    """The id of the run."""
    tool: str
    """The version of bqdump that planned it."""
    nonce: Nonce
    """A number that no other plan of the run has; part of the ids of its jobs."""
    project: str
    """The Google Cloud project of the dataset."""
    dataset: str
    """The dataset."""
    location: str
    """The location of the dataset, such as EU."""
    snapshot: Time
    """The snapshot time in milliseconds."""
    mode: Mode
    """Whether its files replace those of the export before."""
    settings: dict[str, Any]
    """The settings of the run, by name."""
    digest: str
    """The digest of the settings that all tasks of the run agree on."""

    # What is exported. Numbers of tables, rows and bytes are without what is reused.
    units: str
    """The object with the units."""
    definitions: str = ""
    """The object with the definitions of the dataset; "" in plans that have none."""
    shares: tuple[Share, ...]
    """The units that each task begins with, by task."""
    tables: Count
    """The number of tables."""
    rows: Count
    """Their rows, by BigQuery's count."""
    bytes: Count
    """Their logical bytes, by BigQuery's count."""
    skipped: tuple[Skipped, ...]
    """Objects of the dataset that are not exported."""
    excluded: Count
    """The number of tables that the patterns leave out."""
    by_label: tuple[ByLabel, ...] = ()
    """What label patterns have brought in, left out, or applied to."""
    bills: Count = 0
    """The bytes that its queries bill."""
    flags: tuple[Flag, ...] = ()
    """Risks of the export, each allowed."""
    splits: tuple[Split, ...] = ()
    """The tables that are split into several units."""
    partitioned: tuple[Partitioned, ...] = ()
    """The tables that are exported by partition."""
    planned: Time = 0
    """When planning began, by BigQuery's clock; 0 where that was not recorded."""

    # What becomes of the published export.
    over: str = ""
    """The published run that it was compared with; "" for none."""
    removed: tuple[Removed, ...] = ()
    """Tables of that run that the export removes."""
    kept: tuple[str, ...] = ()
    """Excluded tables that it carries over."""
    reused: tuple[Reused, ...] = ()
    """Unchanged tables, whose files it names again."""
    removed_partitions: tuple[RemovedPartitions, ...] = ()
    """Partitions of that run that the export removes, of tables that it exports."""
    reused_partitions: tuple[ReusedPartitions, ...] = ()
    """Unchanged partitions of tables that changed, whose files it names again."""

    @property
    def all_reused(self) -> tuple[Reused | ReusedPartitions, ...]:
        """The unchanged tables, and the unchanged partitions of other tables."""
        return (*self.reused, *self.reused_partitions)

    @property
    def unit_count(self) -> int:
        """The number of its units: one for each table, or several."""
        return sum(share.units for share in self.shares)

    @property
    def began(self) -> int:
        """When the run began. The snapshot time may be days earlier where the user chose it."""
        return self.planned or self.snapshot

    @property
    def job_prefix(self) -> str:
        """What the ids of all jobs of the run begin with."""
        return f"bqdump_{self.run}_{self.nonce}_"

    def has(self, unit: str) -> bool:
        """Whether the plan has a unit of this id."""
        share, _, number = unit.partition("-")
        if not (share.isdecimal() and number.isdecimal() and int(share) < len(self.shares)):
            return False
        return int(number) < self.shares[int(share)].units


@public
class Owner(msgspec.Struct, frozen=True):
    """One task of one execution; a restarted task is the same owner."""

    execution: str
    task: Count


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="outcome", tag="done"):
    """The proof that a unit is done: its job, its number of files, and the job's times as BigQuery reports them.

    rows: exported rows, where the route reports them.
    billed: bytes that its query billed.
    risks: allowed risks that were found while exporting, in addition to those of planning.
    first: the number of its first file.
    unchanged: of a partition: it looked the same after the job as before the snapshot time.
    sha256: of its files, in their order, where this process has written them and they are few; see FileDigests.
    """

    unit: UnitId
    table: str
    job: str
    attempt: Attempt
    files: Count
    created: Time
    started: Time
    ended: Time
    task: Count
    rows: Count | None = None
    billed: Count | None = None
    risks: tuple[Risk, ...] = ()
    first: Count = 0
    unchanged: bool = False
    sha256: tuple[str, ...] = ()


# A note has room for the digests of so many files.
DIGESTS_IN_RECEIPT = 32


class FileDigests(msgspec.Struct, frozen=True):
    """The SHA-256 of the files of an attempt that has more of them than its receipt has room for, in their order."""

    sha256: tuple[str, ...]


# The reason of a Failure about a table that existed at the snapshot time and has been dropped since. Where a run has
# given its units up for this reason, it goes without the table, as if it had been dropped before.
DROPPED = "dropped"


@public
class Failure(msgspec.Struct, frozen=True):
    """Why an attempt at a unit failed permanently, in one sentence. It binds only its own execution."""

    unit: UnitId
    table: str
    job: str
    attempt: Attempt
    reason: str
    message: str
    owner: Owner
