"""How long a request is repeated: growing pauses, until the service answers or patience is at its end."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from bqdump.core.durations import duration_text
from bqdump.core.errors import BqdumpError, DamagedError, OutageError

log = logging.getLogger(__name__)
Result = TypeVar("Result")

# What a run waits, and what a command does that somebody waits for.
LONG, SHORT = 900.0, 60.0
# An answer that contradicts itself is asked for so often.
DAMAGED_TRIES = 4
# What is said to exist but is not found yet is asked for during so many seconds.
APPEARS_WITHIN = 60.0
# Of requests that fail again and again, one line in so many seconds is enough to read.
QUIET_SECONDS = 10.0
RESUME = "Resume the run once the service answers; --patience (BQDUMP_PATIENCE) sets how long to wait."


class Patience(NamedTuple):
    """How long to insist: for so many seconds, with pauses that double up to the longest.

    tries: an end after so many requests (0: none); the last error is then raised as it is. service: what is waited
    for, in words.
    """

    seconds: float = LONG
    first_pause: float = 0.5
    longest_pause: float = 32.0
    tries: int = 0
    service: str = "the service"


class Insistence:
    """What one client of a service has in common over its requests: its patience, and when it last spoke of it."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self._spoken = float("-inf")

    async def ask(self, request: Callable[[], Awaitable[Result]], passing: type[BqdumpError] | None = None) -> Result:
        """The request's result; it is repeated while its error says that this may help, or is one that passes here.

        Raises OutageError where that takes longer than the patience.
        """
        trial = Trial(self, passing)
        while True:
            try:
                return await request()
            except BqdumpError as error:
                pause = trial.failed(error)
            await asyncio.sleep(pause)

    def speak(self, error: BqdumpError, waited: float, tried: int) -> None:
        """Log that a request is repeated; the first failure of each, and of later ones some."""
        now = time.monotonic()
        if tried == 1:
            log.warning("%s Trying again.", error)
        elif now - self._spoken >= QUIET_SECONDS:
            left = duration_text(max(0.0, self.patience.seconds - waited))
            log.warning("%s: no answer for %s. %s Trying again for %s.", self.patience.service,
                        duration_text(waited), error, left)  # fmt: skip
        else:
            return
        self._spoken = now


class Trial:
    """One request that is repeated."""

    def __init__(self, insistence: Insistence, passing: type[BqdumpError] | None = None) -> None:
        self._insistence, self._patience, self._passing = insistence, insistence.patience, passing
        self.renew()

    def renew(self) -> None:
        """The service has answered: whatever fails next is the first failure."""
        self._tried = self._damaged = 0
        self._since = 0.0

    def failed(self, error: BqdumpError) -> float:
        """How long to pause before the next try. Raises the error where no try will follow, or OutageError for it."""
        patience, now = self._patience, _now()
        passes = self._passing is not None and isinstance(error, self._passing)
        if not error.retryable and not passes:
            raise error
        self._since = self._since if self._tried else now
        self._tried += 1
        self._damaged += isinstance(error, DamagedError)
        waited = now - self._since
        if self._tried == patience.tries or self._damaged == DAMAGED_TRIES:
            raise error
        if passes and waited >= min(APPEARS_WITHIN, patience.seconds):
            raise error
        if waited >= patience.seconds:
            raise outage(error, patience, waited) from error
        self._insistence.speak(error, waited, self._tried)
        pause = min(patience.longest_pause, patience.first_pause * 2.0 ** (self._tried - 1)) * random.uniform(0.5, 1.0)
        return min(pause, patience.seconds - waited)


def outage(error: BqdumpError, patience: Patience, waited: float) -> OutageError:
    """The error for a service that has not answered."""
    cause = f"{patience.service} has not answered for {duration_text(waited)}: {error.cause}"
    return OutageError(error.operation, error.subject, cause, RESUME)


def _now() -> float:
    """The time by the running event loop, which a simulation makes its own; beside one, the machine's."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
