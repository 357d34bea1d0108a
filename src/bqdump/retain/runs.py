"""The runs of a target, as prune needs them: every manifest is read, and one that cannot be read stops everything.

What prune works with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import COPIED, RESTORE
from bqdump.core.documents.copying import Expected
from bqdump.core.documents.document import Document
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.retention import Holding, Tombstone
from bqdump.core.documents.run import Plan
from bqdump.core.documents.target import Latest, Publishing
from bqdump.core.errors import DocumentError, UsageError
from bqdump.core.retention.policy import Policy
from bqdump.core.retention.pruned import Storage, foreign_file
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import is_elsewhere
from bqdump.ports.store import ObjectStore
from bqdump.repository.manifests import load_manifest
from bqdump.repository.notes import read_tags
from bqdump.repository.published import read_latest
from bqdump.repository.references import READS_AT_ONCE, PresentFiles
from bqdump.repository.repository import Loaded, exists, load, value_of

# The ids of the export's jobs that are at work, of those created since a time (ms).
AtWork = Callable[[int], Awaitable[set[str]]]


class Task(NamedTuple):
    """One call of prune. now: this machine's time, in milliseconds since 1970 UTC. delete: False only shows.

    at_work: lists BigQuery's jobs; None where it cannot be asked, which keeps all unfinished runs.
    """

    store: ObjectStore
    settings: Settings
    policy: Policy
    now: int
    delete: bool = False
    at_work: AtWork | None = None

    @property
    def layout(self) -> Layout:
        """The object names of the target."""
        return self.settings.layout


NOTHING_DELETED = "Nothing was deleted, because it may name files of other runs."


class Complete(NamedTuple):
    """A run with a manifest, without the files that it names. tombstone: left by a prune that decided nothing."""

    run: str
    dataset: tuple[str, str]
    snapshot: int
    snapshot_time: str
    complete: bool
    replaces: bool
    tables: int
    tombstone: Loaded[Tombstone] | None

    @property
    def age(self) -> tuple[int, str]:
        """Orders runs: the later snapshot time wins, the run id breaks a tie."""
        return (self.snapshot, self.run)


class Unfinished(NamedTuple):
    """A run without a manifest. plan: None while it is being planned.

    pulse: when its planner last wrote its note, in milliseconds since 1970 UTC; 0 if that is not known. copied: its
    files, where it is not planned but copied here.
    """

    run: str
    plan: Plan | None
    tombstone: Loaded[Tombstone] | None
    pulse: int = 0
    copied: tuple[Expected, ...] = ()


class Found(NamedTuple):
    """The runs of a target. decided: those whose deletion has begun. remains: folders that hold no run any more."""

    complete: tuple[Complete, ...]
    unfinished: tuple[Unfinished, ...]
    decided: tuple[Loaded[Tombstone], ...]
    remains: tuple[str, ...]
    latest: Latest | None
    publishing: Publishing | None
    tags: dict[str, tuple[str, ...]]
    storage: Storage

    @property
    def named(self) -> set[str]:
        """The runs that latest.json and publishing.json name."""
        ready = self.publishing.ready if self.publishing else None
        return {run.run for run in (self.latest, self.publishing, ready) if run}


async def read_runs(task: Task) -> Found:
    """All runs. Raises DocumentError for a manifest, or another document that decides, that cannot be read."""
    store, layout = task.store, task.layout
    latest = await _latest_of_original(task)
    publishing = await value_of(store, layout.publishing)
    tags = await read_tags(store, layout)
    storage, present = Storage(), PresentFiles(store, task.settings)
    runs = await store.folders(layout.runs)
    found = await gathered(lambda run: _look_at(task, run, storage, present), runs, READS_AT_ONCE)
    return Found(
        tuple(run for run in found if isinstance(run, Complete)),
        tuple(run for run in found if isinstance(run, Unfinished)),
        tuple(run for run in found if isinstance(run, Loaded)),
        tuple(run for run in found if isinstance(run, str)),
        latest,
        publishing,
        tags,
        storage,
    )


async def read_holding(store: ObjectStore, name: str) -> Holding | None:
    """The files that the manifest of this name lists, None if there is none.

    Raises DocumentError if it cannot be read, or lists files that cannot be its run's.
    """
    try:
        manifest = await value_of(store, Document(name, Holding))
    except DocumentError as error:
        hint = f"{NOTHING_DELETED} Restore it, or delete the folder {name.rpartition('/')[0]}/."
        raise DocumentError(error.operation, error.subject, error.cause, hint) from None
    if manifest and (wrong := foreign_file(manifest)):
        raise DocumentError("read", name, wrong, f"It was modified outside bqdump. {NOTHING_DELETED}")
    return manifest


async def _look_at(
    task: Task, run: str, storage: Storage, present: PresentFiles
) -> Complete | Unfinished | Loaded[Tombstone] | str:
    names = task.layout.run(run)
    tombstone = await load(task.store, names.tombstone)
    if tombstone and tombstone.value.decided:
        return tombstone
    if manifest := await read_holding(task.store, names.manifest.name):
        storage.add(run, manifest, await present.of(manifest))
        return Complete(
            run,
            (manifest.project, manifest.dataset),
            manifest.snapshot,
            manifest.snapshot_time,
            manifest.status == "complete",
            manifest.mode == "replace",
            manifest.totals.tables,
            tombstone,
        )
    if decided := await refuse_missing(task, run):
        return decided
    plan = await value_of(task.store, names.plan)
    if plan:
        return Unfinished(run, plan, tombstone)
    planner = await task.store.stat(names.planner.name)
    if not planner and not tombstone:
        return run
    copying = await value_of(task.store, names.copying)
    return Unfinished(run, None, tombstone, planner.updated if planner else 0, copying.files if copying else ())


async def refuse_missing(task: Task, run: str) -> Loaded[Tombstone] | None:
    """Raise DocumentError if a run that was complete has no manifest. Call it where none was found.

    Returns the tombstone if the run's deletion is decided by now.
    """
    names, summary = task.layout.run(run), task.layout.summary(run).name
    if await task.store.stat(summary) is None:
        return None
    # Another prune may begin to delete the run, or be about to end.
    before = await load(task.store, names.tombstone)
    written = [info.name async for page in task.store.objects(names.root) for info in page]
    tombstone = await load(task.store, names.tombstone) or before
    if tombstone and tombstone.value.decided:
        return tombstone
    # What a publisher has written after its run was pruned proves nothing.
    late = (names.contents.name, names.report, names.iceberg.name, f"{names.root}notified/")
    if await exists(task.store, names.manifest) or all(name.startswith(late) for name in written):
        return None
    raise missing(task, run, f"{summary} shows that the run was complete")


def missing(task: Task, run: str, why: str) -> DocumentError:
    """The error about a manifest that must be there."""
    names = task.layout.run(run)
    hint = (
        f"{NOTHING_DELETED} {RESTORE}. If the run may be forgotten, delete the folder {names.root} and "
        f"{task.layout.summary(run).name}."
    )
    return DocumentError("read", names.manifest.name, f"it does not exist, but {why}", hint)


async def _latest_of_original(task: Task) -> Latest | None:
    """The published run. Raises UsageError where its manifest is not the object that was published.

    So it is in a copy of an export, whose manifests name the files of the original.
    """
    store, settings = task.store, task.settings
    latest = await _read_latest(task)
    found = await store.stat(latest.manifest) if latest else None
    while latest and found is None:
        # Where another run was published meanwhile, this one may have been pruned.
        before, latest = latest, await _read_latest(task)
        if latest == before:
            raise missing(task, latest.run, f"{task.layout.latest} names it as the published run")
        found = await store.stat(latest.manifest) if latest else None
    if latest and found and found.generation != latest.manifest_generation:
        if is_elsewhere((await load_manifest(store, settings, latest.run)).value.settings, settings.target):
            raise _copy(task)
        cause = f"{latest.manifest} was written again since it was published: by hand, or as part of a copy"
        raise UsageError("prune", str(settings.target), cause, "Nothing was deleted. Prune after the next run.")
    return latest


async def _read_latest(task: Task) -> Latest | None:
    try:
        return await read_latest(task.store, task.settings)
    except DocumentError as error:
        # A document that names another prefix can be read as a copy only.
        if error.hint == COPIED:
            raise _copy(task) from None
        raise


def _copy(task: Task) -> UsageError:
    cause = "it is a copy of an export, and its manifests name the files of the original"
    return UsageError("prune", str(task.settings.target), cause, "Prune the original, or delete the copy's folder.")
