"""Deciding what a restore does: one task decides, and all others, also those of later executions, do the same."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import NamedTuple

import msgspec

from bqdump.check.findings import Finding, FindingKind
from bqdump.check.verify import compare_files
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.restore import Decision, Execution
from bqdump.core.errors import DeniedError, NotFoundError, UsageError, VerificationError
from bqdump.core.plan.catalog import Dataset, Table
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.access import UNREQUESTED
from bqdump.core.restore.draft import restore_plan
from bqdump.core.restore.layout import layout_of
from bqdump.core.restore.names import digest, restore_id
from bqdump.core.restore.plan import ACCESS, INDEX, POLICY, TABLE, Options, RestorePlan, TargetState
from bqdump.core.restore.result import with_objects
from bqdump.core.sizes import counted, size_text
from bqdump.core.version import VERSION
from bqdump.repository.copies import load_manifest, published_run
from bqdump.repository.repository import create, exists, load, value_of
from bqdump.restoration.ledger import read_ledger
from bqdump.restoration.task import RunningRestore, Task

log = logging.getLogger(__name__)

RESTORE = "restore"
NAMED, LOGGED = 3, 20
# Requests for definitions.
AT_ONCE = 16
# Files that one task uploads at a time.
UPLOADS_AT_ONCE = 4
# Defaults of a dataset that would delete what is restored into it.
EXPIRATIONS = ("defaultTableExpirationMs", "defaultPartitionExpirationMs")


class Found(NamedTuple):
    """The manifest of a run, the object that holds it, and its generation."""

    manifest: Manifest
    name: str
    generation: int


class Draft(NamedTuple):
    """What a restore would do, before anything is written. state, now: what it follows from, besides the manifest."""

    found: Found
    state: TargetState | None
    now: int
    plan: RestorePlan


async def obtain_restore(task: Task) -> RunningRestore:
    """The restore that this task takes part in: that of its execution, an earlier one of the same, or a new one.

    Raises UsageError where the target, or what is requested, cannot be restored as requested; VerificationError where
    files of the export are missing or changed.
    """
    joined = await load(task.state, task.layout.execution(task.owner.execution))
    decision = await _decision(task, joined.value.restore) if joined else await _decide(task)
    _refuse_other_options(task, decision)
    manifest = await _manifest_at(task, decision)
    compared = await compare_files(task.store, task.settings, manifest)
    options = msgspec.structs.replace(decision.options, restore=decision.restore)
    plan = restore_plan(compared.manifest, options, decision.state, decision.planned)
    return RunningRestore(task, decision, compared.manifest, plan, asyncio.Semaphore(UPLOADS_AT_ONCE))


def _refuse_other_options(task: Task, decision: Decision) -> None:
    request = task.request
    if decision.options == request.options and request.run in ("", decision.run):
        return
    cause = f"it takes part in restore {decision.restore}, which has other options"
    hint = "Give each execution a name of its own."
    raise UsageError(RESTORE, f"execution {task.owner.execution}", cause, hint)


async def draft(task: Task) -> Draft:
    """What a restore would do. Nothing is written. Raises like obtain_restore."""
    found = await find_manifest(task)
    options = task.request.options
    source = (found.manifest.project, found.manifest.dataset)
    _refuse_source(options, source, yes=task.request.yes)
    state = await target_state(task, options)
    if state and options.replace:
        state = state._replace(layouts=await _layouts(task, found.manifest, state))
    location = state.location if state else found.manifest.location
    now = await task.destination.now(location)
    compared = await compare_files(task.store, task.settings, found.manifest, task.tell)
    plan = restore_plan(compared.manifest, options, state, now)
    _refuse_changed_files(plan, compared.findings)
    await _note_location(task, plan)
    return Draft(found._replace(manifest=compared.manifest), state, now, plan)


async def target_state(task: Task, options: Options) -> TargetState | None:
    """What the target dataset holds now; None if it does not exist."""
    resource = await task.destination.find_dataset(options.project, options.dataset)
    if resource is None:
        return None
    properties = msgspec.json.decode(resource)
    dataset = Dataset(options.project, options.dataset, properties["location"])
    present = await task.destination.present(dataset)
    routines = await task.destination.routines(dataset)
    expires = any(properties.get(name) for name in EXPIRATIONS)
    return TargetState(
        dataset.location, {one.name: (one.kind, one.labels) for one in present}, frozenset(routines), expires
    )


async def _layouts(task: Task, manifest: Manifest, state: TargetState) -> dict[str, str]:
    """The layouts of the tables that the manifest and the target have."""
    options, slots = task.request.options, asyncio.Semaphore(AT_ONCE)
    dataset = Dataset(options.project, options.dataset, state.location)
    there = {name for name, (kind, _) in state.tables.items() if kind == TABLE}
    names = [entry.table for entry in manifest.tables if entry.table in there]

    async def read(name: str) -> Table | None:
        async with slots:
            return await task.destination.table(dataset, name)

    found = zip(names, await asyncio.gather(*map(read, names)), strict=True)
    return {name: layout_of(table.definition) for name, table in found if table}


async def _decide(task: Task) -> Decision:
    """The restore for this execution, which is recorded for its other tasks."""
    found = await find_manifest(task)
    what = digest(found.name, found.generation, task.request.options, VERSION)
    # Counted once, so that two tasks that decide at the same time make one restore.
    newest = await _newest(task, what)
    decision = await _earlier(task, what, newest) or await _new(task, restore_id(what, newest + 1))
    stored = await create(task.state, task.layout.execution(task.owner.execution), Execution(decision.restore))
    return decision if stored.value.restore == decision.restore else await _decision(task, stored.value.restore)


async def _earlier(task: Task, what: str, number: int) -> Decision | None:
    """The newest restore of the same, if it may go on: unfinished, or with nothing to do, as the target still has all.

    A finished one that replaced tables is done again, and so is one that filled gaps.
    """
    if not number:
        return None
    id_ = restore_id(what, number)
    layout = task.layout.restore(id_)
    finished = await exists(task.state, layout.result)
    decision = await _decision(task, id_)
    if finished and (decision.options.replace or decision.options.missing_only):
        return None
    receipts = (await read_ledger(task.state, layout)).receipts
    state = await target_state(task, decision.options)
    there = {*state.tables, *state.routines} if state else set()
    named = {receipt.name for receipt in receipts.values() if receipt.kind not in (INDEX, POLICY, ACCESS)}
    if gone := sorted(named - there):
        message = "restore %s is not resumed: the target no longer has %s, which it had restored"
        log.warning(message, id_, gone[0], extra=LogEvent.RESTORE_NOT_RESUMED.extra())
        return None
    message = "restore %s is finished already: nothing to do" if finished else "resuming restore %s"
    log.info(message, id_, extra=LogEvent.RESTORE_RESUMED.extra())
    return decision


async def _new(task: Task, id_: str) -> Decision:
    """A new restore, or the one that another task has stored meanwhile."""
    try:
        drafted = await draft(task)
    except UsageError:
        # Another task has stored this restore since they were counted, and what it has restored is in the way.
        if begun := await value_of(task.state, task.layout.restore(id_).plan):
            return begun
        raise
    options = task.request.options
    decision = Decision(
        restore=id_,
        run=drafted.found.manifest.run,
        manifest=drafted.found.name,
        generation=drafted.found.generation,
        tool=VERSION,
        target=drafted.plan.target,
        options=options,
        state=drafted.state,
        planned=drafted.now,
    )
    stored = await create(task.state, task.layout.restore(id_).plan, decision)
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
    for one in plan.not_restored[:LOGGED]:
        kind = one.kind.lower().replace("_", " ")
        # Every dataset has access entries.
        level = logging.INFO if one.reason == UNREQUESTED else logging.WARNING
        extra = LogEvent.NOT_RESTORABLE.extra()
        log.log(level, "%s %s: not restored: %s", kind, one.name, one.reason, extra=extra)
    if len(plan.not_restored) > LOGGED:
        more = counted(len(plan.not_restored) - LOGGED, "more object")
        log.warning("and %s, named in the result", more, extra=LogEvent.NOT_RESTORABLE.extra())


async def _newest(task: Task, what: str) -> int:
    """The number of the newest restore of what has this digest, 0 for none."""
    names = await task.state.folders(task.layout.restores)
    numbers = [int(found[1]) for name in names if (found := re.fullmatch(rf"{what}-([0-9]{{1,6}})", name))]
    return max(numbers, default=0)


async def _decision(task: Task, restore: str) -> Decision:
    stored = await load(task.state, task.layout.restore(restore).plan)
    if stored is None:
        raise NotFoundError("find", f"the plan of restore {restore}", "there is none")
    return stored.value


async def find_manifest(task: Task) -> Found:
    """The manifest of the requested run. Raises NotFoundError."""
    run = task.request.run or await published_run(task.store, task.settings)
    stored = await load_manifest(task.store, task.settings, run)
    return Found(stored.value, task.settings.layout.run(run).manifest.name, stored.generation)


async def _manifest_at(task: Task, decision: Decision) -> Manifest:
    """The manifest that was decided on. Raises NotFoundError."""
    stored = await load_manifest(task.store, task.settings, decision.run)
    if stored.generation != decision.generation:
        cause = "it was replaced after the restore had been planned"
        raise NotFoundError("read", f"the manifest of run {decision.run}", cause)
    return stored.value


def _refuse_source(options: Options, source: tuple[str, str], *, yes: bool) -> None:
    if (options.project, options.dataset) != source or (options.replace and yes):
        return
    cause = "it is the dataset that was exported, and its tables would be replaced"
    hint = "Restore into another dataset, or confirm with {setting:replace} and {setting:yes}."
    raise UsageError(RESTORE, f"{options.project}.{options.dataset}", cause, hint)


def _refuse_changed_files(plan: RestorePlan, findings: list[Finding]) -> None:
    """Raise VerificationError where a table to be restored lacks its files."""
    tables = {step.entry.table for step in plan.tables}
    changed = [one for one in findings if one.table in tables and one.kind != FindingKind.EXTRA]
    if not changed:
        return
    named = ", ".join(f"{one.file} is {one.kind.value}" for one in changed[:NAMED])
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    hint = "{call:verify} lists all of them. Restore another run, or exclude these tables."
    raise VerificationError(RESTORE, f"run {plan.run}", f"its files are not as exported: {named}{more}", hint)


async def _note_location(task: Task, plan: RestorePlan) -> None:
    """Log that files are loaded across locations, which costs network."""
    store = task.bucket
    try:
        bucket = (await store.describe()).location
    except DeniedError:
        return
    if bucket and bucket.upper() != plan.target.location.upper():
        message = "%s is in %s, and the dataset in %s: loading across locations is billed as network traffic"
        log.warning(message, store.url, bucket, plan.target.location, extra=LogEvent.COST_NOTED.extra())
