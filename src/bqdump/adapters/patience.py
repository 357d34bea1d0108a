"""How long a request is retried: with growing pauses, until the service answers or the patience ends."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct

from bqdump.core.errors import BqdumpError, DamagedError, OpenFilesError, OutageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.times import duration_text

log = logging.getLogger(__name__)
Result = TypeVar("Result")

# The patience of runs, and of interactive commands, in seconds.
LONG, SHORT = 900.0, 60.0
# What passes soon or not at all, and the number of requests after which it is an error.
SELDOM = (DamagedError, OpenFilesError)
SELDOM_TRIES = 4
# The seconds within which something that exists must be found.
APPEARS_WITHIN = 60.0
# The seconds between log lines about requests that keep failing.
QUIET_SECONDS = 10.0
RESUME = "Resume the run once the service answers; {setting:patience} sets how long to wait."


class Patience(Struct, frozen=True):
    """How long to retry: up to `seconds`, with pauses that double up to the longest one.

    tries: the maximum number of requests (0: no maximum), after which the last error is raised.
    service: the service's name in messages.
    """

    seconds: float = LONG
    first_pause: float = 0.5
    longest_pause: float = 32.0
    tries: int = 0
    service: str = "the service"


class Retrying:
    """The retry state that all requests of one client share: its patience, and the time of its last log line."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self._logged = float("-inf")

    async def call(self, request: Callable[[], Awaitable[Result]], also: type[BqdumpError] | None = None) -> Result:
        """The request's result. The request is retried after retryable errors, and errors of the class `also`.

        Raises OutageError if that takes longer than the patience.
        """
        attempts = Attempts(self, also)
        while True:
            try:
                return await request()
            except BqdumpError as error:
                pause = attempts.failed(error)
            await asyncio.sleep(pause)

    def log(self, error: BqdumpError, waited: float, tried: int) -> None:
        """Log that a request is retried: the first failure of each request, and later ones at intervals."""
        now = time.monotonic()
        if tried == 1:
            log.warning("%s Retrying.", error, extra=LogEvent.REQUEST_RETRIED.extra())
        elif now - self._logged >= QUIET_SECONDS:
            silence, left = duration_text(waited), duration_text(max(0.0, self.patience.seconds - waited))
            message, silent = "%s: no answer for %s. %s Retrying for another %s.", LogEvent.SERVICE_SILENT.extra()
            log.warning(message, self.patience.service, silence, error, left, extra=silent)
        else:
            return
        self._logged = now


class Attempts:
    """The attempts of one request."""

    def __init__(self, retrying: Retrying, also: type[BqdumpError] | None = None) -> None:
        self._retrying, self._patience, self._also = retrying, retrying.patience, also
        self.reset()

    def reset(self) -> None:
        """Count anew, since the service has answered."""
        self._tried = self._seldom = 0
        self._since = 0.0

    def failed(self, error: BqdumpError) -> float:
        """The seconds to wait before the next attempt. Raises the error, or an OutageError, if there is none."""
        patience, now = self._patience, _now()
        also = self._also is not None and isinstance(error, self._also)
        if not error.retryable and not also:
            raise error
        self._since = self._since if self._tried else now
        self._tried += 1
        self._seldom += isinstance(error, SELDOM)
        waited = now - self._since
        if self._tried == patience.tries or self._seldom == SELDOM_TRIES:
            raise error
        if also and waited >= min(APPEARS_WITHIN, patience.seconds):
            raise error
        if waited >= patience.seconds:
            raise outage(error, patience, waited) from error
        self._retrying.log(error, waited, self._tried)
        pause = min(patience.longest_pause, patience.first_pause * 2.0 ** (self._tried - 1)) * random.uniform(0.5, 1.0)
        return min(pause, patience.seconds - waited)


def outage(error: BqdumpError, patience: Patience, waited: float) -> OutageError:
    """The error for a service that did not answer in time."""
    cause = f"{patience.service} has not answered for {duration_text(waited)}: {error.cause}"
    return OutageError(error.operation, error.subject, cause, RESUME)


def _now() -> float:
    """The time of the running event loop, which may be a simulation's; without a loop, the machine's."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
