"""What prune asks before it decides: the bucket, the log, unfinished runs, and BigQuery's jobs. A constant number of
requests, however many runs the log has.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import COPIED
from bqdump.core.documents.copying import Expected
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.retention import PrunedRun, RetainedFiles
from bqdump.core.documents.run import Plan
from bqdump.core.documents.target import Latest, LogEntry, Publishing
from bqdump.core.errors import BqdumpError, DeniedError, DocumentError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.erased import finishing, underway
from bqdump.core.retention.policy import Policy
from bqdump.core.retention.pruned import OpenState, Storage
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import is_elsewhere
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import BucketInfo, ObjectStore
from bqdump.repository.log import entries_in, read_log_with_pruned
from bqdump.repository.manifests import load_manifest, lost, problem_of, read_retained
from bqdump.repository.notes import read_tags
from bqdump.repository.pruned_runs import time_by_store
from bqdump.repository.published import read_latest
from bqdump.repository.repository import value_of
from bqdump.repository.storage import READS_AT_ONCE, read_erasing

log = logging.getLogger(__name__)

# The ids of the export's jobs that are at work, of those created since a time (ms).
AtWork = Callable[[int], Awaitable[set[str]]]
# How far runs without a manifest are.
States = Callable[[ObjectStore, Settings, Sequence[str]], Awaitable[Mapping[str, OpenState]]]


class Task(NamedTuple):
    """One call of prune.

    now: this machine's time, in milliseconds since 1970 UTC.
    delete: False only shows what would be deleted.
    at_work: lists BigQuery's jobs. None where it cannot be asked, which keeps all unfinished runs.
    trusted: the store that returns no manifest other than one that a trusted key has signed; None: all are believed.
    in_set: the run that the published set names, "" for none.
    states: for display; None does not ask.
    at_once: the files of pruned runs are deleted without waiting for a day.
    """

    store: ObjectStore
    settings: Settings
    policy: Policy
    now: int
    delete: bool = False
    at_work: AtWork | None = None
    trusted: ObjectStore | None = None
    in_set: str = ""
    states: States | None = None
    at_once: bool = False

    @property
    def layout(self) -> Layout:
        """The object names of the target."""
        return self.settings.layout


class Complete(NamedTuple):
    """A complete run, in a few numbers.

    snapshot: its snapshot time, in milliseconds since 1970 UTC.
    files, bytes: what it named when it was published.
    untrusted: why its signature is not trusted, "" where it is, or need not be.
    locked_until: when the lock of its manifest ends, which is that of its files, in milliseconds; 0 for none.
    """

    run: str
    dataset: tuple[str, str]
    snapshot: int
    snapshot_time: str
    complete: bool
    replaces: bool
    tables: int
    files: int
    bytes: int
    untrusted: str = ""
    locked_until: int = 0

    @property
    def age(self) -> tuple[int, str]:
        """Orders runs: the later snapshot time wins, the run id breaks a tie."""
        return (self.snapshot, self.run)


class Unfinished(NamedTuple):
    """A run without a manifest.

    plan: None while it is being planned.
    pulse: when its planner last wrote its note, in milliseconds since 1970 UTC; 0 if that is not known.
    copied: its files, where it is not planned but copied here.
    """

    run: str
    plan: Plan | None
    pulse: int = 0
    copied: tuple[Expected, ...] = ()

    def has_stopped(self, task: Task) -> bool:
        """Whether it was planned so long ago that it counts as abandoned, unless one of its jobs is at work."""
        after = task.settings.abandoned_seconds * 1000
        return after > 0 and self.plan is not None and task.now - self.plan.began > after


class Marked(NamedTuple):
    """A run that was pruned, and whose documents are still there.

    age: since it was marked, in milliseconds by the store's clock; in a dry run by this machine's.
    """

    run: str
    mark: PrunedRun
    age: int


class Jobs(NamedTuple):
    """The ids of the export's jobs that are at work; None where they cannot be listed, and why."""

    ids: frozenset[str] | None = frozenset()
    why: str = ""


class Survey(NamedTuple):
    """What a prune knows when it decides.

    bucket: None without the permission to read its settings.
    storage: what each run names; None where nothing was read for it.
    runs: the folders of all runs.
    marked: runs that were pruned before, and are not deleted yet.
    late: entries in the log of runs that were pruned, at their names.
    orphans: folders of runs that hold no run any more.
    jobs: of the runs that have stopped.
    passed: what was passed over and why, in sentences.
    doubtful: of runs that were passed over or are not trusted, whose manifests may hide others.
    replaced: those of them that had another manifest, which a trusted key has signed.
    states: how far unfinished runs are, as `status` says it, where known.
    """

    bucket: BucketInfo | None
    complete: tuple[Complete, ...]
    orphans: tuple[str, ...]
    latest: Latest | None
    tags: dict[str, tuple[str, ...]]
    storage: Storage | None = None
    unfinished: tuple[Unfinished, ...] = ()
    runs: tuple[str, ...] = ()
    marked: tuple[Marked, ...] = ()
    late: Mapping[str, Sequence[str]] = MappingProxyType({})
    publishing: Publishing | None = None
    jobs: Jobs = Jobs()
    passed: tuple[str, ...] = ()
    doubtful: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()
    states: Mapping[str, OpenState] = MappingProxyType({})

    @property
    def named(self) -> set[str]:
        """The published run, and those that may still be published."""
        return named(self.latest, self.publishing)


def named(latest: Latest | None, publishing: Publishing | None) -> set[str]:
    """The published run, and those that may still be published."""
    runs = publishing.runs(latest) if publishing else set()
    return runs | {latest.run} if latest else runs


class Place(NamedTuple):
    """Where runs are pruned. bucket, latest: see Survey."""

    bucket: BucketInfo | None
    latest: Latest | None

    @property
    def locked(self) -> bool:
        """Whether it holds locked copies."""
        return self.latest is not None and self.latest.locked


async def survey_place(task: Task) -> Place:
    """Read the settings of the bucket, and which run is published. Raises like survey."""
    bucket: BucketInfo | None = None
    with suppress(DeniedError):
        bucket = await task.store.describe()
    return Place(bucket, await _latest_of_original(task))


async def survey(task: Task, place: Place | None = None) -> Survey:
    """Ask for all that decides, and write nothing. Places of locked copies have a survey of their own.

    Raises DocumentError for a document that cannot be read, as a manifest may name files of other runs; UsageError for
    a copy.
    """
    bucket, latest = place or await survey_place(task)
    publishing = await value_of(task.store, task.layout.publishing)
    # Of a run that is entered or marked meanwhile, the folder is listed before.
    runs = await task.store.folders(task.layout.runs)
    log_ = await read_log_with_pruned(task.store, task.layout)
    tags, entries = await read_tags(task.store, task.layout), await entries_in(task.store, task.layout, log_.lines)
    ours = [run for run in runs if run not in log_.pruned or run in entries]
    known = sorted({*ours, *entries})
    states = await gathered(lambda run: _state_of(task, run, entries.get(run)), known, READS_AT_ONCE)
    unfinished = tuple(run for run in states if isinstance(run, Unfinished))
    late = defaultdict[str, list[str]](list)
    for line in log_.hidden:
        late[line.run].append(line.name)
    names = [run.run for run in unfinished]
    return Survey(
        bucket,
        complete=tuple(run for run in states if isinstance(run, Complete)),
        unfinished=unfinished,
        runs=tuple(runs),
        marked=await _marked(task, [run for run in runs if run not in ours], log_.pruned),
        late=late,
        orphans=tuple(run for run in states if isinstance(run, str)),
        latest=latest,
        publishing=publishing,
        tags=tags,
        jobs=await _jobs(task, unfinished),
        states=await task.states(task.store, task.settings, names) if task.states and names else {},
    )


async def _marked(task: Task, runs: Sequence[str], pruned: Mapping[str, int]) -> tuple[Marked, ...]:
    """The pruned runs among these folders. Ages are the store's: where something may be deleted, it is asked for its
    time.
    """
    if not runs:
        return ()
    now = await time_by_store(task.store, task.layout) if task.delete else task.now
    marks = await gathered(lambda run: value_of(task.store, task.layout.mark(run)), runs, READS_AT_ONCE)
    found = zip(runs, marks, strict=True)
    return tuple(Marked(run, mark or PrunedRun(run=run), now - (pruned[run] or now)) for run, mark in found)


async def _jobs(task: Task, unfinished: Iterable[Unfinished]) -> Jobs:
    """The jobs of unfinished runs that have stopped, as far as the time tells."""
    if not (stopped := [run.plan.began for run in unfinished if run.plan and run.has_stopped(task)]):
        return Jobs()
    if task.at_work is None:
        return Jobs(None, fill("set {setting:project}, so that their jobs can be checked", COMMANDS))
    try:
        return Jobs(frozenset(await task.at_work(min(stopped))))
    except BqdumpError as error:
        log.warning("unfinished runs are kept: %s", error, extra=LogEvent.CLEANUP_FAILED.extra())
        return Jobs(None, fill(error.cause, COMMANDS))


async def _state_of(task: Task, run: str, entry: LogEntry | None) -> Complete | Unfinished | str:
    names = task.layout.run(run)
    if entry:
        of, totals = (entry.project, entry.dataset), entry.totals
        why = await problem_of(task.trusted, names.manifest.name) if task.trusted else ""
        whole, at = entry.status == "complete", (entry.snapshot, entry.snapshot_time)
        return Complete(run, of, *at, whole, entry.replaces, totals.tables, totals.files, totals.bytes, why)
    if manifest := await read_retained(task.store, names.manifest.name):
        return await complete(task, run, manifest)
    if plan := await value_of(task.store, names.plan):
        return Unfinished(run, plan)
    planner = await task.store.stat(names.planner.name)
    if not planner:
        return run
    copying = await value_of(task.store, names.copying)
    return Unfinished(run, None, planner.updated, copying.files if copying else ())


async def complete(task: Task, run: str, manifest: RetainedFiles) -> Complete:
    """A run with this manifest."""
    of, at = (manifest.project, manifest.dataset), (manifest.snapshot, manifest.snapshot_time)
    why = await problem_of(task.trusted, task.layout.run(run).manifest.name) if task.trusted else ""
    whole, totals = manifest.status == "complete", manifest.totals
    return Complete(run, of, *at, whole, manifest.replaces, totals.tables, totals.files, totals.bytes, why)


async def _latest_of_original(task: Task) -> Latest | None:
    """The published run. Raises UsageError where its manifest was stored again since, as in a copy by another tool."""
    store, settings = task.trusted or task.store, task.settings
    before: Latest | None = None
    while latest := await _read_latest(task):
        if latest == before:
            entry = task.layout.entry(latest.run, latest.snapshot).name
            raise lost(task.layout, latest.run, f"{entry} names it as the published run", entry)
        if manifest := await store.stat(latest.manifest):
            break
        # Where another run is published by now, this one may have been pruned.
        before = latest
    else:
        return None
    entered = await value_of(store, task.layout.entry(latest.run, latest.snapshot))
    if entered is None or manifest.generation == entered.generation:
        return latest
    if is_elsewhere((await load_manifest(store, settings, latest.run)).value.settings, settings.target):
        raise _copy(task)
    cause = f"{latest.manifest} was written again since it was published: by hand, or as part of a copy"
    hint = "Prune after the next run."
    if erasing := await read_erasing(store, settings.layout):
        cause, hint = underway(erasing), f"Finish it: {finishing(erasing, latest.dataset)}"
    raise UsageError("prune", str(settings.target), cause, f"Nothing was deleted. {hint}")


async def _read_latest(task: Task) -> Latest | None:
    try:
        return await read_latest(task.trusted or task.store, task.settings)
    except DocumentError as error:
        # A document that names another prefix can be read as a copy only.
        if error.hint == COPIED:
            raise _copy(task) from None
        raise


def _copy(task: Task) -> UsageError:
    cause = "it was copied by another tool than `bqdump copy`, and its manifests name the files of the original"
    return UsageError("prune", str(task.settings.target), cause, "Prune the original, or delete the copy's folder.")
