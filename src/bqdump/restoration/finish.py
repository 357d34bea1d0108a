"""Around the rows: the dataset that is created first; foreign keys, expirations and defaults, which are set last."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable

from bqdump.concurrency import gathered
from bqdump.core.documents.definitions import NOTHING
from bqdump.core.errors import DeniedError, JobFailedError, NotFoundError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.plan import NotRestored, TableStep
from bqdump.core.sizes import counted
from bqdump.restoration.ledger import Ledger
from bqdump.restoration.task import RunningRestore

log = logging.getLogger(__name__)

AT_ONCE = 16
# Errors about a property of one table.
OF_A_TABLE = (JobFailedError, NotFoundError, DeniedError)


async def create_dataset(restore: RunningRestore) -> None:
    """Create the target dataset, unless an earlier start or another task has."""
    target, definition = restore.target, restore.plan.create_dataset
    if definition == NOTHING or not await restore.destination.create_dataset(target.project, target.name, definition):
        return
    created = LogEvent.DATASET_CREATED.extra()
    log.info("created dataset %s.%s in %s", target.project, target.name, target.location, extra=created)


async def relate_tables(restore: RunningRestore, ledger: Ledger) -> list[NotRestored]:
    """Set foreign keys; returns those that cannot be set."""
    return await _of_each(_relate(restore, step) for step in _restored(restore, ledger) if step.relate != NOTHING)


async def set_expirations(restore: RunningRestore, ledger: Ledger) -> list[NotRestored]:
    """Set expirations that delete nothing of what was restored; returns the others."""
    return await _of_each(_expire(restore, step) for step in _restored(restore, ledger) if step.expire != NOTHING)


async def finish_dataset(restore: RunningRestore) -> list[NotRestored]:
    """Set the dataset's defaults, which concern later tables only; returns what cannot be set."""
    if restore.plan.finish_dataset == NOTHING:
        return []
    target = restore.target
    return await _of_each(
        [
            _try(
                restore.destination.change_dataset(target, restore.plan.finish_dataset),
                target.name,
                "DATASET",
                "default expirations",
            )
        ]
    )


def _restored(restore: RunningRestore, ledger: Ledger) -> list[TableStep]:
    return [step for number, step in enumerate(restore.plan.tables) if number in ledger.receipts]


async def _relate(restore: RunningRestore, step: TableStep) -> NotRestored | None:
    name = step.name
    request = restore.destination.change_table(restore.target, name, step.relate)
    return await _try(request, name, "FOREIGN_KEY", "foreign keys")


async def _expire(restore: RunningRestore, step: TableStep) -> NotRestored | None:
    name, target = step.name, restore.target
    if step.expired_rows:
        try:
            (rows,) = await restore.destination.ask(target, name, step.expired_rows, _limit(restore))
        except OF_A_TABLE as error:
            return _named(name, "EXPIRATION", f"not set, as its effect is unknown: {error.cause}")
        if rows:
            return _named(name, "EXPIRATION", f"not set, as it would delete {counted(rows, 'row')} at once")
    return await _try(restore.destination.change_table(target, name, step.expire), name, "EXPIRATION", "expiration")


def _limit(restore: RunningRestore) -> int:
    return restore.task.settings.max_bytes_billed


async def _try(request: Awaitable[None], name: str, kind: str, what: str) -> NotRestored | None:
    try:
        await request
    except OF_A_TABLE as error:
        return _named(name, kind, f"its {what} could not be set: {error.cause}")
    return None


def _named(name: str, kind: str, reason: str) -> NotRestored:
    log.warning("%s: %s", name, reason, extra=LogEvent.PROPERTY_NOT_RESTORED.extra(table=name))
    return NotRestored(name, kind, reason)


async def _of_each(work: Iterable[Awaitable[NotRestored | None]]) -> list[NotRestored]:
    return [found for found in await gathered(lambda request: request, work, AT_ONCE) if found]
