"""What follows the tables: views, routines, indexes, row policies, in rounds until a round creates nothing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.definitions import NOTHING
from bqdump.core.documents.notes import Restored, RestoreFailure
from bqdump.core.errors import BqdumpError, DeniedError, JobFailedError, JobsDeniedError, NotFoundError
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.restore.objects import same_query
from bqdump.core.restore.plan import ACCESS, INDEX, POLICY, ROUTINE, ObjectStep
from bqdump.export.watch import Watch
from bqdump.pool.pool import refusal
from bqdump.repository.repository import create, replace
from bqdump.restoration.jobs import Jobs, name_taken
from bqdump.restoration.ledger import Ledger
from bqdump.restoration.task import RunningRestore
from bqdump.restoration.work import watching

log = logging.getLogger(__name__)

AT_ONCE = 16
# Errors about one object, or a property of one; others, such as an outage, end the task.
FAILS_ALONE = (JobFailedError, NotFoundError, DeniedError)


class Open(NamedTuple):
    """An object that is not restored yet: its number in the plan, and the next attempt."""

    restore: RunningRestore
    number: int
    step: ObjectStep
    attempt: int


async def restore_objects(
    restores: Sequence[RunningRestore], ledgers: Mapping[str, Ledger], before_policies: Callable[[], Awaitable[None]]
) -> None:
    """Create the objects of all these restores in rounds: one that refers to another succeeds once that one exists.

    Policies come last: after them, an account reads only the rows that they grant it.
    """
    objects, policies = list[Open](), list[Open]()
    for restore in restores:
        ledger = ledgers[restore.id]
        objects += open_steps(restore, ledger, lambda step: step.kind not in (POLICY, ACCESS))
        policies += [
            work for work in open_steps(restore, ledger, lambda step: step.kind == POLICY) if _has_table(work, ledger)
        ]
    await _in_rounds(restores, objects)
    await before_policies()
    await _in_rounds(restores, policies)


def _has_table(policy: Open, ledger: Ledger) -> bool:
    """Whether the table of a policy is in place: putting it there later would remove the policy."""
    names = [step.name for step in policy.restore.plan.tables]
    return policy.step.table not in names or names.index(policy.step.table) in ledger.receipts


def open_steps(restore: RunningRestore, ledger: Ledger, wanted: Callable[[ObjectStep], bool]) -> list[Open]:
    """The wanted objects of a plan that are not restored yet."""
    return [
        Open(restore, number, step, ledger.next_attempt(number))
        for number, step in enumerate(restore.plan.others, len(restore.plan.tables))
        if number not in ledger.receipts and wanted(step)
    ]


async def _in_rounds(restores: Sequence[RunningRestore], left: Sequence[Open]) -> None:
    failed: list[tuple[Open, BqdumpError]] = []
    async with watching(restores) as watches:

        async def attempt(work: Open) -> BqdumpError | None:
            try:
                with about(work.restore.task.dataset):
                    await _restore(watches[work.restore.target.location], *work)
            except JobsDeniedError:
                raise
            except FAILS_ALONE as error:
                return error
            return None

        while left:
            errors = await gathered(attempt, left, AT_ONCE)
            failed = [(work, error) for work, error in zip(left, errors, strict=True) if error]
            if len(failed) == len(left):
                break
            left = [work for work, _ in failed]
    for work, error in failed:
        with about(work.restore.task.dataset):
            await record_failure(*work, error)


async def _restore(watch: Watch, restore: RunningRestore, number: int, step: ObjectStep, attempt: int) -> None:
    how = HOW.get(step.kind, _relation)
    if step.kind == INDEX:
        jobs = Jobs(restore, watch, number, step.name, attempt)
        await jobs.statement("index", 0, step.table, msgspec.json.decode(step.definition, type=str))
    else:
        await how(restore, step)
    table = step.table if step.kind == POLICY else ""
    receipt = Restored(number, step.name, step.kind, attempt, restore.owner.task, table=table)
    if (await create(restore.state, restore.layout.receipt(number), receipt)).mine:
        log.info("%s: restored", step.name, extra=LogEvent.OBJECT_RESTORED.extra(table=step.name))


async def _relation(restore: RunningRestore, step: ObjectStep) -> None:
    """Create or replace a view, materialized view or external table."""
    destination, target = restore.destination, restore.target
    if step.action == "replace" and step.kind != "MATERIALIZED_VIEW":
        await destination.replace_definition(target, step.name, step.definition)
    else:
        if step.action == "replace":
            # Its query cannot be changed.
            await destination.drop_table(target, step.name)
        created = await destination.create_table(target, step.name, step.definition)
        if not created and not await _is_the_same(restore, step):
            raise name_taken(step.name, restore.id)
    if step.finish != NOTHING:
        await destination.change_table(target, step.name, step.finish)


async def _is_the_same(restore: RunningRestore, step: ObjectStep) -> bool:
    """Whether what has this name is what an earlier start of this restore has created."""
    table = await restore.destination.table(restore.target, step.name)
    if table is None or table.kind != step.kind:
        return False
    return same_query(table.definition, step.definition)


async def _routine(restore: RunningRestore, step: ObjectStep) -> None:
    # A name that is taken was free when the restore was planned, so an earlier start has created the routine.
    again = step.action == "replace"
    await restore.destination.create_routine(restore.target, step.name, step.definition, replace=again)


async def _policy(restore: RunningRestore, step: ObjectStep) -> None:
    # One that exists was created by an earlier start.
    await restore.destination.create_row_policy(restore.target, step.table, step.name, step.definition)


HOW: dict[str, Callable[[RunningRestore, ObjectStep], Awaitable[None]]] = {ROUTINE: _routine, POLICY: _policy}


async def record_failure(
    restore: RunningRestore, number: int, step: ObjectStep, attempt: int, error: BqdumpError
) -> None:
    """Store, and log, why an object is not restored."""
    failure = RestoreFailure(number, step.name, step.kind, attempt, *refusal(error), restore.owner)
    message = "%s: not restored: %s"
    log.error(message, step.name, error.cause, extra=LogEvent.OBJECT_NOT_RESTORED.extra(table=step.name))
    await replace(restore.state, restore.layout.failure(number, attempt, restore.owner.execution), failure, 0)
