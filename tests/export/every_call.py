"""A store and a warehouse of which one call, the k-th of a run, goes wrong in a certain way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from bqdump.adapters.memory import MemoryStore
from bqdump.core.errors import BqdumpError, ConflictError, UnavailableError
from bqdump_memory import MemoryWarehouse


class Fault(NamedTuple):
    """How a call goes wrong: with which error, and whether it was carried out all the same."""

    name: str
    error: Callable[[str], BqdumpError]
    after: bool


def _conflict(call: str) -> BqdumpError:
    return ConflictError(call, "bucket", "At least one of the pre-conditions you specified did not hold")


def _unavailable(cause: str) -> Callable[[str], BqdumpError]:
    return lambda call: UnavailableError(call, "bucket", cause)


FAULTS = (
    Fault("412", _conflict, after=False),
    Fault("412 to what was carried out", _conflict, after=True),
    Fault("429", _unavailable("Exceeded rate limits"), after=False),
    Fault("503 to what was carried out", _unavailable("Service unavailable"), after=True),
    Fault("reset", _unavailable("the connection broke"), after=False),
    Fault("reset after it was carried out", _unavailable("the connection broke"), after=True),
)


class Calls:
    """Counts calls, and spoils the k-th (from 0); None: no one."""

    def __init__(self, spoilt: int | None, fault: Fault) -> None:
        self.spoilt, self.fault, self.made = spoilt, fault, 0
        self.hit = ""

    async def make(self, name: str, carry_out: Callable[[], Awaitable[Any]]) -> Any:
        """Make one call."""
        number, self.made = self.made, self.made + 1
        if number != self.spoilt:
            return await carry_out()
        self.hit = name
        if self.fault.after:
            await carry_out()
        raise self.fault.error(name)


class Spoilt:
    """A port whose calls go through `calls`; each page of a listing is one."""

    LISTINGS = ("notes", "objects", "jobs")

    def __init__(self, port: MemoryStore | MemoryWarehouse, calls: Calls) -> None:
        self._port, self._calls = port, calls
        self.url = getattr(port, "url", "")

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not callable(method) or name == "share_limits":
            return method
        if name in self.LISTINGS:
            return lambda *given: self._pages(name, method(*given))
        return lambda *given: self._calls.make(name, lambda: method(*given))

    async def _pages(self, name: str, listing: AsyncIterator[Any]) -> AsyncIterator[Any]:
        while (page := await self._calls.make(name, lambda: anext(listing, None))) is not None:
            yield page
