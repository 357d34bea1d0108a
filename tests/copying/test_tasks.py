"""Tasks of one job share the files of a copy, and one of them publishes it, whichever of them die or come late."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.copying import move
from bqdump.copying.run import copy
from bqdump.core.copy import plan
from bqdump.core.copy.plan import Copied
from bqdump.core.documents.codec import encode
from bqdump.core.documents.retention import PrunedRun
from bqdump.core.documents.run import Owner
from bqdump.core.errors import VerificationError
from bqdump.core.retention.policy import Policy
from bqdump.ports.store import ObjectInfo
from copying.scene import Copies, complete
from simulation.loop import VirtualLoop

JOB, TABLES = "job-1", 12


class OfTask:
    """The place of the copies as one task sees it. streamed: the files that it stores. holds: its first one hangs.

    most: the files that it was storing at the same time.
    """

    def __init__(self, store: MemoryStore, *, holds: bool = False) -> None:
        self._store, self._holds = store, holds
        self.url = store.url
        self.streamed: list[str] = []
        self.stuck = asyncio.Event()
        self.storing = self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        if self._holds:
            self.stuck.set()
            await asyncio.Event().wait()
        self.streamed.append(name)
        self.storing += 1
        self.most = max(self.most, self.storing)
        await asyncio.sleep(1.0)
        self.storing -= 1
        return await self._store.stream(name, pieces, expect)


@pytest.fixture
def wide(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> Copies:
    """An export of many tables, each file of which is a batch."""
    monkeypatch.setattr(plan, "BATCH_FILES", 1)
    for number in range(TABLES):
        copies.source.warehouse.put("p", "sales", f"t{number:02d}", [f"row {number}"])
    copies.export("n1")
    return copies


def task_of(copies: Copies, number: int, tasks: int, store: OfTask, execution: str = JOB) -> Any:
    target: Any = store
    task = copies.task(None, target, owner=Owner(execution, number), tasks=tasks)
    return copy(task, (), Policy(), every=False)


def together(work: Any) -> Any:
    loop = VirtualLoop("tasks")
    try:
        return loop.complete(work)
    finally:
        loop.close()


@pytest.mark.parametrize("tasks", [1, 2, 4, 30])
def test_tasks_share_the_files_each_is_moved_once_and_one_task_publishes(wide: Copies, tasks: int) -> None:
    stores = [OfTask(wide.target) for _ in range(tasks)]

    async def all_of_them() -> list[Copied]:
        return list(await asyncio.gather(*(task_of(wide, at, tasks, store) for at, store in enumerate(stores))))

    results = together(all_of_them())
    moved = Counter(name for store in stores for name in store.streamed)
    assert len(moved) == TABLES + 2
    assert set(moved.values()) == {1}
    assert sum(result.files for result in results) == TABLES + 2
    assert {result.runs[0].state for result in results} <= {"copied", "there"}
    if tasks == 2:
        assert all(store.streamed for store in stores)
    complete(wide)
    assert wide.latest() == "n1"
    assert not [name for name in wide.target.names_now() if "/moving/" in name or "/copied/" in name]


@pytest.mark.parametrize(("piece", "at_once"), [(1000, move.SMALL_AT_ONCE), (999, 1)])
def test_a_stream_moves_files_of_one_piece_two_at_a_time_and_larger_ones_one_by_one(
    copies: Copies, monkeypatch: pytest.MonkeyPatch, piece: int, at_once: int
) -> None:
    for number in range(move.STREAMS * plan.BATCH_FILES):
        copies.source.warehouse.put("p", "sales", f"t{number:03d}", ["x" * 999])
    copies.export("n1")
    monkeypatch.setattr(move, "PIECE_BYTES", piece)
    store = OfTask(copies.target)
    together(task_of(copies, 0, 1, store))
    assert store.most == move.STREAMS * at_once
    complete(copies)


class SlowRecords(OfTask):
    """A store that takes long for what is recorded of a batch. moved: the files that it had when the first was done."""

    moved = 0

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        if "/copied/" in name:
            await asyncio.sleep(100.0)
            self.moved = self.moved or len(self.streamed)
        return await self._store.write(name, data, expect)


def test_other_batches_are_moved_while_one_is_recorded(wide: Copies) -> None:
    store = SlowRecords(wide.target)
    together(task_of(wide, 0, 1, store))
    assert store.moved == TABLES + 2 > move.STREAMS
    complete(wide)


def test_what_a_task_had_begun_when_it_died_is_moved_by_another_one(wide: Copies) -> None:
    first, second = OfTask(wide.target, holds=True), OfTask(wide.target)

    async def one_dies() -> Copied:
        dying = asyncio.ensure_future(task_of(wide, 0, 2, first))
        await first.stuck.wait()
        dying.cancel()
        result: Copied = await task_of(wide, 1, 2, second)
        return result

    result = together(one_dies())
    assert result.runs[0].state == "copied"
    assert len(second.streamed) == TABLES + 2
    complete(wide)
    assert wide.latest() == "n1"


def test_a_task_that_goes_on_keeps_what_it_has_begun(wide: Copies) -> None:
    slow, quick = OfTask(wide.target, holds=True), OfTask(wide.target)

    async def one_is_slow() -> bool:
        going_on = asyncio.ensure_future(task_of(wide, 0, 2, slow))
        await slow.stuck.wait()
        waiting: asyncio.Task[Copied] = asyncio.ensure_future(task_of(wide, 1, 2, quick))
        await asyncio.wait([waiting], timeout=3600.0)
        ended = waiting.done()
        for task in (going_on, waiting):
            task.cancel()
        await asyncio.wait([going_on, waiting])
        return ended

    assert not together(one_is_slow())
    assert wide.latest() == ""
    assert 0 < len(quick.streamed) < TABLES + 2


def test_a_task_that_is_started_again_goes_on_with_its_own_at_once(
    wide: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It had not begun to help.
    monkeypatch.setattr(move, "STREAMS", 4)
    first, again = OfTask(wide.target, holds=True), OfTask(wide.target)

    async def killed_and_started() -> float:
        dying = asyncio.ensure_future(task_of(wide, 0, 2, first))
        await first.stuck.wait()
        dying.cancel()
        both = (task_of(wide, 0, 2, again), task_of(wide, 1, 2, OfTask(wide.target)))
        await asyncio.gather(*both)
        return asyncio.get_running_loop().time()

    assert together(killed_and_started()) < 30.0
    complete(wide)
    assert wide.latest() == "n1"


def test_a_late_task_and_one_that_is_started_twice_find_the_copy_and_move_nothing(wide: Copies) -> None:
    stores = [OfTask(wide.target) for _ in range(4)]

    async def one_after_the_other() -> list[Copied]:
        first = [task_of(wide, 0, 3, stores[0]), task_of(wide, 1, 3, stores[1]), task_of(wide, 1, 3, stores[3])]
        done: list[Copied] = await asyncio.gather(*first)
        return [*done, await task_of(wide, 2, 3, stores[2])]

    *_, late = together(one_after_the_other())
    assert late.runs[0].state == "there"
    assert stores[2].streamed == []
    complete(wide)
    assert not wide.verify().findings


def test_a_job_after_one_that_died_takes_over_what_it_had_begun_in_its_own_share(wide: Copies) -> None:
    async def two_jobs() -> None:
        dead = OfTask(wide.target, holds=True)
        dying = asyncio.ensure_future(task_of(wide, 0, 2, dead, "job-0"))
        await dead.stuck.wait()
        dying.cancel()
        await asyncio.gather(*(task_of(wide, number, 2, OfTask(wide.target)) for number in range(2)))

    together(two_jobs())
    complete(wide)
    assert wide.latest() == "n1"


def test_a_damaged_file_of_the_source_ends_every_task_without_a_wait(wide: Copies) -> None:
    [name] = [name for name in wide.source.store.names_now() if "t05_" in name]
    wide.source.store.put_now(name, b"other bytes")

    async def all_of_them() -> tuple[list[Any], float]:
        work = (task_of(wide, number, 2, OfTask(wide.target)) for number in range(2))
        ended = await asyncio.gather(*work, return_exceptions=True)
        return ended, asyncio.get_running_loop().time()

    ended, seconds = together(all_of_them())
    assert len(ended) == 2
    assert all(isinstance(error, VerificationError) and "t05_" in str(error) for error in ended), ended
    assert seconds < 30.0
    assert wide.latest() == ""


class Held:
    """A store whose first request of a kind waits. there: it has come; go: it may go on."""

    def __init__(self, store: MemoryStore, what: str, part: str) -> None:
        self._store, self._what, self._part = store, what, part
        self.url = store.url
        self.there, self.go = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        await self._hold("write", name)
        return await self._store.write(name, data, expect)

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        await self._hold("stream", name)
        return await self._store.stream(name, pieces, expect)

    async def _hold(self, what: str, name: str) -> None:
        if what == self._what and self._part in name:
            self.there.set()
            await self.go.wait()


def test_two_copies_and_a_prune_between_them_replace_no_file_that_the_manifest_of_one_names() -> None:
    """A prune decides to delete a run after the first copy has begun, so it keeps the file that both copies use."""
    copies = Copies()
    copies.export("n1", "n2", "n3", incremental=True)
    copies.copy("n2")
    [(_, shared)] = [found for name in copies.data() if "/sales/" in name and (found := copies.target.peek(name))]

    async def both() -> None:
        first, second = Held(copies.target, "write", "n3/manifest.json"), Held(copies.target, "stream", "/sales/")
        stores: list[Any] = [first, second]
        one, other = (copy(copies.task(None, store), ("n3",), Policy(), every=False) for store in stores)
        begun = asyncio.ensure_future(one)
        await first.there.wait()
        copies.target.put_now(copies.there.layout.mark("n2").name, encode(PrunedRun(run="n2")))
        copies.source.now += 86_400_000
        later = asyncio.ensure_future(other)
        held = asyncio.ensure_future(second.there.wait())
        await asyncio.wait([later, held], return_when=asyncio.FIRST_COMPLETED)
        first.go.set()
        await begun
        second.go.set()
        await later
        held.cancel()

    asyncio.run(both())
    named = {file.name: file.generation for entry in copies.manifest("n3").tables for file in entry.files}
    assert named[shared.name] == shared.generation
    complete(copies)
