"""The requests and bytes that Iceberg metadata takes: each table adds as many, whatever the number of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.ports.store import ObjectInfo, Stored
from retain.scene import KEEP, Scene
from retain.test_time_travel import LAKE


class Counting(MemoryStore):
    """A store that counts requests about Iceberg metadata."""

    def __init__(self) -> None:
        super().__init__(page=1000)
        self.counts = Counter[str]()

    def _count(self, kind: str, name: str) -> None:
        self.counts[kind] += "/iceberg/" in name and not name.endswith("/iceberg/")

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore."""
        self._count("read", name)
        return await super().read(name, start, length)

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        self._count("write", name)
        return await super().write(name, data, expect)

    async def stat(self, name: str) -> ObjectInfo | None:
        """See ObjectStore."""
        self._count("stat", name)
        return await super().stat(name)

    def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
        """See ObjectStore."""
        self._count("list", prefix)
        return super().objects(prefix, start)


@pytest.mark.parametrize("path", [KEEP, "{table}/{table}_*.{ext}"], ids=["keep", "replace"])
@pytest.mark.parametrize(("changes", "reads", "writes"), [(False, 2, 0), (True, 1, 4)], ids=["unchanged", "changed"])
def test_a_table_takes_a_listing_and_the_writes_of_what_is_new(
    path: str, changes: bool, reads: int, writes: int
) -> None:
    store = Counting()
    scene = Scene(store)
    scene.run("r1", "r2", "r3", "r4", path=path, **LAKE)
    if changes:
        for table in ("items", "sales"):
            scene.warehouse.put("p", "sales", table, ["new"])
    store.counts.clear()
    scene.run("r5", path=path, **LAKE)
    assert +store.counts == +Counter({"list": 2, "read": 2 * reads, "write": 2 * writes})


@pytest.mark.parametrize("changing", [False, True], ids=["unchanged", "one changes"])
def test_a_night_takes_as_much_with_50_kept_runs_as_with_few(changing: bool) -> None:
    store = Counting()
    scene = Scene(store)
    costs = []
    for number in range(50):
        store.counts.clear()
        if changing:
            scene.warehouse.put("p", "sales", "items", [f"new {number}"])
        before = scene.names("/iceberg/sales/")
        scene.run(f"r{number}", full_every=0, **LAKE)
        if number > 3:
            assert scene.names("/iceberg/sales/") == before
        costs.append(+store.counts)
    assert costs[49] == costs[5]
