"""Tasks share the items of a pool: each is taken once, and one end of it counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from errno import EMFILE
from typing import Any

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Failure, Owner, Receipt
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.documents.units import Claim
from bqdump.core.errors import (
    BqdumpError,
    NotFoundError,
    OpenFilesError,
    OutageError,
    QuotaError,
    RowsError,
    TargetError,
)
from bqdump.pool.pool import Ledger, Pool, Refused, outcome, read_notes, record, work
from bqdump.repository.repository import create, replace

LAYOUT = RunLayout("_bqdump/runs/r/")
ITEMS = [f"00000-{number:05d}" for number in range(6)]
FIRST, SECOND, OTHER = Owner("e", 0), Owner("e", 1), Owner("f", 0)
Notes = Ledger[Any, Any, Any]


class Items(Pool[str, Notes]):
    """A pool of ITEMS, whose notes are in a store."""

    looks = 0

    async def look(self) -> Notes:
        self.looks += 1
        return (await read_notes(self.store, LAYOUT, [LAYOUT.root]))[0]

    async def claim(self, item: str, ledger: Notes, replaces: int) -> bool:
        return await replace(self.store, LAYOUT.claim(item), Claim(self.owner), replaces) is not None


class Room:
    """Room for so many items; `held` of it is in use."""

    def __init__(self, size: int = 99) -> None:
        self.held, self._slots = 0, asyncio.Semaphore(size)

    async def acquire(self) -> None:
        await self._slots.acquire()
        self.held += 1

    def release(self) -> None:
        self.held -= 1
        self._slots.release()


def receipt(item: str, job: str = "j") -> Receipt:
    return Receipt(item, "t", job, 0, 1, 0, 0, 0, 0)


def failure(item: str, owner: Owner, attempt: int = 0) -> Failure:
    return Failure(item, "t", "j", attempt, "invalid", "no", owner)


async def taken(pool: Items, own: list[str], others: list[str], room: Room | None = None) -> list[str]:
    return [item async for item, _ in pool.take(own, others, room or Room())]


async def fail(store: MemoryStore, item: str, owner: Owner, attempt: int = 0) -> None:
    await create(store, LAYOUT.failure(item, attempt, owner.execution), failure(item, owner, attempt))


def test_a_task_takes_its_own_items_and_then_those_that_no_other_task_of_its_execution_has() -> None:
    async def main() -> None:
        store = MemoryStore()
        first, second = Items(store, FIRST, Ledger({}, {}, {})), Items(store, SECOND, Ledger({}, {}, {}))
        assert await taken(first, ITEMS[:2], []) == ITEMS[:2]
        assert first.looks == 0, "nobody had touched its share"
        assert await taken(second, ITEMS[3:], ITEMS[:3]) == [*ITEMS[3:], ITEMS[2]]
        assert await taken(Items(store, FIRST), ITEMS[:2], ITEMS[2:]) == ITEMS[:2], "restarted, it has what it had"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("owner", "expected"), [(SECOND, ITEMS[4:]), (OTHER, [*ITEMS[1:]])], ids=["same execution", "another one"]
)
def test_claims_and_failures_bind_the_tasks_of_their_execution_and_receipts_all(
    owner: Owner, expected: list[str]
) -> None:
    async def main() -> None:
        store = MemoryStore()
        await create(store, LAYOUT.receipt(ITEMS[0]), receipt(ITEMS[0]))
        await create(store, LAYOUT.claim(ITEMS[1]), Claim(FIRST))
        await fail(store, ITEMS[2], FIRST)
        await create(store, LAYOUT.claim(ITEMS[3]), Claim(FIRST))
        assert await taken(Items(store, owner), ITEMS, []) == expected

    asyncio.run(main())


def test_an_item_whose_claim_another_task_was_first_to_store_is_left_to_it() -> None:
    async def main() -> None:
        store = MemoryStore()
        await create(store, LAYOUT.claim(ITEMS[0]), Claim(SECOND))
        pool, room = Items(store, FIRST, Ledger({}, {}, {})), Room()
        assert await taken(pool, ITEMS[:3], [], room) == ITEMS[1:3]
        assert (pool.looks, room.held) == (1, 2)

    asyncio.run(main())


def test_an_item_waits_for_room_before_it_is_claimed() -> None:
    async def main() -> None:
        store, room = MemoryStore(), Room(2)
        taking = Items(store, FIRST, Ledger({}, {}, {})).take(ITEMS, [], room)
        assert [(await anext(taking))[0], (await anext(taking))[0]] == ITEMS[:2]
        third = asyncio.ensure_future(anext(taking))
        await asyncio.sleep(0)
        assert [claim async for claim in _claims(store)] == [LAYOUT.claim(item).name for item in ITEMS[:2]]
        room.release()
        assert (await third)[0] == ITEMS[2]

    asyncio.run(main())


async def _claims(store: MemoryStore) -> AsyncIterator[str]:
    async for page in store.objects(LAYOUT.claims):
        for info in page:
            yield info.name


def test_the_first_receipt_stays_unless_it_does_not_count_any_more() -> None:
    async def main() -> None:
        store, document = MemoryStore(), LAYOUT.receipt(ITEMS[0])
        first, second = receipt(ITEMS[0], "first"), receipt(ITEMS[0], "second")

        async def makes_room(stored: Any, end: Any) -> bool:
            return bool(stored == first and end == second)

        assert (await record(store, document, first)).mine
        assert (await record(store, document, second)).value == first
        assert (await record(store, document, second, makes_room)).value == second
        assert (await record(store, document, first, makes_room)).value == second
        assert (await record(store, document, second, makes_room)).value == second

    asyncio.run(main())


def test_a_ledger_has_the_last_failure_of_each_execution_and_the_attempt_that_follows_all_of_them() -> None:
    async def main() -> None:
        store = MemoryStore()
        await fail(store, ITEMS[0], FIRST, 0)
        await fail(store, ITEMS[0], FIRST, 3)
        await fail(store, ITEMS[0], OTHER, 1)
        ledger, pages = await read_notes(store, LAYOUT, [LAYOUT.failures])
        assert pages == 1
        assert [ledger.last_failure(ITEMS[0], execution) for execution in ("e", "f", None, "g")] == [
            failure(ITEMS[0], FIRST, 3),
            failure(ITEMS[0], OTHER, 1),
            failure(ITEMS[0], FIRST, 3),
            None,
        ]
        assert (ledger.next_attempt(ITEMS[0]), ledger.next_attempt(ITEMS[1])) == (4, 0)
        assert [ledger.is_open(ITEMS[0], execution) for execution in ("e", "f", "g")] == [False, False, True]

    asyncio.run(main())


def test_once_a_quota_is_exceeded_what_is_in_progress_ends_and_nothing_more_begins() -> None:
    async def main() -> list[str]:
        begun, ended, may_end = list[str](), list[str](), asyncio.Event()

        async def items() -> AsyncIterator[str]:
            for item in ITEMS:
                yield item
                await asyncio.sleep(0)

        async def do(item: str) -> None:
            begun.append(item)
            if item == ITEMS[1]:
                may_end.set()
                raise QuotaError("export", "table t", "exceeded")
            await may_end.wait()
            ended.append(item)

        with pytest.raises(QuotaError):
            await work(items(), do)
        assert ended == [item for item in begun if item != ITEMS[1]]
        return begun

    assert asyncio.run(main()) == ITEMS[:2]


@pytest.mark.parametrize(
    ("error", "alone", "ends"),
    [
        (OutageError("read", "x", "no answer"), (BqdumpError,), OutageError),
        (QuotaError("read", "x", "exceeded"), (BqdumpError,), QuotaError),
        (TargetError("write", "x", "full"), (BqdumpError,), TargetError),
        (OSError(28, "full"), (BqdumpError,), OSError),
        (RuntimeError("Too many open files"), (BqdumpError,), OpenFilesError),
        (NotFoundError("write", "gs://b", "gone"), (), NotFoundError),
    ],
    ids=repr,
)
def test_what_any_other_item_would_meet_as_well_ends_the_task(
    error: Exception, alone: tuple[type[BqdumpError], ...], ends: type[Exception]
) -> None:
    async def failing() -> None:
        raise error

    with pytest.raises(ends):
        asyncio.run(outcome(failing(), "t", "export", alone=alone))


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (NotFoundError("load", "x", "it is gone"), Refused("NotFound", "it is gone")),
        (RowsError("read", "x", "not UTF-8"), Refused("Rows", "not UTF-8")),
        (ValueError("surprise"), Refused("unexpected", "ValueError: surprise")),
    ],
    ids=repr,
)
def test_everything_else_is_the_failure_of_one_item(error: Exception, refused: Refused) -> None:
    async def failing() -> None:
        raise error

    assert asyncio.run(outcome(failing(), "t", "restore")) == refused


def test_an_error_of_the_system_for_open_files_ends_the_task() -> None:
    async def failing() -> None:
        raise OSError(EMFILE, "Too many open files")

    with pytest.raises(OSError, match="Too many"):
        asyncio.run(outcome(failing(), "t", "restore"))


class Killed(BaseException):
    """The process has ended."""


class Mortal:
    """A store of a process that is killed at its request number `at`, before or after that has had its effect."""

    def __init__(self, store: MemoryStore, at: int, *, late: bool) -> None:
        self._store, self._left, self._late = store, at, late

    def __getattr__(self, name: str) -> Any:
        request = getattr(self._store, name)

        async def dying(*given: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._late:
                raise Killed
            answer = await request(*given, **named)
            if self._left == 0:
                raise Killed
            return answer

        return self.notes if name == "notes" else dying

    async def notes(self, folder: str) -> AsyncIterator[Any]:
        self._left -= 1
        if self._left == 0:
            raise Killed
        async for page in self._store.notes(folder):
            yield page


async def _end_all(store: Any, owner: Owner) -> bool:
    """Do a task's part of ITEMS; whether it has seen that all have ended."""
    pool, room = Items(store, owner), Room(2)
    share = [item for number, item in enumerate(ITEMS) if number % 2 == owner.task]

    async def do(taken: tuple[str, Notes]) -> None:
        document = LAYOUT.receipt(taken[0])
        await record(store, document, receipt(taken[0], f"{owner.execution}{owner.task}"))
        room.release()

    await work(pool.take(share, [item for item in ITEMS if item not in share], room), do)
    ledger, _ = await read_notes(store, LAYOUT, [LAYOUT.receipts])
    return all(map(ledger.has_ended, ITEMS))


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("after", [FIRST, OTHER], ids=["restarted", "another execution"])
def test_tasks_that_are_killed_at_any_request_leave_all_items_with_one_end_each(after: Owner, late: bool) -> None:
    async def main() -> int:
        for at in range(1, 100):
            store, mortal = MemoryStore(), None
            mortal = Mortal(store, at, late=late)
            try:
                await _end_all(mortal, FIRST)
            except* Killed:
                first = {name: store.peek(name) for name in store.names_now() if "/receipts/" in name}
                await _end_all(store, SECOND)
                assert await _end_all(store, after)
                assert {name: store.peek(name) for name in first} == first, "an end that is recorded stays"
            else:
                return at
        raise AssertionError

    assert asyncio.run(main()) > 2 * len(ITEMS)
