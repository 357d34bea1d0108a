"""A write that is repeated finds out whether its first try arrived, whatever others do to the object meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.patience import Patience
from bqdump.adapters.retry import RetryingStore
from bqdump.core.errors import ConflictError, UnavailableError


class Busy(MemoryStore):
    """Loses the first write; the second one meets an object that its owner deletes right after."""

    writes = 0

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        self.writes += 1
        if self.writes == 1:
            raise UnavailableError("write", name, "it did not arrive")
        raise ConflictError("write", name, "it is there already")


def test_a_conflict_with_an_object_that_is_gone_by_now_stays_a_conflict() -> None:
    async def check() -> None:
        store = RetryingStore(Busy(), Patience(first_pause=0.0))
        with pytest.raises(ConflictError):
            await store.write("planner.json", b"mine", 0)

    asyncio.run(check())
