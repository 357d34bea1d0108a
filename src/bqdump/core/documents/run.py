"""The documents of a run, from plan to receipt: each step reads only the document of the step before.

Those of a published export are in `manifest`. Units of the fields: see `document`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bqdump.core.documents.document import FORMAT_VERSION, Attempt, Count, Mode, Nonce, ReadAt, RunId, Time, UnitId
from bqdump.core.documents.unchanged import Look, Removed, RemovedPartitions, Reused, ReusedPartitions
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
    """A table of which each partition is a unit. lead: the unit of its first partition. units: their number."""

    table: str
    lead: UnitId
    units: Count


@public
class Skipped(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object of the dataset that is not exported, and why. asked: a setting says so (`--on-unsupported skip`)."""

    table: str
    kind: str
    reason: str
    asked: bool = False


@public
class Flag(msgspec.Struct, frozen=True):
    """One risk of an export, about one table, or (table "") about the complete export.

    columns: those that it concerns. allowed: a setting allows it, or it loses nothing. False only in drafts: a run
    with a risk that is not allowed stores no plan.
    """

    risk: Risk
    table: str
    columns: tuple[str, ...]
    detail: str
    allowed: bool


class TablePlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a table is exported. id: names it within the plan.

    rows, bytes: BigQuery's numbers while planning. pattern: the final object name with one `*`. why: the reason for its
    route. format, compression: "" for those of the settings. bills: the bytes that its query bills, by a dry run; a
    lower bound where bills_at_least. look, look_before, changed_at: see the manifest's TableEntry. reason: why the
    table is exported although the export is incremental, "" where it is not.

    partition: the id of the only partition that is exported, "" for the complete table. partition_look: at it, before
    the snapshot time. rows_at: the rows of the complete table at the snapshot time, where they were counted.
    partitions: of a table that is exported by partition, one for each, by id; its own pattern is only to be shown.
    """

    id: UnitId
    table: str
    kind: str
    route: str
    rows: Count
    bytes: Count
    pattern: str
    definition: msgspec.Raw
    why: str = ""
    format: str = ""
    compression: str = ""
    shape: Shape = WHOLE
    read_at: ReadAt = "snapshot"
    bills: Count | None = None
    bills_at_least: bool = False
    look: Look | None = None
    look_before: Look | None = None
    changed_at: Time = 0
    reason: str = ""
    partition_look: Look | None = None
    partition: str = ""
    rows_at: Count | None = None
    partitions: tuple[TablePlan, ...] = ()

    @property
    def pieces(self) -> tuple[TablePlan, ...]:
        """The plans of its partitions, where it is exported by partition; else its own."""
        return self.partitions or (self,)


class OfRun:
    """A document of a run. age: orders runs."""

    __slots__ = ()
    run: RunId
    snapshot: Time

    @property
    def age(self) -> tuple[int, str]:
        """The later snapshot time wins, the run id breaks a tie."""
        return (self.snapshot, self.run)


class ByMode:
    """A document that says whether the files of its run replace those of others."""

    __slots__ = ()
    mode: Mode

    @property
    def replaces(self) -> bool:
        """Whether the files replaced those of the export before, and the next export replaces them.

        In contrast to a run that keeps a folder of its own.
        """
        return self.mode == "replace"


class OfExport(OfRun, ByMode):
    """A document of the run of an export."""

    __slots__ = ()


class Plan(OfExport, msgspec.Struct, frozen=True, kw_only=True):
    """The frozen list of units of a run; the units themselves are in the object `units`, one JSON line each.

    definitions: the object with those of the dataset, "" in plans that have none.
    splits: the tables that are split into several units. partitioned: those exported by partition. planned: when
    planning began, by BigQuery's clock; 0 where that was not recorded. over: the published run that it was compared
    with, "" for none. removed: tables of that run that the export removes; removed_partitions: such partitions of
    tables that it exports. kept: excluded tables that it carries over. reused: unchanged tables, whose
    files it names again; reused_partitions: such partitions of tables that changed. `tables`, `rows`, `bytes` and
    `bills` are without them.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    tool: str
    nonce: Nonce
    project: str
    dataset: str
    location: str
    snapshot: Time
    mode: Mode
    settings: dict[str, Any]
    digest: str
    units: str
    definitions: str = ""
    shares: tuple[Share, ...]
    tables: Count
    rows: Count
    bytes: Count
    skipped: tuple[Skipped, ...]
    excluded: Count
    bills: Count = 0
    flags: tuple[Flag, ...] = ()
    splits: tuple[Split, ...] = ()
    partitioned: tuple[Partitioned, ...] = ()
    planned: Time = 0
    over: str = ""
    removed: tuple[Removed, ...] = ()
    kept: tuple[str, ...] = ()
    reused: tuple[Reused, ...] = ()
    removed_partitions: tuple[RemovedPartitions, ...] = ()
    reused_partitions: tuple[ReusedPartitions, ...] = ()

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

    rows: exported rows, where the route reports them. billed: bytes that its query billed. risks: allowed risks that
    were found while exporting, in addition to those of planning. first: the number of its first file. unchanged: of a
    partition: it looked the same after the job as before the snapshot time.
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
