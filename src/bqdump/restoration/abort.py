"""Ending a restore: its jobs are cancelled, its scratch tables dropped, its uploads and documents deleted.

Only what is known to be the restore's goes: jobs by their ids, tables by name and label, uploads by the list that was
written before the first one, documents by their names; each object at the generation that was listed. The plan goes
last, so an abort that was interrupted can be repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from bqdump.core.errors import NotFoundError, TargetError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.documents import DOCUMENTS, Restores
from bqdump.core.restore.listing import AbortedRestore, jobs_of
from bqdump.core.restore.names import LABEL, scratch_prefix
from bqdump.ports.destination import Destination
from bqdump.ports.store import ObjectInfo
from bqdump.repository.repository import delete, value_of
from bqdump.restoration.listing import Found
from bqdump.restoration.uploads import delete_named

log = logging.getLogger(__name__)
ABORT = "end"
# How often, and how many times, is looked whether cancelled jobs have ended.
POLL_SECONDS = 1.0
POLLS = 120


def chosen(found: Sequence[Found], restore: str) -> Found:
    """The restore to end. Raises NotFoundError without one, UsageError for one that is done."""
    named = [one for one in found if one.decision.restore == restore]
    if not named:
        raise NotFoundError("find", f"restore {restore}", "there is none here", "{call:restores} lists all.")
    if named[0].done:
        hint = "{call:prune} deletes its documents after 30 days."
        raise UsageError(ABORT, f"restore {restore}", "it is done, so there is nothing to end", hint, setting="abort")
    return named[0]


async def abort(found: Found, destination: Destination) -> AbortedRestore:
    """End a restore. Raises TargetError while tasks of it start new jobs."""
    decision = found.decision
    jobs = await _cancel(found, destination)
    scratch, begun = await _tables(found, destination)
    for name in scratch:
        await destination.drop_table(decision.target, name)
    files, size = await _uploads(found)
    documents, left = await _documents(found)
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
        left=tuple(left),
    )


async def _cancel(found: Found, destination: Destination) -> int:
    """Cancel the restore's jobs, and wait until they have ended. Their number."""
    decision = found.decision
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


async def _tables(found: Found, destination: Destination) -> tuple[list[str], list[str]]:
    """Its scratch tables, and the tables of the target that it has begun."""
    decision = found.decision
    if await destination.find_dataset(decision.target.project, decision.target.name) is None:
        return [], []
    mine = [
        table.name for table in await destination.present(decision.target) if table.labels.get(LABEL) == decision.mark
    ]
    prefix = scratch_prefix(decision.mark)
    return [name for name in mine if name.startswith(prefix)], [name for name in mine if not name.startswith(prefix)]


async def _uploads(found: Found) -> tuple[int, int]:
    """Delete what it has uploaded; the number of files, and their bytes."""
    store, layout = found.place.store, found.place.layout
    document = Restores(layout).uploads(found.decision.mark)
    uploads = await value_of(store, document)
    if uploads is None:
        return 0, 0
    deleted = await delete_named(store, found.layout.files, uploads.files)
    if info := await store.stat(document.name):
        await delete(store, [(info.name, info.generation)])
    return deleted


async def _documents(found: Found) -> tuple[int, list[str]]:
    """Delete its documents, the plan last; their number, and the names of other objects in its folder."""
    store, root = found.place.store, found.layout.root
    infos = [info async for page in store.objects(root) for info in page]
    own = [info for info in infos if DOCUMENTS.fullmatch(info.name, len(root))]
    plan = [info for info in own if info.name == found.layout.plan.name]
    executions = await _executions(found)
    others = [*(info for info in own if info not in plan), *executions]
    for some in (others, plan):
        await delete(store, [(info.name, info.generation) for info in some])
    return len(others) + len(plan), [info.name for info in infos if info not in own]


async def _executions(found: Found) -> list[ObjectInfo]:
    """The notes of executions that take part in it."""
    store, names = found.place.store, Restores(found.place.layout)
    infos = [info async for page in store.objects(names.executions) for info in page]
    mine = []
    for info in infos:
        execution = info.name.removeprefix(names.executions).removesuffix(".json")
        if "/" not in execution and (note := await value_of(store, names.execution(execution))):
            mine += [info] if note.restore == found.decision.restore else []
    return mine
