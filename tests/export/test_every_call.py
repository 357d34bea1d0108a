"""Whatever the bucket or BigQuery answers to any one call: the run completes, or fails in one sentence and resumes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.checksums import crc32c
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.patience import Patience
from bqdump.adapters.retry import RetryingStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Latest
from bqdump.core.errors import BqdumpError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump_memory import MemoryWarehouse, gated
from export.every_call import FAULTS, Calls, Fault, Spoilt
from simulation.loop import VirtualLoop
from tiers import points

PATHS = ("{table}/{table}_*.{ext}", "{run}/{table}_*.{ext}")
NOW = 1_790_000_000_000


class ChangedExport:
    """Two tables, one of two files, that have been exported once and have changed since."""

    def __init__(self, path: str) -> None:
        self.settings = Settings(project="p", dataset="d", target=Target("gs", "memory"), path=path)
        self.store = MemoryStore()
        self.now = NOW
        self.warehouse = MemoryWarehouse(self.store, self.clock, shard_rows=2)
        self.change(4)

    def clock(self) -> int:
        return self.now

    def change(self, rows: int) -> None:
        self.now += 1000
        for table in ("a", "b"):
            self.warehouse.put("p", "d", table, [f"{table},{self.now + row}" for row in range(rows)])
        self.now += 1000

    async def export(self, name: str, execution: str, calls: Calls | None = None) -> Any:
        calls = calls or Calls(None, FAULTS[0])
        store: Any = Spoilt(self.store, calls)
        warehouse: Any = Spoilt(self.warehouse, calls)
        patience = Patience(tries=3)
        ports = RetryingStore(store, patience), gated(warehouse, Gate(patience))
        return await run(Task(*ports, self.settings, name, Owner(execution, 0), 1))

    def published(self) -> str:
        """The run that readers see, after everything that its manifest names was found there.

        A file may carry the mark of the next run, which tells its readers that it is being replaced.
        """
        found = self.store.peek("_bqdump/latest.json")
        assert found
        latest = decode(found[0], Latest, "latest.json")
        manifest = self.store.peek(latest.manifest)
        assert manifest
        files = [file for table in decode(manifest[0], Manifest, "").tables for file in table.files]
        assert len(files) >= 2
        for file in files:
            there = self.store.peek(file.name)
            assert there, file.name
            same = (there[1].generation, crc32c(there[0])) == (file.generation, file.crc32c)
            assert same or (latest.run, there[1].origin.split("/")[0]) == ("first", "second"), file.name
        return latest.run


async def exported_once(path: str) -> ChangedExport:
    world = ChangedExport(path)
    await world.export("first", "first")
    world.change(3)
    return world


async def spoil(before: ChangedExport, spoilt: int | None, fault: Fault) -> Calls:
    """One more export, of which one call goes wrong; the calls that it has made."""
    world = copy.deepcopy(before)
    calls = Calls(spoilt, fault)
    what = f"{fault.name} at call {spoilt}"
    try:
        outcome = await world.export("second", "second", calls)
    except BqdumpError:
        assert world.published() in ("first", "second"), what
    else:
        assert outcome.state in ("published", "unfinished"), what
        assert world.published() == "second" or outcome.state == "unfinished", what
    assert (await world.export("second", "again")).state == "published", what
    assert world.published() == "second", what
    assert not [name for name in world.store.names_now() if "second/data/" in name], what
    return calls


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_any_call_may_go_wrong(path: str, fault: Fault) -> None:
    async def every() -> int:
        before = await exported_once(path)
        calls = await spoil(before, None, fault)
        for number in points(range(calls.made)):
            assert (await spoil(before, number, fault)).hit
        return calls.made

    assert VirtualLoop("every call").complete(every()) > 30
