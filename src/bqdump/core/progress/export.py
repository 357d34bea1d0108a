"""The result of an export: printed as JSON, returned by the Python API.

The result of a set's run: that of each dataset, and all of them together.

The plans of a set's datasets as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from bqdump.core.documents.run import Failure, Skipped
from bqdump.core.documents.sets import DatasetEntry, SetManifest, SetPlan
from bqdump.core.documents.unchanged import Removed
from bqdump.core.plan.summary import Planned, PlannedDataset
from bqdump.core.results import Result, public
from bqdump.core.settings.settings import Settings
from bqdump.core.times import time_of


@public
class DatasetExport(Result, frozen=True, kw_only=True):
    """One dataset of a run that exports several.

    run, snapshot_time, manifest: of its published export, if any.
    state: as in Export; `failed`: this run has not published it, for the reason in `problem`.
    """

    dataset: str
    state: Literal["published", "superseded", "failed", "running"]
    run: str = ""
    snapshot_time: str = ""
    tables: int = 0
    rows: int = 0
    files: int = 0
    bytes: int = 0
    manifest: str = ""
    problem: str = ""


@public
class Export(Result, frozen=True, kw_only=True):
    """How a task of a run ended.

    state: `published`; `superseded`: a run with a later snapshot time is published, and this one changed nothing.
        `running` and `publishing`: other tasks are still exporting or publishing, so the numbers are not known yet
        (0).
    rows: exported rows of the tables whose files or jobs report them, or that BigQuery counted for certain at the
        snapshot time.
    uncounted: the number of tables for which neither is known.
    bytes: size of the files.
    manifest: where the manifest is or will be.
    failed: tables missing from the export, if that is allowed.
    removed: tables of the previous export that this one removes.
    carried: number of tables carried over from earlier runs.
    reused: unchanged tables, whose files earlier runs exported.
    datasets: each dataset, where several are exported; the numbers are their sums, and `manifest` is project.json.
    """

    run: str
    state: Literal["published", "superseded", "publishing", "running"]
    snapshot_time: datetime
    tables: int
    rows: int
    uncounted: int = 0
    files: int
    bytes: int
    manifest: str
    failed: tuple[Failure, ...]
    skipped: tuple[Skipped, ...]
    removed: tuple[Removed, ...] = ()
    carried: int = 0
    datasets: tuple[DatasetExport, ...] = ()
    reused: int = 0


def exported_set(
    state: Literal["published", "superseded", "unfinished"],
    plan: SetPlan,
    manifest: SetManifest | None,
    url: str,
    document: str,
) -> Export:
    """The result in full: the sums of all datasets, and each of them.

    state: how a task's part of the set ended.
    manifest: project.json as it is stored now, None where nothing is published or not all datasets have ended.
    url, document: of the bucket, and of project.json.
    """
    if manifest is None or manifest.run != plan.run:
        datasets = tuple(DatasetExport(dataset=member.dataset, state="running") for member in plan.datasets)
    else:
        datasets = tuple(exported_dataset(url, entry) for entry in manifest.datasets)
    return Export(
        run=plan.run,
        state="running" if state == "unfinished" else state,
        snapshot_time=time_of(plan.snapshot),
        tables=sum(dataset.tables for dataset in datasets),
        rows=sum(dataset.rows for dataset in datasets),
        files=sum(dataset.files for dataset in datasets),
        bytes=sum(dataset.bytes for dataset in datasets),
        manifest=f"{url}/{document}",
        failed=(),
        skipped=(),
        datasets=datasets,
    )


def exported_dataset(url: str, entry: DatasetEntry) -> DatasetExport:
    """One dataset of project.json. url: of the bucket."""
    return DatasetExport(
        dataset=entry.dataset,
        state=entry.state,
        run=entry.run,
        snapshot_time=entry.snapshot_time,
        tables=entry.tables,
        rows=entry.rows,
        files=entry.files,
        bytes=entry.bytes,
        manifest=f"{url}/{entry.manifest}" if entry.manifest else "",
        problem=entry.problem,
    )


class DatasetPlan(NamedTuple):
    """The plan of one dataset, or why there is none."""

    dataset: str
    location: str
    plan: Planned | None
    problem: str


def planned_together(settings: Settings, drafted: SetPlan, parts: Sequence[DatasetPlan]) -> Planned:
    """One plan with the tables of all datasets, which have their dataset's name. drafted: that of the set."""
    plans = {part.dataset: part.plan for part in parts if part.plan}
    shares: list[dict[str, int]] = []
    for plan in plans.values():
        for number, share in enumerate(plan.shares):
            if number == len(shares):
                shares.append({"units": 0, "bytes": 0})
            shares[number] = {key: shares[number][key] + share[key] for key in share}
    sums = ("tables", "rows", "bytes", "files", "excluded", "bills", "unchanged", "unchanged_partitions", "bytes_saved")
    return Planned(
        project=settings.project,
        dataset=settings.dataset,
        location=", ".join(sorted({part.location for part in parts})),
        snapshot_time=time_of(drafted.snapshot),
        mode=settings.template.mode,
        totals={key: sum(plan.totals[key] for plan in plans.values()) for key in sums},
        recommended_tasks=max((plan.recommended_tasks for plan in plans.values()), default=1),
        shares=shares,
        tables=[_named_in(name, table) for name, plan in plans.items() for table in plan.tables],
        skipped=[
            {**table, "table": f"{name}.{table['table']}"} for name, plan in plans.items() for table in plan.skipped
        ],
        flags=tuple(_named_in(name, flag) if flag.table else msgspec.structs.replace(flag, table=name)
                    for name, plan in plans.items() for flag in plan.flags),
        over=drafted.over,
        removed=tuple(_named_in(name, table) for name, plan in plans.items() for table in plan.removed),
        kept=tuple(f"{name}.{table}" for name, plan in plans.items() for table in plan.kept),
        unchanged=tuple(_named_in(name, table) for name, plan in plans.items() for table in plan.unchanged),
        altered=tuple(_named_in(name, table) for name, plan in plans.items() for table in plan.altered),
        by_label=tuple(
            msgspec.structs.replace(label, tables=tuple(f"{name}.{table}" for table in label.tables))
            for name, plan in plans.items() for label in plan.by_label
        ),
        datasets=tuple(map(_summary, parts)),
        usd=round(sum(plan.usd for plan in plans.values()), 6),
        skipped_datasets=drafted.skipped,
        removed_datasets=drafted.removed,
    )  # fmt: skip


def _named_in(dataset: str, item: Any) -> Any:
    return msgspec.structs.replace(item, table=f"{dataset}.{item.table}")


def _summary(part: DatasetPlan) -> PlannedDataset:
    totals: Mapping[str, int] = part.plan.totals if part.plan else {}
    return PlannedDataset(
        dataset=part.dataset,
        location=part.location,
        tables=totals.get("tables", 0),
        rows=totals.get("rows", 0),
        bytes=totals.get("bytes", 0),
        bills=totals.get("bills", 0),
        over=part.plan.over if part.plan else "",
        problem=part.problem,
        usd=part.plan.usd if part.plan else 0.0,
    )
