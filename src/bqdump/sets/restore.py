"""Restoring a set: each dataset is an ordinary restore, and what may refer to another one follows the rows of all.

Everything that can be refused is refused for all datasets before anything is written. What fails later fails for its
dataset, and does not hold back the others.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.documents.restore import SetExecution
from bqdump.core.errors import OF_THE_TASK, BqdumpError
from bqdump.core.progress.events import Entered
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.progress.subject import about
from bqdump.core.restore.bill import Bill
from bqdump.core.restore.result import NotCreated, Restoration
from bqdump.core.sets.restoring import EVERY, Choice
from bqdump.core.sizes import counted
from bqdump.core.wording import COMMANDS, fill
from bqdump.repository.exports import AT_ONCE
from bqdump.repository.repository import create, value_of
from bqdump.restoration.bill import planned_bill, refuse_bill
from bqdump.restoration.draft import draft
from bqdump.restoration.ledger import read_ledger
from bqdump.restoration.outcome import planned, restoration
from bqdump.restoration.planning import Proposal, propose, take_part
from bqdump.restoration.run import Followed, begin, compared, end, finished, finishes, follow_tables, run, unless_pruned
from bqdump.restoration.task import RunningRestore, Task
from bqdump.restoration.work import restore_tables
from bqdump.sets.exports import Members, SetAt, choose, members_of, of_one_dataset, sets_at
from bqdump.sets.finish_runs import finish_runs
from bqdump.sets.refusals import all_or_none
from bqdump.sets.restored import DATASET, joined

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class _Chosen(NamedTuple):
    """What an execution restores, and what is proposed for each of its datasets."""

    execution: SetExecution
    members: Members
    proposals: list[Proposal]


async def restore(tasks: Sequence[Task], choice: Choice = EVERY) -> Restoration:
    """Do this task's part of a restore: of one dataset, or of the chosen ones of a set.

    tasks: one for each place where the export may be: a set has one for each location.
    """
    if tasks[0].request.finish_run:
        await finish_runs(tasks)
    sets = await sets_at(tasks)
    if not sets:
        return await run(await of_one_dataset(tasks, choice))
    chosen = await _obtain(sets, choice)
    proposed = list(zip(chosen.members.tasks, chosen.proposals, strict=True))
    restores = await gathered(lambda one: _begun(*one), proposed, AT_ONCE)
    results = await _carry_out(sets[0].task, restores)
    whole = joined(sets[0].task.request.options, chosen.execution.run, results, chosen.members.left)
    if whole.state != "running":
        tables, rows, failures = counted(len(whole.tables), "table"), counted(whole.rows, "row"), len(whole.failed)
        message, done = "restored %s: %s, %s%s", LogEvent.RESTORE_DONE.extra()
        failed = f"; {counted(failures, 'failure')}" if failures else ""
        log.info(message, counted(len(results), "dataset"), tables, rows, failed, extra=done)
    return whole


async def plan_restore(tasks: Sequence[Task], choice: Choice = EVERY) -> Restoration:
    """What the same would do. Nothing is written."""
    sets = await sets_at(tasks)
    if not sets:
        return (await plan_one(await of_one_dataset(tasks, choice))).shown
    execution = await choose(sets, choice)
    members = await members_of(sets, execution, choice)
    plans = await all_or_none(members.tasks, plan_one)
    results = {task.dataset: one.shown for task, one in zip(members.tasks, plans, strict=True)}
    return joined(sets[0].task.request.options, execution.run, results, members.left)


class Planned(NamedTuple):
    """What the restore of one dataset would do, and what its queries would bill."""

    shown: Restoration
    bill: Bill


async def plan_one(task: Task) -> Planned:
    """Plan the restore of one dataset. Nothing is written."""
    drafted = await draft(task)
    manifest = drafted.found.manifest
    bill = await planned_bill(task, manifest, drafted.plan)
    return Planned(planned(drafted.plan, manifest, bill), bill)


async def _obtain(sets: Sequence[SetAt], choice: Choice) -> _Chosen:
    """What this execution restores, which is recorded for its other tasks once none of it is refused."""
    task = sets[0].task
    document = task.layout.set_execution(task.owner.execution)
    stored = await value_of(task.state, document)
    chosen = await _proposed(sets, choice, stored or await choose(sets, choice))
    if stored:
        return chosen
    created = (await create(task.state, document, chosen.execution)).value
    return chosen if created == chosen.execution else await _proposed(sets, choice, created)


async def _proposed(sets: Sequence[SetAt], choice: Choice, execution: SetExecution) -> _Chosen:
    members = await members_of(sets, execution, choice)
    return _Chosen(execution, members, await all_or_none(members.tasks, propose))


async def _begun(task: Task, proposal: Proposal) -> RunningRestore:
    with about(task.dataset):
        return await take_part(task, proposal)


async def _carry_out(task: Task, restores: Sequence[RunningRestore]) -> dict[str, Restoration]:
    """Do this task's part of every restore. task: of the set. The results by dataset, in their order."""
    await refuse_bill(restores)
    started = await gathered(lambda one: _guarded(one, _start(one)), restores, AT_ONCE)
    results = {one.id: result for one, result in zip(restores, started, strict=True) if result}
    open_ = [one for one in restores if one.id not in results]
    followed: dict[str, Followed] = {}
    if open_:
        ledgers = await restore_tables(open_)
        if await finishes(restores[0]):
            task.tell(Entered("finishing"))
            followed = {one.restore.id: one for one in await follow_tables(open_, ledgers)}
        else:
            log.info("done; another task restores what follows the tables", extra=LogEvent.TASK_DONE.extra())
            results |= {one.id: restoration(one, ledgers[one.id], [], running=True) for one in open_}
    bills = _Bill()

    async def conclude(restore: RunningRestore) -> Restoration:
        billing, done = bills.of(restore), results.get(restore.id)
        if done and done.state != "restored":
            return done
        work = compared(billing, done) if done else end(followed[restore.id]._replace(restore=billing))
        return await _guarded(restore, unless_pruned(restore, work))

    if task.request.reading:
        # One after another, as each reads files with all of this machine.
        return {restore.task.dataset: await conclude(restore) for restore in restores}
    concluded = await gathered(conclude, restores, AT_ONCE)
    return {restore.task.dataset: result for restore, result in zip(restores, concluded, strict=True)}


async def _start(restore: RunningRestore) -> Restoration | None:
    """The result of a restore that is complete already; else it is begun."""
    if done := await finished(restore):
        return done
    await begin(restore)
    return None


async def _guarded(restore: RunningRestore, work: Awaitable[Answer]) -> Answer | Restoration:
    """The answer, or, where an error concerns this dataset only, a result that names it."""
    with about(restore.task.dataset):
        try:
            return await work
        except OF_THE_TASK:
            raise
        except BqdumpError as error:
            failed = LogEvent.DATASET_NOT_RESTORED.extra(dataset=restore.task.dataset)
            message = "the restore of the dataset is incomplete: %s"
            log.error(message, error, extra=failed)  # noqa: TRY400 (an error with a name)
            so_far = restoration(restore, await read_ledger(restore.state, restore.layout), [])
            reason = type(error).__name__.removesuffix("Error")
            named = NotCreated(restore.target.name, DATASET, reason, fill(error.cause, COMMANDS))
            return replace(so_far, state="incomplete", failed=(*so_far.failed, named))


class _Bill:
    """What the comparisons of all datasets have billed, which together is limited."""

    def __init__(self) -> None:
        self._spent = 0

    def of(self, restore: RunningRestore) -> RunningRestore:
        """A restore that adds to it."""
        report = restore.task.request.on_bill

        def bill(bytes_billed: int) -> None:
            self._spent += bytes_billed
            report(bytes_billed)

        request = restore.task.request._replace(on_bill=bill, spent=self._spent)
        return restore._replace(task=restore.task._replace(request=request))
