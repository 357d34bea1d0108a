"""What is refused about the datasets of a restore, before any of them is begun: all of it, in one error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bqdump.concurrency import gathered
from bqdump.core.errors import (
    OF_THE_TASK,
    BqdumpError,
    DeniedError,
    DocumentError,
    NotFoundError,
    UsageError,
    VerificationError,
)
from bqdump.core.progress.log_events import about
from bqdump.core.restore.request import RESTORE
from bqdump.core.sizes import counted, named
from bqdump.repository.exports import AT_ONCE
from bqdump.restoration.task import Task

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
