"""The promises of Warehouse, tested with every implementation."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeVar

import msgspec
import pytest
from google.cloud import bigquery
from msgspec.structs import replace

from bqdump.adapters.bigquery import warehouse as adapter
from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.bigquery.warehouse import BigQueryWarehouse
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.patience import Patience
from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.documents.unchanged import Reading
from bqdump.core.errors import ConflictError, NotFoundError, TableGoneError, UnavailableError
from bqdump.core.plan.readings import reading_of
from bqdump.core.sql import statements as sql
from bqdump.core.sql.partitions import counted_rows
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.ports.warehouse import ExtractRequest, Job, JobError, QueryRequest, Warehouse
from bqdump_memory import MemoryWarehouse, gated
from local.bigquery_server import PROJECT, Cloud, serve_world

Result = TypeVar("Result")
Kind = Literal["extract", "query"]
QUICK = Patience(seconds=0.5, first_pause=0.001)
PAGE = 3
SHARD_ROWS = 2
both_kinds = pytest.mark.parametrize("kind", ["extract", "query"])


class Stage(NamedTuple):
    """A warehouse to test, with a dataset and a bucket, and functions to change and read them.

    put: give a table with one column `line` these rows. drop: drop it. fail: make the next job on this table fail with
    a reason. read: the files written for a prefix, by name. shards: one row more than fits into a file. protect: create
    a row access policy on a table. blind: revoke or grant the permission to list those. stream_into: create a table
    with change data capture. slow: how long jobs run from now on, in seconds.
    add_dataset: create another dataset, with a name that ends like this one; returns its name.
    put_by_day: give a table that is partitioned by a column `day` these rows, which begin with their day and a colon.
    """

    make: Callable[[], Warehouse]
    dataset: Dataset
    bucket: str
    put: Callable[[str, Sequence[str]], None]
    drop: Callable[[str], None]
    fail: Callable[[str, str], None]
    read: Callable[[str], dict[str, bytes]]
    many_rows: Sequence[str]
    protect: Callable[[str, str], None]
    blind: Callable[[bool], None]
    stream_into: Callable[[str], None]
    slow: Callable[[float], object]
    add_dataset: Callable[[str], str]
    put_by_day: Callable[[str, Sequence[str]], None]


@pytest.fixture(scope="module")
def world() -> Iterator[Cloud]:
    with serve_world() as served:
        yield served


def in_memory(*, behind_a_gate: bool) -> Stage:
    store, faults = MemoryStore("target"), dict[str, str]()

    def failing(table: str, job: str) -> JobError | None:
        reason = faults.pop(table, None)
        return JobError(reason, "An injected error.") if reason else None

    warehouse = MemoryWarehouse(
        store, lambda: time.time_ns() // 1_000_000, shard_rows=SHARD_ROWS, failing=failing, page=PAGE
    )
    warehouse.datasets[PROJECT, "data"] = {}

    def read(prefix: str) -> dict[str, bytes]:
        found = {name: store.peek(name) for name in store.names_now() if name.startswith(prefix)}
        return {name: entry[0] for name, entry in found.items() if entry}

    def add_dataset(name: str) -> str:
        warehouse.datasets.setdefault((PROJECT, name), {})
        return name

    return Stage(
        lambda: gated(warehouse, Gate(QUICK, 1)) if behind_a_gate else warehouse,
        Dataset(PROJECT, "data", "US"), "target",
        lambda table, rows: warehouse.put(PROJECT, "data", table, rows),
        lambda table: warehouse.drop(PROJECT, "data", table),
        faults.__setitem__, read, ["a", "b", "c"],
        lambda table, policy: warehouse.policies.setdefault(table, []).append(policy),
        lambda blind: setattr(warehouse, "sees_policies", not blind), warehouse.streamed.add,
        lambda seconds: setattr(warehouse, "seconds", lambda table: seconds), add_dataset,
        lambda table, rows: warehouse.put(PROJECT, "data", table, rows, partitioned=True),
    )  # fmt: skip


def put_partitions(world: Cloud, name: str, rows: Sequence[str]) -> None:
    """Add the rows that a table does not have, and delete those that it should not have."""
    world.sql(f"CREATE TABLE IF NOT EXISTS {name} (line STRING, day DATE) PARTITION BY day")
    there = [line for (line,) in world.sql(f"SELECT line FROM {name}")]
    if gone := [f"'{line}'" for line in there if line not in rows]:
        world.sql(f"DELETE FROM {name} WHERE line IN ({', '.join(gone)})")
    new = [row for row in rows if row not in there]
    days = ["NULL" if row.startswith("__") else f"DATE '{row[:4]}-{row[4:6]}-{row[6:8]}'" for row in new]
    if values := ", ".join(f"('{row}', {day})" for row, day in zip(new, days, strict=True)):
        world.sql(f"INSERT INTO {name} (line, day) VALUES {values}")


@contextmanager
def on_servers(world: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", world.address)
    monkeypatch.setattr(adapter, "PAGE", PAGE)
    dataset, bucket = world.dataset(), world.bucket()

    def put(table: str, rows: Sequence[str]) -> None:
        name = f"`{PROJECT}.{dataset}.{table}`"
        if not any(item.table_id == table for item in world.client.list_tables(dataset)):
            world.sql(f"CREATE TABLE {name} (line STRING)")
        world.sql(f"DELETE FROM {name} WHERE TRUE")
        if rows:
            values = ", ".join(f"('{row}')" for row in rows)
            world.sql(f"INSERT INTO {name} (line) VALUES {values}")

    def fail(table: str, reason: str) -> None:
        fault = {"at": "run", "table": re.escape(table), "reason": reason, "message": "An injected error."}
        world.control("PUT", "jobs", {"faults": [fault]})

    def read(prefix: str) -> dict[str, bytes]:
        return {name: world.read(bucket, name) for name in world.names(bucket) if name.startswith(prefix)}

    def protect(table: str, policy: str) -> None:
        world.control("POST", "policies", {"project": PROJECT, "dataset": dataset, "table": table, "name": policy})

    def blind(yes: bool) -> None:
        denied = {PROJECT: ["bigquery.rowAccessPolicies.list", "bigquery.jobs.listAll"]} if yes else {}
        world.control("PUT", "denied", {"projects": denied})

    def stream_into(table: str) -> None:
        world.sql(f"CREATE TABLE `{PROJECT}.{dataset}.{table}` (line STRING PRIMARY KEY NOT ENFORCED)")
        world.control("PUT", "changes", {"project": PROJECT, "dataset": dataset, "table": table, "watermark": 1})

    def add_dataset(name: str) -> str:
        world.client.create_dataset(bigquery.Dataset(f"{PROJECT}.{name}"), exists_ok=True)
        return name

    def put_by_day(table: str, rows: Sequence[str]) -> None:
        put_partitions(world, f"`{PROJECT}.{dataset}.{table}`", rows)

    with world.settings(shard_bytes=10):
        yield Stage(
            lambda: BigQueryWarehouse(PROJECT, Gate(QUICK, 1)), Dataset(PROJECT, dataset, "US"), bucket, put,
            lambda table: world.client.delete_table(f"{PROJECT}.{dataset}.{table}"), fail, read, ["aaaaaaaa"] * 5,
            protect, blind, stream_into, lambda seconds: world.control("PUT", "jobs", {"run_seconds": seconds}),
            add_dataset,
            put_by_day,
        )  # fmt: skip


@pytest.fixture(params=["memory", "memory behind a gate", "bigquery"])
def stage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    if request.param != "bigquery":
        yield in_memory(behind_a_gate=request.param != "memory")
        return
    with on_servers(request.getfixturevalue("world"), monkeypatch) as made:
        yield made


def on(stage: Stage, test: Callable[[Warehouse], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        warehouse = stage.make()
        try:
            return await test(warehouse)
        finally:
            await warehouse.close()

    return asyncio.run(run())


def named(stage: Stage, job: str) -> str:
    """A job id for this test, since the tests share a server."""
    return f"{stage.dataset.name}_{job}"


def test_lists_the_datasets_of_a_project_with_their_locations_and_without_hidden_ones(stage: Stage) -> None:
    more = [stage.add_dataset(name) for name in ("more_1", "more_2", "more_3", "_hidden")]
    listed = on(stage, lambda warehouse: warehouse.list_datasets(PROJECT))
    assert [one.name for one in listed] == sorted({one.name for one in listed})
    expected = dict.fromkeys((stage.dataset.name, *more[:3]), "US")
    assert {one.name: one.location for one in listed}.items() >= expected.items()
    assert more[3] not in [one.name for one in listed]
    assert on(stage, lambda warehouse: warehouse.list_datasets("an-empty-project")) == []


def request(stage: Stage, table: str, snapshot: int, job: str) -> ExtractRequest:
    """An extract of the table to `<job>/part_*.csv`."""
    uri = f"gs://{stage.bucket}/{job}/part_*.csv"
    return ExtractRequest(named(stage, job), stage.dataset, table, snapshot, uri, "csv", "none",
                          header=False, delimiter=",", labels={"made": "here"})  # fmt: skip


def query(stage: Stage, table: str, snapshot: int | None, job: str) -> QueryRequest:
    """A query of the complete table to `<job>/part_*.csv`."""
    return QueryRequest(
        named(stage, job), stage.dataset, table, snapshot, sql.select(stage.dataset, table, snapshot),
        f"gs://{stage.bucket}/{job}/part_*.csv", "csv", "none", header=False, delimiter=",", labels={"made": "here"},
        parameters={}, max_bytes_billed=0,
    )  # fmt: skip


async def start(warehouse: Warehouse, stage: Stage, kind: Kind, table: str, snapshot: int, job: str) -> Job:
    """A job of either kind that exports the table to `<job>/part_*.csv`."""
    if kind == "extract":
        return await warehouse.extract(request(stage, table, snapshot, job))
    return await warehouse.query(query(stage, table, snapshot, job))


async def finished(warehouse: Warehouse, job: Job) -> tuple[Job, list[str]]:
    """The finished job, and its states until then."""
    states: list[str] = [job.state]
    while job.state != "done":
        await asyncio.sleep(0.01)
        job = await warehouse.job(job.id, "US")
        states.append(job.state)
    return job, states


async def everything(pages: AsyncIterator[list[Result]]) -> list[Result]:
    return [item async for page in pages for item in page]


async def next_millisecond(warehouse: Warehouse) -> int:
    """A time after everything so far, and before everything that follows."""
    start = now = await warehouse.now("US")
    while now <= start:
        now = await warehouse.now("US")
    return now


def lines(files: dict[str, bytes]) -> list[str]:
    return sorted(line for data in files.values() for line in data.decode().splitlines())


def test_finds_a_dataset_and_its_location(stage: Stage) -> None:
    found = on(stage, lambda warehouse: warehouse.dataset(PROJECT, stage.dataset.name))
    assert (found.project, found.name, found.location) == (PROJECT, stage.dataset.name, "US")


def test_a_missing_dataset_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match=r"proj\.nothing"):
        on(stage, lambda warehouse: warehouse.dataset(PROJECT, "nothing"))


def test_the_clock_returns_milliseconds_and_never_goes_back(stage: Stage) -> None:
    async def check(warehouse: Warehouse) -> None:
        reported = [await warehouse.now("US") for _ in range(5)]
        assert reported == sorted(reported)
        assert 1_600_000_000_000 < reported[0] < 10_000_000_000_000

    on(stage, check)


@pytest.mark.parametrize("count", [0, PAGE, 2 * PAGE + 1])
def test_lists_every_page_of_tables_by_name(stage: Stage, count: int) -> None:
    names = [f"t{number}" for number in range(count)]
    for name in reversed(names):
        stage.put(name, [])

    async def check(warehouse: Warehouse) -> None:
        listed = await warehouse.tables(stage.dataset)
        assert [(item.name, item.kind) for item in listed] == [(name, "TABLE") for name in names]
        now = await warehouse.now("US")
        assert all(0 < item.created <= now for item in listed)

    on(stage, check)


def test_names_of_all_kinds_are_listed_and_described(stage: Stage) -> None:
    names = ["ünï çødé", "with-dash", "with space", "UPPER", "upper", "1_first"]
    for name in names:
        stage.put(name, ["x"])

    async def check(warehouse: Warehouse) -> None:
        assert [item.name for item in await warehouse.tables(stage.dataset)] == sorted(names)
        described = [await warehouse.table(stage.dataset, name) for name in names]
        assert [item.name for item in described if item] == names

    on(stage, check)


def test_describes_a_table_completely(stage: Stage) -> None:
    stage.put("orders", ["a", "b", "c"])

    async def check(warehouse: Warehouse) -> None:
        found = await warehouse.table(stage.dataset, "orders")
        assert isinstance(found, Table)
        assert (found.name, found.kind, found.rows) == ("orders", "TABLE", 3)
        assert found.bytes > 0
        definition = msgspec.json.decode(found.definition)
        assert definition["id"] == f"{PROJECT}:{stage.dataset.name}.orders"
        assert [field["name"] for field in definition["schema"]["fields"]] == ["line"]

    on(stage, check)


def test_a_deleted_table_is_none_and_not_listed(stage: Stage) -> None:
    stage.put("gone", ["a"])
    stage.drop("gone")

    async def check(warehouse: Warehouse) -> None:
        assert await warehouse.table(stage.dataset, "gone") is None
        assert await warehouse.table(stage.dataset, "never") is None
        assert await warehouse.tables(stage.dataset) == []

    on(stage, check)


def test_names_every_row_access_policy_of_a_table(stage: Stage) -> None:
    for table in ("plain", "two words"):
        stage.put(table, ["a"])
    policies = [f"policy_{number:02}" for number in range(53)]
    for policy in policies:
        stage.protect("two words", policy)

    async def check(warehouse: Warehouse) -> None:
        found = await warehouse.row_policies(stage.dataset, "two words")
        assert found == [RowPolicy("two words", policy, "TRUE") for policy in policies]
        assert await warehouse.row_policies(stage.dataset, "plain") == []
        assert await warehouse.row_policies(stage.dataset, "gone") == []

    on(stage, check)


def test_names_the_tables_with_change_data_capture(stage: Stage) -> None:
    stage.put("plain", ["a"])
    for table in ("orders", "two words"):
        stage.stream_into(table)

    async def check(warehouse: Warehouse) -> None:
        assert sorted(await warehouse.captured(stage.dataset, 0)) == ["orders", "two words"]
        assert sorted(await warehouse.captured(stage.dataset, 10 << 20)) == ["orders", "two words"]

    on(stage, check)


def test_row_access_policies_are_unknown_without_the_permission(stage: Stage) -> None:
    stage.put("orders", ["a"])
    stage.blind(True)
    try:
        assert on(stage, lambda warehouse: warehouse.row_policies(stage.dataset, "orders")) is None
    finally:
        stage.blind(False)


def test_a_job_reports_that_row_access_policies_applied(stage: Stage) -> None:
    for table in ("plain", "protected"):
        stage.put(table, ["a"])
    stage.protect("protected", "eu")

    async def check(warehouse: Warehouse) -> None:
        snapshot = await next_millisecond(warehouse)
        for table in ("plain", "protected"):
            job, _ = await finished(warehouse, await warehouse.extract(request(stage, table, snapshot, f"rls_{table}")))
            assert (job.row_policies, job.masking) == (table == "protected", False)

    on(stage, check)


@both_kinds
def test_a_job_advances_to_done_and_reports_its_files(stage: Stage, kind: Kind) -> None:
    stage.put("orders", stage.many_rows)

    async def check(warehouse: Warehouse) -> None:
        snapshot = await next_millisecond(warehouse)
        started = await start(warehouse, stage, kind, "orders", snapshot, kind)
        assert started.id == named(stage, kind)
        job, states = await finished(warehouse, started)
        assert states == sorted(states, key=["pending", "running", "done"].index)
        # An extract job does not report its rows.
        assert (job.error, job.rows) == (None, len(stage.many_rows) if kind == "query" else None)
        assert snapshot <= job.created <= job.started <= job.ended
        files = stage.read(f"{kind}/")
        assert job.files == len(files) > 1
        assert list(files) == [f"{kind}/part_{number:012d}.csv" for number in range(job.files)]
        assert lines(files) == sorted(stage.many_rows)
        listed = {job.id: job for job in await everything(warehouse.jobs(job.created))}
        assert listed[job.id] == job

    on(stage, check)


@both_kinds
def test_an_empty_table_is_exported_to_a_file_without_rows(stage: Stage, kind: Kind) -> None:
    stage.put("empty", [])

    async def check(warehouse: Warehouse) -> None:
        started = await start(warehouse, stage, kind, "empty", await next_millisecond(warehouse), kind)
        job, _ = await finished(warehouse, started)
        assert (job.error, job.rows) == (None, 0 if kind == "query" else None)
        assert len(stage.read(f"{kind}/")) == job.files == 1
        assert lines(stage.read(f"{kind}/")) == []

    on(stage, check)


@both_kinds
def test_a_table_is_read_as_it_was_at_the_snapshot(stage: Stage, kind: Kind) -> None:
    async def check(warehouse: Warehouse) -> None:
        stage.put("orders", ["old"])
        before = await next_millisecond(warehouse)
        await next_millisecond(warehouse)
        stage.put("orders", ["new"])
        after = await next_millisecond(warehouse)
        for snapshot, job_id, required in ((before, "before", ["old"]), (after, "after", ["new"])):
            job, _ = await finished(warehouse, await start(warehouse, stage, kind, "orders", snapshot, job_id))
            assert job.error is None
            assert lines(stage.read(f"{job_id}/")) == required

    on(stage, check)


def test_a_query_without_a_snapshot_reads_the_current_table(stage: Stage) -> None:
    async def check(warehouse: Warehouse) -> None:
        stage.put("orders", ["old"])
        await next_millisecond(warehouse)
        stage.put("orders", ["new"])
        await next_millisecond(warehouse)
        job, _ = await finished(warehouse, await warehouse.query(query(stage, "orders", None, "now")))
        assert job.error is None
        assert lines(stage.read("now/")) == ["new"]

    on(stage, check)


@both_kinds
def test_a_dropped_table_fails_with_its_name(stage: Stage, kind: Kind) -> None:
    stage.put("gone", ["a"])

    async def check(warehouse: Warehouse) -> None:
        snapshot = await next_millisecond(warehouse)
        stage.drop("gone")
        output = ""
        try:
            job, _ = await finished(warehouse, await start(warehouse, stage, kind, "gone", snapshot, kind))
            output = f"{job.error}"
        except NotFoundError as error:
            output = str(error)
        assert "gone" in output
        assert stage.read(f"{kind}/") == {}

    on(stage, check)


def test_a_job_id_can_be_used_once_and_identifies_its_job(stage: Stage) -> None:
    stage.put("orders", ["a"])

    async def check(warehouse: Warehouse) -> None:
        requested = request(stage, "orders", await next_millisecond(warehouse), "job_twice")
        first, _ = await finished(warehouse, await warehouse.extract(requested))
        with pytest.raises(ConflictError):
            await warehouse.extract(requested)
        with pytest.raises(ConflictError):
            await warehouse.extract(replace(requested, table="other"))
        assert await warehouse.job(requested.job_id, "US") == first

    on(stage, check)


def test_one_of_many_concurrent_starts_of_a_job_wins(stage: Stage) -> None:
    stage.put("orders", ["a"])

    async def check(warehouse: Warehouse) -> None:
        requested = request(stage, "orders", await next_millisecond(warehouse), "job_race")
        results = await asyncio.gather(*(warehouse.extract(requested) for _ in range(10)), return_exceptions=True)
        assert sum(isinstance(result, Job) for result in results) == 1
        assert sum(isinstance(result, ConflictError) for result in results) == 9
        await finished(warehouse, await warehouse.job(requested.job_id, "US"))

    on(stage, check)


def test_a_dry_run_returns_bytes_and_creates_no_job(stage: Stage) -> None:
    stage.put("orders", ["a", "b"])
    stage.put("empty", [])

    async def check(warehouse: Warehouse) -> None:
        before = await everything(warehouse.jobs(0))
        orders, empty = (sql.select(stage.dataset, name, None) for name in ("orders", "empty"))
        assert (await warehouse.estimate(stage.dataset, "orders", orders, {})).bytes > 0
        found = await warehouse.estimate(stage.dataset, "empty", empty, {})
        assert (found.bytes, found.at_least) == (0, False)
        assert [(column["name"], column["type"]) for column in msgspec.json.decode(found.columns)] == [
            ("line", "STRING")
        ]
        assert await everything(warehouse.jobs(0)) == before
        with pytest.raises(TableGoneError, match="nothing"):
            await warehouse.estimate(stage.dataset, "nothing", sql.select(stage.dataset, "nothing", None), {})

    on(stage, check)


def test_a_query_returns_a_row_of_integers(stage: Stage) -> None:
    stage.put("orders", ["a", "b"])

    async def check(warehouse: Warehouse) -> None:
        source = ".".join(map(sql.identifier, (stage.dataset.project, stage.dataset.name, "orders")))
        assert await warehouse.ask(stage.dataset, "orders", f"SELECT COUNT(*) FROM {source}", 0) == [2]
        with pytest.raises(TableGoneError, match="nothing"):
            await warehouse.ask(stage.dataset, "nothing", sql.select(stage.dataset, "nothing", None), 0)

    on(stage, check)


def test_extracts_and_queries_share_job_ids(stage: Stage) -> None:
    stage.put("orders", ["a"])

    async def check(warehouse: Warehouse) -> None:
        snapshot = await next_millisecond(warehouse)
        first, _ = await finished(warehouse, await warehouse.query(query(stage, "orders", snapshot, "query_twice")))
        with pytest.raises(ConflictError):
            await warehouse.query(query(stage, "orders", snapshot, "query_twice"))
        with pytest.raises(ConflictError):
            await warehouse.extract(request(stage, "orders", snapshot, "query_twice"))
        assert await warehouse.job(first.id, "US") == first

    on(stage, check)


@pytest.mark.parametrize("reason", ["backendError", "quotaExceeded", "invalid"])
def test_a_failed_job_has_a_reason(stage: Stage, reason: str) -> None:
    stage.put("orders", ["a"])
    stage.fail("orders", reason)

    async def check(warehouse: Warehouse) -> None:
        snapshot = await next_millisecond(warehouse)
        job, _ = await finished(warehouse, await warehouse.extract(request(stage, "orders", snapshot, "job_bad")))
        assert job.error == JobError(reason, "An injected error.")
        again, _ = await finished(warehouse, await warehouse.extract(request(stage, "orders", snapshot, "job_good")))
        assert again.error is None

    on(stage, check)


def test_an_unknown_job_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="job_nothing"):
        on(stage, lambda warehouse: warehouse.job("job_nothing", "US"))


def test_lists_the_jobs_since_a_time_newest_first(stage: Stage) -> None:
    stage.put("orders", ["a"])

    async def start(warehouse: Warehouse, job_id: str, snapshot: int) -> Job:
        job, _ = await finished(warehouse, await warehouse.extract(request(stage, "orders", snapshot, job_id)))
        await next_millisecond(warehouse)
        return job

    async def check(warehouse: Warehouse) -> None:
        snapshot = await next_millisecond(warehouse)
        await start(warehouse, "list_early", snapshot)
        jobs = [await start(warehouse, f"list_{number}", snapshot) for number in range(2 * PAGE + 1)]
        ours = named(stage, "list")
        for first in (0, 2, len(jobs) - 1):
            listed = await everything(warehouse.jobs(jobs[first].created))
            assert [job for job in listed if job.id.startswith(ours)] == jobs[first:][::-1]

    on(stage, check)


def test_lists_the_jobs_that_have_not_ended(stage: Stage) -> None:
    stage.put("orders", ["a"])

    async def check(warehouse: Warehouse) -> None:
        snapshot = await next_millisecond(warehouse)
        await finished(warehouse, await warehouse.extract(request(stage, "orders", snapshot, "work_done")))
        # Until their time is changed, they run.
        stage.slow(600.0)
        jobs = [await warehouse.extract(request(stage, "orders", snapshot, f"work_{number}")) for number in range(3)]
        ours = named(stage, "work")
        at_work = {job for job in await warehouse.at_work(0) if job.startswith(ours)}
        assert at_work == {job.id for job in jobs}
        # Who may not list the jobs of other accounts lists its own.
        stage.blind(True)
        assert {job for job in await warehouse.at_work(0) if job.startswith(ours)} == at_work
        stage.blind(False)
        later = max(job.created for job in jobs) + 1
        assert not {job for job in await warehouse.at_work(later) if job.startswith(ours)}
        stage.slow(0.0)
        await finished(warehouse, await warehouse.extract(request(stage, "orders", snapshot, "work_later")))
        assert named(stage, "work_later") not in await warehouse.at_work(0)

    on(stage, check)


def test_many_concurrent_jobs_all_end(stage: Stage) -> None:
    for number in range(4):
        stage.put(f"t{number}", [f"row {number}"])

    async def check(warehouse: Warehouse) -> None:
        snapshot = await next_millisecond(warehouse)
        requested = [request(stage, f"t{number}", snapshot, f"many_{number}") for number in range(4)]
        jobs = await asyncio.gather(*map(warehouse.extract, requested))
        ended = await asyncio.gather(*(finished(warehouse, job) for job in jobs))
        assert [job.error for job, _ in ended] == [None] * 4
        assert [lines(stage.read(f"many_{number}/")) for number in range(4)] == [[f"row {n}"] for n in range(4)]

    on(stage, check)


class Flaky(MemoryWarehouse):
    """A warehouse that carries out every request, and loses the first and the third answer."""

    calls = 0

    def lose(self) -> None:
        """Lose an answer, or not."""
        self.calls += 1
        if self.calls in (1, 3):
            raise UnavailableError("ask", "the warehouse", "the connection broke")

    async def now(self, location: str) -> int:
        """See Warehouse."""
        reported = await super().now(location)
        self.lose()
        return reported

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        started = await super().extract(request)
        self.lose()
        return started

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse."""
        async for page in super().jobs(since):
            yield page
            self.lose()


def flaky() -> tuple[Flaky, Flaky]:
    inner = Flaky(MemoryStore(), lambda: 1_800_000_000_000, page=PAGE)
    inner.put(PROJECT, "data", "orders", ["a"])
    return inner, gated(inner, Gate(Patience(tries=12, first_pause=0.0)))


def test_a_request_with_a_lost_answer_is_retried() -> None:
    inner, warehouse = flaky()
    assert asyncio.run(warehouse.now("US")) == 1_800_000_000_000
    assert inner.calls == 2


def test_a_job_whose_answer_was_lost_is_a_conflict_and_runs_once() -> None:
    inner, warehouse = flaky()
    requested = ExtractRequest(
        "j", Dataset(PROJECT, "data", "US"), "orders", 1_800_000_000_000, "gs://memory/x_*", "csv", "none",
        header=True, delimiter=",", labels={},
    )  # fmt: skip

    async def check() -> None:
        with pytest.raises(ConflictError):
            await warehouse.extract(requested)
        assert (await finished(warehouse, await warehouse.job("j", "US")))[0].error is None

    asyncio.run(check())
    assert list(inner.extracted) == ["j"]


async def test_a_listing_that_breaks_misses_no_job() -> None:
    inner, warehouse = flaky()
    requested = ExtractRequest(
        "j", Dataset(PROJECT, "data", "US"), "orders", 1_800_000_000_000, "gs://memory/x_*", "csv", "none",
        header=True, delimiter=",", labels={},
    )  # fmt: skip

    for number in range(2 * PAGE + 1):
        await MemoryWarehouse.extract(inner, replace(requested, job_id=f"j{number}"))
    listed = [job.id for job in await everything(warehouse.jobs(0))]
    assert list(dict.fromkeys(listed)) == [f"j{number}" for number in range(6, -1, -1)]


def test_retries_end_with_the_patience() -> None:
    inner, _ = flaky()
    impatient = gated(inner, Gate(Patience(tries=1)))
    with pytest.raises(UnavailableError, match="cannot ask the warehouse: the connection broke"):
        asyncio.run(impatient.now("US"))


def test_partitions_are_listed_read_and_looked_at_one_by_one(stage: Stage) -> None:
    rows = {"20260101": ["20260101:a", "20260101:b"], "20260102": ["20260102:c"], "__NULL__": ["__NULL__:d"]}
    stage.put_by_day("parts", [row for some in rows.values() for row in some])
    stage.put("whole", ["x"])

    async def check(warehouse: Warehouse) -> None:
        listed = {item.name: item.partitioned for item in await warehouse.tables(stage.dataset)}
        assert listed == {"parts": True, "whole": False}
        found = await warehouse.partitions(stage.dataset, ["parts", "whole"], 0)
        assert {id_: one.rows for one in found["parts"] for id_ in [one.id]} == {
            id_: len(of) for id_, of in rows.items()
        }
        assert [one.id for one in found["parts"]] == sorted(rows)
        assert set(found) == {"parts"}
        now = await warehouse.now("US")
        assert [one for one in found["parts"] if not 0 < one.modified <= now or one.bytes <= 0] == []
        for id_, expected in rows.items():
            looked = await warehouse.table(stage.dataset, f"parts${id_}")
            assert looked
            assert (looked.rows, looked.kind) == (len(expected), "TABLE")
            job = await warehouse.extract(replace(request(stage, "parts", 0, f"part{id_}"), partition=id_))
            done, _ = await finished(warehouse, job)
            assert done.error is None
            read = lines(stage.read(f"part{id_}/"))
            assert [line.partition(",")[0] for line in read] == expected
        gone = await warehouse.table(stage.dataset, "parts$20200101")
        assert gone is None or gone.rows == 0
        assert await warehouse.table(stage.dataset, "gone$20260101") is None

    on(stage, check)


def test_a_look_at_a_partition_changes_with_its_rows_and_with_no_others(stage: Stage) -> None:
    rows = ["20260101:a", "20260101:b", "20260102:c"]
    stage.put_by_day("parts", rows)

    async def look(warehouse: Warehouse) -> dict[str, Reading | None]:
        await next_millisecond(warehouse)
        found = {id_: await warehouse.table(stage.dataset, f"parts${id_}") for id_ in ("20260101", "20260102")}
        return {id_: reading_of(table.definition) if table else None for id_, table in found.items()}

    before = on(stage, look)
    stage.put_by_day("parts", [*rows, "20260102:d"])
    added = on(stage, look)
    assert before["20260101"] == added["20260101"]
    assert before["20260102"] != added["20260102"]
    # A deletion may leave the time as it was.
    stage.put_by_day("parts", rows[1:])
    deleted = on(stage, look)
    assert deleted["20260101"] != added["20260101"]


def test_rows_are_counted_by_partition_as_of_a_time(stage: Stage) -> None:
    stage.put_by_day("parts", ["00010101:e", "20260101:a", "20260101:b", "__NULL__:d"])

    async def check(warehouse: Warehouse) -> None:
        then = await next_millisecond(warehouse)
        await next_millisecond(warehouse)
        stage.put_by_day("parts", ["20260102:c"])
        table = await warehouse.table(stage.dataset, "parts")
        assert table
        select = counted_rows(stage.dataset, "parts", then, table.definition)
        counts = await warehouse.counts(stage.dataset, "parts", select, 0)
        assert counts == {"00010101": 1, "20260101": 2, "__NULL__": 1}
        with pytest.raises(TableGoneError):
            await warehouse.counts(stage.dataset, "gone", sql.select(stage.dataset, "gone", None, "COUNT(*)"), 0)

    on(stage, check)
