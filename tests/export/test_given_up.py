"""A partial export goes without a table, and another execution of the same run still finishes it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.errors import TablesFailedError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.ports.warehouse import JobError
from bqdump_memory import MemoryWarehouse
from simulation.loop import VirtualLoop

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"))
NOW = 1_790_000_000_000
SLOW = 100.0


class FailingExport:
    """Table b fails at first; a later attempt takes long, and ends well."""

    def __init__(self, path: str) -> None:
        self.settings = msgspec.structs.replace(SETTINGS, path=path)
        self.store = MemoryStore()
        self.warehouse = MemoryWarehouse(
            self.store, lambda: NOW, failing=self._fails, seconds=lambda table: self.seconds if table == "b" else 0.0
        )
        self.seconds = 0.0
        for table in ("a", "b"):
            self.warehouse.put("p", "d", table, [f"{table},1"])

    def _fails(self, table: str, job_id: str) -> JobError | None:
        return JobError("invalid", "cannot be read") if table == "b" and job_id.endswith("_0") else None

    def task(self, execution: str, *, partial: bool) -> Task:
        settings = msgspec.structs.replace(self.settings, allow_partial=partial)
        return Task(self.store, self.warehouse, settings, "r", Owner(execution, 0), 1)

    def manifest(self) -> Manifest:
        found = self.store.peek(self.settings.layout.run("r").manifest.name)
        assert found
        return decode(found[0], Manifest, "manifest.json")


async def overlap(world: FailingExport) -> tuple[Any, Any]:
    """How both end: the one that gives b up, and the one that has a job for it under way at that moment."""
    with pytest.raises(TablesFailedError):
        await run(world.task("x", partial=False))
    world.seconds = SLOW
    finishing = asyncio.get_running_loop().create_task(run(world.task("y", partial=True)))
    while not any(job_id.endswith("_1") for job_id in world.warehouse.extracted):
        await asyncio.sleep(0.1)
    gave_up = await run(world.task("x", partial=True))
    assert not finishing.done()
    return gave_up, await finishing


@pytest.mark.parametrize("path", ["{table}/{table}_*.{ext}", "{run}/{table}_*.{ext}"])
def test_both_publish_the_same_and_nothing_lies_about(path: str) -> None:
    world = FailingExport(path)
    gave_up, finished = VirtualLoop("given up").complete(overlap(world))
    assert gave_up.state == finished.state == "published"
    assert [failure.table for failure in finished.failed] == ["b"]
    manifest = world.manifest()
    assert manifest.status == "partial"
    assert [failure.table for failure in manifest.failed] == ["b"]
    named = [file.name for table in manifest.tables for file in table.files]
    assert [name for name in world.store.names_now() if not name.startswith("_bqdump/")] == named
    assert [name for name in world.store.names_now() if "/data/" in name] == []


def test_what_was_given_up_stays_so_when_the_run_is_resumed_before_its_end() -> None:
    world = FailingExport("{table}/{table}_*.{ext}")

    async def given_up_and_killed() -> None:
        with pytest.raises(TablesFailedError):
            await run(world.task("x", partial=False))
        killed = asyncio.get_running_loop().create_task(run(world.task("x", partial=True)))
        layout = world.settings.layout.run("r")
        while not any(name.startswith(layout.receipts) and "00001" in name for name in world.store.names_now()):
            await asyncio.sleep(0)
        killed.cancel()
        assert world.store.peek(layout.manifest.name) is None
        # Whoever does not allow a partial export is told so; nothing is tried again behind the back of the other.
        with pytest.raises(TablesFailedError):
            await run(world.task("z", partial=False))
        assert (await run(world.task("z", partial=True))).state == "published"

    VirtualLoop("resumed").complete(given_up_and_killed())
    assert [failure.table for failure in world.manifest().failed] == ["b"]
    assert sum("_00000-00001_" in job_id for job_id in world.warehouse.extracted) == 1
