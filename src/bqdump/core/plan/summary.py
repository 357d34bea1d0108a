"""A plan as it is shown: its tables by name, its totals, and its shares."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from bqdump.core.documents.path_template import PARTITION
from bqdump.core.documents.run import ByLabel, Flag, Plan, TablePlan
from bqdump.core.documents.sets import RemovedDataset, SkippedDataset
from bqdump.core.documents.unchanged import Removed, Reused
from bqdump.core.plan.altered import AlteredColumn
from bqdump.core.plan.names import pattern_of
from bqdump.core.plan.reuse import bytes_saved
from bqdump.core.plan.selection import recommended_tasks
from bqdump.core.prices import dollars
from bqdump.core.results import Result, public, rows_of
from bqdump.core.times import time_of

# BigQuery starts a new file at about 1 GB of logical bytes.
FILE_BYTES = 1_000_000_000


@public
class PlannedTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table of a plan as `--json` shows it.

    files: the expected number, a lower bound.
    partitions: the number that are exported by themselves, 0 where the table is exported as one.
    parts: the number of tasks that share it.
    share: that of the first.
    bills: bytes that its query will bill (null: no query), a lower bound where `bills_at_least`.
    reason: why it is exported although the export is incremental, "" where it is not.
    unchanged_partitions: those that are not exported again; rows, bytes and files are without them.
    """

    table: str
    kind: str
    route: str
    why: str
    read_at: str
    rows: int
    bytes: int
    files: int
    share: int
    path: str
    bills: int | None
    bills_at_least: bool
    parts: int
    partitions: int = 0
    unchanged_partitions: int = 0
    reason: str = ""


@public
class UnchangedTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table that is not exported again, as it did not change.

    run: the one whose files the export names.
    read_time: the snapshot time of that run.
    rows, bytes: BigQuery's numbers.
    files: how many.
    """

    table: str
    run: str
    read_time: datetime
    rows: int
    bytes: int
    files: int


@public
class PlannedDataset(Result, frozen=True, kw_only=True):
    """One dataset of a run that exports several.

    over: the published run that it was compared with.
    bills: bytes that its queries will bill.
    usd: what that costs.
    problem: why a run would not export it.
    """

    dataset: str
    location: str
    tables: int
    rows: int
    bytes: int
    bills: int
    over: str
    problem: str
    usd: float = 0.0


@public
class Planned(Result, frozen=True, kw_only=True):
    """A plan as `--json` shows it. Shares: bytes by task.

    over: the published run that it was compared with, "" for none.
    removed: tables of that run that the export removes.
    kept: tables that it carries over, as they are excluded.
    unchanged: tables that an incremental export does not export again; `tables` and `totals` are without them.
    by_label: what label patterns have brought in, left out, or applied to.
    usd: what the queries cost in US dollars, by the setting price_per_tib or the location's list price.
    altered: columns of exported and unchanged tables that may hold values which a restore brings back as other ones.
    datasets: each dataset, where several are exported; tables then have their dataset's name.
    skipped_datasets, removed_datasets: those that the patterns match and that are not exported, and those of the last
        set that are left.
    """

    project: str
    dataset: str
    location: str
    snapshot_time: datetime
    mode: str
    totals: dict[str, int]
    recommended_tasks: int
    shares: list[dict[str, int]]
    tables: list[PlannedTable]
    skipped: list[dict[str, str]]
    flags: tuple[Flag, ...]
    over: str
    removed: tuple[Removed, ...]
    kept: tuple[str, ...]
    datasets: tuple[PlannedDataset, ...] = ()
    skipped_datasets: tuple[SkippedDataset, ...] = ()
    removed_datasets: tuple[RemovedDataset, ...] = ()
    unchanged: tuple[UnchangedTable, ...] = ()
    altered: tuple[AlteredColumn, ...] = ()
    by_label: tuple[ByLabel, ...] = ()
    usd: float = 0.0

    def to_dicts(self) -> list[dict[str, Any]]:
        """The planned tables as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`."""
        return rows_of(self.tables)


def planned(
    plan: Plan,
    tables: Sequence[TablePlan],
    altered: tuple[AlteredColumn, ...] = (),
    price_per_tib: float | None = None,
) -> Planned:
    """The plan as it is shown, its tables by name."""
    parts = {split.table: len(split.units) for split in plan.splits}
    unchanged = {table.table: len(table.partitions) for table in plan.reused_partitions}
    shown = [_planned_table(plan, table, parts.get(table.table, 1), unchanged.get(table.table, 0)) for table in tables]
    read = sum(table.bytes for table in shown if table.route == "read")
    return Planned(
        project=plan.project,
        dataset=plan.dataset,
        location=plan.location,
        snapshot_time=time_of(plan.snapshot),
        mode=plan.mode,
        totals={
            "tables": plan.tables,
            "rows": plan.rows,
            "bytes": plan.bytes,
            "files": sum(table.files for table in shown),
            "excluded": plan.excluded,
            "bills": plan.bills,
            "unchanged": len(plan.reused),
            "unchanged_partitions": sum(unchanged.values()),
            "bytes_saved": bytes_saved(plan.all_reused),
        },
        recommended_tasks=recommended_tasks(plan.unit_count, read),
        shares=[{"units": share.units, "bytes": share.bytes} for share in plan.shares],
        tables=shown,
        skipped=[{"table": item.table, "kind": item.kind, "reason": item.reason} for item in plan.skipped],
        flags=plan.flags,
        over=plan.over,
        removed=plan.removed,
        kept=plan.kept,
        unchanged=tuple(map(_unchanged, plan.reused)),
        altered=altered,
        by_label=plan.by_label,
        usd=round(dollars(plan.bills, plan.location, price_per_tib), 6),
    )


def _planned_table(plan: Plan, table: TablePlan, parts: int, unchanged_partitions: int) -> PlannedTable:
    return PlannedTable(
        table=table.table,
        kind=table.kind,
        route=table.route,
        why=table.why,
        read_at=table.read_at,
        rows=table.rows,
        bytes=table.bytes,
        files=sum(max(1, -(-piece.bytes // FILE_BYTES)) for piece in table.pieces),
        share=int(table.id.split("-")[0]),
        path=pattern_of(plan, table, PARTITION) if table.partitions else table.pattern,
        bills=table.bills,
        bills_at_least=table.bills_at_least,
        parts=parts,
        reason=table.reason,
        partitions=len(table.partitions),
        unchanged_partitions=unchanged_partitions,
    )


def _unchanged(table: Reused) -> UnchangedTable:
    return UnchangedTable(
        table=table.table,
        run=table.run,
        read_time=time_of(table.snapshot),
        rows=table.rows,
        bytes=table.bytes,
        files=table.files,
    )
