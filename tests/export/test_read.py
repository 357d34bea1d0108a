"""The read route on memory: of two attempts at one table the first receipt counts, and the other's files go."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, TypeVar

import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.dealing import Sharing
from bqdump.core.documents.codec import encode
from bqdump.core.documents.run import DIGESTS_IN_RECEIPT, Owner, Receipt
from bqdump.core.errors import (
    BqdumpError,
    DeniedError,
    OutageError,
    TablesFailedError,
    UnavailableError,
    VerificationError,
)
from bqdump.core.progress.events import Advanced, Event
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.placement.choose import running_export
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import ReadRoute, Task
from bqdump.export.watch import Watch
from bqdump.export.work.read import read_unit, withdraw_files
from bqdump.export.work.work import read_share
from bqdump.ports.reader import Batch
from bqdump.repository.published import read_manifest
from bqdump_memory import MemoryEncoder, MemoryReader, MemoryWarehouse
from logged import logged

Result = TypeVar("Result")

KEEP = "{run}/{table}/{table}_*.{ext}"


async def at_once(call: Callable[[], Any]) -> Any:
    return call()


def stage(
    path: str, *, store: MemoryStore | None = None, batch_rows: int = 7, **settings: Any
) -> tuple[MemoryStore, Task]:
    store = store or MemoryStore("bucket")
    warehouse = MemoryWarehouse(store, lambda: 1_700_000_000_000)
    warehouse.put("p", "d", "t", [f"row {number}" for number in range(100)])
    reading = ReadRoute(MemoryReader(warehouse, warehouse.clock, batch_rows=batch_rows), MemoryEncoder(), 2, at_once)
    chosen = Settings(project="p", dataset="d", target=Target("gs", "bucket"), route="read", path=path, **settings)
    return store, Task(store, warehouse, chosen, "r1", Owner("e1", 0), 1, open_read_route=lambda: reading)


def data(store: MemoryStore) -> list[str]:
    return [name for name in store.names_now() if name.endswith(".csv")]


@pytest.mark.parametrize("path", [KEEP, "{table}/{table}_*.{ext}"])
async def test_the_files_of_an_attempt_that_comes_second_go(path: str) -> None:
    store, task = stage(path)

    plan = await obtain_plan(task)
    [unit] = await read_share(running_export(task, plan), 0)
    watch = Watch(task.warehouse, "US", Sharing(1, 1))
    ends = [await read_unit(running_export(task, plan), watch, unit, 0, lambda: None) for _ in range(2)]
    late, first = (end for end in ends if isinstance(end, Receipt))
    assert (late.attempt, first.attempt, len(data(store))) == (0, 1, 2)
    await store.write_note(task.layout.receipt(unit.id).name, encode(first), 0)
    await withdraw_files(running_export(task, plan), unit, late)
    [left] = data(store)
    assert "000001000000" in left or f"{unit.id}.1/" in left
    await run(task)
    [file] = data(store)
    content = store.peek(file)
    assert content is not None
    assert content[0].count(b"\n") == 100


async def late(task: Task) -> None:
    """An attempt that ends when its run has ended, of a process that is killed before it can give a receipt."""
    plan = await obtain_plan(task)
    [unit] = await read_share(running_export(task, plan), 0)
    assert isinstance(
        await read_unit(running_export(task, plan), Watch(task.warehouse, "US", Sharing(1, 1)), unit, 1, lambda: None),
        Receipt,
    )


@pytest.mark.parametrize("path", [KEEP, "{table}/{table}_*.{ext}"])
async def test_what_an_attempt_leaves_that_ends_after_its_run_goes_when_the_run_is_started_again(path: str) -> None:
    store, task = stage(path)

    await run(task)
    whole = data(store)
    await late(task)
    assert len(data(store)) == 2
    others = ["r1/t/t_000002000000.csv", "r1/t/t_1.csv", "r1/t/x_000001000000.csv"]
    for name in others:
        store.put_now(name, b"of nobody's attempt")
    assert (await run(task)).state == "published"
    assert data(store) == sorted([*whole, *others])


def test_late_files_that_cannot_be_cleared_are_reported_and_do_no_harm(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, task = stage(KEEP)

    async def denied(objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        return [DeniedError("delete", name, "no") for name, _ in objects]

    async def check() -> None:
        await run(task)
        await late(task)
        monkeypatch.setattr(store, "delete", denied)
        assert (await run(task)).state == "published"

    asyncio.run(check())
    assert len(data(store)) == 2
    assert len(logged(caplog, LogEvent.CLEANUP_FAILED)) == 1


def test_files_of_an_attempt_that_does_not_count_stay_where_they_cannot_be_deleted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, task = stage(KEEP)

    async def denied(objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        return [DeniedError("delete", name, "no") for name, _ in objects]

    async def check() -> None:
        await late(task)
        monkeypatch.setattr(store, "delete", denied)
        assert (await run(task)).state == "published"
        manifest = await read_manifest(store, task.settings)
        # The late file is next to it.
        assert len({file.name for table in manifest.tables for file in table.files}) == 1

    asyncio.run(check())
    assert len(data(store)) == 2
    warnings = [record.getMessage() for record in logged(caplog, LogEvent.CLEANUP_FAILED)]
    assert warnings[0].startswith(
        "1 file of attempts that do not count cannot be deleted, and no manifest names them: "
    )


class UnreachableStore(MemoryStore):
    """Takes documents, and no file."""

    async def upload(self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None) -> Any:
        fill(io.BytesIO())
        raise UnavailableError("write", f"{self.url}/{name}", "the connection broke")


def test_a_target_that_takes_no_file_is_an_outage_and_no_failure_of_a_table() -> None:
    store, task = stage(KEEP, store=UnreachableStore("bucket"))
    with pytest.raises(OutageError, match=r"cannot write gs://bucket/r1/t/t_\d+\.csv: the connection broke. Resume"):
        asyncio.run(run(task))
    assert not [name for name in store.names_now() if "/failures/" in name]


def test_a_stream_that_breaks_each_time_is_a_failure_of_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_reader: MemoryReader, _stream: str, _offset: int) -> Iterator[Batch]:
        def row(_: int) -> Batch:
            raise UnavailableError("read", "a stream", "the connection broke")

        return map(row, range(1))

    monkeypatch.setattr(MemoryReader, "read", broken)
    store, task = stage(KEEP)
    with pytest.raises(TablesFailedError):
        asyncio.run(run(task))
    assert [name for name in store.names_now() if "/failures/" in name]


def test_files_are_cut_at_the_requested_size() -> None:
    store, task = stage(KEEP, file_size=200)
    asyncio.run(run(task))
    contents = [found[0] for name in data(store) if (found := store.peek(name))]
    assert len(contents) == 3
    assert sorted(b"".join(contents).splitlines()) == sorted(f"row {number}".encode() for number in range(100))


def test_whoever_looks_on_hears_how_many_rows_have_been_read() -> None:
    _, task = stage(KEEP)
    reported: list[Event] = []
    asyncio.run(run(replace(task, tell=reported.append)))
    rows = [event.rows for event in reported if isinstance(event, Advanced)]
    assert rows == sorted(rows)
    assert len(set(rows)) > 10
    assert rows[-1] == 100
    assert {(event.piece, event.of) for event in reported if isinstance(event, Advanced)} == {("00000-00000", 100)}


@pytest.mark.parametrize("path", [KEEP, "{table}/{table}_*.{ext}"])
@pytest.mark.parametrize("batch_rows", [40, 2])
def test_the_manifest_has_the_sha256_of_every_file_however_many_there_are(path: str, batch_rows: int) -> None:
    store, task = stage(path, batch_rows=batch_rows, file_size=1)
    asyncio.run(run(task))
    [entry] = asyncio.run(read_manifest(store, task.settings)).tables
    assert (len(entry.files) > DIGESTS_IN_RECEIPT) == (batch_rows == 2)
    stored = {file.name: store.peek(file.name) for file in entry.files}
    assert {file.name: file.sha256 for file in entry.files} == {
        name: hashlib.sha256(found[0]).hexdigest() for name, found in stored.items() if found
    }


def test_a_run_that_has_lost_the_digests_of_its_files_is_not_published() -> None:
    store, task = stage(KEEP, batch_rows=2, file_size=1)
    plan = asyncio.run(obtain_plan(task))
    [unit] = asyncio.run(read_share(running_export(task, plan), 0))
    watch = Watch(task.warehouse, "US", Sharing(1, 1))
    receipt = asyncio.run(read_unit(running_export(task, plan), watch, unit, 0, lambda: None))
    asyncio.run(store.write_note(task.layout.receipt(unit.id).name, encode(receipt), 0))
    [(name, found)] = [(name, store.peek(name)) for name in store.names_now() if "/digests/" in name]
    assert found is not None
    asyncio.run(store.delete([(name, found[1].generation)]))
    with pytest.raises(VerificationError, match="50 files were written, and 0 SHA-256 recorded"):
        asyncio.run(run(task))
    assert not store.peek(task.layout.manifest.name)
