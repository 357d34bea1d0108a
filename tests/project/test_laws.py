"""The laws of a set hold while tasks die and executions overlap, and each planted bug breaks one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from msgspec.structs import replace

from bqdump.core.documents.project import Ended
from bqdump.core.project import member as derived
from bqdump.project import finish
from bqdump.repository.projects import Board
from project.laws import LawStore
from project.test_killed import calls_of, once
from project.world import World

EVERY = 41


class Lawful(World):
    """A project whose store watches the laws."""

    def __init__(self, *, together: bool) -> None:
        super().__init__("a", "b", "c")
        self.store: LawStore = LawStore()
        self.store.together = 3 if together else 0
        self.warehouse.store = self.store


def broken(calls: int, *, together: bool) -> list[str]:
    """The laws that two executions break, of which one dies after so many calls and the other one overlaps."""
    world = Lawful(together=together)

    async def both() -> None:
        late = asyncio.create_task(once(world, 10**6, "two", 0, 1, together=together))
        await asyncio.gather(*(once(world, calls, "one", task, 2, together=together) for task in (0, 1)))
        await late

    asyncio.run(both())
    if not world.store.peek("x/_bqdump/project.json"):
        asyncio.run(once(world, 10**6, "three", 0, 1, together=together))
    assert world.project().status == "complete"
    return world.store.broken


@pytest.mark.parametrize("together", [False, True])
def test_the_laws_hold_whenever_a_task_dies(*, together: bool) -> None:
    for calls in range(5, calls_of(together=together), EVERY):
        assert broken(calls, together=together) == [], calls


def _never_ended(found: Board) -> Board:
    """A board on which every dataset has ended."""
    ends = {number: Ended(number, "published", "r", 0, 0, "complete") for number in range(3)}
    return found._replace(ended=ends)


async def _named_early(running: Any, board: Board) -> Any:
    return await PUBLISH(running, _never_ended(board))


PUBLISH = finish.publish_set
MEMBER = derived.member_settings


async def _no_barrier(running: Any, open_task: Any, planner: Any) -> Board:
    everything = {number: mock.Mock() for number in range(len(running.plan.datasets))}
    return Board({}, everything, {}, {})


def _own_time(*given: Any) -> Any:
    return replace(MEMBER(*given), snapshot_time="")


@pytest.mark.parametrize(
    ("place", "bug", "together", "law"),
    [
        ("bqdump.project.work._complete_all", _no_barrier, True, "with 0 datasets ready"),
        ("bqdump.project.member.member_settings", _own_time, False, "and project.json says"),
    ],
)
def test_a_planted_bug_is_found(place: str, bug: Callable[..., Any], together: bool, law: str) -> None:
    with mock.patch(place, bug):
        found = broken(10**6, together=together)
    assert any(law in one for one in found), found


def test_naming_what_is_not_published_is_found() -> None:
    world = Lawful(together=False)
    world.put("c", "bad")
    world.broken.add("bad")
    with mock.patch("bqdump.project.run.publish_set", _named_early):
        asyncio.run(once(world, 10**6, "one", 0, 1))
    assert world.store.broken == ["c is named and not published"]
