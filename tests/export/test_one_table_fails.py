"""An error that nobody expected in one table fails that table, by name; tables in flight next to it are exported."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import IO, Any, TypeVar

import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, DeniedError, JobsDeniedError, RowsError, TablesFailedError, first_of
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.act import TaskResult
from bqdump.export.run import run
from bqdump.export.task import ReadRoute, Task
from bqdump.ports.reader import Batch, FileShape
from bqdump.ports.store import ObjectInfo
from bqdump.ports.warehouse import ExtractRequest, Job, QueryRequest
from bqdump_memory import MemoryEncoder, MemoryReader, MemoryWarehouse

Result = TypeVar("Result")
UNEXPECTED: list[Exception] = [
    ValueError("no such value"), KeyError("name"), MemoryError(), RecursionError("too deep"),
    ExceptionGroup("two", [ValueError("no such value")]),
]  # fmt: skip


class BrokenEncoder(MemoryEncoder):
    """Fails with this error at rows of the table `bad`."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def encode(self, schema: bytes, batches: Iterator[Batch], shape: FileShape, file: IO[bytes]) -> int:
        """See Encoder."""
        rows = list(batches)
        if any(b"bad" in bytes(batch.data) for batch in rows):
            raise self.error
        return super().encode(schema, iter(rows), shape, file)


class BrokenWarehouse(MemoryWarehouse):
    """Fails with this error where a job of the table that is bad is started, or where jobs are listed."""

    error: Exception
    listing = False
    bad = "bad"

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        if request.table == self.bad and not self.listing:
            raise self.error
        return await super().extract(request)

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse."""
        if request.table == self.bad:
            raise self.error
        return await super().query(request)

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse."""
        if self.listing:
            raise self.error
        async for page in super().jobs(since):
            yield page


def world(error: Exception, route: str, **settings: Any) -> tuple[MemoryStore, BrokenWarehouse, Task]:
    store, clock = MemoryStore(), itertools.count(1_800_000_000_000)
    warehouse = BrokenWarehouse(store, lambda: next(clock), seconds=lambda table: 0.02)
    warehouse.error = error
    for table in ("bad", "good", "other"):
        warehouse.put("p", "d", table, [f"{table} {number}" for number in range(20)])
    reading = ReadRoute(MemoryReader(warehouse, warehouse.clock), BrokenEncoder(error), 4)
    chosen = Settings(project="p", dataset="d", target=Target("gs", "memory"), route=route, **settings)
    return store, warehouse, Task(store, warehouse, chosen, "r1", Owner("e1", 0), 1, open_read_route=lambda: reading)


def ended(task: Task) -> TaskResult | Exception:
    try:
        return asyncio.run(asyncio.wait_for(run(task), 20))
    except Exception as error:
        return error


@pytest.mark.parametrize("route", ["extract", "query", "read"])
@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
def test_the_table_fails_by_name_and_the_others_are_published(error: Exception, route: str) -> None:
    store, _, task = world(error, route, allow_partial=True)
    outcome = ended(task)
    assert isinstance(outcome, TaskResult), outcome
    assert (outcome.state, outcome.totals and outcome.totals.tables) == ("published", 2)
    [failure] = outcome.failed
    assert (failure.table, failure.reason) == ("bad", "unexpected")
    assert failure.message.startswith(type(first_of(error)).__name__)
    assert {name.partition("/")[0] for name in store.names_now() if name.endswith(".csv")} == {"good", "other"}


@pytest.mark.parametrize("route", ["extract", "query", "read"])
def test_a_restarted_task_reports_the_failure_again_and_another_execution_repeats_the_table(route: str) -> None:
    store, warehouse, task = world(ValueError("no such value"), route)
    for _ in range(2):
        refused = ended(task)
        assert isinstance(refused, TablesFailedError)
        assert "1 of 3 tables failed" in str(refused)
        assert "bad: unexpected: ValueError: no such value" in str(refused)
    assert store.peek("_bqdump/latest.json") is None
    warehouse.bad = ""
    reading = ReadRoute(MemoryReader(warehouse, warehouse.clock), MemoryEncoder(), 4)
    resumed = ended(replace(task, owner=Owner("e2", 0), open_read_route=lambda: reading))
    assert isinstance(resumed, TaskResult)
    assert (resumed.state, resumed.totals and resumed.totals.tables) == ("published", 3)


@pytest.mark.parametrize("route", ["extract", "query"])
def test_who_may_start_no_jobs_ends_the_task_and_who_may_not_read_a_table_fails_it(route: str) -> None:
    for denied in (
        JobsDeniedError("start", "a job", "no jobs", "Grant it."),
        DeniedError("start", "a job", "no table"),
    ):
        store, _, task = world(denied, route)
        refused = ended(task)
        failures = [name for name in store.names_now() if "/failures/" in name]
        if isinstance(denied, JobsDeniedError):
            assert (type(refused), str(refused), failures) == (JobsDeniedError, str(denied), [])
        else:
            assert type(refused) is TablesFailedError
            assert "1 of 3 tables failed, nothing was published (bad: accessDenied: no table)" in str(refused)


def test_rows_that_cannot_be_encoded_fail_their_table() -> None:
    _, _, task = world(RowsError("encode", "rows as csv", "no column name"), "read")
    refused = ended(task)
    assert isinstance(refused, TablesFailedError)
    assert "1 of 3 tables failed, nothing was published (bad: invalidRows: no column name)" in str(refused)


def test_an_error_of_the_listing_of_all_jobs_fails_no_table_and_ends_the_task() -> None:
    store, warehouse, task = world(KeyError("state"), "extract", allow_partial=True)
    warehouse.listing = True
    refused = ended(task)
    assert type(refused) is BqdumpError
    assert str(refused) == "cannot watch the jobs in US: KeyError: 'state'."
    assert not [name for name in store.names_now() if "/failures/" in name]


TARGET: list[Callable[[], Exception]] = [
    lambda: DeniedError("write", "gs://memory/x", "no permission"),
    lambda: OSError(28, "No space left on device"),
]


@pytest.mark.parametrize("error", TARGET, ids=["denied", "full"])
def test_what_the_target_refuses_is_no_failure_of_a_table_and_reaches_the_caller_itself(
    error: Callable[[], Exception],
) -> None:
    store, _, task = world(ValueError("unused"), "read", allow_partial=True)

    class Refusing(MemoryStore):
        async def upload(
            self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
        ) -> tuple[ObjectInfo, Result]:
            raise error()

    refusing = Refusing()
    refusing._objects = store._objects
    refused = ended(replace(task, store=refusing))
    assert (type(refused), str(refused)) == (type(error()), str(error()))
    assert not [name for name in refusing.names_now() if "/failures/" in name]
