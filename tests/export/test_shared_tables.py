"""A large table by the read route: its tasks share the streams of one session, whatever befalls them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.dealing import Sharing
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Failure, Owner, Plan, Receipt
from bqdump.core.documents.units import Claim, SharedSession, Unit, parts_of
from bqdump.core.errors import JobFailedError, TablesFailedError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.act import TaskResult
from bqdump.export.placement.choose import running_export
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import ReadRoute, Task
from bqdump.export.watch import Watch
from bqdump.export.work.read import read_unit
from bqdump.export.work.sessions import close_sessions, retire
from bqdump.export.work.work import read_share
from bqdump.observe.status import status
from bqdump.pool.units import current_session, read_unit_ledger, record_end
from bqdump.ports.reader import Batch
from bqdump_memory import MemoryEncoder, MemoryReader, MemoryWarehouse
from logged import logged
from simulation.loop import VirtualLoop

KEEP, REPLACE = "{run}/{table}/{table}_*.{ext}", "{table}/{table}_*.{ext}"
TASKS = 4
ROWS = sorted(f"row {number}" for number in range(100))


def go(work: Coroutine[Any, Any, Any]) -> Any:
    """Pauses take no time."""
    return VirtualLoop("shared tables").complete(work)


async def at_once(call: Callable[[], Any]) -> Any:
    return call()


class Breaking(MemoryReader):
    """A reader that cannot read the streams of these numbers, and loses all sessions with the reading of so many."""

    broken: tuple[int, ...] = ()
    losing = 0

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        self.losing -= 1
        if self.losing == 0:
            self._warehouse.streams.clear()
        if int(stream.rpartition("/")[2]) in self.broken:
            raise JobFailedError("read", f"stream {stream}", "it is broken")
        return super().read(stream, offset)


async def all_parts(task: Task, plan: Plan) -> list[Unit]:
    shares = [await read_share(running_export(task, plan), share) for share in range(len(plan.shares))]
    units = {unit.id: unit for share in shares for unit in share}
    return [units[unit] for unit in plan.splits[0].units]


async def read(task: Task, plan: Plan, unit: Unit) -> Receipt:
    end = await read_unit(running_export(task, plan), Watch(task.warehouse, "US", Sharing(1, 1)), unit, 0, lambda: None)
    assert isinstance(end, Receipt)
    return end


class SharedTable:
    """One table that four tasks share, and a small one."""

    def __init__(self, path: str = REPLACE, rows: int = len(ROWS), **settings: Any) -> None:
        self.store = MemoryStore("bucket")
        self.now = 1_700_000_000_000
        self.warehouse = MemoryWarehouse(self.store, lambda: self.now)
        self.warehouse.put("p", "d", "large", ROWS[:rows])
        self.warehouse.put("p", "d", "small", ["x"])
        self.reader = Breaking(self.warehouse, self.warehouse.clock, batch_rows=3)
        reading = ReadRoute(self.reader, MemoryEncoder(), 1, at_once)
        self.open = lambda: reading
        self.settings = Settings(project="p", dataset="d", target=Target("gs", "bucket"), route="read", path=path,
                                 **{"read_split": 100, **settings})  # fmt: skip

    def task(self, number: int, execution: str = "e1") -> Task:
        return Task(self.store, self.warehouse, self.settings, "r1", Owner(execution, number), TASKS,
                    open_read_route=self.open)  # fmt: skip

    async def all_tasks(self, execution: str = "e1") -> list[TaskResult | BaseException]:
        tasks = (run(self.task(number, execution)) for number in range(TASKS))
        return await asyncio.gather(*tasks, return_exceptions=True)

    def manifest(self) -> Manifest:
        found = self.store.peek(self.settings.layout.run("r1").manifest.name)
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
    world = SharedTable(path, file_size=file_size)
    outcomes = go(world.all_tasks())
    assert "published" in [outcome.state for outcome in outcomes if isinstance(outcome, TaskResult)]
    assert world.rows("large") == ROWS
    entry = world.manifest().tables[0]
    assert (entry.table, entry.rows, entry.expected_rows, entry.planned_rows) == ("large", 100, None, 100)
    assert sorted(world.data()) == sorted(file.name for table in world.manifest().tables for file in table.files)
    assert len(entry.jobs) == 1
    assert len({file.name for file in entry.files}) == len(entry.files) >= (8 if file_size else TASKS)


def test_one_task_alone_reads_all_parts() -> None:
    world = SharedTable()

    async def check() -> None:
        await obtain_plan(world.task(1))
        await run(world.task(1))

    go(check())
    assert world.rows("large") == ROWS
    assert len(world.sessions()) == 2


def test_a_large_table_that_was_empty_at_the_moment_is_one_file() -> None:
    world = SharedTable(rows=0, snapshot_time="2023-11-14T22:13:20Z")
    world.now += 1000
    world.warehouse.put("p", "d", "large", ROWS)
    go(world.all_tasks())
    assert world.rows("large") == []
    assert [len(entry.files) for entry in world.manifest().tables] == [1, 1]


@pytest.mark.parametrize("path", [KEEP, REPLACE])
def test_another_execution_finishes_the_parts_that_are_left_from_the_same_session(path: str) -> None:
    world = SharedTable(path)
    world.reader.broken = (2,)

    async def check() -> None:
        first = await world.all_tasks("e1")
        failed = [one for one in first if isinstance(one, TablesFailedError)]
        assert failed
        assert "1 of 2 tables failed, nothing was published (large: invalid: it is broken)" in str(failed[0])
        seen = await status(world.store, world.settings, "r1")
        assert (seen.state, seen.tables, seen.done, [one.table for one in seen.failed]) == ("failed", 2, 1, ["large"])
        world.reader.broken = ()
        sessions = world.sessions()
        await world.all_tasks("e2")
        assert world.sessions() == sessions

    go(check())
    assert world.rows("large") == ROWS
    assert len(world.data()) == TASKS + 1


@pytest.mark.parametrize("path", [KEEP, REPLACE])
def test_a_partial_export_goes_without_a_table_of_which_parts_failed(path: str) -> None:
    world = SharedTable(path, allow_partial=True)
    world.reader.broken = (1, 2)
    outcomes = go(world.all_tasks())
    manifest = world.manifest()
    assert (manifest.status, [entry.table for entry in manifest.tables]) == ("partial", ["small"])
    assert [failure.table for failure in manifest.failed] == ["large"]
    failed = [[one.table for one in outcome.failed] for outcome in outcomes if isinstance(outcome, TaskResult)]
    assert ["large"] in failed
    assert world.data() == [file.name for entry in manifest.tables for file in entry.files]


@pytest.mark.parametrize("path", [KEEP, REPLACE])
def test_another_execution_reads_a_table_anew_whose_session_has_ended(path: str) -> None:
    world = SharedTable(path)
    world.reader.broken = (3,)

    async def check() -> None:
        await world.all_tasks("e1")
        world.reader.broken = ()
        world.warehouse.streams.clear()
        seen = await status(world.store, world.settings, "r1")
        assert (seen.done, [one.table for one in seen.failed]) == (1, ["large"])
        ended = await world.all_tasks("e2")
        assert "published" in [one.state for one in ended if isinstance(one, TaskResult)]

    go(check())
    assert world.rows("large") == ROWS
    assert world.rows("small") == ["x"]
    [entry] = [entry for entry in world.manifest().tables if entry.table == "large"]
    assert set(entry.jobs) == world.sessions()
    assert sorted(world.data()) == sorted(file.name for table in world.manifest().tables for file in table.files)


def test_within_one_execution_a_session_that_ends_is_not_followed_by_another() -> None:
    world = SharedTable()
    world.reader.losing = 3

    async def check() -> None:
        ended = await world.all_tasks()
        [reported] = {str(one) for one in ended if isinstance(one, TablesFailedError)}
        assert "large: sessionLost: no such stream: the read session that its tasks shared has ended" in reported
        assert "bqdump.run(run_id='r1')" in reported
        assert world.settings.layout.run("r1").manifest.name not in world.store.names_now()
        await world.all_tasks("e2")

    go(check())
    assert world.rows("large") == ROWS


def test_a_partial_export_goes_without_a_table_whose_session_has_ended() -> None:
    world = SharedTable(allow_partial=True)
    world.reader.losing = 3
    go(world.all_tasks())
    assert ([entry.table for entry in world.manifest().tables], world.manifest().status) == (["small"], "partial")


def test_a_receipt_of_a_retired_session_makes_room_for_one_of_the_present_one_and_not_the_other_way_round() -> None:
    world = SharedTable()

    async def check() -> None:
        task, later = world.task(0), world.task(0, "e2")
        plan = await obtain_plan(task)
        [split] = plan.splits
        parts, units = parts_of(plan), await all_parts(task, plan)
        old = [await read(task, plan, unit) for unit in units[:3]]
        for receipt in old[:2]:
            assert await record_end(task.store, task.layout, plan, receipt) == receipt
        part, lead = parts[split.units[0]], split.units[0]
        assert not await retire(task, part, old[0].job)
        assert await retire(later, part, "another")
        assert await retire(later, part, old[0].job)
        assert (await read_unit_ledger(task.store, task.layout, plan)).receipts == {}
        new = [await read(later, plan, unit) for unit in units]
        assert (
            {receipt.job for receipt in new} == {await current_session(task.store, task.layout, lead)} != {old[0].job}
        )
        # A task of the first execution comes late: nothing is there yet, or what is there counts.
        assert await record_end(task.store, task.layout, plan, old[2]) == old[2]
        for receipt in new:
            assert await record_end(task.store, task.layout, plan, receipt) == receipt
            assert await record_end(task.store, task.layout, plan, receipt) == receipt
        assert await record_end(task.store, task.layout, plan, old[0]) == new[0]
        ledger = await read_unit_ledger(task.store, task.layout, plan)
        assert (sorted(ledger.receipts), ledger.outdated) == (sorted(split.units), {})
        rest = {unit: one for unit, one in ledger.receipts.items() if unit != lead}
        some = replace(ledger, receipts=rest)
        failure = Failure(lead, "large", "", 0, "invalid", "it failed", task.owner)
        export = running_export(task, plan)
        assert not await close_sessions(export, some)
        assert await close_sessions(export, replace(some, given_up={lead: failure}))
        assert not await close_sessions(export, replace(ledger, receipts=ledger.receipts | {lead: old[0]}))
        assert await close_sessions(export, ledger)
        assert not await retire(world.task(0, "e3"), part, new[0].job)
        assert await close_sessions(running_export(later, plan), ledger)

    go(check())


def test_a_task_that_was_killed_takes_its_part_up_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = SharedTable()

    async def check() -> None:
        plan = await obtain_plan(world.task(0))
        # What a task leaves that was killed after it had claimed its part and opened the session.
        dead = world.task(2)
        [unit] = [unit for unit, part in parts_of(plan).items() if unit.startswith("00002-")]
        await world.store.write_note(dead.layout.claim(unit).name, encode(Claim(dead.owner, "large", 1)), 0)
        await asyncio.gather(*(run(world.task(number)) for number in (0, 1, 3)))
        assert dead.layout.manifest.name not in world.store.names_now()
        await run(dead)

    go(check())
    assert world.rows("large") == ROWS
    parts = [
        record.getMessage() for record in logged(caplog, LogEvent.TABLE_EXPORTED) if record.__dict__["table"] == "large"
    ]
    assert len(set(parts)) == len(parts) == TASKS


def test_a_session_document_that_was_edited_is_refused() -> None:
    world = SharedTable()

    async def check() -> list[TaskResult | BaseException]:
        plan = await obtain_plan(world.task(0))
        lead = plan.splits[0].units[0]
        forged = SharedSession("session-9", ("session-8/0",), b"line", "e1")
        await world.store.write(world.task(0).layout.session(lead).name, encode(forged), 0)
        return await world.all_tasks()

    ended = go(check())
    assert any("'session-8/0' does not belong to session 'session-9'" in str(one) for one in ended)
    assert world.settings.layout.run("r1").manifest.name not in world.store.names_now()
