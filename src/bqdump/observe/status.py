"""The progress of a run, read from the bucket only."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Failure, Plan
from bqdump.core.documents.target import Latest
from bqdump.core.errors import BqdumpError, DocumentError, NotFoundError, VerificationError
from bqdump.core.recovery import Recovery
from bqdump.core.restore.drill import Restorable
from bqdump.core.results import Result, public
from bqdump.core.settings.file import resume_command
from bqdump.core.settings.settings import Settings
from bqdump.core.times import time_in, time_of
from bqdump.core.wording import COMMANDS, fill
from bqdump.pool.tables import NOTHING, Ledger, read_ledger
from bqdump.ports.store import ObjectStore
from bqdump.repository.log import check_manifest, entry_in, read_log
from bqdump.repository.pruned_runs import is_pruned
from bqdump.repository.published import enter_again, missing_run, read_latest, refuse_pruned
from bqdump.repository.repository import exists, value_of

# A run without progress for this long may have lost its tasks, or may be exporting a large table.
READS_AT_ONCE = 16
SILENT_SECONDS = 600
NOT_TRUSTED: Final = "not trusted"
StatusState = Literal[
    "planning", "copying", "running", "failed", "complete", "partial", "published", "superseded",
    "unreadable", "not trusted",
]  # fmt: skip


@public
class DatasetStatus(Result, frozen=True, kw_only=True):
    """The progress of one dataset of a run that exports several: see Status.

    problem: why it is not exported.
    damaged: whether a document that cannot be read is why, so that waiting changes nothing.
    """

    dataset: str
    state: StatusState
    tables: int = 0
    done: int = 0
    working: int = 0
    waiting: int = 0
    failed: tuple[Failure, ...] = ()
    bytes: int = 0
    latest: str = ""
    last_done: datetime | None = None
    problem: str = ""
    carried: int = 0
    reused: int = 0
    oldest_snapshot_time: datetime | None = None
    restorable: Restorable | None = None
    damaged: bool = False


def damaged(dataset: str, error: BqdumpError, tables: int = 0, *, trusting: bool = False) -> DatasetStatus:
    """A dataset with a document that cannot be read or trusted. The others are shown nevertheless."""
    state: StatusState = NOT_TRUSTED if trusting and isinstance(error, VerificationError) else "unreadable"
    return DatasetStatus(dataset=dataset, state=state, tables=tables, problem=error.sentence(COMMANDS), damaged=True)


@public
class LeftDataset(msgspec.Struct, frozen=True):
    """A dataset of earlier sets that is not exported any more. run, snapshot_time: of its last export, which stays."""

    dataset: str
    run: str
    snapshot_time: datetime


@public
class Status(Result, frozen=True, kw_only=True):
    """The progress of a run, from its documents. Counts are tables; times are None until they are known.

    state: see docs/python.md.
    latest: the published run.
    last_done: when the last table, or part of a large one, was done.
    planned: when planning began.
    dataset: with its project.
    carried: number of further tables carried over from earlier runs; of a published run, see `oldest_snapshot_time`.
    restorable: what drills have proven about the exports of this target; None while a run is followed.
    reused: number of further tables that are unchanged, so that they are not exported again.
    datasets: each dataset, where several are exported; the numbers are their sums, and `latest` is the published set.
    left: datasets of earlier sets that the newest one does not have, and whose exports stay.
    replaced_by: the run that has begun to replace the published files, and is not published.
    finish: the command that finishes it. Both are "" where there is none.
    latest_problem: why the published run is unknown, "" where it is known.
    problem: why the run cannot be read, is not trusted or is not in the log; of a set, why its own manifest is not
        trusted; else "".
    resume: the command that resumes an unfinished run, "" where its plan does not show it.
    recovery: how safe each dataset is, where `rpo` or `rto` is set.
    """

    run: str
    state: StatusState
    snapshot_time: datetime | None
    tables: int
    done: int
    working: int
    waiting: int
    failed: tuple[Failure, ...]
    skipped: int
    bytes: int
    latest: str
    last_done: datetime | None = None
    planned: datetime | None = None
    dataset: str = ""
    carried: int = 0
    oldest_snapshot_time: datetime | None = None
    restorable: Restorable | None = None
    datasets: tuple[DatasetStatus, ...] = ()
    reused: int = 0
    left: tuple[LeftDataset, ...] = ()
    replaced_by: str = ""
    finish: str = ""
    latest_problem: str = ""
    resume: str = ""
    problem: str = ""
    recovery: tuple[Recovery, ...] = ()

    def silence(self, now: float) -> float:
        """Seconds since the last table was done, for a run in progress; else 0.

        now: in seconds since 1970 UTC. Before the first table is done: since the run was planned.
        """
        since = self.last_done or self.planned
        if self.state != "running" or since is None:
            return 0.0
        return max(0.0, now - since.timestamp())


async def newest_run(store: ObjectStore, settings: Settings) -> str:
    """The run that was planned last: of the log, or of those that are not in it yet. Of copies, the published one.

    Raises NotFoundError if there is none.
    """
    with suppress(DocumentError):
        # Nothing is planned where copies are locked: what is said to be was planted there.
        if (latest := await read_latest(store, settings)) and latest.locked:
            return latest.run
    lines, runs = await read_log(store, settings.layout), await store.folders(settings.layout.runs)
    ages = [(line.snapshot, line.run) for line in lines]
    open_ = sorted({*runs}.difference(line.run for line in lines))
    ages += filter(None, await gathered(lambda run: _planned(store, settings, run), open_, READS_AT_ONCE))
    if ages:
        return max(ages)[1]
    for run in reversed(runs):
        if await exists(store, settings.layout.run(run).planner):
            return run
    cause = f"no run has been planned in {settings.target}"
    raise NotFoundError("find", "a run", cause, "Start one: {call:run}")


async def _planned(store: ObjectStore, settings: Settings, run: str) -> tuple[int, str] | None:
    """The age of a run that has a plan which can be read."""
    with suppress(DocumentError):
        plan = await value_of(store, settings.layout.run(run).plan)
        return plan.age if plan else None
    return None


async def status(store: ObjectStore, settings: Settings, run: str) -> Status:
    """The status of this run. Raises NotFoundError if it was never started."""
    return (await find_judged(store, settings, run)).status


async def find_judged(store: ObjectStore, settings: Settings, run: str) -> Judged:
    """The same, and whether the run is damaged."""
    if (found := await find(store, settings, run)) is None:
        await refuse_pruned(store, settings, "find", run)
        raise missing_run(run, settings, await store.folders(settings.layout.runs))
    return found


async def find_status(store: ObjectStore, settings: Settings, run: str) -> Status | None:
    """The status of this run, None if it was never started or was pruned."""
    found = await find(store, settings, run)
    return found.status if found else None


async def find(store: ObjectStore, settings: Settings, run: str) -> Judged | None:
    """The same, and whether the run is damaged. Of one that is not in the log, the problem says how it is entered."""
    layout, problem = settings.layout.run(run), ""
    if await is_pruned(store, settings.layout, run):
        return None
    try:
        plan = await value_of(store, layout.plan)
        copied = await value_of(store, layout.manifest) if plan is None else None
        own = None if copied else await status_with(store, settings, run, plan)
    except DocumentError as error:
        # A manifest that cannot be read is the error then.
        copied, own = await value_of(store, layout.manifest), None
        if copied is None:
            raise
        problem = _unneeded(error)
    shown = await _status_of_manifest(store, settings, copied, problem) if copied else own
    if shown is None:
        return None
    if shown.state == "published" or shown.waiting or shown.working:
        return Judged(shown)
    found = await judged(store, settings, shown)
    if not found.unentered or shown.state == "superseded":
        return found
    unentered = fill(await enter_again(store, settings, run), COMMANDS)
    return found._replace(status=replace(shown, problem=f"it is complete, but not in the log. {unentered}"))


async def status_with(store: ObjectStore, settings: Settings, run: str, plan: Plan | None) -> Status | None:
    """The status of a run that is not pruned, and if it has no plan, has no manifest either."""
    layout = settings.layout.run(run)
    copying = plan is None and await exists(store, layout.copying)
    if plan is None and not copying and not await exists(store, layout.planner):
        return None
    latest, problem = await _latest(store, settings)
    if plan is None:
        shown = status_of(Sight(run, None, NOTHING, latest, manifest=False))
        return replace(shown, state="copying" if copying else "planning", latest_problem=problem)
    ledger = await read_ledger(store, layout, plan)
    shown = status_of(Sight(run, plan, ledger, latest, await exists(store, layout.manifest)))
    return replace(shown, latest_problem=problem)


class Judged(NamedTuple):
    """A run, and why it is not published.

    damaged: whether its entry or its manifest is why, so that waiting changes nothing.
    unentered: whether it is complete and has no entry.
    """

    status: Status
    damaged: bool = False
    unentered: bool = False


async def judged(store: ObjectStore, settings: Settings, shown: Status) -> Judged:
    """A run that has ended, and is not published, with the reason if its entry or its manifest is one."""
    lines = [line for line in await read_log(store, settings.layout) if line.run == shown.run]
    problem = ""
    try:
        for line in lines:
            try:
                entry = await entry_in(store, line)
            except DocumentError as error:
                hint = f"Delete it, then enter the run again. {await enter_again(store, settings, shown.run)}"
                problem = DocumentError(error.operation, error.subject, error.cause, hint).sentence(COMMANDS)
            else:
                await check_manifest(store, settings.layout, entry)
        manifest = None if lines else await value_of(store, settings.layout.run(shown.run).manifest_files)
    except DocumentError as error:
        damage = replace(shown, state="unreadable", problem=error.sentence(COMMANDS), resume="")
        return Judged(damage, damaged=True)
    damaged = bool(problem)
    return Judged(replace(shown, problem=problem or shown.problem), damaged=damaged, unentered=bool(manifest))


def _unneeded(error: DocumentError) -> str:
    """What is said of a document that a complete run does not need any more."""
    return DocumentError(error.operation, error.subject, error.cause, "The run is complete without it.").sentence(
        COMMANDS
    )


async def _latest(store: ObjectStore, settings: Settings) -> tuple[Latest | None, str]:
    """The published run, or why it is unknown."""
    try:
        return await read_latest(store, settings), ""
    except (DocumentError, VerificationError) as error:
        return None, error.sentence(COMMANDS)


async def _status_of_manifest(store: ObjectStore, settings: Settings, manifest: Manifest, problem: str) -> Status:
    """The status of a complete run without its plan: that is where the run was exported, or cannot be read.

    problem: why it cannot.
    """
    latest, unknown = await _latest(store, settings)
    published = latest.run if latest else ""
    state: StatusState = "published" if published == manifest.run else manifest.status
    if latest and latest.age > manifest.age:
        state = "superseded"
    totals = manifest.totals
    own = totals.tables - totals.carried - totals.reused
    return Status(
        run=manifest.run,
        state=state,
        snapshot_time=time_of(manifest.snapshot),
        tables=own + len(manifest.failed),
        done=own,
        working=0,
        waiting=0,
        failed=manifest.failed,
        skipped=len(manifest.skipped),
        bytes=sum(entry.planned_bytes for entry in manifest.tables if entry.carried is None),
        latest=published,
        dataset=f"{manifest.project}.{manifest.dataset}",
        carried=totals.carried,
        oldest_snapshot_time=time_in(manifest.oldest_snapshot_time),
        reused=totals.reused,
        latest_problem=unknown,
        problem=problem,
    )


class Sight(NamedTuple):
    """The documents of a run in the bucket. manifest: whether there is one."""

    run: str
    plan: Plan | None
    ledger: Ledger
    latest: Latest | None
    manifest: bool

    @property
    def settled(self) -> bool:
        """Whether every table is done or has failed in the execution that works on it."""
        return self.plan is not None and self.ledger.settled

    @property
    def superseded(self) -> bool:
        """Whether the run has ended, or would publish next, but a run with a later snapshot time is published.

        A failed run stays failed: it never gets to publishing, and its failed tables need attention.
        """
        if self.plan is None or self.latest is None or self.latest.age <= self.plan.age:
            return False
        return self.manifest or (self.ledger.settled and not self.ledger.lost)


def status_of(sight: Sight) -> Status:
    """The status that these documents show."""
    plan, published = sight.plan, sight.latest.run if sight.latest else ""
    if plan is None:
        return Status(
            run=sight.run,
            state="planning",
            snapshot_time=None,
            tables=0,
            done=0,
            working=0,
            waiting=0,
            failed=(),
            skipped=0,
            bytes=0,
            latest=published,
        )
    here, ledger = sight.latest if published == sight.run else None, sight.ledger
    done, working, failed = len(ledger.done), ledger.working, ledger.failed
    if sight.manifest or published == sight.run:
        # The manifest decides, even if receipts have been deleted.
        done, working = plan.tables - len(failed) - len(ledger.dropped), 0
    return Status(
        run=sight.run,
        state=(state := _state(sight, published, len(failed))),
        snapshot_time=time_of(plan.snapshot),
        tables=plan.tables,
        done=done,
        working=working,
        waiting=plan.tables - done - working - len(failed) - len(ledger.dropped),
        failed=failed,
        skipped=len(plan.skipped) + len(ledger.dropped),
        bytes=plan.bytes,
        latest=published,
        last_done=time_of(ledger.last_done) if ledger.last_done else None,
        planned=time_of(plan.began),
        dataset=f"{plan.project}.{plan.dataset}",
        carried=here.carried if here else len(plan.kept),
        oldest_snapshot_time=time_in(here.oldest_snapshot_time) if here else None,
        reused=len(plan.reused),
        resume="" if state in ("published", "superseded") else resume_command(plan.run, plan.settings),
    )


def _state(sight: Sight, published: str, failed: int) -> StatusState:
    if published == sight.run:
        return "published"
    if sight.superseded:
        return "superseded"
    if sight.manifest:
        return "partial" if failed else "complete"
    return "failed" if failed and sight.settled else "running"
