"""Restores of the export of one dataset or of a set, from the manifest to the restored datasets.

Of a set, each dataset is an ordinary restore, and what may refer to another dataset follows the rows of all. Everything
that can be refused is refused for all datasets before anything is written. What fails later fails for its dataset, and
does not hold back the others.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.errors import ENDS_THE_TASK, BqdumpError
from bqdump.core.progress.events import Entered, Listener, Restoring
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.restore.documents import Restores, SetExecution
from bqdump.core.restore.plan import TABLE
from bqdump.core.restore.result import NotCreated, Restoration, dataset_failure, restored_together, with_objects
from bqdump.core.sets.restoring import EVERY, Choice
from bqdump.core.sizes import counted
from bqdump.pool.turn import Turn, takes_turn
from bqdump.repository.exports import AT_ONCE
from bqdump.repository.published import refuse_pruned
from bqdump.repository.repository import create, value_of
from bqdump.restoration.changes import Compared, compare_values, with_changes
from bqdump.restoration.finish import Followed, create_dataset, follow_tables, overtake_rivals, sweep_scratch
from bqdump.restoration.jobs import taken_over
from bqdump.restoration.ledger import read_ledger, restoration, store_report, without_changed
from bqdump.restoration.obtain import Proposal, propose, take_part
from bqdump.restoration.planning import SharedBill, later_rivals, plan_one, refuse_bill
from bqdump.restoration.sources import (
    Members,
    SetSource,
    all_or_none,
    choose,
    finish_runs,
    members_of,
    of_one_dataset,
    set_source,
)
from bqdump.restoration.task import RunningRestore, Task
from bqdump.restoration.uploads import announce_uploads, clear_uploads
from bqdump.restoration.work import all_ended, restore_tables

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class _Proposals(NamedTuple):
    """What an execution restores, and what is proposed for each of its datasets."""

    execution: SetExecution
    members: Members
    proposals: list[Proposal]


async def restore(task: Task, choice: Choice = EVERY) -> Restoration:
    """Do this task's part of a restore: of one dataset, or of the chosen ones of a set."""
    if task.request.finish_run:
        await finish_runs(task)
    source = await set_source(task)
    if source is None:
        return await restore_one(await of_one_dataset(task, choice))
    execution, members, proposals = await _obtain(source, choice)
    proposed = list(zip(members.tasks, proposals, strict=True))
    restores = await gathered(lambda item: take_part(*item), proposed, AT_ONCE)
    ended = await carry_out(restores, task.tell, apart=True)
    results = {task.dataset: result for task, result in zip(members.tasks, ended, strict=True)}
    whole = restored_together(task.request.options, execution.run, results, members.left)
    if whole.state != "running":
        tables, rows, failures = counted(len(whole.tables), "table"), counted(whole.rows, "row"), len(whole.failed)
        message, done = "restored %s: %s, %s%s", LogEvent.RESTORE_DONE.extra()
        failed = f"; {counted(failures, 'failure')}" if failures else ""
        log.info(message, counted(len(results), "dataset"), tables, rows, failed, extra=done)
    return whole


async def plan_restore(task: Task, choice: Choice = EVERY) -> Restoration:
    """What the same would do. Nothing is written."""
    source = await set_source(task)
    if source is None:
        return await plan_one(await of_one_dataset(task, choice))
    execution = await choose(source, choice)
    members = await members_of(task, execution, choice)
    plans = await all_or_none(members.tasks, plan_one)
    results = {task.dataset: result for task, result in zip(members.tasks, plans, strict=True)}
    return restored_together(task.request.options, execution.run, results, members.left)


async def _obtain(source: SetSource, choice: Choice) -> _Proposals:
    """What this execution restores, which is recorded for its other tasks once none of it is refused."""
    task = source.task
    document = Restores(task.layout).set_execution(task.owner.execution)
    stored = await value_of(task.state, document)
    chosen = await _proposed(task, choice, stored or await choose(source, choice))
    if stored:
        return chosen
    created = (await create(task.state, document, chosen.execution)).value
    return chosen if created == chosen.execution else await _proposed(task, choice, created)


async def _proposed(task: Task, choice: Choice, execution: SetExecution) -> _Proposals:
    members = await members_of(task, execution, choice)
    return _Proposals(execution, members, await all_or_none(members.tasks, propose))


async def restore_one(task: Task) -> Restoration:
    """Do this task's part of the restore of one dataset. Raises like propose and carry_out_one."""
    return await carry_out_one(await take_part(task, await propose(task)))


async def carry_out_one(restore: RunningRestore) -> Restoration:
    """Do this task's part of a restore that is decided. Raises NotFoundError if its run is pruned meanwhile."""
    (result,) = await _unless_pruned(restore, carry_out([restore], restore.task.tell))
    return result


async def carry_out(restores: Sequence[RunningRestore], tell: Listener, *, apart: bool = False) -> list[Restoration]:
    """Do this task's part of restores that are decided, and what follows the tables once all of them have ended.

    They are of one dataset, or of several, side by side. Returns their results in this order.

    tell: hears that the tables are done.
    apart: what fails for one dataset is in its result, and holds back no other.
    """

    def guarded(restore: RunningRestore, work: Awaitable[Answer]) -> Awaitable[Answer | Restoration]:
        return _apart(restore, work) if apart else work

    await refuse_bill(restores)
    started = await gathered(lambda restore: guarded(restore, _start(restore)), restores, AT_ONCE)
    results = {restore.id: result for restore, result in zip(restores, started, strict=True) if result}
    open_ = [restore for restore in restores if restore.id not in results]
    followed: dict[str, Followed] = {}
    first, bill = restores[0], SharedBill(restores[0].task.request.spent)
    if open_:
        ledgers = await restore_tables([bill.of(restore) for restore in open_])
        # Of several tasks that see all tables done, one is enough for what follows.
        if all_ended(open_, ledgers) and await takes_turn(Turn(first.state, first.layout.finisher, first.owner)):
            tell(Entered("finishing"))
            followed = {ended.restore.id: ended for ended in await follow_tables(open_, ledgers, bill)}
        else:
            log.info("done; another task restores tables, or what follows them", extra=LogEvent.TASK_DONE.extra())
            results |= {restore.id: restoration(restore, ledgers[restore.id], [], running=True) for restore in open_}

    async def conclude(restore: RunningRestore) -> Restoration:
        billed, done = bill.of(restore), results.get(restore.id)
        if done and done.state != "restored":
            return done
        work = _compared(billed, done) if done else _end(followed[restore.id]._replace(restore=billed))
        result = await guarded(restore, work)
        return replace(result, bytes_billed=result.bytes_billed + bill.by_restore[restore.id])

    # Where files are read, one after another, as each restore reads with all of this machine.
    return await gathered(conclude, restores, 1 if first.task.request.reading else AT_ONCE)


async def _apart(restore: RunningRestore, work: Awaitable[Answer]) -> Answer | Restoration:
    """The answer; where an error concerns this dataset only, a result that names it."""
    with about(restore.task.dataset):
        try:
            return await _unless_pruned(restore, work)
        except ENDS_THE_TASK:
            raise
        except BqdumpError as error:
            failed = LogEvent.DATASET_NOT_RESTORED.extra(dataset=restore.task.dataset)
            log.error("the restore of the dataset is incomplete: %s", error, extra=failed)  # noqa: TRY400 (it has a name)
            so_far = restoration(restore, await read_ledger(restore.state, restore.layout), [])
            failure = dataset_failure(restore.target.name, error)
            return replace(so_far, state="incomplete", failed=(*so_far.failed, failure))


async def _unless_pruned(restore: RunningRestore, work: Awaitable[Answer]) -> Answer:
    """The result. Raises NotFoundError if something failed because the run is being pruned."""
    try:
        answer = await work
    except BqdumpError as error:
        if not error.retryable:
            await _refuse_pruned(restore)
        raise
    results = answer if isinstance(answer, list) else [answer]
    if any(isinstance(result, Restoration) and result.failed for result in results):
        await _refuse_pruned(restore)
    return answer


async def _refuse_pruned(restore: RunningRestore) -> None:
    await refuse_pruned(restore.task.store, restore.task.settings, "restore", restore.manifest.run, was_read=True)


async def _start(restore: RunningRestore) -> Restoration | None:
    """Begin a restore: report it, and create the dataset.

    Returns the result of one that was complete before, as far as the target still has it; else None.
    """
    if done := await value_of(restore.state, restore.layout.result):
        ledger = await read_ledger(restore.state, restore.layout)
        # Without receipts, a process of a restore with this id that was ended has written the result.
        if not ledger.missing(len(restore.plan.tables)):
            return await with_changes(restore, done, ledger)
    totals = restore.plan.totals
    restore.task.tell(Restoring(restore.id, restore.manifest.run, totals.tables, totals.bytes))
    await announce_uploads(restore)
    await create_dataset(restore)
    await overtake_rivals(restore)
    return None


async def _end(followed: Followed) -> Restoration:
    """Clear up. The result, which is stored if nothing failed: then the restore is finished."""
    restore, ledger, unset, compared = followed
    if not ledger.missing(len(restore.plan.tables)):
        # Until every table is in place, another task may be about to copy from one of them.
        await sweep_scratch(restore, restore.mark)
    await clear_uploads(restore, ledger)
    result = restoration(restore, ledger, unset)
    if restore.resumed:
        result = await with_changes(restore, result, ledger)
    result = await _overtaken(restore, await _compared(restore, result, compared))
    if result.state == "restored":
        result = (await create(restore.state, restore.layout.result, result)).value
    await store_report(restore, result)
    log.info(
        "restored %s, %s, into %s.%s%s",
        with_objects(len(result.tables), len(result.objects)),
        counted(result.rows, "row"),
        result.project,
        result.dataset,
        f"; {counted(len(result.failed), 'failure')}" if result.failed else "",
        extra=LogEvent.RESTORE_DONE.extra(restore=restore.id),
    )
    return result


async def _overtaken(restore: RunningRestore, result: Restoration) -> Restoration:
    """The result, where tables that a later restore writes to as well are not named as restored."""
    later = await later_rivals(restore)
    taken = [taken_over(table.table, later[table.table]) for table in result.tables if table.table in later]
    for error in taken:
        log.error("%s", error, extra=LogEvent.TABLE_NOT_RESTORED.extra(table=error.table))
    return without_changed(result, [NotCreated(error.table, TABLE, error.reason, error.cause) for error in taken])


async def _compared(restore: RunningRestore, result: Restoration, before: Compared | None = None) -> Restoration:
    """The result, with what a comparison of values has found, if that was requested. before: found already."""
    reading = restore.task.request.reading
    if reading is None:
        return result
    compared = before or await compare_values(restore, await read_ledger(restore.state, restore.layout), reading)
    for difference in compared.different:
        log.error(
            "%s: %s", difference.name, difference.message, extra=LogEvent.VALUES_DIFFER.extra(table=difference.name)
        )
    state = "incomplete" if compared.different else result.state
    failed = (*result.failed, *compared.different)
    return replace(result, state=state, failed=failed, verified=compared.tables)
