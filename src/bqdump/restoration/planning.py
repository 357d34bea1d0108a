"""What a restore would do, and what is refused before it begins. Nothing is written.

The bill, and the limit for it, are checked before anything is created, and so before the first query.

Of two restores that replace the same tables, the one that was begun later wins. It is refused while the other one is
at work. Afterwards it drops the other one's scratch tables before its first copy job, and the other one, should its
process wake up, looks for later restores once its scratch table is filled: so it copies none over the later one's rows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from bqdump.check.compare_with_source import LONGEST_DAYS
from bqdump.check.findings import Finding, FindingKind
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import OUT_OF_REACH, DeniedError, TargetError, UsageError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.actions import unfinished
from bqdump.core.restore.bill import Bill, bill_of, together
from bqdump.core.restore.documents import Restores
from bqdump.core.restore.listing import has_ended, jobs_of, state_of
from bqdump.core.restore.plan import SHOWN, ObjectStep, Options, RestorePlan, TableStep, TargetState
from bqdump.core.restore.planning import plan_of, with_kept
from bqdump.core.restore.request import RESTORE
from bqdump.core.restore.result import Restoration
from bqdump.core.sizes import named, size_text
from bqdump.core.wording import placeholder
from bqdump.repository.published import read_replacing, refuse_pruned
from bqdump.repository.repository import exists, value_of
from bqdump.restoration.jobs import COPY, LOAD
from bqdump.restoration.ledger import planned, read_ledger
from bqdump.restoration.survey import FoundManifest, Rival, find_manifest, find_rivals, is_after, survey
from bqdump.restoration.task import RunningRestore, Task

log = logging.getLogger(__name__)


class Draft(NamedTuple):
    """What a restore would do, before anything is written, and what it follows from.

    state: of the target, with the expirations that are set again if a table is not replaced after all.
    """

    exported: FoundManifest
    state: TargetState | None
    now: int
    plan: RestorePlan


async def draft(task: Task, *, shown: bool = False) -> Draft:
    """Survey, plan, and refuse what cannot be done. Nothing is written.

    shown: the plan is only shown, so nothing has to be confirmed.
    """
    exported, options = await find_manifest(task), task.request.options
    manifest, state, now, findings, pinned = await survey(task, exported.manifest)
    plan = plan_of(manifest, options, state, now, await _open(task, state), pinned=pinned)
    if not (shown or task.request.yes):
        _refuse_source(options, exported.manifest, plan)
    await _refuse_changed_files(task, plan, findings)
    await _note_location(task, plan)
    kept = with_kept(state, plan) if state and state.expirations else state
    return Draft(exported._replace(manifest=manifest), kept, now, plan)


async def _open(task: Task, state: TargetState | None) -> list[str]:
    """Of other restores that have not finished tables in the target, those that were not ended."""
    begun = sorted({*unfinished(state, task.request.options.restore).values()})
    return [id_ for id_ in begun if await exists(task.state, Restores(task.layout).restore(id_).plan)]


def _refuse_source(options: Options, manifest: Manifest, plan: RestorePlan) -> None:
    """Raise UsageError where something in a dataset that was exported would be replaced. What is gone is created."""
    exported = {manifest.dataset, *(name for name, _ in options.others)}
    in_place = options.project == manifest.project and options.dataset in exported
    steps: list[TableStep | ObjectStep] = [*plan.tables, *plan.objects]
    replaced = [step.name for step in steps if step.action == "replace"]
    if not in_place or not replaced:
        return
    which = "the dataset that was exported" if options.dataset == manifest.dataset else "another dataset of the set"
    cause = f"it is {which}, and {named(replaced, SHOWN)} would be replaced"
    hint = "Restore into another dataset, or confirm with {setting:yes=True}."
    raise UsageError(RESTORE, f"{options.project}.{options.dataset}", cause, hint)


CHANGED = {
    FindingKind.MISSING: "is missing",
    FindingKind.SIZE: "has another size",
    FindingKind.CHECKSUM: "has another checksum",
    FindingKind.REPLACED: "was written again",
    FindingKind.HIDDEN: "is hidden",
    FindingKind.LOCK: "is not locked as long as its run",
}


async def _refuse_changed_files(task: Task, plan: RestorePlan, findings: list[Finding]) -> None:
    """Raise VerificationError where a table to be restored lacks its files, NotFoundError if the run is pruned."""
    tables = {step.entry.table for step in plan.tables if step.entry.files}
    changed = [finding for finding in findings if finding.table in tables and finding.kind != FindingKind.EXTRA]
    if not changed:
        return
    await refuse_pruned(task.store, task.settings, RESTORE, plan.run, was_read=True)
    files = [f"{finding.file} {CHANGED.get(finding.kind, 'differs')}" for finding in changed]
    cause = f"its files are not as exported: {named(files, SHOWN)}"
    replacing = await read_replacing(task.store, task.settings)
    if replacing and replacing.published == plan.run:
        hint = f"{replacing.sentence}. Or let {{setting:finish_run=True}} finish it first, and restore that run."
    else:
        hint = f"{{call:verify run={plan.run}}} lists all of them. Restore another run, or exclude these tables."
    raise VerificationError(RESTORE, f"run {plan.run}", cause, hint)


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


async def plan_one(task: Task) -> Restoration:
    """What the restore of one dataset would do, and what its queries would bill. Nothing is written."""
    drafted = await draft(task, shown=True)
    manifest = drafted.exported.manifest
    return planned(drafted.plan, manifest, await planned_bill(task, manifest, drafted.plan))


HOUR = 3_600_000


async def planned_bill(task: Task, manifest: Manifest, plan: RestorePlan) -> Bill:
    """What a restore would bill. A comparison is also one with the source, while time travel reaches its snapshot."""
    return bill_of(plan, comparisons=await _comparisons(task, manifest))


async def refuse_bill(restores: Sequence[RunningRestore]) -> None:
    """Raise UsageError if what these restores still bill exceeds the limit. What is finished is not restored again."""
    task = restores[0].task
    if not task.settings.max_bytes_billed:
        return
    bills = []
    for restore in restores:
        if await value_of(restore.state, restore.layout.result):
            continue
        ledger = await read_ledger(restore.state, restore.layout)
        comparisons = await _comparisons(restore.task, restore.manifest)
        bills.append(bill_of(restore.plan, comparisons=comparisons, done=ledger.receipts))
    refuse_more(task, together(bills))


def refuse_more(task: Task, bill: Bill) -> None:
    """Raise UsageError for a bill that exceeds the limit, together with what the request has spent."""
    limit, spent = task.settings.max_bytes_billed, task.request.spent
    if not limit or bill.most + spent <= limit:
        return
    in_addition = f", in addition to {size_text(spent)} of other queries" if spent else ""
    cause = f"the queries would bill up to {size_text(bill.most)} ({bill.words}){in_addition}"
    operation, fewer = "restore", "restore fewer tables with {setting:include}"
    if task.request.options.temporary:
        operation, fewer = "drill", "drill fewer tables at a time with {setting:tables}"
    raise UsageError(operation, size_text(limit), cause, f"Raise it, or {fewer}.", setting="max_bytes_billed")


class SharedBill:
    """What the comparisons of all datasets have billed, which together is limited.

    by_restore: the bytes, by the restore's id.
    """

    def __init__(self, spent: int) -> None:
        self._spent = spent
        self.by_restore = Counter[str]()

    def of(self, restore: RunningRestore) -> RunningRestore:
        """A restore that adds to it."""
        report = restore.task.request.on_bill

        def bill(bytes_billed: int) -> None:
            self._spent += bytes_billed
            self.by_restore[restore.id] += bytes_billed
            report(bytes_billed)

        request = restore.task.request._replace(on_bill=bill, spent=self._spent)
        return restore._replace(task=restore.task._replace(request=request))


async def _comparisons(task: Task, manifest: Manifest) -> int:
    """How often values are compared: with the files, and with the source."""
    if not task.request.compares:
        return 0
    try:
        source = await task.destination.dataset(manifest.project, manifest.dataset)
    except OUT_OF_REACH:
        return 1
    hours = min(source.time_travel_hours, LONGEST_DAYS * 24)
    past = await task.destination.now(manifest.location) - manifest.snapshot
    return 2 if past <= hours * HOUR else 1


async def refuse_rivals(task: Task, rivals: Sequence[Rival], now: int) -> None:
    """Raise UsageError where one of these restores is at work. now: ms since 1970 UTC."""
    if not rivals:
        return
    jobs = await _jobs_at_work(task, rivals)
    for rival in rivals:
        layout = Restores(task.layout).of(rival.decision)
        infos = [info async for page in task.state.objects(layout.root) for info in page]
        changed = max((info.updated for info in infos), default=0)
        at_work, ended = bool(jobs_of(rival.decision, jobs)), has_ended(layout, infos)
        state = state_of(done=False, at_work=at_work, changed=changed, now=now, abandoned_ms=0, ended=ended)
        if state == "running" and infos:
            _refuse(task, rival)


async def refuse_writing(task: Task, rivals: Sequence[Rival], taken: Collection[str]) -> None:
    """Raise UsageError where a job of one of these restores puts rows in a table. taken: ids of jobs that do not."""
    jobs = await _jobs_at_work(task, rivals) - set(taken)
    for rival in rivals:
        if any(f"-{step}-" in job for job in jobs_of(rival.decision, jobs) for step in (COPY, LOAD)):
            _refuse(task, rival)


async def _jobs_at_work(task: Task, rivals: Sequence[Rival]) -> set[str]:
    try:
        return await task.destination.at_work(min(rival.decision.planned for rival in rivals))
    except DeniedError:
        # Their documents still show when they were last at work.
        return set()


def _refuse(task: Task, rival: Rival) -> None:
    other = rival.decision
    tables = named(sorted(rival.tables), SHOWN)
    cause = f"restore {other.restore} of run {other.run} is at work there on the same tables: {tables}"
    via = {"via": str(task.via.target)} if task.via else {}
    lists, ends = placeholder("restores", via), placeholder("restores", {**via, "abort": other.restore})
    hint = f"Wait until {lists} lists it as done or stopped, or end it: {ends}"
    raise UsageError(RESTORE, f"{other.target.project}.{other.target.name}", cause, hint)


async def refuse_ended(restore: RunningRestore) -> None:
    """Raise TargetError if the restore was ended meanwhile, also if it was begun anew with the same id."""
    decision = await value_of(restore.state, restore.layout.plan)
    if decision is None or decision.mark != restore.mark:
        cause = "it was ended while this process was at work on it"
        raise TargetError("complete", f"restore {restore.id}", cause, "Repeat the command to begin anew.")


async def later_rivals(restore: RunningRestore) -> dict[str, str]:
    """The restore that was begun later, by the table that it writes to as well. Raises like refuse_ended."""
    await refuse_ended(restore)
    rivals = await find_rivals(restore.task, restore.decision, restore.manifest, restore.known)
    later = [rival for rival in rivals if is_after(rival.decision, restore.decision)]
    return {table: rival.decision.restore for rival in later for table in rival.tables}
