"""One task of an export, from the settings to the published manifest."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Literal, NamedTuple

from bqdump.core.codec import decode, encode
from bqdump.core.documents import Failure, Owner, Plan
from bqdump.core.errors import ConflictError, DocumentError, NotFoundError, UnitsFailedError
from bqdump.core.events import Entered
from bqdump.core.manifest import Totals
from bqdump.core.moments import moment_text
from bqdump.core.parts import by_table, counts
from bqdump.flow.abandoned import clear_abandoned
from bqdump.flow.late import clear_late
from bqdump.flow.ledger import Ledger, give_up, read_ledger
from bqdump.flow.planning import obtain_plan
from bqdump.flow.publish import has_manifest, publish
from bqdump.flow.published import read_latest
from bqdump.flow.report import has_report, store_failed_report, store_report
from bqdump.flow.sessions import close_sessions
from bqdump.flow.task import Task
from bqdump.flow.work import work

log = logging.getLogger(__name__)


class Again(NamedTuple):
    """A run that was published before this task started.

    ended: when its last table was done, in milliseconds since 1970 UTC. same: this task's execution published it.
    """

    ended: int
    same: bool


class Outcome(NamedTuple):
    """How a task ended. `unfinished`: other tasks are still at work, the last of them will publish."""

    result: Literal["published", "superseded", "elsewhere", "unfinished"]
    plan: Plan
    totals: Totals | None
    failed: tuple[Failure, ...]
    again: Again | None = None


async def run(task: Task) -> Outcome:
    """Do this task's part of the run, and publish when everything is done.

    Raises UnitsFailedError when units have failed and a partial export is not allowed, and what the steps raise.
    """
    plan = await obtain_plan(task)
    task.tell(plan)
    if await has_report(task):
        again = await _again(task, plan)
        await clear_late(task, plan)
        return Outcome("published", plan, None, (), again)
    if await has_manifest(task):
        # What the run publishes is settled, and more work would change nothing.
        ledger = await read_ledger(task.store, task.layout, plan)
        outcome = await _publish(task, plan, ledger, ledger.failed())
        await clear_late(task, plan)
        return outcome
    ledger = await _work(task, plan)
    if not ledger.settled(plan, task.owner.execution):
        return _leave_to_others(task, plan, ledger)
    failed = ledger.failed(task.owner.execution)
    if failed and not task.settings.allow_partial:
        await store_failed_report(task, plan, ledger)
        raise _refusal(plan, failed)
    if failed:
        ledger = await give_up(task.store, task.layout, plan, failed)
    if not await close_sessions(task, plan.splits, ledger.receipts, ledger.given_up):
        return _leave_to_others(task, plan, ledger)
    return await _publish(task, plan, ledger, ledger.failed())


async def _work(task: Task, plan: Plan) -> Ledger:
    """Work until nothing is left for this task: once more where parts are open anew, as their session has ended."""
    while True:
        taken = await work(task, plan)
        ledger = await read_ledger(task.store, task.layout, plan)
        if not taken or not ledger.outdated:
            return ledger


async def _again(task: Task, plan: Plan) -> Again:
    """Report that the run was published before. A restarted task expects that; any other execution exports nothing."""
    from bqdump.core.contents import Summary

    ended, publisher = plan.began, None
    # What another release or a copied bucket left out here changes no more than the wording.
    with suppress(NotFoundError, DocumentError):
        publisher = decode((await task.store.read(task.layout.publisher)).data, Owner, task.layout.publisher)
        name = task.settings.layout.summary(plan.run)
        ended = decode((await task.store.read(name)).data, Summary, name).ended or ended
    again = Again(ended, publisher is not None and publisher.execution == task.owner.execution)
    if again.same:
        log.info("run %s is published already: nothing to do", plan.run)
    else:
        log.warning("nothing was exported: run %s was published already (exported at %s, as of %s); for a new export, "
                    "leave the run id out or use another one", plan.run, moment_text(ended), moment_text(plan.snapshot),
                    )  # fmt: skip
    return again


async def _publish(task: Task, plan: Plan, ledger: Ledger, failed: list[Failure]) -> Outcome:
    if not await _becomes_publisher(task):
        log.info("another task of this execution is publishing run %s", plan.run)
        return Outcome("elsewhere", plan, None, tuple(by_table(failed)))
    task.tell(Entered("publishing"))
    before, _ = await read_latest(task.store, task.settings)
    published = await publish(task, plan, ledger)
    if published.result == "published":
        await store_report(task, before, await clear_abandoned(task, plan))
    totals = published.manifest.totals if published.manifest else None
    return Outcome(published.result, plan, totals, tuple(by_table(failed)))


async def _becomes_publisher(task: Task) -> bool:
    """Whether publishing is this task's: of several that see the run done, one of each execution is enough.

    As with claims, a restarted task is the same owner, and another execution takes over. This saves work only:
    publishing is safe to be done by several tasks at once.
    """
    mine = encode(task.owner)
    try:
        await task.store.write(task.layout.publisher, mine, 0)
    except ConflictError:
        stored = await task.store.read(task.layout.publisher)
        owner = decode(stored.data, Owner, task.layout.publisher)
        if owner == task.owner:
            return True
        if owner.execution == task.owner.execution:
            return False
        with suppress(ConflictError):
            await task.store.write(task.layout.publisher, mine, stored.generation)
            return True
        return False
    return True


def _leave_to_others(task: Task, plan: Plan, ledger: Ledger) -> Outcome:
    mine = [failure for failure in ledger.failed(task.owner.execution) if failure.owner == task.owner]
    if mine and not task.settings.allow_partial:
        raise _refusal(plan, mine)
    tables = counts(plan.splits, ledger.receipts, ledger.failures, ())
    log.info("nothing left to do here; other tasks are still at work on %d tables",
             plan.tables - tables.done - tables.failed)  # fmt: skip
    return Outcome("unfinished", plan, None, tuple(by_table(mine)))


def _refusal(plan: Plan, failures: list[Failure]) -> UnitsFailedError:
    failed = by_table(failures)
    named = "; ".join(f"{failure.table}: {failure.reason}: {failure.message.rstrip('.')}" for failure in failed[:3])
    more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
    return UnitsFailedError(
        "publish", f"run {plan.run}", f"{len(failed)} of {plan.tables} tables failed, nothing was published "
        f"({named}{more})", f"Mend the cause, then: bqdump run --run-id {plan.run}",
    )  # fmt: skip
