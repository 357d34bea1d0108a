"""A retried write detects whether its first attempt was carried out, even if others change the object meanwhile."""

from __future__ import annotations

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.patience import Patience
from bqdump.adapters.retry import RetryingStore
from bqdump.core.errors import ConflictError, UnavailableError


class Busy(MemoryStore):
    """Loses the first write. The second one meets an object that is deleted right after."""

    writes = 0

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        self.writes += 1
        if self.writes == 1:
            raise UnavailableError("write", name, "it did not arrive")
        raise ConflictError("write", name, "it is there already")


async def test_a_conflict_with_an_object_that_was_deleted_since_stays_a_conflict() -> None:
    store = RetryingStore(Busy(), Patience(first_pause=0.0))
    with pytest.raises(ConflictError, match=r"cannot write planner\.json: it is there already\."):
        await store.write("planner.json", b"mine", 0)
