"""The progress of a set's run, from its documents, and the runs of a set: as a whole, and of each dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.documents.sets import SetManifest, SetPlan
from bqdump.core.errors import DocumentError, NotFoundError, VerificationError
from bqdump.core.results import Rows
from bqdump.core.settings.file import resume_command
from bqdump.core.times import time_of
from bqdump.core.wording import COMMANDS, fill
from bqdump.observe.history import RunLine, RunState, latest_first, list_runs
from bqdump.observe.status import NOT_TRUSTED, DatasetStatus, LeftDataset, Status, StatusState, damaged, find
from bqdump.pool.datasets import SetProgress, progress_in, set_progress
from bqdump.ports.store import ObjectStore
from bqdump.repository.drills import proven_together, read_proof
from bqdump.repository.exports import AT_ONCE, SetAt, datasets_left, read_set_plan
from bqdump.repository.log import log_refused
from bqdump.repository.published import read_replacing

ENDED = ("published", "superseded", "failed", "unreadable", NOT_TRUSTED)


def ended(dataset: DatasetStatus) -> bool:
    """Whether waiting changes nothing about this dataset."""
    return dataset.state in ENDED or dataset.damaged


async def set_status(at: SetAt, run: str = "", plain: SetAt | None = None, drills: bool = False) -> Status:
    """The status of a set's run (default: the one that was planned last). Raises NotFoundError.

    plain: where the store of `at` trusts keys, the set with one that does not, which shows what is not trusted.
    drills: with what they have proven.
    """
    problem, plain = "", plain or at
    try:
        plan = await read_set_plan(at, run)
    except VerificationError as error:
        problem, plan = fill(error.cause, COMMANDS), await read_set_plan(plain, run)
    try:
        manifest = await at.manifest()
        progress = await _progress(at, manifest, plan.run)
    except VerificationError:
        manifest = await plain.manifest()
        progress = await _progress(plain, manifest, plan.run)

    async def dataset(number: int) -> DatasetStatus:
        return await _dataset(at, plan, progress, number, plain)

    async def proven(dataset: DatasetStatus) -> DatasetStatus:
        store, settings, _ = at.export(dataset.dataset)
        return replace(dataset, restorable=await read_proof(store, settings.layout, plan.run))

    found = await gathered(dataset, range(len(plan.datasets)), AT_ONCE)
    datasets = tuple(await gathered(proven, found, AT_ONCE) if drills else found)
    state = NOT_TRUSTED if problem else _state(plan, manifest, datasets)
    left: tuple[LeftDataset, ...] = ()
    if not manifest or manifest.age <= plan.age:
        gone = await datasets_left(at, [dataset.dataset for dataset in plan.datasets])
        datasets += tuple(damaged(name, why, trusting=bool(at.settings.trust)) for name, why in gone.damaged.items())
        left = tuple(LeftDataset(name, last.run, time_of(last.snapshot)) for name, last in gone.published.items())
    oldest = [dataset.oldest_snapshot_time for dataset in datasets if dataset.oldest_snapshot_time]
    # A copy is not an export that could be resumed.
    over = state in ("published", "superseded", "unreadable", NOT_TRUSTED) or bool(manifest and manifest.locked)
    return Status(
        run=plan.run,
        state=state,
        snapshot_time=time_of(plan.snapshot),
        tables=sum(dataset.tables for dataset in datasets),
        done=sum(dataset.done for dataset in datasets),
        working=sum(dataset.working for dataset in datasets),
        waiting=sum(dataset.waiting for dataset in datasets),
        failed=(),
        skipped=0,
        bytes=sum(dataset.bytes for dataset in datasets),
        latest=manifest.run if manifest else "",
        last_done=max((dataset.last_done for dataset in datasets if dataset.last_done), default=None),
        planned=time_of(plan.planned) if plan.planned else None,
        dataset=f"{plan.project}.{plan.names}",
        carried=sum(dataset.carried for dataset in datasets),
        oldest_snapshot_time=min(oldest, default=None),
        datasets=datasets,
        reused=sum(dataset.reused for dataset in datasets),
        left=left,
        resume="" if over or not plan.settings else resume_command(plan.run, plan.settings),
        problem=problem,
        restorable=proven_together({dataset.dataset: dataset.restorable for dataset in datasets if dataset.restorable}),
    )


async def _progress(at: SetAt, published: SetManifest | None, run: str) -> SetProgress:
    """The notes of a run of the set. The published run does not need them any more: damaged ones are logged."""
    try:
        return await set_progress(at.store, at.settings, published, run)
    except DocumentError as error:
        if published is None or published.run != run:
            raise
        log_refused(error.subject, error)
        return progress_in(published)


async def _dataset(at: SetAt, plan: SetPlan, progress: SetProgress, number: int, plain: SetAt) -> DatasetStatus:
    member = plan.datasets[number]
    store, settings, _ = at.export(member.dataset)
    problems = [failure.message for failure in progress.failures.get(number, ())]
    problem = fill(problems[-1], COMMANDS) if problems and number not in progress.receipts else ""
    try:
        found = await find(store, settings, plan.run)
    except DocumentError as error:
        return damaged(member.dataset, error, member.tables)
    except VerificationError as error:
        shown = await _dataset(plain, plan, progress, number, plain)
        return replace(shown, state=NOT_TRUSTED, problem=fill(error.cause, COMMANDS))
    if found is None:
        state: StatusState = "failed" if problem else "planning"
        waiting = 0 if problem else member.tables
        return DatasetStatus(
            dataset=member.dataset, state=state, tables=member.tables, waiting=waiting, problem=problem
        )
    status = found.status
    planned = status.state != "planning"
    by = await read_replacing(store, settings)
    return DatasetStatus(
        dataset=member.dataset,
        state="failed" if problem and status.state not in ("published", "superseded") else status.state,
        tables=status.tables if planned else member.tables,
        done=status.done,
        working=status.working,
        waiting=status.waiting if planned else member.tables,
        failed=status.failed,
        bytes=status.bytes,
        latest=status.latest,
        last_done=status.last_done,
        problem=problem or status.problem or (fill(by.sentence, COMMANDS) if by else ""),
        carried=status.carried,
        reused=status.reused,
        oldest_snapshot_time=status.oldest_snapshot_time,
        damaged=found.damaged,
    )


def _state(plan: SetPlan, manifest: SetManifest | None, datasets: tuple[DatasetStatus, ...]) -> StatusState:
    if any(dataset.state == NOT_TRUSTED for dataset in datasets):
        return NOT_TRUSTED
    if manifest and manifest.age > plan.age:
        return "superseded"
    all_ended = all(map(ended, datasets))
    if all_ended and any(dataset.damaged for dataset in datasets):
        return "unreadable"
    if manifest and manifest.run == plan.run:
        return "published" if manifest.status == "complete" else "partial"
    return "failed" if all_ended and any(dataset.state == "failed" for dataset in datasets) else "running"


# In place of a dataset's name: all of them together.
ALL = "*"
WORST_RUN: tuple[RunState, ...] = ("unreadable", NOT_TRUSTED, "planning", "copying", "running", "failed", "superseded",
    "partial", "complete")  # fmt: skip
# Without a manifest.
OPEN = ("planning", "copying", "running", "failed")


class SetRun(NamedTuple):
    """A run of a set as a whole (dataset `*`), and each dataset's part of it."""

    whole: RunLine
    parts: Sequence[RunLine]


async def set_runs(at: SetAt, *, storage: ObjectStore | None = None) -> Rows[RunLine]:
    """The runs of a set, each as a whole (dataset `*`) and then of each dataset. storage: see list_runs."""
    lines = await gathered(lambda name: list_runs(*at.export(name)[:2], storage=storage), at.names, AT_ONCE)
    nights = await runs_together(at, zip(at.names, lines, strict=True))
    return Rows(line for night in nights for line in (night.whole, *night.parts))


async def runs_together(at: SetAt, runs: Iterable[tuple[str, Sequence[RunLine]]]) -> list[SetRun]:
    """The runs of a set, the latest snapshot time first. runs: those of each dataset."""
    published, problem = await _published_at(at)
    by_run: dict[str, list[RunLine]] = {}
    for name, lines in sorted(runs, key=lambda item: item[0]):
        for line in lines:
            by_run.setdefault(line.run, []).append(replace(line, dataset=name))

    async def together(run: str) -> SetRun:
        night = SetRun(_whole(run, by_run[run], published), by_run[run])
        if why := problem or await at.untrusted(run, published):
            return SetRun(replace(night.whole, state=NOT_TRUSTED, problem=why), night.parts)
        if published and (run == published.run or (night.whole.snapshot_time and _age(night.whole) < published.age)):
            return night
        # Readable parts are shown nevertheless.
        with suppress(NotFoundError, DocumentError, VerificationError):
            return _as_in_status(night, await set_status(at, run))
        return night

    nights = await gathered(together, list(by_run), AT_ONCE)
    return sorted(nights, key=lambda run: latest_first(run.whole), reverse=True)


async def _published_at(at: SetAt) -> tuple[SetManifest | None, str]:
    """The published set. Where keys are trusted and none of them has signed one, the reason; else ""."""
    try:
        return await at.manifest(), ""
    except VerificationError as error:
        return None, fill(error.cause, COMMANDS) if at.settings.trust else ""


def _age(line: RunLine) -> tuple[int, str]:
    return round(line.snapshot_time.timestamp() * 1000) if line.snapshot_time else 0, line.run


def _as_in_status(night: SetRun, status: Status) -> SetRun:
    """A run that is not published, with the states that its status has: a dataset can fail before it has a run."""
    parts = {part.dataset: part for part in night.parts}
    for dataset in status.datasets:
        part = parts.get(dataset.dataset)
        if (part is None or part.state in OPEN) and dataset.state in OPEN:
            part = part or RunLine(run=status.run, dataset=dataset.dataset, state="planning", published=False)
            problem = part.problem or dataset.problem
            parts[dataset.dataset] = replace(part, state=dataset.state, problem=problem)
    whole = replace(night.whole, state=status.state) if status.state in OPEN else night.whole
    damaged = night.whole.state == "unreadable"
    return SetRun(night.whole if damaged else whole, [parts[name] for name in sorted(parts)])


def _state_of(run: str, parts: Sequence[RunLine], published: SetManifest | None) -> RunState:
    """The state of a set's run as its status says it."""
    worst = next(state for state in WORST_RUN if state in {part.state for part in parts})
    if worst == NOT_TRUSTED:
        return worst
    if published and run == published.run:
        return worst if worst in ("unreadable", "complete") and published.status == "complete" else "partial"
    if worst in OPEN and any(part.whole for part in parts):
        return "partial"
    if published and worst in OPEN and all(_age(part) < published.age for part in parts if part.snapshot_time):
        return "superseded"
    return worst


def _whole(run: str, parts: Sequence[RunLine], published: SetManifest | None) -> RunLine:
    times = [part.snapshot_time for part in parts if part.snapshot_time]
    begun, ended = [part.begun for part in parts if part.begun], [part.ended for part in parts if part.ended]
    return RunLine(
        run=run,
        dataset=ALL,
        state=_state_of(run, parts, published),
        published=published is not None and run == published.run,
        snapshot_time=min(times) if times else None,
        tables=sum(part.tables for part in parts),
        files=sum(part.files for part in parts),
        bytes=sum(part.bytes for part in parts),
        rows=sum(part.rows for part in parts),
        failed=sum(part.failed for part in parts),
        skipped=sum(part.skipped for part in parts),
        begun=min(begun) if begun else None,
        ended=max(ended) if ended else None,
        carried=sum(part.carried for part in parts),
        reused=sum(part.reused for part in parts),
        tags=tuple(sorted(set(parts[0].tags).intersection(*(part.tags for part in parts)))),
        alone=_sum([part.alone for part in parts]),
        shared=_sum([part.shared for part in parts]),
    )


def _sum(sizes: Sequence[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None
