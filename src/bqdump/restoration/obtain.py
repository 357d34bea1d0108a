"""Deciding what a restore does: one task decides, and all others, also those of later executions, do the same."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from typing import NamedTuple

import msgspec

from bqdump.check.verify import compare_files
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import DeniedError, NotFoundError, PerimeterError, UsageError
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.restore.access import UNREQUESTED
from bqdump.core.restore.chosen import EXISTING
from bqdump.core.restore.documents import Decision, Execution, Restores
from bqdump.core.restore.names import digest, restore_id
from bqdump.core.restore.plan import ACCESS, INDEX, POLICY, RestorePlan
from bqdump.core.restore.planning import plan_of
from bqdump.core.restore.request import RESTORE
from bqdump.core.restore.result import with_objects
from bqdump.core.sizes import counted, kind_text, size_text
from bqdump.core.version import VERSION
from bqdump.repository.complete_runs import uncover_run
from bqdump.repository.manifests import load_manifest
from bqdump.repository.repository import create, exists, load, value_of
from bqdump.restoration.ledger import read_ledger
from bqdump.restoration.planning import Draft, draft, refuse_rivals
from bqdump.restoration.survey import find_manifest, find_rivals, is_after, is_pinned, target_state
from bqdump.restoration.task import RunningRestore, Task

log = logging.getLogger(__name__)
LOGGED = 20
FINISHED = "restore %s is finished already; comparing the target with it"
# Files that one task uploads at a time.
UPLOADS_AT_ONCE = 4


class Proposal(NamedTuple):
    """What a task would take part in.

    drafted: of a new restore, which is not stored yet.
    recorded: the execution takes part in it already.
    """

    decision: Decision
    drafted: Draft | None = None
    recorded: bool = False


async def propose(task: Task) -> Proposal:
    """The restore that a task would take part in: that of its execution, an earlier one of the same, or a new one.

    Nothing is written. Raises UsageError where the target, or what is requested, cannot be restored as requested;
    VerificationError where files of the export are missing or changed.
    """
    if joined := await load(task.state, Restores(task.layout).execution(task.owner.execution)):
        return Proposal(await _decision(task, joined.value.restore), recorded=True)
    exported = await find_manifest(task)
    what = digest(exported.name, exported.generation, task.request.options)
    # Counted once, so that two tasks that decide at the same time make one restore.
    newest = await _newest(task, what)
    if earlier := await _earlier(task, what, newest, exported.manifest):
        return Proposal(earlier)
    return await _new(task, restore_id(what, newest + 1))


async def take_part(task: Task, proposal: Proposal) -> RunningRestore:
    """Begin what was proposed, or what the execution has begun meanwhile. Raises like propose."""
    with about(task.dataset):
        decision = proposal.decision if proposal.recorded else await _record(task, proposal)
        _refuse_other_options(task, decision)
        manifest = await _manifest_at(task, decision)
        compared = await compare_files(task.store, task.settings, manifest)
    options = msgspec.structs.replace(decision.options, restore=decision.mark)
    pinned = is_pinned(task, compared)
    plan = plan_of(compared.manifest, options, decision.state, decision.planned, pinned=pinned)
    uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)
    resumed = proposal.drafted is None
    return RunningRestore(task, decision, compared.manifest, plan, uploads, asyncio.Semaphore(1), {}, resumed)


def _refuse_other_options(task: Task, decision: Decision) -> None:
    request = task.request
    if decision.options == request.options and request.run in ("", decision.run):
        return
    cause = f"it takes part in restore {decision.restore}, which has other options"
    hint = "Give each execution a name of its own."
    raise UsageError(RESTORE, f"execution {task.owner.execution}", cause, hint)


async def _record(task: Task, proposal: Proposal) -> Decision:
    """Store a restore that is new, and that this execution takes part in it; the one that is stored then."""
    document = Restores(task.layout).execution(task.owner.execution)
    try:
        decision = await _store(task, proposal.decision, proposal.drafted) if proposal.drafted else proposal.decision
        stored = await create(task.state, document, Execution(decision.restore))
        return decision if stored.value.restore == decision.restore else await _decision(task, stored.value.restore)
    except DeniedError as error:
        if task.via or isinstance(error, PerimeterError):
            raise
        hint = "If this account can only read the export, add {setting:via=gs://BUCKET}, which it can write."
        raise DeniedError(error.operation, error.subject, error.cause, f"{error.hint} {hint}".lstrip()) from error


async def _earlier(task: Task, what: str, number: int, manifest: Manifest) -> Decision | None:
    """The newest restore of the same, if it may go on: unfinished, or with nothing to do, as the target still has all.

    A finished one that filled gaps is done again, and so is one that replaced tables, if that is requested.
    """
    if not number:
        return None
    id_ = restore_id(what, number)
    layout = Restores(task.layout).restore(id_)
    finished = await exists(task.state, layout.result)
    stored = await load(task.state, layout.plan)
    if stored is None:
        # It was ended, and something of it is left.
        return None
    decision = stored.value
    if finished and (decision.options.missing_only or task.request.again):
        return None
    if finished and decision.options.replace:
        # Rows that were added since would be lost.
        log.info(FINISHED, id_, extra=LogEvent.RESTORE_RESUMED.extra())
        return decision
    receipts = (await read_ledger(task.state, Restores(task.layout).of(decision))).receipts
    state = await target_state(task, decision.options)
    present = {*state.tables, *state.routines} if state else set()
    named = {receipt.name for receipt in receipts.values() if receipt.kind not in (INDEX, POLICY, ACCESS)}
    if gone := sorted(named - present):
        message = "restore %s is not resumed: the target no longer has %s, which it had restored"
        log.warning(message, id_, gone[0], extra=LogEvent.RESTORE_NOT_RESUMED.extra())
        return None
    rivals = [] if finished else await find_rivals(task, decision, manifest)
    if later := [rival for rival in rivals if is_after(rival.decision, decision)]:
        message = "restore %s is not resumed: restore %s was begun later, and writes to the same tables"
        log.warning(message, id_, later[0].decision.restore, extra=LogEvent.RESTORE_NOT_RESUMED.extra())
        return None
    log.info(FINISHED if finished else "resuming restore %s", id_, extra=LogEvent.RESTORE_RESUMED.extra())
    return decision


async def _new(task: Task, id_: str) -> Proposal:
    """A new restore, or the one that another task has stored meanwhile."""
    try:
        drafted = await draft(task)
    except UsageError:
        # Another task has stored this restore since they were counted, and what it has restored is in the way.
        if begun := await value_of(task.state, Restores(task.layout).restore(id_).plan):
            return Proposal(begun)
        raise
    options = task.request.options
    decision = Decision(
        restore=id_,
        run=drafted.exported.manifest.run,
        manifest=drafted.exported.name,
        generation=drafted.exported.generation,
        tool=VERSION,
        target=drafted.plan.target,
        options=options,
        state=drafted.state,
        planned=drafted.now,
        nonce=secrets.token_hex(4),
        jobs_in=task.settings.jobs_in,
    )
    await refuse_rivals(task, await find_rivals(task, decision, drafted.exported.manifest), drafted.now)
    return Proposal(decision, drafted)


async def _store(task: Task, decision: Decision, drafted: Draft) -> Decision:
    """Store a new restore; the one that another task has stored before, if any."""
    id_ = decision.restore
    stored = await create(task.state, Restores(task.layout).restore(id_).plan, decision)
    if stored.mine:
        totals, planned = drafted.plan.totals, LogEvent.RESTORE_PLANNED.extra(restore=id_)
        log.info(
            "restore %s: %s of run %s, %s, into %s.%s",
            id_,
            with_objects(totals.tables, totals.objects),
            decision.run,
            size_text(totals.bytes),
            decision.target.project,
            decision.target.name,
            extra=planned,
        )
        _log_not_restored(drafted.plan)
    return stored.value


def _log_not_restored(plan: RestorePlan) -> None:
    for object_ in plan.not_restored[:LOGGED]:
        kind = kind_text(object_.kind)
        # Every dataset has access entries and properties.
        level = logging.INFO if object_.reason in (UNREQUESTED, EXISTING) else logging.WARNING
        extra = LogEvent.NOT_RESTORABLE.extra()
        log.log(level, "%s %s: not restored: %s", kind, object_.name, object_.reason, extra=extra)
    if len(plan.not_restored) > LOGGED:
        more = counted(len(plan.not_restored) - LOGGED, "more object")
        log.warning("and %s, named in the result", more, extra=LogEvent.NOT_RESTORABLE.extra())


async def _newest(task: Task, what: str) -> int:
    """The number of the newest restore of what has this digest, 0 for none."""
    names = await task.state.folders(Restores(task.layout).restores)
    numbers = [int(match[1]) for name in names if (match := re.fullmatch(rf"{what}-([0-9]{{1,6}})", name))]
    return max(numbers, default=0)


async def _decision(task: Task, restore: str) -> Decision:
    stored = await load(task.state, Restores(task.layout).restore(restore).plan)
    if stored is None:
        raise NotFoundError("find", f"the plan of restore {restore}", "there is none")
    return stored.value


async def _manifest_at(task: Task, decision: Decision) -> Manifest:
    """The manifest that was decided on. Raises NotFoundError."""
    # Another process has found it.
    await uncover_run(task.store, task.settings, decision.run)
    stored = await load_manifest(task.store, task.settings, decision.run)
    if stored.generation != decision.generation:
        cause, erased = "it was replaced after the restore had been planned", stored.value.erased
        if erased:
            cause += f": table {max(erased, key=lambda note: note.at).table} was erased from the run"
        hint = "Start a new restore; with {setting:missing_only=True}, it restores only what is missing or unfinished."
        raise NotFoundError("read", f"the manifest of run {decision.run}", cause, hint)
    return stored.value
