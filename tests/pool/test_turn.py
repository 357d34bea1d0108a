"""Tasks take turns at what one of them does for all."""

from __future__ import annotations

import asyncio

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.document import Document
from bqdump.core.documents.run import Owner
from bqdump.core.errors import UnavailableError, UsageError
from bqdump.pool import turn as turns
from bqdump.pool.turn import OthersTurn, Turn, at_work, giving_up, pauses, take_or_await, takes_turn
from bqdump.ports.store import Stored
from bqdump.repository.repository import create, overwrite, value_of

FIRST, SECOND, OTHER = Owner("e", 0), Owner("e", 1), Owner("f", 0)
NOTE = Document("x/planner.json", Owner)


def turn(store: MemoryStore, owner: Owner) -> Turn:
    return Turn(store, NOTE, owner)


@pytest.mark.parametrize(
    ("holder", "owner", "succeeds", "taken"),
    [
        (None, FIRST, True, True),
        (FIRST, FIRST, True, True),
        (FIRST, SECOND, True, False),
        (FIRST, OTHER, True, True),
        (FIRST, FIRST, False, True),
        (FIRST, OTHER, False, False),
    ],
    ids=["first", "restarted", "same execution", "other execution", "restarted again", "other execution waits"],
)
def test_one_task_of_an_execution_takes_the_turn(
    holder: Owner | None, owner: Owner, succeeds: bool, taken: bool
) -> None:
    async def main() -> None:
        store = MemoryStore()
        if holder:
            await create(store, NOTE, holder)
        assert await takes_turn(turn(store, owner), succeeds=succeeds) is taken
        assert await value_of(store, NOTE) == (owner if taken else holder)

    asyncio.run(main())


def test_a_turn_that_is_given_up_while_another_task_looks_at_it_is_taken() -> None:
    class GivenUpMeanwhile(MemoryStore):
        async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
            if stored := await self.stat(name):
                await self.delete([(name, stored.generation)])
            return await super().read(name, start, length)

    async def main() -> None:
        store = GivenUpMeanwhile()
        await create(store, NOTE, FIRST)
        assert await takes_turn(turn(store, SECOND))

    asyncio.run(main())


@pytest.mark.parametrize("error", [UsageError("plan", "x", "no"), UnavailableError("plan", "x", "later")], ids=repr)
def test_a_turn_is_given_up_for_good_errors_only(error: UsageError | UnavailableError) -> None:
    async def main() -> None:
        store, released = MemoryStore(), []

        async def release() -> None:
            released.append(True)

        assert await takes_turn(turn(store, FIRST))
        with pytest.raises(type(error)):
            async with giving_up(turn(store, FIRST), release):
                raise error
        over = await OthersTurn(turn(store, SECOND)).is_over()
        assert (over, bool(released)) == (not error.retryable, not error.retryable)

    asyncio.run(main())


def test_a_task_that_gives_up_a_turn_which_another_one_has_taken_over_releases_nothing() -> None:
    async def main() -> None:
        store = MemoryStore()

        async def release() -> None:
            pytest.fail("it is the other task's now")

        await create(store, NOTE, SECOND)
        with pytest.raises(UsageError):
            async with giving_up(turn(store, FIRST), release):
                raise UsageError("plan", "x", "no")
        assert await value_of(store, NOTE) == SECOND

    asyncio.run(main())


def test_a_turn_is_taken_over_once_its_holder_s_pulse_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        store = MemoryStore()
        await create(store, NOTE, FIRST)
        others = OthersTurn(turn(store, SECOND))
        assert not await others.is_over()
        assert others.holder == FIRST
        assert not await others.is_over()
        monkeypatch.setattr(turns, "PATIENCE_SECONDS", -1.0)
        await overwrite(store, NOTE, FIRST)
        assert not await others.is_over(), "its pulse has just been seen"
        assert await others.is_over()
        assert await value_of(store, NOTE) == SECOND

    asyncio.run(main())


def test_pauses_grow_up_to_a_limit() -> None:
    growing = pauses()
    made = [next(growing) for _ in range(30)]
    assert made == sorted(made)
    assert (made[0], made[-1]) == (0.1, 5.0)


def test_what_another_task_makes_in_its_turn_is_found_and_what_it_gives_up_is_taken() -> None:
    async def main() -> None:
        store, waits = MemoryStore(), list[Owner]()
        assert await take_or_await(turn(store, FIRST), _nothing) is None, "nobody else had the turn"

        looks = iter([None, None, "made"])

        async def find() -> str | None:
            return next(looks)

        assert await take_or_await(turn(store, SECOND), find, waits=waits.append) == "made"
        assert waits == [FIRST]
        with pytest.raises(UsageError):
            async with at_work(turn(store, FIRST)):
                raise UsageError("plan", "x", "no")
        assert await take_or_await(turn(store, SECOND), _nothing) is None
        assert await value_of(store, NOTE) == SECOND

    asyncio.run(main())


async def _nothing() -> str | None:
    return None
