"""What is refused about the datasets of a restore, before any of them is begun: all of it, in one error.

The bill of a restore, and the limit for it: checked before anything is created, and so before the first query.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bqdump.check.compare_with_source import LONGEST_DAYS
from bqdump.concurrency import gathered
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import (
    OF_THE_TASK,
    OUT_OF_REACH,
    BqdumpError,
    DeniedError,
    DocumentError,
    NotFoundError,
    UsageError,
    VerificationError,
)
from bqdump.core.progress.log_events import about
from bqdump.core.restore.bill import Bill, bill_of, together
from bqdump.core.restore.plan import RestorePlan
from bqdump.core.restore.request import RESTORE
from bqdump.core.sizes import counted, named, size_text
from bqdump.repository.exports import AT_ONCE
from bqdump.repository.repository import value_of
from bqdump.restoration.outcome import read_ledger
from bqdump.restoration.task import RunningRestore, Task

Answer = TypeVar("Answer")
NAMED = 3


async def all_or_none(tasks: Sequence[Task], ask: Callable[[Task], Awaitable[Answer]]) -> list[Answer]:
    """The answer about each dataset. Raises one error about all that are refused."""
    refused: dict[str, BqdumpError] = {}

    async def check(task: Task) -> Answer | None:
        with about(task.dataset):
            try:
                return await ask(task)
            except OF_THE_TASK:
                raise
            except BqdumpError as error:
                refused[task.dataset] = error
                return None

    answers = await gathered(check, tasks, AT_ONCE)
    if refused:
        raise _refusal(dict(sorted(refused.items())), len(tasks))
    return [answer for answer in answers if answer is not None]


def _refusal(refused: dict[str, BqdumpError], of: int) -> BqdumpError:
    """One error for those of all datasets, of their kind if that is the same."""
    first = next(iter(refused.values()))
    if of == 1:
        return first
    causes = [
        f"{name}: {': '.join(filter(None, (error.subject, error.cause))).rstrip('.')}"
        for name, error in refused.items()
    ]
    shown = named(causes, NAMED, separator="; ")
    cause = f"{len(refused)} of {counted(of, 'dataset')} cannot be restored, so none is ({shown})"
    left_out = f"Or leave datasets out: {{setting:exclude_datasets={','.join(refused)}}}."
    hint = " ".join(filter(None, (first.hint, left_out if len(refused) < of else "")))
    for kind in (NotFoundError, DeniedError, DocumentError, VerificationError):
        if all(isinstance(error, kind) for error in refused.values()):
            return kind(RESTORE, "the set", cause, hint)
    return UsageError(RESTORE, "", cause, hint)


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
    others = f", in addition to {size_text(spent)} of other queries" if spent else ""
    cause = f"the queries would bill up to {size_text(bill.most)} ({bill.words}){others}"
    operation, fewer = "restore", "restore fewer tables with {setting:include}"
    if task.request.options.temporary:
        operation, fewer = "drill", "drill fewer tables at a time with {setting:tables}"
    raise UsageError(operation, size_text(limit), cause, f"Raise it, or {fewer}.", setting="max_bytes_billed")


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
