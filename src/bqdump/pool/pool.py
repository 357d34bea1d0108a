"""The pool: items of work that tasks share, and what became of each.

Three folders of notes, which any task reads by listing, and of which nothing is ever deleted while the work goes on:

claims    which task works on an item. The first task that creates the note has it, and a task that is restarted has
          what it had before. A claim binds the tasks of its execution; another execution takes over at once.
receipts  the proof that an item has ended. Created once: the first one wins, and every task takes that one.
failures  why an attempt at an item failed for good. It binds the tasks of its execution: another one tries again.

An item is open to a task if it has no receipt, no failure in the task's execution, and no claim that binds the task.
Claims only save work: two tasks at one item do what the other one does, and one receipt counts. So a task may be killed
at any request, started twice, or started late.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from msgspec import Struct

from bqdump.concurrency import task_group
from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import Document
from bqdump.core.documents.run import Owner
from bqdump.core.documents.units import Claim, Folders
from bqdump.core.errors import ENDS_THE_TASK, BqdumpError, QuotaError, open_files_error, out_of_files, words_of
from bqdump.core.progress.log_events import LogEvent
from bqdump.pool.turn import PATIENCE_SECONDS, pauses
from bqdump.ports.store import Note, ObjectStore
from bqdump.repository.repository import Loaded, create, swap

log = logging.getLogger(__name__)

# This many claims lost in a row mean that the view of open items is outdated.
STALE_AFTER = 8
# Instead of the generation of a claim: the task has claimed the item before it was restarted.
OWN = -1


class Failed(Protocol):
    """Why an attempt failed for good: its number, and the task that has met it."""

    @property
    def attempt(self) -> int:
        """The number of the attempt."""

    @property
    def owner(self) -> Owner:
        """The task."""


Item = TypeVar("Item", bound=Hashable)
End = TypeVar("End")
Fault = TypeVar("Fault", bound=Failed)
Item_co = TypeVar("Item_co", bound=Hashable, covariant=True)
Work = TypeVar("Work")
Answer = TypeVar("Answer")


class PoolLayout(Protocol[Item_co, End, Fault]):
    """The names of the notes of a pool."""

    @property
    def pool(self) -> Folders[End, Fault]:
        """Their folders."""

    def item_of(self, note: str) -> Item_co | None:
        """The item that a note of this name is about; None where it is of another pool."""


class Held(NamedTuple):
    """A claim as it is stored."""

    claim: Claim
    generation: int

    @property
    def owner(self) -> Owner:
        """Who holds it."""
        return self.claim.owner


class Ledger(Struct, Generic[Item, End, Fault], frozen=True):
    """What the notes say: receipts and claims by item, failures by item, of every execution."""

    receipts: dict[Item, End]
    failures: dict[Item, list[Fault]]
    claims: dict[Item, Held]

    def last_failure(self, item: Item, execution: str | None = None) -> Fault | None:
        """The last attempt at an item that failed, in this execution or (None) in any."""
        met = [failure for failure in self.failures.get(item, ()) if execution in (None, failure.owner.execution)]
        return max(met, key=lambda failure: failure.attempt, default=None)

    def next_attempt(self, item: Item) -> int:
        """The number of the attempt that follows those that failed."""
        failure = self.last_failure(item)
        return failure.attempt + 1 if failure else 0

    def has_ended(self, item: Item) -> bool:
        """Whether nothing is left to be done about an item, in any execution."""
        return item in self.receipts

    def is_open(self, item: Item, execution: str) -> bool:
        """Whether an item has neither ended nor failed in this execution."""
        return not self.has_ended(item) and self.last_failure(item, execution) is None

    def binding(self, item: Item) -> Held | None:
        """The claim on an item, None where there is none that counts."""
        return self.claims.get(item)


L = TypeVar("L", bound=Ledger[Any, Any, Any])


async def read_notes(
    store: ObjectStore, layout: PoolLayout[Item, End, Fault], folders: Iterable[str]
) -> tuple[Ledger[Item, End, Fault], int]:
    """The ledger of a pool, and the number of pages that were listed.

    folders: which notes are read. Claims come first, as what ends meanwhile has ended.
    """
    pages, notes = 0, list[Note]()
    for folder in folders:
        async for page in store.notes(folder):
            pages, notes = pages + 1, notes + page
    return ledger_of(layout, notes), pages


def ledger_of(layout: PoolLayout[Item, End, Fault], notes: Iterable[Note]) -> Ledger[Item, End, Fault]:
    """What these notes say; others than those of the pool are passed over."""
    claims, receipts, failures = layout.pool
    ledger = Ledger[Item, End, Fault]({}, {}, {})
    for note in notes:
        if (item := layout.item_of(note.name)) is None:
            continue
        if note.name.startswith(claims.folder):
            ledger.claims[item] = Held(decode(note.data, claims.type, note.name), note.generation)
        elif note.name.startswith(receipts.folder):
            ledger.receipts[item] = decode(note.data, receipts.type, note.name)
        elif note.name.startswith(failures.folder):
            ledger.failures.setdefault(item, []).append(decode(note.data, failures.type, note.name))
    return ledger


async def record(
    store: ObjectStore,
    document: Document[End],
    end: End,
    makes_room: Callable[[End, End], Awaitable[bool]] | None = None,
) -> Loaded[End]:
    """Record how an item has ended, unless that is recorded; the recorded end.

    makes_room: whether a recorded end, which is given first, does not count any more, and this one replaces it.
    """
    stored = await create(store, document, end)
    if stored.mine or stored.value == end or makes_room is None:
        return stored

    async def step(known: End | None) -> End | None:
        return end if known is None or (known != end and await makes_room(known, end)) else None

    return await swap(store, document, step, known=stored) or stored


class Room(Protocol):
    """Room for the items that a task works on at the same time."""

    async def acquire(self) -> object:
        """Wait for room for one more."""

    def release(self) -> None:
        """Give it back."""


class Pool(Generic[Item, L]):
    """The items of a pool as one task sees them.

    untouched: what the task takes to be the ledger until a claim turns out to be taken: a first attempt finds its own
        share as nobody has touched it. None: it reads the ledger first.
    waits: the task waits until the items of other tasks have ended, too. Claims show a pulse, and it takes over those
        whose pulse has stopped.
    """

    def __init__(self, store: ObjectStore, owner: Owner, untouched: L | None = None, *, waits: bool = False) -> None:
        self.store, self.owner, self.untouched, self._waits = store, owner, untouched, waits
        self._watched: dict[Item, tuple[int, float]] = {}

    async def look(self) -> L:
        """The current ledger, with its claims."""
        raise NotImplementedError

    async def claim(self, item: Item, ledger: L, replaces: int) -> bool:
        """Claim an item over the claim of this generation (0: none); whether this task was the first to do so."""
        raise NotImplementedError

    def takes(self, ledger: L, item: Item) -> int | None:
        """The generation of the claim that this task replaces (0: none, OWN: it has it already).

        None where the item has ended, has failed, or another task of this execution works on it.
        """
        if not ledger.is_open(item, self.owner.execution):
            return None
        held = ledger.binding(item)
        if held is None:
            return ledger.claims[item].generation if item in ledger.claims else 0
        if held.owner == self.owner:
            return OWN
        return None if held.owner.execution == self.owner.execution else held.generation

    async def take(self, own: Sequence[Item], others: Sequence[Item], room: Room) -> AsyncIterator[tuple[Item, L]]:
        """Items that this task has claimed, each once there is room for it: its own share first, then what others left.

        With each comes the ledger in which it was open.
        """
        view = self.untouched
        # What this process has in hand looks, in a new view, like what an earlier attempt has left behind.
        taken: set[Item] = set()
        for items, helping in ((own, False), (others, True)):
            again = bool(items)
            while again:
                if view is None or helping:
                    view = await self.look()
                again, lost = False, 0
                for item in items:
                    if item in taken or (replaces := self.takes(view, item)) is None:
                        continue
                    await room.acquire()
                    if replaces != OWN and not await self.claim(item, view, replaces):
                        room.release()
                        lost, again = lost + 1, True
                        if view is self.untouched or lost >= STALE_AFTER:
                            break
                        continue
                    lost = 0
                    taken.add(item)
                    yield item, view
                if again:
                    # A fresh view shows who holds a lost claim: one of an earlier attempt may have arrived late.
                    view = None
        if self._waits:
            left = [item for item in (*own, *others) if item not in taken]
            async for item, view in self._take_stopped(left, room):
                yield item, view

    async def _take_stopped(self, items: Sequence[Item], room: Room) -> AsyncIterator[tuple[Item, L]]:
        """Wait until these items have ended. Those whose task has stopped, or has given them up, are this task's."""
        for pause in pauses():
            view = await self.look()
            items = [item for item in items if not view.has_ended(item)]
            stopped = {item: at for item in items if (at := self._stopped(view, item)) is not None}
            for item, generation in stopped.items():
                await room.acquire()
                if await self.claim(item, view, generation):
                    items.remove(item)
                    yield item, view
                else:
                    room.release()
            if not items:
                return
            if not stopped:
                await asyncio.sleep(pause)

    def _stopped(self, ledger: L, item: Item) -> int | None:
        """The generation of a claim whose pulse has stopped, 0 where there is none; None for one that may be alive."""
        if item not in ledger.claims:
            return 0
        generation, now = ledger.claims[item].generation, asyncio.get_running_loop().time()
        last, since = self._watched.get(item, (0, now))
        if generation != last:
            self._watched[item] = generation, now
            return None
        return generation if now - since > PATIENCE_SECONDS else None


async def work(taken: AsyncIterator[Work], do: Callable[[Work], Awaitable[None]]) -> int:
    """Do all of this at the same time, as it is taken. The number of items.

    Raises QuotaError, after those in progress have ended, if a quota is exceeded; nothing is begun after that.
    """
    stop: list[QuotaError] = []
    begun = 0

    async def unless_refused(item: Work) -> None:
        try:
            await do(item)
        except QuotaError as error:
            stop.append(error)

    async with task_group() as group:
        async for item in taken:
            if stop:
                break
            begun += 1
            group.create_task(unless_refused(item))
    if stop:
        raise stop[0]
    return begun


class Refused(NamedTuple):
    """Why one item failed: in a word, and in a sentence."""

    reason: str
    cause: str


def refusal(error: BqdumpError) -> Refused:
    """Why an item failed with this error: by the reason that it has, or else by its kind."""
    return Refused(getattr(error, "reason", type(error).__name__.removesuffix("Error")), error.cause)


async def outcome(
    work: Awaitable[Answer], name: str, operation: str, *, alone: tuple[type[BqdumpError], ...] = (BqdumpError,)
) -> Answer | Refused:
    """What the work on one item has made of it. name, operation: of a table, and what is done with it.

    This decides what ends a task, and what is the failure of one item, by name, and holds back no other:

    - The task ends with what any other item would meet as well: ENDS_THE_TASK, which includes what this machine
      refuses. So does it with errors of bqdump that are not `alone`: those of an export's target, of which each error
      about a table is returned and not raised.
    - Everything else is about the item, also what was not expected.
    """
    try:
        return await work
    except ENDS_THE_TASK:
        raise
    except alone as error:
        return refusal(error)
    except BqdumpError:
        raise
    except Exception as error:
        if out_of_files(error):
            raise open_files_error(operation, f"table {name}") from error
        log.exception("%s: unexpected error", name, exc_info=error, extra=LogEvent.UNEXPECTED_ERROR.extra(table=name))
        return Refused("unexpected", words_of(error))
