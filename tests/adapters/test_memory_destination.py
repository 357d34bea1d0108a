"""What a MemoryDestination does beyond the contract: what simulations rely on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.errors import NotFoundError
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.destination import LoadRequest, StatementRequest, TableName
from bqdump.ports.warehouse import ExtractRequest, Job
from bqdump_memory import MemoryDestination

HERE = Dataset("p", "d", "US")
NOTHING = msgspec.Raw(b"{}")


class ClockedDestination:
    """A destination, its bucket, and a clock."""

    def __init__(self) -> None:
        self.now, self.store = 1_800_000_000_000, MemoryStore("bucket")
        self.destination = MemoryDestination(self.store, lambda: self.now, shard_rows=3)

    def on(self, *steps: Callable[[MemoryDestination], Awaitable[object]]) -> list[Job | None]:
        """Run the steps one after another, each to the end of its job."""

        async def each() -> list[Job | None]:
            await self.destination.create_dataset("p", "d", NOTHING)
            results = [await step(self.destination) for step in steps]
            await asyncio.sleep(0.001)
            return [await self.destination.job(job.id, "US") if isinstance(job, Job) else None for job in results]

        return asyncio.run(each())


def load(*names: str) -> LoadRequest:
    uris = tuple(f"gs://bucket/{name}" for name in names)
    return LoadRequest("load", TableName(HERE, "t"), uris, NOTHING, NOTHING, empty=True, labels={})


@pytest.mark.parametrize("format_name", ["avro", "csv"])
def test_loads_back_what_a_warehouse_has_extracted(format_name: str) -> None:
    world = ClockedDestination()
    rows = [f"row {number}" + "x" * 100 for number in range(7)] + ["", "two\u2028lines", "ü"]
    world.destination.put("p", "source", "t", rows)
    request = ExtractRequest("x", Dataset("p", "source", "US"), "t", world.now, "gs://bucket/part_*", format_name,
                             "none", header=True, delimiter=",", labels={})  # fmt: skip

    async def extract(destination: MemoryDestination) -> Job:
        job = await destination.extract(request)
        await asyncio.sleep(0.001)
        return job

    world.on(
        extract,
        lambda destination: destination.create_table(HERE, "t", NOTHING),
        lambda destination: destination.load(load(*world.store.names_now())),
    )
    assert world.destination.datasets["p", "d"]["t"].versions[-1].rows == tuple(rows)


def test_an_insert_takes_the_rows_that_match() -> None:
    world = ClockedDestination()
    world.destination.matching = lambda sql, row: row in sql
    world.destination.put("p", "source", "t", ["a", "b"])
    request = StatementRequest("s", HERE, "t", "INSERT INTO p.d.t (line) SELECT line FROM `p.source.t` -- b", {})
    jobs = world.on(
        lambda destination: destination.create_table(HERE, "t", NOTHING),
        lambda destination: destination.statement(request),
    )
    assert jobs[-1] is not None
    assert jobs[-1].rows == 1
    assert world.destination.datasets["p", "d"]["t"].versions[-1].rows == ("b",)


def test_other_statements_are_recorded_if_their_tables_exist() -> None:
    world = ClockedDestination()
    index = "CREATE SEARCH INDEX i ON `p`.`d`.`t`(ALL COLUMNS)"
    gone = "CREATE SEARCH INDEX i ON `p`.`d`.`gone`(ALL COLUMNS)"
    jobs = world.on(
        lambda destination: destination.create_table(HERE, "t", NOTHING),
        lambda destination: destination.statement(StatementRequest("one", HERE, "t", index, {})),
        lambda destination: destination.statement(StatementRequest("two", HERE, "gone", gone, {})),
    )
    assert world.destination.ddl == [index]
    assert [job.error.reason if job and job.error else "" for job in jobs] == ["", "", "notFound"]


async def test_a_table_disappears_when_it_expires() -> None:
    world = ClockedDestination()
    expiring = msgspec.Raw(b'{"expirationTime":"%d"}' % (world.now + 1000))

    with pytest.raises(NotFoundError):
        await world.destination.present(HERE)
    await world.destination.create_dataset("p", "d", NOTHING)
    await world.destination.create_table(HERE, "t", expiring)
    world.now += 999
    assert [item.name for item in await world.destination.present(HERE)] == ["t"]
    world.now += 1
    assert await world.destination.table(HERE, "t") is None
    assert await world.destination.tables(HERE) == []
    assert await world.destination.present(HERE) == []


def test_a_load_that_loses_rows_reports_those_it_has_loaded() -> None:
    world = ClockedDestination()
    world.destination.losing = lambda job_id: job_id == "load"
    world.store.put_now("one", b"a\nb\n")
    jobs = world.on(
        lambda destination: destination.create_table(HERE, "t", NOTHING),
        lambda destination: destination.load(load("one")),
    )
    assert jobs[-1] is not None
    assert jobs[-1].rows == 1
