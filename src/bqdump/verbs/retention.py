"""Keeping runs: copies of them in another place, prune, their tags, and erasing a table from all of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import cast, get_args

from msgspec.structs import replace

from bqdump.copying.run import log_total as log_copied
from bqdump.copying.sets import copy_exports
from bqdump.copying.survey import Locking
from bqdump.copying.survey import Task as CopyTask
from bqdump.core.copy.plan import Copied, Request
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Erasing
from bqdump.core.errors import DocumentError, NotFoundError, UsageError
from bqdump.core.exit_codes import DONE, TABLES_FAILED
from bqdump.core.progress.events import Listener, ignore
from bqdump.core.retention.erased import Erasures, refuse_without_reason
from bqdump.core.retention.policy import policy_for, refuse_kept
from bqdump.core.retention.pruned import OpenState, Pruned
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.observe.status import find_status
from bqdump.ports.signer import PROBE
from bqdump.ports.store import Lock, ObjectStore
from bqdump.repository.exports import ExportAt, StoreAt, exports_at
from bqdump.repository.notes import change_tags, read_tags, run_exists
from bqdump.repository.published import read_latest
from bqdump.retain.erase import erase as erase_from
from bqdump.retain.erase import has_begun
from bqdump.retain.prune import log_total as log_pruned
from bqdump.retain.prune import prune_exports
from bqdump.retain.rewrite import Task as ErasingTask
from bqdump.retain.rewrite import not_erased, refuse_unfinished_set, update_set
from bqdump.retain.survey import AtWork
from bqdump.services.copies import opened_copy
from bqdump.services.keys import open_signer, open_trusted, trusting
from bqdump.verbs.pinging import pinged


async def copy(settings: Settings, request: Request, owner: Owner, tell: Listener = ignore, tasks: int = 1) -> Copied:
    """Copy runs (default: the published run) to another place, or only show what would be copied.

    tasks: how many tasks share the files; `owner` is one of them.
    """
    async with pinged(settings, first=not (request.dry or owner.task)) as outcome:
        result = await _copy(settings, request, owner, tell, tasks)
        outcome.code = TABLES_FAILED if result.not_copied else DONE
        return result


async def _copy(settings: Settings, request: Request, owner: Owner, tell: Listener, tasks: int) -> Copied:
    if signer := open_signer(settings):
        # A key that cannot sign is refused before anything is copied.
        await signer.sign(PROBE)
    now = _clock()
    # Until a whole second, as S3 has no parts of one.
    until = (now // 1000 + 1 + request.lock) * 1000
    lock = Lock(until, request.lock_mode == "compliance") if request.lock_mode else None
    # Of tasks that share files, each reads with its part of the limit; where objects are locked, one copies them all.
    request = request._replace(limit=request.limit / (1 if lock else tasks))
    async with opened_copy(settings, request, lock) as (source, target, mover, locks):
        locking = Locking(locks, until, request.lock_mode, _clock) if locks and request.lock_mode else None
        if locking and owner.task:
            # Tasks share by notes that are replaced and deleted, which is impossible where everything is locked.
            return Copied(copied=not request.dry, source=str(settings.target), target=str(request.target), runs=())
        tasks = 1 if locking else tasks
        task = CopyTask(source, target, mover, owner, now, request.digests, request.dry, tell, signer, tasks, locking)
        task = task._replace(trusted=open_trusted(settings))
        result = await copy_exports(task, request.runs, request.policy, every=request.every)
        if result.copied:
            log_copied(result)
        return result


async def prune(
    store_at: StoreAt,
    settings: Settings,
    at_work: AtWork | None = None,
    *,
    runs: Sequence[str] = (),
    delete: bool,
    now: bool = False,
) -> Pruned:
    """Delete the runs that the retention policy does not keep; of a set, those of each dataset.

    delete: False only shows.
    at_work: see retain.survey.
    now: delete the files of removed runs at once, not a day later.
    runs: delete these and no others. Where the settings name keys to trust, runs that none of them has signed are kept,
        and take the place of none.

    Raises UsageError, before anything is deleted, if one of the runs is always kept.
    """

    async with pinged(settings, first=delete):
        return await _prune(store_at, settings, at_work, runs, delete=delete, now=now)


async def _prune(
    store_at: StoreAt, settings: Settings, at_work: AtWork | None, runs: Sequence[str], *, delete: bool, now: bool
) -> Pruned:
    def trusted(store: ObjectStore, own: Settings) -> ObjectStore:
        # What is too old is for the rules.
        return trusting(lambda _: store, replace(own, newest_within=None))(own.target)

    def believing(target: Target) -> ObjectStore:
        return trusted(store_at(target), replace(settings, target=target))

    signed = trusted if settings.trust else None
    # What is in a set is as one of the keys has signed it.
    exports = (
        (await exports_at(believing, settings)).through(store_at) if signed else await exports_at(store_at, settings)
    )
    time_, policy = _clock(), policy_for(settings, runs)
    prune_as = partial(prune_exports, exports, policy, time_, at_work, trusted=signed, states=_open_states, at_once=now)
    if runs:
        shown = await prune_as(delete=False)
        refuse_kept(runs, shown)
        if not delete:
            return shown
    done = await prune_as(delete=delete)
    if delete:
        log_pruned(done, settings.target)
    return done


async def _open_states(store: ObjectStore, settings: Settings, runs: Sequence[str]) -> dict[str, OpenState]:
    """How far runs without a manifest are; without those that have ended meanwhile, or cannot be read."""
    states: dict[str, OpenState] = {}
    for run in runs:
        with suppress(DocumentError):
            shown = await find_status(store, settings, run)
            if shown and shown.state in get_args(OpenState):
                states[run] = cast("OpenState", shown.state)
    return states


async def tag(
    store_at: StoreAt, settings: Settings, run: str, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> tuple[str, ...]:
    """Add tags to a run and remove others, of a set in each dataset that has it; the tags that it has then."""
    exports = (await exports_at(store_at, settings)).each
    having = [export for export in exports if await run_exists(export.store, export.settings.layout.run(run))]
    before = [(await read_tags(store, own.layout)).get(run, ()) for store, own, _ in having]
    if having and (lacking := sorted(set(remove).difference(*before))):
        raise UsageError("tag", f"run {run}", f"it does not have the tag {lacking[0]}")
    tags = set[str]()
    # Without any, the first one says that there is no such run.
    for (store, own, _), had in zip(having or exports[:1], before or [()], strict=True):
        tags.update(await change_tags(store, own.layout, run, add, set(remove).intersection(had)))
    return tuple(sorted(tags))


async def erase(store_at: StoreAt, settings: Settings, erasing: Erasing, *, delete: bool) -> Erasures:
    """Take a table out of the kept runs: of one export, or of each dataset of a set that has it (`sales.orders`: one).

    delete: False only shows. Raises NotFoundError if no run has it, UsageError, before anything is changed, where it
    cannot be erased now.
    """
    all_exports = await exports_at(store_at, settings)
    exports, at = all_exports.each, all_exports.set_at
    if at:
        await refuse_unfinished_set(at.store, at.settings, erasing.table)
        if delete:
            # What an erasure has left that was killed after its last dataset.
            await update_set(at.store, at.settings)
    named, _, table = erasing.table.rpartition(".")
    if named:
        exports = tuple([export for export in exports if named == await _dataset_of(export)])
        erasing = replace(erasing, table=table)
    signer = open_signer(settings)
    tasks = [ErasingTask(store, own, erasing, signer) for store, own, _ in exports]
    having, missing = list[ErasingTask](), list[NotFoundError]()
    for task in tasks:
        try:
            if not (delete and await has_begun(task)):
                await erase_from(task)
                if delete:
                    refuse_without_reason(erasing)
        except NotFoundError as error:
            missing.append(error)
        else:
            having.append(task)
    if not having:
        raise (
            missing[0] if missing else NotFoundError("erase", f"table {erasing.table}", f"there is no dataset {named}")
        )
    done = tuple([await erase_from(task._replace(delete=delete)) for task in having])
    if at and delete:
        await update_set(at.store, at.settings)
    notes = [note for task in having for note in await not_erased(task)]
    return Erasures(erased=delete, exports=done, notes=tuple(dict.fromkeys(notes)))


async def _dataset_of(export: ExportAt) -> str:
    """The dataset of an export, also of the only one of its prefix; "" where nothing is published."""
    latest = None if export.dataset else await read_latest(export.store, export.settings)
    return latest.dataset if latest else export.dataset


def _clock() -> int:
    return int(time.time() * 1000)
