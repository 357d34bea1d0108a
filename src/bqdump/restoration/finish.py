"""Around the rows: the dataset, which is created first, and what follows the tables once all of them have ended.

In this order: foreign keys, objects, expirations and defaults, and the access entries of the exported dataset last of
all, as incomplete data is granted to no one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.definitions import NOTHING
from bqdump.core.documents.notes import Restored
from bqdump.core.errors import ConflictError, DeniedError, JobFailedError, NotFoundError
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.restore.access import merged
from bqdump.core.restore.names import scratch_prefix
from bqdump.core.restore.plan import ACCESS, POLICY, NotRestored, ObjectStep, TableStep
from bqdump.core.sizes import counted
from bqdump.repository.repository import create
from bqdump.restoration.changes import Compared, compare_values
from bqdump.restoration.jobs import take_loads
from bqdump.restoration.ledger import Ledger, read_ledger, read_ledgers
from bqdump.restoration.objects import FAILS_ALONE, Open, open_steps, record_failure, restore_objects
from bqdump.restoration.planning import SharedBill, refuse_writing
from bqdump.restoration.survey import find_rivals, is_after
from bqdump.restoration.task import RunningRestore

log = logging.getLogger(__name__)

AT_ONCE = 16


async def overtake_rivals(restore: RunningRestore) -> None:
    """Let no restore that this one overtakes write to a table. Raises UsageError if one of them is at work."""
    rivals = await find_rivals(restore.task, restore.decision, restore.manifest, restore.known)
    before = [rival for rival in rivals if not is_after(rival.decision, restore.decision)]
    if not before:
        return
    await sweep_scratch(restore, *(rival.decision.mark for rival in before))
    taken = set[str]()
    for rival in before:
        taken |= await take_loads(
            restore.destination, restore.target, rival.decision.mark, rival.tables, restore.labels
        )
    # A copy job that has begun needs no scratch table any more, and a load job none.
    await refuse_writing(restore.task, before, taken)


async def sweep_scratch(restore: RunningRestore, *marks: str) -> None:
    """Drop the scratch tables that tasks of the restores with these marks have left in the target."""
    prefixes = tuple(scratch_prefix(mark) for mark in marks)
    for table in await restore.destination.present(restore.target):
        if table.name.startswith(prefixes):
            await restore.destination.drop_table(restore.target, table.name)


async def create_dataset(restore: RunningRestore) -> None:
    """Create the target dataset, unless an earlier start or another task has."""
    target, definition = restore.target, restore.plan.create_dataset
    if definition == NOTHING or not await restore.destination.create_dataset(target.project, target.name, definition):
        return
    created = LogEvent.DATASET_CREATED.extra()
    log.info("created dataset %s.%s in %s", target.project, target.name, target.location, extra=created)


class Followed(NamedTuple):
    """A restore whose tables everything has followed.

    unset: properties that could not be set, as of this ledger.
    compared: the values, where row access policies hide rows afterwards.
    """

    restore: RunningRestore
    ledger: Ledger
    unset: list[NotRestored]
    compared: Compared | None = None


async def follow_tables(
    restores: Sequence[RunningRestore], ledgers: Mapping[str, Ledger], bill: SharedBill
) -> list[Followed]:
    """Everything after the rows, in several datasets at once, as views of one may name tables and views of another.

    Another execution may restore a table meanwhile that has failed in this one: then all of it follows once more.
    """
    while True:
        followed = await _follow_once(restores, ledgers, bill)
        before, ledgers = ledgers, await read_ledgers(restores)
        late = [
            number
            for restore in restores
            for number in before[restore.id].missing(len(restore.plan.tables))
            if number in ledgers[restore.id].receipts
        ]
        if not late:
            return [each._replace(ledger=ledgers[each.restore.id]) for each in followed]


async def _follow_once(
    restores: Sequence[RunningRestore], ledgers: Mapping[str, Ledger], bill: SharedBill
) -> list[Followed]:
    """In this order, for the tables that are restored."""
    unset, compared = dict[str, list[NotRestored]](), dict[str, Compared]()

    async def before_policies() -> None:
        for restore in restores:
            if (reading := restore.task.request.reading) and restore.plan.policies:
                with about(restore.task.dataset):
                    compared[restore.id] = await compare_values(bill.of(restore), ledgers[restore.id], reading)

    for restore in restores:
        with about(restore.task.dataset):
            unset[restore.id] = await _relate_tables(restore, ledgers[restore.id])
    await restore_objects(restores, ledgers, before_policies)
    for restore in restores:
        with about(restore.task.dataset):
            unset[restore.id] += await _finish(restore, ledgers[restore.id])
    return [Followed(restore, ledgers[restore.id], unset[restore.id], compared.get(restore.id)) for restore in restores]


async def _finish(restore: RunningRestore, ledger: Ledger) -> list[NotRestored]:
    unset = await _set_expirations(restore, ledger)
    # The next start creates what is missing, which the dataset's defaults might let expire.
    if not ledger.missing(len(restore.plan.tables)):
        unset += await _finish_dataset(restore)
    return unset + await _grant_access(restore)


async def _relate_tables(restore: RunningRestore, ledger: Ledger) -> list[NotRestored]:
    """Set foreign keys; returns those that cannot be set."""
    return await _of_each(_relate(restore, step) for step in _restored(restore, ledger) if step.relate != NOTHING)


async def _set_expirations(restore: RunningRestore, ledger: Ledger) -> list[NotRestored]:
    """Set expirations that delete nothing of what was restored; returns the others."""
    return await _of_each(_expire(restore, step) for step in _restored(restore, ledger) if step.expire != NOTHING)


async def _finish_dataset(restore: RunningRestore) -> list[NotRestored]:
    """Set the dataset's defaults, which concern later tables only; returns what cannot be set."""
    if restore.plan.finish_dataset == NOTHING:
        return []
    request = restore.destination.change_dataset(restore.target, restore.plan.finish_dataset)
    return await _of_each([_try(request, restore.target.name, "DATASET", "default expirations")])


def _restored(restore: RunningRestore, ledger: Ledger) -> list[TableStep]:
    return [step for number, step in enumerate(restore.plan.tables) if number in ledger.receipts]


async def _relate(restore: RunningRestore, step: TableStep) -> NotRestored | None:
    name = step.name
    request = restore.destination.change_table(restore.target, name, step.relate)
    return await _try(request, name, "FOREIGN_KEY", "foreign keys")


async def _expire(restore: RunningRestore, step: TableStep) -> NotRestored | None:
    name, target = step.name, restore.target
    if step.expired_rows:
        if any(policy.table == name for policy in restore.plan.policies):
            return _named(name, "EXPIRATION", "not set, as row access policies may hide rows that it would delete")
        try:
            (rows,) = await restore.destination.ask(
                target, name, step.expired_rows, restore.task.settings.max_bytes_billed
            )
        except FAILS_ALONE as error:
            return _named(name, "EXPIRATION", f"not set, as its effect is unknown: {error.cause}")
        if rows:
            return _named(name, "EXPIRATION", f"not set, as it would delete {counted(rows, 'row')} at once")
    return await _try(restore.destination.change_table(target, name, step.expire), name, "EXPIRATION", "expiration")


async def _try(request: Awaitable[None], name: str, kind: str, what: str) -> NotRestored | None:
    try:
        await request
    except FAILS_ALONE as error:
        return _named(name, kind, f"its {what} could not be set: {error.cause}")
    return None


def _named(name: str, kind: str, reason: str) -> NotRestored:
    log.warning("%s: %s", name, reason, extra=LogEvent.PROPERTY_NOT_RESTORED.extra(table=name))
    return NotRestored(name, kind, reason)


async def _of_each(work: Iterable[Awaitable[NotRestored | None]]) -> list[NotRestored]:
    return [outcome for outcome in await gathered(lambda request: request, work, AT_ONCE) if outcome]


# BigQuery refuses all entries of a request for one of them, such as an account that does not exist.
REFUSED = (JobFailedError, NotFoundError, ConflictError)
HELD_BACK = "not granted before every table and row access policy is restored"


async def _grant_access(restore: RunningRestore) -> list[NotRestored]:
    """Add the requested entries to those of the dataset; returns those that are held back.

    An entry that BigQuery refuses is recorded as a failure; the others are granted.
    """
    if not restore.plan.access:
        return []
    ledger = await read_ledger(restore.state, restore.layout)
    left = open_steps(restore, ledger, lambda step: step.kind == ACCESS)
    policies = open_steps(restore, ledger, lambda step: step.kind == POLICY)
    if policies or ledger.missing(len(restore.plan.tables)):
        return [_held_back(entry.step) for entry in left]
    await _grant(restore, left)
    return []


def _held_back(step: ObjectStep) -> NotRestored:
    log.warning("%s: %s", step.name, HELD_BACK, extra=LogEvent.PROPERTY_NOT_RESTORED.extra(table=step.name))
    return NotRestored(step.name, ACCESS, HELD_BACK)


async def _grant(restore: RunningRestore, entries: list[Open]) -> None:
    """Grant all at once; where that is refused, each half by itself, down to the entries that are refused."""
    if not entries:
        return
    try:
        await _merge(restore, [msgspec.json.decode(entry.step.definition) for entry in entries])
    except (DeniedError, *REFUSED) as error:
        if len(entries) == 1 or isinstance(error, DeniedError):
            for entry in entries:
                await record_failure(*entry, error)
            return
        middle = len(entries) // 2
        await _grant(restore, entries[:middle])
        await _grant(restore, entries[middle:])
    else:
        for _, number, step, attempt in entries:
            receipt = Restored(number, step.name, step.kind, attempt, restore.owner.task)
            if (await create(restore.state, restore.layout.receipt(number), receipt)).mine:
                log.info("%s: granted", step.name, extra=LogEvent.OBJECT_RESTORED.extra(table=step.name))


async def _merge(restore: RunningRestore, entries: list[dict[str, object]]) -> None:
    """Add entries to those that the dataset has then.

    Raises ConflictError if it is not a change of the dataset for which BigQuery refuses them.
    """
    target, tried = restore.target, ""
    subject = f"the access entries of dataset {target.project}.{target.name}"
    while True:
        resource = await restore.destination.find_dataset(target.project, target.name)
        if resource is None:
            raise NotFoundError("change", subject, "the dataset does not exist")
        properties = msgspec.json.decode(resource)
        if "access" not in properties:
            # A patch replaces all of them.
            raise DeniedError("read", subject, "missing permission bigquery.datasets.getIamPolicy")
        access = merged(properties["access"], entries)
        if access is None:
            return
        try:
            encoded = msgspec.Raw(msgspec.json.encode(access))
            await restore.destination.change_access(target, encoded, properties["etag"])
        except ConflictError:
            if properties["etag"] == tried:
                raise
            tried = properties["etag"]
        else:
            return
