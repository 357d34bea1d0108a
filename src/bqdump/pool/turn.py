"""The one election of a pool: what one task does for all of them, such as planning, publishing, or finishing a restore.

A note names the task whose turn it is. This only saves requests: whatever is done in turns may be done by several tasks
at once, as what comes of it is created only once.

Within an execution, a turn is taken over from a task that gives it up, as what it does is refused for good, or that
stops. A task that is at work rewrites the note regularly. One that waits compares generations of the note by its own
monotonic clock, so no clocks are compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, TypeVar

from bqdump.core.documents.document import Document
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import create, load, overwrite, replace

Found = TypeVar("Found")
# A task whose note has not changed for this long, by the waiting task's own clock, is considered dead.
PATIENCE_SECONDS = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Turn(NamedTuple):
    """A turn that a task may take.

    note: names the task whose turn it is.
    owner: the task that may take it.
    """

    store: ObjectStore
    note: Document[Owner]
    owner: Owner


async def takes_turn(turn: Turn, *, succeeds: bool = True) -> bool:
    """Whether it is this task's turn: it is the first of its execution, or had the turn before it was restarted.

    succeeds: it also takes the turn of a task of another execution.
    """
    stored = await create(turn.store, turn.note, turn.owner)
    if not succeeds or stored.value.execution == turn.owner.execution:
        return stored.value == turn.owner
    return await _takes_over(turn, stored.generation)


async def _takes_over(turn: Turn, generation: int) -> bool:
    return await replace(turn.store, turn.note, turn.owner, generation) is not None


@asynccontextmanager
async def giving_up(turn: Turn, release: Callable[[], Awaitable[None]] | None = None) -> AsyncIterator[None]:
    """Give the turn up if the work inside is refused for good: waiting tasks take it at once, and are refused as well.

    release: called after that, unless another task has taken over.
    """
    try:
        yield
    except BqdumpError as error:
        if not error.retryable:
            # The refusal must be raised even if this fails.
            with suppress(BqdumpError):
                holder = await load(turn.store, turn.note)
                if holder and holder.value == turn.owner:
                    await turn.store.delete([(turn.note.name, holder.generation)])
                    if release:
                        await release()
        raise


class OthersTurn:
    """Another task's turn, watched by a task that waits for its end.

    holder: the task whose turn it is, as it was last read.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._seen, self._since = 0, 0.0
        self.holder: Owner | None = None

    async def is_over(self) -> bool:
        """Whether the turn is free: given up, or taken over by this task because its holder's pulse has stopped."""
        stored = await load(self._turn.store, self._turn.note)
        self.holder, now = stored.value if stored else None, asyncio.get_running_loop().time()
        if stored is None:
            return True
        if stored.generation != self._seen:
            self._seen, self._since = stored.generation, now
            return False
        return now - self._since > PATIENCE_SECONDS and await _takes_over(self._turn, stored.generation)


async def take_or_await(
    turn: Turn,
    find: Callable[[], Awaitable[Found | None]],
    *,
    succeeds: bool = True,
    waits: Callable[[Owner], None] = lambda holder: None,
) -> Found | None:
    """None once it is this task's turn; else what another task has made in its turn meanwhile.

    find: looks for that.
    succeeds: see takes_turn.
    waits: called once, with the task that this one waits for.
    """
    others, pause, is_over, told = OthersTurn(turn), pauses(), True, False
    while not is_over or not await takes_turn(turn, succeeds=succeeds):
        if (found := await find()) is not None:
            return found
        if not (is_over := await others.is_over()):
            if others.holder and not told:
                waits(others.holder)
                told = True
            await asyncio.sleep(next(pause))
    return None


def pauses() -> Iterator[float]:
    """How long to wait between looks at what other tasks do, in seconds: short at first, then longer."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.5, LONGEST_PAUSE)


PULSE_SECONDS = 10.0


@asynccontextmanager
async def pulse(store: ObjectStore, note: Document[Owner], owner: Owner) -> AsyncIterator[None]:
    """Rewrite the note while the work inside continues."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            await overwrite(store, note, owner)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


@asynccontextmanager
async def at_work(turn: Turn, release: Callable[[], Awaitable[None]] | None = None) -> AsyncIterator[None]:
    """Around what is done in a turn: it shows a pulse meanwhile, and is given up if that is refused. See giving_up."""
    async with giving_up(turn, release), pulse(turn.store, turn.note, turn.owner):
        yield
