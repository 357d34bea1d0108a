"""The promises of Reader, tested with every implementation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.patience import Patience, Retrying
from bqdump.adapters.read.reader import ENDPOINT, StorageReader
from bqdump.adapters.retry import resumed
from bqdump.core.errors import JobFailedError, NotFoundError, SessionLostError, UnavailableError
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.reader import Batch, Reader, ReadRequest
from bqdump_memory import MemoryReader, MemoryWarehouse
from local.bigquery_server import PROJECT, Cloud, serve_world

Result = TypeVar("Result")
LINES = [f"row {number}" for number in range(1000)]


class Source(NamedTuple):
    """A reader's source: a dataset with the table `t` with one column `line`, an empty table `e`, and a view `v`."""

    make: Callable[[], Reader]
    dataset: Dataset
    now: Callable[[], int]
    add: Callable[[str], None]


@pytest.fixture(scope="module")
def world() -> Iterator[Cloud]:
    with serve_world() as world, world.settings(read_batch_bytes=500):
        yield world


def in_memory() -> Source:
    clock = iter(range(1, 10**6))
    warehouse = MemoryWarehouse(MemoryStore(), lambda: next(clock))
    warehouse.put(PROJECT, "d", "t", LINES)
    warehouse.put(PROJECT, "d", "e", [])
    warehouse.put(PROJECT, "d", "v", [], kind="VIEW")
    return Source(
        lambda: MemoryReader(warehouse, warehouse.clock, batch_rows=30), Dataset(PROJECT, "d", "US"), warehouse.clock,
        lambda line: warehouse.put(PROJECT, "d", "t", [*LINES, line]),
    )  # fmt: skip


def on_the_stand_in(world: Cloud, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setenv(ENDPOINT, world.reads)
    name = world.dataset()
    rows = "SELECT CONCAT('row ', CAST(n AS STRING)) AS line FROM UNNEST(GENERATE_ARRAY(0, 999)) AS n"
    world.sql(f"CREATE TABLE {name}.t AS {rows}")
    world.sql(f"CREATE TABLE {name}.e (line STRING)")
    world.sql(f"CREATE VIEW {name}.v AS SELECT 1 AS line")

    def now() -> int:
        clock = "SELECT UNIX_MILLIS(CURRENT_TIMESTAMP())"
        start = moment = int(world.sql(clock)[0][0])
        while moment <= start + 1:
            moment = int(world.sql(clock)[0][0])
        return start + 1

    return Source(
        lambda: StorageReader(PROJECT), Dataset(PROJECT, name, "US"), now,
        lambda line: void(world.sql(f"INSERT INTO {name}.t VALUES ('{line}')")),
    )  # fmt: skip


def void(_: object) -> None:
    """Nothing."""


@pytest.fixture(params=["memory", "storage-read"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Source:
    if request.param == "storage-read":
        return on_the_stand_in(request.getfixturevalue("world"), monkeypatch)
    return in_memory()


def on(source: Source, test: Callable[[Reader], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        reader = source.make()
        try:
            return await test(reader)
        finally:
            await reader.close()

    return asyncio.run(run())


def wanted(source: Source, table: str = "t", *, streams: int = 1, snapshot: int | None = None, **more: Any) -> Any:
    moment = source.now() if snapshot is None else snapshot
    return ReadRequest(source.dataset, table, moment, more.get("columns", ()), more.get("restriction", ""), streams,
                       more.get("least", 1))  # fmt: skip


def rows(reader: Reader, stream: str, offset: int = 0) -> int:
    return sum(batch.rows for batch in reader.read(stream, offset))


def test_every_row_is_in_one_stream(source: Source) -> None:
    async def check(reader: Reader) -> None:
        session = await reader.open(wanted(source, streams=3))
        assert 1 <= len(session.streams) <= 3
        assert session.schema
        assert sum(rows(reader, stream) for stream in session.streams) == 1000
        assert reader.now() > 0

    on(source, check)


def test_a_session_has_the_requested_number_of_streams(source: Source) -> None:
    async def check(reader: Reader) -> None:
        session = await reader.open(wanted(source, streams=6, least=5))
        assert 5 <= len(session.streams) <= 6
        assert sum(rows(reader, stream) for stream in session.streams) == 1000

    on(source, check)


def test_a_stream_can_be_resumed_at_any_row(source: Source) -> None:
    async def check(reader: Reader) -> None:
        session = await reader.open(wanted(source))
        [stream] = session.streams
        whole = list(reader.read(stream, 0))
        assert len(whole) > 1
        for offset in (0, 1, 29, 30, 31, 999, 1000):
            assert rows(reader, stream, offset) == 1000 - offset
        assert list(reader.read(stream, whole[0].rows)) == whole[1:]

    on(source, check)


def test_a_session_reads_its_snapshot_time(source: Source) -> None:
    async def check(reader: Reader) -> None:
        before = source.now()
        source.add("one more")
        past = await reader.open(wanted(source, snapshot=before))
        present = await reader.open(wanted(source))
        assert [rows(reader, past.streams[0]), rows(reader, present.streams[0])] == [1000, 1001]

    on(source, check)


def test_an_empty_table_has_a_schema_and_no_rows(source: Source) -> None:
    async def check(reader: Reader) -> None:
        session = await reader.open(wanted(source, "e"))
        assert session.schema
        assert sum(rows(reader, stream) for stream in session.streams) == 0

    on(source, check)


def test_tables_that_cannot_be_read_have_distinct_errors(source: Source) -> None:
    async def check(reader: Reader) -> None:
        with pytest.raises(NotFoundError, match="table nothing"):
            await reader.open(wanted(source, "nothing"))
        with pytest.raises(JobFailedError, match="non-table entities cannot be read"):
            await reader.open(wanted(source, "v"))
        with pytest.raises(JobFailedError, match="table t"):
            await reader.open(wanted(source, columns=("nope",)))
        with pytest.raises(JobFailedError, match="table t"):
            await reader.open(wanted(source, restriction="nope ="))

    on(source, check)


def test_a_session_that_has_ended_is_lost(source: Source) -> None:
    async def check(reader: Reader) -> None:
        session = await reader.open(wanted(source))
        stream = f"{session.streams[0]}x"
        with pytest.raises((SessionLostError, NotFoundError), match=f"cannot read stream .*{stream}"):
            rows(reader, stream)

    on(source, check)


class Breaking:
    """A Reader whose streams break after each batch, and then `times` times without a batch."""

    def __init__(self, reader: Reader, times: int) -> None:
        self._reader, self._times, self._left = reader, times, times

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        if self._left:
            self._left -= 1
            raise UnavailableError("read", "a stream", "it broke")
        self._left = self._times
        yield from (batch for batch, _ in zip(self._reader.read(stream, offset), range(1), strict=False))
        if offset < 1000:
            raise UnavailableError("read", "a stream", "it broke")


@pytest.mark.parametrize(("times", "holds"), [(1, True), (2, False)])
def test_a_broken_stream_resumes_after_its_last_row(times: int, holds: bool) -> None:
    source = in_memory()

    async def check(plain: Reader) -> None:
        session = await plain.open(wanted(source))
        read_on = partial(Breaking(plain, times).read, session.streams[0])
        batches = resumed(Retrying(Patience(tries=3, first_pause=0.0)), read_on, 0)
        if holds:
            read = b"".join(batch.data for batch in batches)
            assert read == b"".join(batch.data for batch in plain.read(session.streams[0], 0))
            assert sorted(read.decode().splitlines()) == sorted(LINES)
        else:
            with pytest.raises(UnavailableError, match="it broke"):
                list(batches)

    on(source, check)


def test_a_broken_stream_of_google_s_client_is_resumed(world: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    source = on_the_stand_in(world, monkeypatch)
    rule = {"operation": "readRows", "status": "reset", "rows": 123, "times": 3}

    async def check(_: Reader) -> None:
        reader = StorageReader(PROJECT, Patience(tries=8, first_pause=0.0))
        once = StorageReader(PROJECT, Patience(tries=1))
        session = await reader.open(wanted(source))
        world.control("PUT", "faults", {"rules": [rule]})
        try:
            assert rows(reader, session.streams[0]) == 1000
            assert world.control("GET", "faults")["rules"][0]["times"] == 0
        finally:
            world.control("DELETE", "faults")
        world.control("PUT", "faults", {"rules": [{"operation": "readRows", "status": "reset", "rows": 5}]})
        try:
            with pytest.raises(UnavailableError, match="reset"):
                rows(once, session.streams[0])
        finally:
            world.control("DELETE", "faults")
            await reader.close()
            await once.close()

    on(source, check)
