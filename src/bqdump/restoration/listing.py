"""The restores of a place: listed from their documents and the jobs that are at work, or ended.

To end one cancels its jobs, drops its scratch tables, and deletes its uploads and documents. Only what is known to be
the restore's goes: jobs by their ids, tables by name and label, uploads by the list that was written before the first
one, documents by their names; each object at the generation that was listed. The plan goes last, so an abort that was
interrupted can be repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from bqdump.concurrency import gathered
from bqdump.core.documents.layout import Layout
from bqdump.core.errors import DocumentError, NotFoundError, TargetError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.documents import DOCUMENTS, Decision, RestoreLayout, Restores
from bqdump.core.restore.listing import AbortedRestore, ListedRestore, has_ended, jobs_of, state_of
from bqdump.core.restore.names import LABEL, is_restore_id, job_id, scratch_name, scratch_prefix
from bqdump.core.restore.result import NotCreated
from bqdump.core.restore.table_requests import missing_expirations
from bqdump.core.settings.target import Target
from bqdump.core.times import time_of
from bqdump.core.wording import placeholder
from bqdump.ports.destination import Destination
from bqdump.ports.store import ObjectInfo, ObjectStore
from bqdump.repository.repository import delete, load, value_of
from bqdump.restoration.jobs import COPY, FULL, STAGE, keep_expirations, take_loads
from bqdump.restoration.ledger import Ledger, read_ledger
from bqdump.restoration.uploads import delete_named

AT_ONCE = 16
# The jobs of a project that are at work since a time, by their ids.
AtWork = Callable[[str, int], Awaitable[set[str]]]


class Place(NamedTuple):
    """Where documents of restores are. dataset: of a set, the exported dataset that they are about; else ""."""

    store: ObjectStore
    layout: Layout
    dataset: str = ""


class FoundRestore(NamedTuple):
    """A restore, by its documents. infos: every object in its folder."""

    place: Place
    decision: Decision
    infos: tuple[ObjectInfo, ...]
    ledger: Ledger

    @property
    def layout(self) -> RestoreLayout:
        """The names of its documents."""
        return Restores(self.place.layout).of(self.decision)

    @property
    def done(self) -> bool:
        """Whether everything is restored."""
        return any(info.name == self.layout.result.name for info in self.infos)

    def jobs_in(self, default: str = "") -> str:
        """The project of its jobs. default: if it does not name it; "" for the target's."""
        return self.decision.jobs_in or default or self.decision.target.project

    @property
    def changed(self) -> int:
        """When the last document was written, in ms since 1970 UTC; 0 if not known."""
        return max((info.updated for info in self.infos), default=0)


class FoundRestores(NamedTuple):
    """The restores of some places that have a plan, the newest first. damaged: why others cannot be read, by id."""

    restores: list[FoundRestore]
    damaged: dict[str, DocumentError]


async def find_restores(places: Sequence[Place]) -> FoundRestores:
    """The restores of these places."""
    named = [(place, name) for place in places for name in await place.store.folders(Restores(place.layout).restores)]
    return await _find_all(named)


async def find_newest_done(place: Place, most: int) -> list[FoundRestore]:
    """The restores of a place that were done last, up to so many. One listing finds them."""
    folder, done = Restores(place.layout), list[tuple[int, str]]()
    async for page in place.store.objects(folder.restores):
        for info in page:
            name = info.name.removeprefix(folder.restores).partition("/")[0]
            if info.name == folder.restore(name).result.name:
                done.append((info.updated, name))
    return (await _find_all([(place, name) for _, name in sorted(done)[-most:]])).restores


async def find_restore(place: Place, restore: str) -> FoundRestore:
    """The restore of a place with this id. Raises NotFoundError."""
    found = await _find(place, restore) if is_restore_id(restore) else None
    if found is None:
        raise NotFoundError("find", f"restore {restore[:100]!r}", "there is none", "{call:prune} may have deleted it.")
    return found


async def _find_all(named: Sequence[tuple[Place, str]]) -> FoundRestores:
    damaged: dict[str, DocumentError] = {}

    async def find(place: Place, name: str) -> FoundRestore | None:
        try:
            return await _find(place, name)
        except DocumentError as error:
            damaged[name] = error
            return None

    restores = await gathered(lambda name: find(*name), named, AT_ONCE)
    return FoundRestores(sorted(filter(None, restores), key=lambda restore: -restore.decision.planned), damaged)


async def list_restores(
    restores: Sequence[FoundRestore], at_work: AtWork, now: int, abandoned_ms: int, jobs_in: str = ""
) -> list[ListedRestore]:
    """The same as they are listed.

    now: in ms since 1970 UTC.
    at_work: is asked once for each project.
    jobs_in: the project of the jobs of restores that do not name it.
    """
    unfinished = [restore for restore in restores if not restore.done]
    jobs: dict[str, set[str]] = {}
    for project in sorted({restore.jobs_in(jobs_in) for restore in unfinished}):
        of_project = [restore for restore in unfinished if restore.jobs_in(jobs_in) == project]
        since = min(restore.decision.planned for restore in of_project)
        jobs[project] = await at_work(project, since)
    return [_listed(restore, jobs.get(restore.jobs_in(jobs_in), set()), now, abandoned_ms) for restore in restores]


async def _find(place: Place, name: str) -> FoundRestore | None:
    layout = Restores(place.layout).restore(name)
    stored = await load(place.store, layout.plan)
    if stored is None:
        return None
    infos = [info async for page in place.store.objects(layout.root) for info in page]
    ledger = await read_ledger(place.store, Restores(place.layout).of(stored.value))
    return FoundRestore(place, stored.value, tuple(infos), ledger)


def _listed(restore: FoundRestore, jobs: set[str], now: int, abandoned_ms: int) -> ListedRestore:
    decision, ledger = restore.decision, restore.ledger
    last = [max(failures, key=lambda failure: failure.attempt) for failures in ledger.failures.values()]
    failed = [failure for failure in last if failure.number not in ledger.receipts]
    at_work, ended = bool(jobs_of(decision, jobs)), has_ended(restore.layout, restore.infos)
    state = state_of(
        done=restore.done, at_work=at_work, changed=restore.changed, now=now, abandoned_ms=abandoned_ms, ended=ended
    )
    return ListedRestore(
        restore=decision.restore,
        state=state,
        run=decision.run,
        source=restore.place.dataset,
        project=decision.target.project,
        dataset=decision.target.name,
        began=time_of(decision.planned),
        changed=time_of(restore.changed) if restore.changed else None,
        restored=len(ledger.receipts),
        failed=tuple(NotCreated(failure.name, failure.kind, failure.reason, failure.message) for failure in failed),
    )


log = logging.getLogger(__name__)
ABORT = "end"
# How often, and how many times, is looked whether cancelled jobs have ended.
POLL_SECONDS = 1.0
POLLS = 120


def chosen(restores: FoundRestores, restore: str, via: Target | None = None) -> FoundRestore:
    """The restore to end. via: where the documents are, if not next to the export.

    Raises NotFoundError without one, UsageError for one that is done, DocumentError for one that cannot be read.
    """
    named = [listed for listed in restores.restores if listed.decision.restore == restore]
    if restore in restores.damaged:
        raise restores.damaged[restore]
    if not named:
        lists_all = placeholder("restores", {"via": str(via)} if via else {})
        raise NotFoundError("find", f"restore {restore}", "there is none here", f"{lists_all} lists all.")
    if named[0].done:
        hint = "{call:prune} deletes its documents after 30 days."
        raise UsageError(ABORT, f"restore {restore}", "it is done, so there is nothing to end", hint, setting="abort")
    return named[0]


async def abort(restore: FoundRestore, destination: Destination) -> AbortedRestore:
    """End a restore. Raises TargetError while tasks of it start new jobs."""
    decision = restore.decision
    jobs = await _cancel(restore, destination)
    scratch, begun = await _tables(restore, destination)
    # Before scratch tables are dropped, which show what was begun: so this can be repeated.
    await _keep_expirations(restore, destination, scratch)
    await take_loads(destination, decision.target, decision.mark, begun, {})
    for name in scratch:
        await destination.drop_table(decision.target, name)
    files, size = await _uploads(restore)
    documents, left = await _documents(restore)
    ended = LogEvent.RESTORE_ABORTED.extra(restore=decision.restore)
    log.info("restore %s: ended; its documents are deleted", decision.restore, extra=ended)
    return AbortedRestore(
        restore=decision.restore,
        jobs=jobs,
        tables=len(scratch),
        files=files,
        bytes=size,
        documents=documents,
        begun=tuple(begun),
        restored=tuple(sorted(restore.ledger.tables)),
        left=tuple(left),
    )


async def _cancel(restore: FoundRestore, destination: Destination) -> int:
    """Cancel the restore's jobs, and wait until they have ended. Their number."""
    decision = restore.decision
    cancelled = jobs_of(decision, await destination.at_work(decision.planned))
    for job in sorted(cancelled):
        await destination.cancel_job(job, decision.target.location)
    for _ in range(POLLS):
        now = jobs_of(decision, await destination.at_work(decision.planned)) if cancelled else set()
        if now - cancelled:
            cause = "its tasks are at work: they have started another job"
            raise TargetError(
                ABORT, f"restore {decision.restore}", cause, "End these processes first, then repeat this."
            )
        if not now:
            return len(cancelled)
        await asyncio.sleep(POLL_SECONDS)
    cause = f"job {min(cancelled)} was cancelled and has not ended"
    raise TargetError(ABORT, f"restore {decision.restore}", cause, "Repeat this in some minutes.")


async def _tables(restore: FoundRestore, destination: Destination) -> tuple[list[str], list[str]]:
    """Its scratch tables, and the tables of the target that it has begun."""
    decision = restore.decision
    if await destination.find_dataset(decision.target.project, decision.target.name) is None:
        return [], []
    mine = [
        table.name for table in await destination.present(decision.target) if table.labels.get(LABEL) == decision.mark
    ]
    prefix = scratch_prefix(decision.mark)
    return [name for name in mine if name.startswith(prefix)], [name for name in mine if not name.startswith(prefix)]


async def _keep_expirations(restore: FoundRestore, destination: Destination, scratch: Sequence[str]) -> None:
    """Set expirations again that the restore may have removed: those that tables lack which it began, and not others.

    scratch: its scratch tables.
    """
    target, state = restore.decision.target, restore.decision.state
    if state is None:
        return
    for name, kept in (state.expirations or {}).items():
        number = (state.numbers or {}).get(name)
        if name in restore.ledger.tables or not await _has_begun(restore, destination, scratch, name, number):
            continue
        if table := await destination.table(target, name):
            await keep_expirations(destination, target, name, missing_expirations(kept, table.definition))


async def _has_begun(
    restore: FoundRestore, destination: Destination, scratch: Sequence[str], name: str, number: int | None
) -> bool:
    """Whether a restore has worked at a table. number: in the plan, None in a decision of an earlier version."""
    failed = {failure.name for failures in restore.ledger.failures.values() for failure in failures}
    if name in failed or number is None:
        return name in failed
    mark, location = restore.decision.mark, restore.decision.target.location
    if any(table.startswith(f"{scratch_name(mark, number)}_") for table in scratch):
        return True
    # Scratch tables expire, and jobs are known for longer.
    for step in (FULL, STAGE, COPY):
        if await destination.find_job(job_id(mark, number, step, 0, 0), location):
            return True
    return False


async def _uploads(restore: FoundRestore) -> tuple[int, int]:
    """Delete what it has uploaded; the number of files, and their bytes."""
    store, layout = restore.place.store, restore.place.layout
    document = Restores(layout).uploads(restore.decision.mark)
    uploads = await value_of(store, document)
    if uploads is None:
        return 0, 0
    deleted = await delete_named(store, restore.layout.files, uploads.files)
    if info := await store.stat(document.name):
        await delete(store, [(info.name, info.generation)])
    return deleted


async def _documents(restore: FoundRestore) -> tuple[int, list[str]]:
    """Delete its documents, the plan last; their number, and the names of other objects in its folder."""
    store, root = restore.place.store, restore.layout.root
    infos = [info async for page in store.objects(root) for info in page]
    own = [info for info in infos if DOCUMENTS.fullmatch(info.name, len(root))]
    plan = [info for info in own if info.name == restore.layout.plan.name]
    executions = await _executions(restore)
    first = [*(info for info in own if info not in plan), *executions]
    for some in (first, plan):
        await delete(store, [(info.name, info.generation) for info in some])
    return len(first) + len(plan), [info.name for info in infos if info not in own]


async def _executions(restore: FoundRestore) -> list[ObjectInfo]:
    """The notes of executions that take part in it."""
    store, names = restore.place.store, Restores(restore.place.layout)
    infos = [info async for page in store.objects(names.executions) for info in page]
    mine = []
    for info in infos:
        execution = info.name.removeprefix(names.executions).removesuffix(".json")
        if "/" not in execution and (note := await value_of(store, names.execution(execution))):
            mine += [info] if note.restore == restore.decision.restore else []
    return mine
