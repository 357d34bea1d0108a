"""Telling people what happened to a run. It changes nothing about the run, and its errors are only logged."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from bqdump.core.documents.document import Document
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, OutageError, QuotaError, TablesFailedError, UnavailableError, first_of
from bqdump.core.notice import Notice
from bqdump.core.progress.log_events import LogEvent
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import create, exists

log = logging.getLogger(__name__)

PUBLISHED: Final = "run_published"
# What a restarted task may get over.
PASSING = (OutageError, QuotaError, UnavailableError)


class Notifier(Protocol):
    """A place that notices are posted to. Every error is a BqdumpError."""

    @property
    def place(self) -> str:
        """The place, without what only its owner may know."""

    async def post(self, notice: Notice) -> None:
        """Deliver a notice, if need be after some retries."""


class Names(Protocol):
    """The names of a run's notes on what was posted."""

    def notified(self, event: str, execution: str) -> Document[Owner]:
        """See RunLayout."""

    def posted(self, event: str) -> Document[Owner]:
        """See RunLayout."""


async def notify(notifier: Notifier, notice: Notice) -> bool:
    """Post a notice; whether it was delivered. Raises nothing: an export that is done stays done."""
    try:
        await notifier.post(notice)
    except BqdumpError as error:
        log.warning("%s", error, extra=LogEvent.NOTIFY_FAILED.extra())
        return False
    log.info("notified %s: %s", notifier.place, notice.event, extra=LogEvent.NOTIFIED.extra())
    return True


async def post_once(
    post: Callable[[], Awaitable[bool]], store: ObjectStore, document: Document[Owner], owner: Owner
) -> None:
    """Post unless another task of the execution has, as this document notes. Raises nothing."""
    try:
        mine = (await create(store, document, owner)).mine
    except BqdumpError as error:
        log.warning("not notified: %s", error, extra=LogEvent.NOTIFY_FAILED.extra())
        return
    if mine:
        await post()


async def post_published(
    post: Callable[[], Awaitable[bool]],
    store: ObjectStore,
    names: Names,
    owner: Owner,
    event: str = PUBLISHED,
) -> None:
    """Post at least once that a run is published, even if the task that had claimed this was stopped. Raises nothing.

    What another task of the same execution has claimed is left to it: it is restarted, or the run is resumed.

    post: whether it was delivered.
    event: what the notes on that are called.
    """
    posted = names.posted(event)
    try:
        if await exists(store, posted):
            return
        claim = await create(store, names.notified(event, owner.execution), owner)
        if claim.value == owner and await post():
            await create(store, posted, owner)
    except BqdumpError as error:
        log.warning("not notified: %s", error, extra=LogEvent.NOTIFY_FAILED.extra())


def concerns_all(error: BaseException, owner: Owner, attempt: int | None) -> bool:
    """Whether this task is the one to post an error that ends every task alike, or that another attempt may get over.

    attempt: of this task; None where nothing restarts it.
    """
    if attempt is None:
        return True
    return owner.task == 0 and attempt == 0 and not isinstance(first_of(error), PASSING)


def of_tables(error: BaseException) -> bool:
    """Whether the error is that tables failed: then the run has a plan, and all tasks of the execution see the same."""
    return isinstance(first_of(error), TablesFailedError)
