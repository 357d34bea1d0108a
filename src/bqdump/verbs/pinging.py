"""A dead man's switch: pings when work starts and how it ended, so that a service alerts once they stop.

Work that was cancelled, superseded, or left to other tasks, does not ping its end: silence is what alerts.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, first_of, words_of
from bqdump.core.exit_codes import DONE, exit_code
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.wording import COMMANDS
from bqdump.observe.notify import Names, concerns_all, of_tables, post_once, post_published
from bqdump.ports.store import ObjectStore
from bqdump.services.opening import open_ping

if TYPE_CHECKING:
    from bqdump.adapters.webhook import Ping

log = logging.getLogger(__name__)
# The last lines of the log that a failure has.
LINES, LETTERS = 20, 500
SUCCEEDED, FAILED = "ping_success", "ping_fail"


class Shared(NamedTuple):
    """A run that several tasks share, one of which pings. owner, attempt: of this task."""

    store: ObjectStore
    names: Names
    owner: Owner
    attempt: int | None


class Outcome:
    """How work ends that raises no error. ends: it has an end to report."""

    def __init__(self) -> None:
        self.code, self.ends = DONE, True


@asynccontextmanager
async def pinged(settings: Settings, shared: Shared | None = None, *, first: bool = True) -> AsyncIterator[Outcome]:
    """Ping what happens within this `with`, where an address is set. Nothing of it raises or delays an error.

    shared: None where each task works for itself; of these, the `first` one pings.
    """
    outcome, ping = Outcome(), open_ping(settings) if first else None
    if ping is None:
        yield outcome
        return
    with _last_lines() as lines:
        if shared is None or not (shared.owner.task or shared.attempt):
            ping.start()
        try:
            yield outcome
        except Exception as error:
            first_error = first_of(error)
            code = exit_code(first_error)
            words = first_error.sentence(COMMANDS) if isinstance(first_error, BqdumpError) else words_of(first_error)
            await _fail(shared, error, lambda: _end(ping, code, [*lines, words]))
            raise
        await ping.started()
        if not outcome.ends:
            return
        if shared and not outcome.code:
            await post_published(lambda: _end(ping, DONE, []), shared.store, shared.names, shared.owner, SUCCEEDED)
        else:
            await _end(ping, outcome.code, lines)


async def _fail(shared: Shared | None, error: Exception, post: Callable[[], Awaitable[bool]]) -> None:
    """Ping a failure; of a shared run once for an execution, not once for each of its tasks."""
    if shared is None or (not of_tables(error) and concerns_all(error, shared.owner, shared.attempt)):
        await post()
    elif of_tables(error):
        await post_once(post, shared.store, shared.names.notified(FAILED, shared.owner.execution), shared.owner)


async def _end(ping: Ping, code: int, lines: list[str] | deque[str]) -> bool:
    """Ping the end of the work; whether that was delivered."""
    try:
        await ping.end(code, "\n".join(["", *lines, f"exit code {code}"]).lstrip() if code else "")
    except BqdumpError as error:
        log.warning("%s", error, extra=LogEvent.NOTIFY_FAILED.extra())
        return False
    if ping.problem:
        log.warning("%s", ping.problem, extra=LogEvent.NOTIFY_FAILED.extra())
    log.info("pinged %s: %s", ping.place, "failure" if code else "success", extra=LogEvent.NOTIFIED.extra())
    return True


@contextmanager
def _last_lines() -> Iterator[deque[str]]:
    """The last lines of the log, as they come."""
    lines: deque[str] = deque(maxlen=LINES)

    class Last(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.getMessage()}"[:LETTERS])

    handler, root = Last(), logging.getLogger("bqdump")
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
