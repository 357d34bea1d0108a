"""The restores of a place, as they are listed, and what is left after one was ended.

The results of several datasets as one, of a restore or of a drill. Tables have their dataset's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from bqdump.core.restore.documents import Decision
from bqdump.core.restore.drilled import Drilled, DrillState
from bqdump.core.restore.names import JOB
from bqdump.core.restore.plan import ACCESS, NotRestored, Options
from bqdump.core.restore.result import NotCreated, Restoration, RestorationState, RestoredDataset
from bqdump.core.results import Result, public, rows_of

# running: one of its jobs is at work, or it has written a document within the last minutes. stopped: the same command
# resumes it. abandoned: stopped for longer than unfinished runs are kept. done: everything is restored.
RestoreState = Literal["running", "stopped", "abandoned", "done"]
# A task writes at least this often, except while its jobs are at work, in milliseconds.
QUIET_MS = 5 * 60 * 1000


@public
class ListedRestore(msgspec.Struct, frozen=True, kw_only=True):
    """A restore of which documents exist.

    state: `running`; `stopped`: the same command resumes it; `abandoned`: stopped long ago; `done`. run: that it
    restores. source: of a set, the exported dataset, else "". project, dataset: the target. began, changed: when it was
    planned, and when its last document was written, None where the store does not say. restored: the number of tables
    and objects that are in place. failed: what its executions could not restore, by the last attempt of each.
    """

    restore: str
    state: RestoreState
    run: str
    source: str
    project: str
    dataset: str
    began: datetime
    changed: datetime | None
    restored: int
    failed: tuple[NotCreated, ...] = ()


@public
class AbortedRestore(msgspec.Struct, frozen=True, kw_only=True):
    """A restore that was ended: what was cancelled, dropped and deleted.

    tables: scratch tables. files: uploads. begun: tables of the target that it has begun and that stay, empty or
    complete. left: objects in its folder that it had not named, which stay.
    """

    restore: str
    jobs: int
    tables: int
    files: int
    bytes: int
    documents: int
    begun: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@public
class RestoreList(Result, frozen=True, kw_only=True):
    """The restores of a place, the newest first. aborted: the one that was ended on request.

    damaged: those with a document that cannot be read: the problem of each, by its id.
    """

    restores: tuple[ListedRestore, ...]
    aborted: AbortedRestore | None = None
    damaged: Mapping[str, str] = msgspec.field(default_factory=dict)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The restores as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`."""
        return rows_of(self.restores)


def jobs_of(decision: Decision, jobs: Iterable[str]) -> set[str]:
    """Those of these jobs that are a restore's."""
    own = re.compile(JOB.format(restore=re.escape(decision.mark)))
    return {job for job in jobs if own.fullmatch(job)}


def state_of(*, done: bool, at_work: bool, changed: int, now: int, abandoned_ms: int) -> RestoreState:
    """The state of a restore. changed: when its last document was written, 0 if not known. Times are ms since 1970 UTC.

    abandoned_ms: how long after that it is abandoned; 0: never.
    """
    if done:
        return "done"
    if at_work or now - changed < QUIET_MS:
        return "running"
    return "abandoned" if 0 < abandoned_ms < now - changed and changed else "stopped"


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
    locations = {result.location for result in every}
    verified = [result.verified for result in every if result.verified is not None]
    named = [_named(name, result) for name, result in results.items()]
    excluded = [NotRestored(name, DATASET, "none of its objects is included") for name in left]
    return Restoration(
        restore="",
        run=run,
        state=next(state for state in WORST if any(result.state == state for result in every)),
        snapshot_time=min(result.snapshot_time for result in every),
        project=options.project,
        dataset=options.dataset,
        location=locations.pop() if len(locations) == 1 else "",
        tables=tuple(table for result in named for table in result.tables),
        objects=tuple(found for result in named for found in result.objects),
        failed=tuple(failure for result in named for failure in result.failed),
        not_restored=(*(missing for result in named for missing in result.not_restored), *excluded),
        kept=tuple(kept for result in named for kept in result.kept),
        rows=sum(result.rows for result in every),
        bytes=sum(result.bytes for result in every),
        bytes_billed=sum(result.bytes_billed for result in every),
        bytes_billed_at_most=sum(result.bytes_billed_at_most for result in every),
        verified=sum(verified) if verified else None,
        datasets=tuple(_dataset(name, result, run) for name, result in results.items()),
    )


def _named(dataset: str, result: Restoration) -> Restoration:
    """A result whose tables and objects have the name of their dataset."""
    return replace(
        result,
        tables=tuple(replace(table, table=f"{dataset}.{table.table}") for table in result.tables),
        objects=tuple(replace(found, name=name_in(dataset, found.name, found.kind)) for found in result.objects),
        failed=tuple(replace(failure, name=name_in(dataset, failure.name, failure.kind)) for failure in result.failed),
        not_restored=tuple(replace(lost, name=name_in(dataset, lost.name, lost.kind)) for lost in result.not_restored),
        kept=tuple(f"{dataset}.{kept}" for kept in result.kept),
    )


def name_in(dataset: str, name: str, kind: str) -> str:
    """The name of an object in the result of a set."""
    if kind == DATASET or name == dataset:
        return dataset
    return f"{dataset}: {name}" if kind == ACCESS else f"{dataset}.{name}"


def _dataset(name: str, result: Restoration, run: str) -> RestoredDataset:
    return RestoredDataset(
        dataset=name,
        into=f"{result.project}.{result.dataset}",
        location=result.location,
        restore=result.restore,
        run=result.run,
        state=result.state,
        snapshot_time=result.snapshot_time,
        tables=len(result.tables),
        objects=len(result.objects),
        failed=len(result.failed),
        rows=result.rows,
        bytes=result.bytes,
        bytes_billed=result.bytes_billed,
        problem=_problem(result.failed) or ("" if result.run == run else f"it has no export of run {run}"),
    )


def _problem(failed: Sequence[NotCreated]) -> str:
    return next((failure.message for failure in failed if failure.kind == DATASET), "")


def drilled_together(run: str, done: Mapping[str, Drilled], failed: Sequence[NotCreated]) -> Drilled:
    """One result for a set: tables have their dataset's name. done: the results by dataset."""
    every = [_named_drill(name, drilled) for name, drilled in done.items()]
    states = {drill.state for drill in every} | ({"incomplete"} if failed else set())
    return Drilled(
        run=run,
        state=next(state for state in WORST_DRILL if state in states),
        snapshot_time=min(drill.snapshot_time for drill in every),
        project=every[0].project,
        dataset=",".join(drill.dataset for drill in every),
        tables=tuple(table for drill in every for table in drill.tables),
        of=sum(drill.of for drill in every),
        objects=sum(drill.objects for drill in every),
        rows=sum(drill.rows for drill in every),
        bytes=sum(drill.bytes for drill in every),
        bytes_billed=sum(drill.bytes_billed for drill in every),
        seconds=round(sum(drill.seconds for drill in every), 3),
        began=min(drill.began for drill in every),
        different=tuple(found for drill in every for found in drill.different),
        failed=(*(found for drill in every for found in drill.failed), *failed),
        not_restored=tuple(lost for drill in every for lost in drill.not_restored),
        altered={table: values for drill in every for table, values in drill.altered.items()},
    )


def _named_drill(dataset: str, drilled: Drilled) -> Drilled:
    return replace(
        drilled,
        tables=tuple(f"{dataset}.{table}" for table in drilled.tables),
        different=tuple(replace(found, name=name_in(dataset, found.name, found.kind)) for found in drilled.different),
        failed=tuple(replace(found, name=name_in(dataset, found.name, found.kind)) for found in drilled.failed),
        not_restored=tuple(replace(lost, name=name_in(dataset, lost.name, lost.kind)) for lost in drilled.not_restored),
        altered={f"{dataset}.{table}": values for table, values in drilled.altered.items()},
    )
