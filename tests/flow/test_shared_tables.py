"""A large table by the read route: its tasks share the streams of one session, whatever befalls them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bqdump.adapters.memory import MemoryStore, MemoryWarehouse
from bqdump.adapters.memory_reader import MemoryEncoder, MemoryReader
from bqdump.core.codec import decode, encode
from bqdump.core.documents import Claim, Manifest, Owner, SharedSession
from bqdump.core.errors import JobFailedError, UnitsFailedError
from bqdump.core.parts import parts_of
from bqdump.core.settings import Settings
from bqdump.flow.planning import obtain_plan
from bqdump.flow.run import Outcome, run
from bqdump.flow.status import status
from bqdump.flow.task import Reading, Task
from bqdump.ports.reader import Batch

KEEP, REPLACE = "{run}/{table}/{table}_*.{ext}", "{table}/{table}_*.{ext}"
TASKS = 4
ROWS = sorted(f"row {number}" for number in range(100))


async def at_once(call: Callable[[], Any]) -> Any:
    return call()


class Breaking(MemoryReader):
    """A reader that cannot read the streams of these numbers."""

    broken: tuple[int, ...] = ()

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        if int(stream.rpartition("/")[2]) in self.broken:
            raise JobFailedError("read", f"stream {stream}", "it is broken")
        return super().read(stream, offset)


class World:
    """One table that four tasks share, and a small one."""

    def __init__(self, path: str = REPLACE, rows: int = len(ROWS), **settings: Any) -> None:
        self.store = MemoryStore("bucket")
        self.now = 1_700_000_000_000
        self.warehouse = MemoryWarehouse(self.store, lambda: self.now)
        self.warehouse.put("p", "d", "large", ROWS[:rows])
        self.warehouse.put("p", "d", "small", ["x"])
        self.reader = Breaking(self.warehouse, self.warehouse.clock, batch_rows=3)
        reading = Reading(self.reader, MemoryEncoder(), 1, at_once)
        self.open = lambda: reading
        self.settings = Settings(project="p", dataset="d", bucket="bucket", route=("*=read",), path=path,
                                 **{"read_split": 100, **settings})  # fmt: skip

    def task(self, number: int, execution: str = "e1") -> Task:
        return Task(self.store, self.warehouse, self.settings, "r1", Owner(execution, number), TASKS,
                    open_reading=self.open)  # fmt: skip

    async def all_tasks(self, execution: str = "e1") -> list[Outcome | BaseException]:
        tasks = (run(self.task(number, execution)) for number in range(TASKS))
        return await asyncio.gather(*tasks, return_exceptions=True)

    def manifest(self) -> Manifest:
        found = self.store.peek(self.settings.layout.run("r1").manifest)
        assert found
        return decode(found[0], Manifest, "manifest.json")

    def rows(self, table: str) -> list[str]:
        [entry] = [entry for entry in self.manifest().tables if entry.table == table]
        contents = [found[0] for file in entry.files if (found := self.store.peek(file.name))]
        assert len(contents) == len(entry.files)
        return sorted(b"".join(contents).decode().splitlines())

    def data(self) -> list[str]:
        return [name for name in self.store.names_now() if name.endswith(".csv")]

    def sessions(self) -> set[str]:
        return {stream.partition("/")[0] for stream in self.warehouse.streams}


@pytest.mark.parametrize("path", [KEEP, REPLACE])
@pytest.mark.parametrize("file_size", [0, 60])
def test_a_large_table_is_read_by_all_tasks_from_one_session(path: str, file_size: int) -> None:
    world = World(path, file_size=file_size)
    outcomes = asyncio.run(world.all_tasks())
    assert "published" in [outcome.result for outcome in outcomes if isinstance(outcome, Outcome)]
    assert world.rows("large") == ROWS
    entry = world.manifest().tables[0]
    assert (entry.table, entry.rows, entry.expected_rows, entry.planned_rows) == ("large", 100, None, 100)
    assert sorted(world.data()) == sorted(file.name for table in world.manifest().tables for file in table.files)
    assert len(entry.jobs) == 1
    assert len({file.name for file in entry.files}) == len(entry.files) >= (8 if file_size else TASKS)


def test_one_task_alone_reads_all_parts() -> None:
    world = World()

    async def check() -> None:
        await obtain_plan(world.task(1))
        await run(world.task(1))

    asyncio.run(check())
    assert world.rows("large") == ROWS
    assert len(world.sessions()) == 2


def test_a_large_table_that_was_empty_at_the_moment_is_one_file() -> None:
    world = World(rows=0, snapshot_time="2023-11-14T22:13:20Z")
    world.now += 1000
    world.warehouse.put("p", "d", "large", ROWS)
    asyncio.run(world.all_tasks())
    assert world.rows("large") == []
    assert [len(entry.files) for entry in world.manifest().tables] == [1, 1]


@pytest.mark.parametrize("path", [KEEP, REPLACE])
def test_another_execution_finishes_the_parts_that_are_left_from_the_same_session(path: str) -> None:
    world = World(path)
    world.reader.broken = (2,)

    async def check() -> None:
        first = await world.all_tasks("e1")
        failed = [one for one in first if isinstance(one, UnitsFailedError)]
        assert failed
        assert "1 of 2 tables failed, nothing was published (large: invalid: it is broken)" in str(failed[0])
        seen = await status(world.store, world.settings, "r1")
        assert (seen.state, seen.tables, seen.done, [one.table for one in seen.failed]) == ("failed", 2, 1, ["large"])
        world.reader.broken = ()
        sessions = world.sessions()
        await world.all_tasks("e2")
        assert world.sessions() == sessions

    asyncio.run(check())
    assert world.rows("large") == ROWS
    assert len(world.data()) == TASKS + 1


@pytest.mark.parametrize("path", [KEEP, REPLACE])
def test_a_partial_export_goes_without_a_table_of_which_parts_failed(path: str) -> None:
    world = World(path, allow_partial=True)
    world.reader.broken = (1, 2)
    outcomes = asyncio.run(world.all_tasks())
    manifest = world.manifest()
    assert (manifest.status, [entry.table for entry in manifest.tables]) == ("partial", ["small"])
    assert [failure.table for failure in manifest.failed] == ["large"]
    failed = [[one.table for one in outcome.failed] for outcome in outcomes if isinstance(outcome, Outcome)]
    assert ["large"] in failed
    assert world.data() == [file.name for entry in manifest.tables for file in entry.files]


def test_parts_of_a_session_that_has_ended_cannot_be_finished_and_say_so() -> None:
    world = World()
    world.reader.broken = (3,)

    async def check() -> str:
        await world.all_tasks("e1")
        world.reader.broken = ()
        world.warehouse.streams.clear()
        ended = await world.all_tasks("e2")
        [failed] = {str(one) for one in ended if isinstance(one, UnitsFailedError)}
        return failed

    told = asyncio.run(check())
    assert "large: sessionLost" in told
    assert "start a new run" in told
    assert world.settings.layout.run("r1").manifest not in world.store.names_now()


def test_a_task_that_was_killed_takes_its_part_up_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World()

    async def check() -> None:
        plan = await obtain_plan(world.task(0))
        # What a task leaves that was killed after it had claimed its part and opened the session.
        dead = world.task(2)
        [unit] = [unit for unit, part in parts_of(plan).items() if unit.startswith("00002-")]
        await world.store.write_note(dead.layout.claim(unit), encode(Claim(dead.owner, "large", 1)), 0)
        await asyncio.gather(*(run(world.task(number)) for number in (0, 1, 3)))
        assert dead.layout.manifest not in world.store.names_now()
        await run(dead)

    asyncio.run(check())
    assert world.rows("large") == ROWS
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("large (part")]
    assert len(set(told)) == len(told) == TASKS


def test_a_session_that_somebody_has_changed_is_refused() -> None:
    world = World()

    async def check() -> list[Outcome | BaseException]:
        plan = await obtain_plan(world.task(0))
        lead = plan.splits[0].units[0]
        forged = SharedSession("session-9", ("session-8/0",), b"line")
        await world.store.write(world.task(0).layout.session(lead), encode(forged), 0)
        return await world.all_tasks()

    ended = asyncio.run(check())
    assert any("'session-8/0' is none of the session 'session-9'" in str(one) for one in ended)
    assert world.settings.layout.run("r1").manifest not in world.store.names_now()
