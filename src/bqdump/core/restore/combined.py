"""The results of several datasets as one, of a restore or of a drill. Tables have their dataset's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from bqdump.core.restore.drilled import Drilled, DrillState
from bqdump.core.restore.plan import ACCESS, NotRestored, Options
from bqdump.core.restore.result import NotCreated, Restoration, RestorationState, RestoredDataset

# The kind of a dataset as a whole.
DATASET = "DATASET"
# The first of these that a dataset is in is the state of the set.
WORST: tuple[RestorationState, ...] = ("running", "incomplete", "planned", "restored")
WORST_DRILL: tuple[DrillState, ...] = ("different", "incomplete", "proven")


def restored_together(
    options: Options, run: str, results: Mapping[str, Restoration], left: Sequence[str]
) -> Restoration:
    """One result for a set. options: for all datasets. run: of the set.

    left: datasets with no object that is included.
    results: by dataset.
    """
    every = list(results.values())
    locations = {one.location for one in every}
    verified = [one.verified for one in every if one.verified is not None]
    named = [_named(name, one) for name, one in results.items()]
    excluded = [NotRestored(name, DATASET, "none of its objects is included") for name in left]
    return Restoration(
        restore="",
        run=run,
        state=next(state for state in WORST if any(one.state == state for one in every)),
        snapshot_time=min(one.snapshot_time for one in every),
        project=options.project,
        dataset=options.dataset,
        location=locations.pop() if len(locations) == 1 else "",
        tables=tuple(table for one in named for table in one.tables),
        objects=tuple(found for one in named for found in one.objects),
        failed=tuple(failure for one in named for failure in one.failed),
        not_restored=(*(missing for one in named for missing in one.not_restored), *excluded),
        kept=tuple(kept for one in named for kept in one.kept),
        rows=sum(one.rows for one in every),
        bytes=sum(one.bytes for one in every),
        bytes_billed=sum(one.bytes_billed for one in every),
        bytes_billed_at_most=sum(one.bytes_billed_at_most for one in every),
        verified=sum(verified) if verified else None,
        datasets=tuple(_dataset(name, one, run) for name, one in results.items()),
    )


def _named(dataset: str, one: Restoration) -> Restoration:
    """A result whose tables and objects have the name of their dataset."""
    return replace(
        one,
        tables=tuple(replace(table, table=f"{dataset}.{table.table}") for table in one.tables),
        objects=tuple(replace(found, name=name_in(dataset, found.name, found.kind)) for found in one.objects),
        failed=tuple(replace(failure, name=name_in(dataset, failure.name, failure.kind)) for failure in one.failed),
        not_restored=tuple(replace(lost, name=name_in(dataset, lost.name, lost.kind)) for lost in one.not_restored),
        kept=tuple(f"{dataset}.{kept}" for kept in one.kept),
    )


def name_in(dataset: str, name: str, kind: str) -> str:
    """The name of an object in the result of a set."""
    if kind == DATASET or name == dataset:
        return dataset
    return f"{dataset}: {name}" if kind == ACCESS else f"{dataset}.{name}"


def _dataset(name: str, one: Restoration, run: str) -> RestoredDataset:
    return RestoredDataset(
        dataset=name,
        into=f"{one.project}.{one.dataset}",
        location=one.location,
        restore=one.restore,
        run=one.run,
        state=one.state,
        snapshot_time=one.snapshot_time,
        tables=len(one.tables),
        objects=len(one.objects),
        failed=len(one.failed),
        rows=one.rows,
        bytes=one.bytes,
        bytes_billed=one.bytes_billed,
        problem=_problem(one.failed) or ("" if one.run == run else f"it has no export of run {run}"),
    )


def _problem(failed: Sequence[NotCreated]) -> str:
    return next((one.message for one in failed if one.kind == DATASET), "")


def drilled_together(run: str, done: Mapping[str, Drilled], failed: Sequence[NotCreated]) -> Drilled:
    """One result for a set: tables have their dataset's name. done: the results by dataset."""
    every = [_named_drill(name, one) for name, one in done.items()]
    states = {one.state for one in every} | ({"incomplete"} if failed else set())
    return Drilled(
        run=run,
        state=next(state for state in WORST_DRILL if state in states),
        snapshot_time=min(one.snapshot_time for one in every),
        project=every[0].project,
        dataset=",".join(one.dataset for one in every),
        tables=tuple(table for one in every for table in one.tables),
        of=sum(one.of for one in every),
        objects=sum(one.objects for one in every),
        rows=sum(one.rows for one in every),
        bytes=sum(one.bytes for one in every),
        bytes_billed=sum(one.bytes_billed for one in every),
        seconds=round(sum(one.seconds for one in every), 3),
        began=min(one.began for one in every),
        different=tuple(found for one in every for found in one.different),
        failed=(*(found for one in every for found in one.failed), *failed),
        not_restored=tuple(lost for one in every for lost in one.not_restored),
        altered={table: values for one in every for table, values in one.altered.items()},
    )


def _named_drill(dataset: str, one: Drilled) -> Drilled:
    return replace(
        one,
        tables=tuple(f"{dataset}.{table}" for table in one.tables),
        different=tuple(replace(found, name=name_in(dataset, found.name, found.kind)) for found in one.different),
        failed=tuple(replace(found, name=name_in(dataset, found.name, found.kind)) for found in one.failed),
        not_restored=tuple(replace(lost, name=name_in(dataset, lost.name, lost.kind)) for lost in one.not_restored),
        altered={f"{dataset}.{table}": values for table, values in one.altered.items()},
    )
