"""One task of a restore, from the manifest to the restored dataset."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.errors import ENDS_THE_TASK, BqdumpError
from bqdump.core.progress.events import Entered, Listener, Restoring
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.restore.plan import NotRestored
from bqdump.core.restore.result import DATASET, NotCreated, Restoration, with_objects
from bqdump.core.sizes import counted
from bqdump.core.wording import COMMANDS, fill
from bqdump.repository.exports import AT_ONCE
from bqdump.repository.published import refuse_pruned
from bqdump.repository.repository import create, value_of
from bqdump.repository.turns import Turn, takes_turn
from bqdump.restoration.changes import Compared, compare_values, with_changes
from bqdump.restoration.finish import create_dataset, finish_dataset, grant_access, relate_tables, set_expirations
from bqdump.restoration.ledger import Ledger, read_ledger, read_ledgers, restoration, store_report
from bqdump.restoration.objects import restore_objects
from bqdump.restoration.obtain import obtain_restore
from bqdump.restoration.planning import refuse_bill
from bqdump.restoration.tables import sweep_scratch
from bqdump.restoration.task import RunningRestore, Task
from bqdump.restoration.uploads import announce_uploads, clear_uploads
from bqdump.restoration.work import restore_tables

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


async def run(task: Task) -> Restoration:
    """Do this task's part of a restore, and what follows the tables once all of them are restored or have failed."""
    return await carry_out_alone(await obtain_restore(task))


async def carry_out_alone(restore: RunningRestore) -> Restoration:
    """Do this task's part of a restore that is decided. Raises NotFoundError if its run is pruned meanwhile."""
    (result,) = await _unless_pruned(restore, carry_out([restore], restore.task.tell))
    return result


async def carry_out(restores: Sequence[RunningRestore], tell: Listener, *, apart: bool = False) -> list[Restoration]:
    """Do this task's part of restores that are decided: of one dataset, or of several, side by side. In their order.

    tell: hears that the tables are done. apart: what fails for one dataset is in its result, and holds back no other.
    """
    guarded = _apart if apart else _unguarded
    await refuse_bill(restores)
    started = await gathered(lambda restore: guarded(restore, _start(restore)), restores, AT_ONCE)
    results = {restore.id: result for restore, result in zip(restores, started, strict=True) if result}
    open_ = [restore for restore in restores if restore.id not in results]
    followed: dict[str, _Followed] = {}
    bills = _Bill(restores[0].task.request.spent)
    if open_:
        ledgers = await restore_tables([bills.of(restore) for restore in open_])
        if await _finishes(restores[0]):
            tell(Entered("finishing"))
            followed = {restore.restore.id: restore for restore in await _follow_tables(open_, ledgers, bills)}
        else:
            log.info("done; another task restores what follows the tables", extra=LogEvent.TASK_DONE.extra())
            results |= {restore.id: restoration(restore, ledgers[restore.id], [], running=True) for restore in open_}

    async def conclude(restore: RunningRestore) -> Restoration:
        billing, done = bills.of(restore), results.get(restore.id)
        if done and done.state != "restored":
            return done
        work = _compared(billing, done) if done else _end(followed[restore.id]._replace(restore=billing))
        result = await guarded(restore, work)
        return msgspec.structs.replace(result, bytes_billed=result.bytes_billed + bills.by_restore[restore.id])

    # Where files are read, one after another, as each restore reads with all of this machine.
    return await gathered(conclude, restores, 1 if restores[0].task.request.reading else AT_ONCE)


async def _start(restore: RunningRestore) -> Restoration | None:
    """The result of a restore that is complete already; else it is begun."""
    if done := await _finished(restore):
        return done
    await _begin(restore)
    return None


async def _unguarded(_: RunningRestore, work: Awaitable[Answer]) -> Answer:
    return await work


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
            reason = type(error).__name__.removesuffix("Error")
            named = NotCreated(restore.target.name, DATASET, reason, fill(error.cause, COMMANDS))
            return msgspec.structs.replace(so_far, state="incomplete", failed=(*so_far.failed, named))


class _Bill:
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
    task, manifest = restore.task, restore.manifest
    await refuse_pruned(task.store, task.settings, "restore", manifest.run, manifest)


async def _finishes(restore: RunningRestore) -> bool:
    """Whether what follows the tables is this task's: of several that see all tables done, one is enough."""
    return await takes_turn(Turn(restore.state, restore.layout.finisher, restore.owner))


async def _finished(restore: RunningRestore) -> Restoration | None:
    """The result of a restore that was complete before, as far as the target still has it; None if it was not."""
    done = await value_of(restore.state, restore.layout.result)
    return await with_changes(restore, done, await read_ledger(restore.state, restore.layout)) if done else None


async def _begin(restore: RunningRestore) -> None:
    """Report what is restored, and create the dataset."""
    totals = restore.plan.totals
    restore.task.tell(Restoring(restore.id, restore.manifest.run, totals.tables, totals.bytes))
    await announce_uploads(restore)
    await create_dataset(restore)


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
    return msgspec.structs.replace(result, state=state, failed=failed, verified=compared.tables)


class _Followed(NamedTuple):
    """A restore whose tables everything has followed.

    unset: properties that could not be set, as of this ledger.
    compared: the values, where row access policies hide rows afterwards.
    """

    restore: RunningRestore
    ledger: Ledger
    unset: list[NotRestored]
    compared: Compared | None = None


async def _follow_tables(
    restores: Sequence[RunningRestore], ledgers: Mapping[str, Ledger], bills: _Bill
) -> list[_Followed]:
    """Everything after the rows, in several datasets at once, as views of one may name tables and views of another.

    Another execution may restore a table meanwhile that has failed in this one: then all of it follows once more.
    """
    while True:
        unset, compared = await _follow_once(restores, ledgers, bills)
        before, ledgers = ledgers, await read_ledgers(restores)
        if not any(_restored_since(before[restore.id], ledgers[restore.id], restore) for restore in restores):
            return [
                _Followed(restore, ledgers[restore.id], unset[restore.id], compared.get(restore.id))
                for restore in restores
            ]


def _restored_since(before: Ledger, now: Ledger, restore: RunningRestore) -> bool:
    return any(number in now.receipts for number in before.missing(len(restore.plan.tables)))


async def _follow_once(
    restores: Sequence[RunningRestore], ledgers: Mapping[str, Ledger], bills: _Bill
) -> tuple[dict[str, list[NotRestored]], dict[str, Compared]]:
    """In this order, for the tables that are restored.

    By restore, the properties that could not be set, and what was compared before row access policies hide rows.
    """
    unset, compared = dict[str, list[NotRestored]](), dict[str, Compared]()

    async def before_policies() -> None:
        for restore in restores:
            if (reading := restore.task.request.reading) and restore.plan.policies:
                with about(restore.task.dataset):
                    compared[restore.id] = await compare_values(bills.of(restore), ledgers[restore.id], reading)

    for restore in restores:
        with about(restore.task.dataset):
            unset[restore.id] = await relate_tables(restore, ledgers[restore.id])
    await restore_objects(restores, ledgers, before_policies)
    for restore in restores:
        with about(restore.task.dataset):
            unset[restore.id] += await _finish(restore, ledgers[restore.id])
    return unset, compared


async def _finish(restore: RunningRestore, ledger: Ledger) -> list[NotRestored]:
    expirations = await set_expirations(restore, ledger)
    if ledger.missing(len(restore.plan.tables)):
        # The next start creates the others, which the dataset's defaults might let expire.
        return [*expirations, *await grant_access(restore)]
    return [*expirations, *await finish_dataset(restore), *await grant_access(restore)]


async def _end(followed: _Followed) -> Restoration:
    """Clear up. The result, which is stored if nothing failed: then the restore is finished."""
    restore, ledger, unset, compared = followed
    if not ledger.missing(len(restore.plan.tables)):
        # Until every table is in place, another task may be about to copy from one of them.
        await sweep_scratch(restore)
    await clear_uploads(restore, ledger)
    result = restoration(restore, ledger, unset)
    if restore.resumed:
        result = await with_changes(restore, result, ledger)
    result = await _compared(restore, result, compared)
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
