"""The promises of Destination, tested with every implementation."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest

from bqdump.adapters.bigquery import warehouse as adapter
from bqdump.adapters.bigquery.destination import BigQueryDestination
from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.patience import Patience
from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.errors import (
    BqdumpError,
    ConflictError,
    DeniedError,
    JobFailedError,
    NotFoundError,
    QuotaError,
    TableGoneError,
    UnavailableError,
)
from bqdump.core.sql.statements import identifier
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.destination import CopyRequest, Destination, LoadRequest, StatementRequest, TableName
from bqdump.ports.warehouse import Job, JobError
from bqdump_memory import MemoryDestination, gated
from local.bigquery_server import PROJECT, Cloud, serve_world

Result = TypeVar("Result")
QUICK = Patience(seconds=0.5, first_pause=0.001)
PAGE = 3
LINES = {"fields": [{"name": "line", "type": "STRING"}]}
HOSTILE = ["50% off", "a # b", "why?", "it's", 'say "x"', "ünï çødé", "日本語", "with-dash", "a+b&c=d", "%2F", "_x"]
# A name that is taken is no error to what creates.
TAKEN = (("datasets.insert", "duplicate"), ("tables.insert", "duplicate"))
numbers = itertools.count()


class Stage(NamedTuple):
    """A destination to test, with a dataset that does not exist yet.

    make: opens it. dataset: the name of the dataset. file: stores an object of lines and returns its URI. rows: the
    rows that a table has now. fail: the next job for this table fails with a reason.
    """

    make: Callable[[], Destination]
    dataset: Dataset
    file: Callable[[str, Sequence[str]], str]
    rows: Callable[[str], list[str]]
    fail: Callable[[str, str], None]


def raw(value: Any) -> msgspec.Raw:
    """A definition as JSON."""
    return msgspec.Raw(msgspec.json.encode(value))


def name_of(dataset: Dataset, table: str) -> str:
    """The name of a table in a statement."""
    return ".".join(map(identifier, (dataset.project, dataset.name, table)))


def in_memory(*, behind_a_gate: bool) -> Stage:
    store, faults = MemoryStore("target"), dict[str, str]()

    def failing(table: str, job: str) -> JobError | None:
        reason = faults.pop(table, None)
        return JobError(reason, "An injected error.") if reason else None

    destination = MemoryDestination(store, lambda: time.time_ns() // 1_000_000, failing=failing)
    dataset = Dataset(PROJECT, "restored", "EU")
    destination.unknown_users.add("x@nobody.example.com")

    def file(name: str, rows: Sequence[str]) -> str:
        store.put_now(name, "".join(f"{row}\n" for row in rows).encode())
        return f"gs://target/{name}"

    def rows(table: str) -> list[str]:
        return sorted(destination.datasets[PROJECT, "restored"][table].versions[-1].rows or ())

    return Stage(
        lambda: gated(destination, Gate(QUICK, 1)) if behind_a_gate else destination,
        dataset,
        file,
        rows,
        faults.__setitem__,
    )


@contextmanager
def on_servers(world: Cloud, monkeypatch: pytest.MonkeyPatch, patience: Patience = QUICK) -> Iterator[Stage]:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", world.address)
    monkeypatch.setattr(adapter, "PAGE", PAGE)
    dataset, bucket = Dataset(PROJECT, f"restored_{next(numbers)}", "EU"), world.bucket()

    def file(name: str, rows: Sequence[str]) -> str:
        world.storage.bucket(bucket).blob(name).upload_from_string("".join(f"{row}\n" for row in rows))
        return f"gs://{bucket}/{name}"

    def rows(table: str) -> list[str]:
        found = world.sql(f"SELECT line FROM {name_of(dataset, table)}", location="EU")
        return sorted(row[0] for row in found)

    def fail(table: str, reason: str) -> None:
        fault = {"at": "run", "table": table, "reason": reason, "message": "An injected error."}
        world.control("PUT", "jobs", {"faults": [fault]})

    with world.settings(any_table_names=True):
        yield Stage(lambda: BigQueryDestination(PROJECT, Gate(patience, 1)), dataset, file, rows, fail)


@pytest.fixture(scope="module")
def world() -> Iterator[Cloud]:
    with serve_world() as served:
        yield served


@pytest.fixture(params=["memory", "memory behind a gate", "bigquery"])
def stage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    if request.param != "bigquery":
        yield in_memory(behind_a_gate=request.param != "memory")
        return
    with on_servers(request.getfixturevalue("world"), monkeypatch) as made:
        yield made


def on(stage: Stage, test: Callable[[Destination], Awaitable[Result]], *, empty: bool = False) -> Result:
    """The result of a test on a destination with the dataset, or (empty) without it."""

    async def run() -> Result:
        destination = stage.make()
        try:
            if not empty:
                await destination.create_dataset(PROJECT, stage.dataset.name, raw({"location": "EU"}))
            return await test(destination)
        finally:
            await destination.close()

    return asyncio.run(run())


async def finished(destination: Destination, job: Job) -> Job:
    """The finished job."""
    while job.state != "done":
        await asyncio.sleep(0)
        job = await destination.job(job.id, "EU")
    return job


def load(stage: Stage, job: str, table: str, *uris: str, empty: bool = True) -> LoadRequest:
    """A load of files with lines. Job ids of the tests differ."""
    options = raw({"sourceFormat": "CSV"})
    job_id = f"{stage.dataset.name}-{job}"
    return LoadRequest(job_id, TableName(stage.dataset, table), uris, options, raw(LINES), empty, {"made": "here"})


def statement(stage: Stage, job: str, table: str, sql: str, billed: int = 0) -> StatementRequest:
    """A statement that writes to the table."""
    job_id = f"{stage.dataset.name}-{job}"
    return StatementRequest(job_id, stage.dataset, table, sql, {"made": "here"}, billed)


def copy(stage: Stage, job: str, source: str, to: str) -> CopyRequest:
    """A copy of one table over another."""
    return CopyRequest(
        f"{stage.dataset.name}-{job}", TableName(stage.dataset, source), TableName(stage.dataset, to), {"made": "here"}
    )


def test_a_job_is_found_by_its_id_and_one_that_was_never_started_is_none_at_once(stage: Stage) -> None:
    name = stage.dataset.name

    async def check(destination: Destination) -> None:
        await destination.create_dataset(PROJECT, name, raw({"location": "EU"}))
        started = await destination.statement(statement(stage, "found", "t", "CREATE VIEW t AS SELECT 1 AS one"))
        found = await destination.find_job(started.id, "EU")
        assert found is not None
        assert found.id == started.id
        async with asyncio.timeout(60):
            assert await destination.find_job(f"{started.id}-other", "EU") is None

    on(stage, check, empty=True)


def test_a_job_is_cancelled_while_it_is_at_work_and_nothing_happens_without_one(stage: Stage) -> None:
    name = stage.dataset.name

    async def check(destination: Destination) -> None:
        await destination.create_dataset(PROJECT, name, raw({"location": "EU"}))
        await destination.cancel_job("none", "EU")
        started = await destination.statement(statement(stage, "cancelled", "t", "CREATE VIEW t AS SELECT 1 AS one"))
        await destination.cancel_job(started.id, "EU")
        async with asyncio.timeout(10):
            while (await destination.job(started.id, "EU")).state != "done":
                await asyncio.sleep(0)
        await destination.cancel_job(started.id, "EU")
        assert (await destination.job(started.id, "EU")).state == "done"

    on(stage, check, empty=True)


def test_a_dataset_is_created_found_changed_and_dropped(stage: Stage) -> None:
    name = stage.dataset.name

    async def check(destination: Destination) -> None:
        assert await destination.find_dataset(PROJECT, name) is None
        labels = {"team": "a", "stage": "test"}
        made = raw({"location": "EU", "description": "Shop", "labels": labels, "defaultTableExpirationMs": "7200000"})
        await destination.create_dataset(PROJECT, name, made)
        assert not await destination.create_dataset(PROJECT, name, made)
        found = msgspec.json.decode(await destination.find_dataset(PROJECT, name) or b"")
        assert found["location"] == "EU"
        assert (found["description"], found["labels"]) == ("Shop", labels)
        assert (await destination.dataset(PROJECT, name)).location == "EU"
        changes = {"description": None, "labels": {"team": "b", "stage": None, "new": "x"}}
        await destination.change_dataset(stage.dataset, raw(changes))
        found = msgspec.json.decode(await destination.find_dataset(PROJECT, name) or b"")
        assert (found["labels"], found.get("description")) == ({"team": "b", "new": "x"}, None)
        assert found["defaultTableExpirationMs"] == "7200000"
        await destination.create_table(stage.dataset, "t", raw({"schema": LINES}))
        await destination.drop_dataset(stage.dataset)
        assert await destination.find_dataset(PROJECT, name) is None
        await destination.drop_dataset(stage.dataset)
        with pytest.raises(NotFoundError):
            await destination.change_dataset(stage.dataset, raw({"description": "x"}))

    on(stage, check, empty=True)


def test_access_entries_are_replaced_unless_the_dataset_was_changed_meanwhile(stage: Stage) -> None:
    async def check(destination: Destination) -> None:
        async def found() -> dict[str, Any]:
            resource = await destination.find_dataset(PROJECT, stage.dataset.name)
            decoded: dict[str, Any] = msgspec.json.decode(resource or b"")
            return decoded

        before = await found()
        owners = [entry for entry in before["access"] if entry["role"] == "OWNER"]
        assert owners
        until = {"expression": "request.time < timestamp('2030-01-01T00:00:00Z')", "title": "for now"}
        more = [{"role": "READER", "groupByEmail": "g@example.com", "condition": until}]
        await destination.change_access(stage.dataset, raw([*owners, *more]), before["etag"])
        assert (await found())["access"] == [*owners, *more]
        with pytest.raises(ConflictError):
            await destination.change_access(stage.dataset, raw(owners), before["etag"])
        assert (await found())["access"] == [*owners, *more]
        unknown = {"role": "READER", "userByEmail": "x@nobody.example.com"}
        with pytest.raises(JobFailedError, match=r"User x@nobody\.example\.com does not exist"):
            await destination.change_access(stage.dataset, raw([*owners, unknown]), (await found())["etag"])
        elsewhere = msgspec.structs.replace(stage.dataset, name="not_there")
        with pytest.raises(NotFoundError):
            await destination.change_access(elsewhere, raw(owners), "")

    on(stage, check)


def test_default_expirations_apply_to_tables_created_afterwards(stage: Stage) -> None:
    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, "before", raw({"schema": LINES}))
        await destination.change_dataset(stage.dataset, raw({"defaultTableExpirationMs": "7200000"}))
        await destination.create_table(stage.dataset, "after", raw({"schema": LINES}))
        assert "expirationTime" not in await definition(destination, stage, "before")
        assert int((await definition(destination, stage, "after"))["expirationTime"]) > await destination.now("EU")
        await destination.change_table(stage.dataset, "after", raw({"expirationTime": None}))
        assert "expirationTime" not in await definition(destination, stage, "after")

    on(stage, check)


async def definition(destination: Destination, stage: Stage, name: str) -> dict[str, Any]:
    """The definition of a table that exists."""
    found = await destination.table(stage.dataset, name)
    assert found is not None
    decoded: dict[str, Any] = msgspec.json.decode(found.definition)
    return decoded


def test_a_dataset_without_objects_lists_none(stage: Stage) -> None:
    assert on(stage, lambda destination: destination.present(stage.dataset)) == []


def test_every_object_is_listed_with_its_kind_and_labels(stage: Stage) -> None:
    async def check(destination: Destination) -> None:
        before = await destination.now("EU")
        for number in reversed(range(2 * PAGE)):
            table = raw({"schema": LINES, "labels": {"number": str(number)}})
            await destination.create_table(stage.dataset, f"t{number}", table)
        view = {"view": {"query": f"SELECT line FROM {name_of(stage.dataset, 't1')}", "useLegacySql": False}}
        await destination.create_table(stage.dataset, "v", raw(view))
        present = await destination.present(stage.dataset)
        expected = [(f"t{number}", "TABLE", {"number": str(number)}) for number in range(2 * PAGE)]
        assert [(item.name, item.kind, item.labels) for item in present] == [*expected, ("v", "VIEW", {})]
        after = await destination.now("EU")
        assert all(before <= item.created <= after for item in present)

    on(stage, check)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_all_kinds_are_created_loaded_changed_and_dropped(stage: Stage, name: str) -> None:
    uri = stage.file("rows", ["a", "b"])

    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, name, raw({"schema": LINES, "labels": {"restore": "1"}}))
        await destination.create_table(stage.dataset, "copy", raw({"schema": LINES}))
        assert not await destination.create_table(stage.dataset, name, raw({"schema": LINES}))
        assert (await finished(destination, await destination.load(load(stage, "l", name, uri)))).error is None
        into, source = name_of(stage.dataset, "copy"), name_of(stage.dataset, name)
        insert = statement(stage, "i", "copy", f"INSERT INTO {into} (line) SELECT line FROM {source}")
        assert (await finished(destination, await destination.statement(insert))).rows == 2
        assert (await finished(destination, await destination.copy(copy(stage, "c", "copy", name)))).error is None
        await destination.change_table(stage.dataset, name, raw({"labels": {"restore": None}, "description": name}))
        found = await definition(destination, stage, name)
        assert (found.get("labels", {}), found["description"]) == ({}, name)
        assert [item.name for item in await destination.present(stage.dataset)] == sorted(["copy", name])
        await destination.drop_table(stage.dataset, name)
        assert await destination.table(stage.dataset, name) is None
        assert [item.name for item in await destination.present(stage.dataset)] == ["copy"]

    on(stage, check)


def test_what_is_not_there_is_dropped_without_an_error_and_cannot_be_changed(stage: Stage) -> None:
    async def check(destination: Destination) -> None:
        await destination.drop_table(stage.dataset, "nothing")
        with pytest.raises(NotFoundError, match="nothing"):
            await destination.change_table(stage.dataset, "nothing", raw({"description": "x"}))
        with pytest.raises(NotFoundError, match="nothing"):
            await destination.replace_definition(stage.dataset, "nothing", raw({"schema": LINES}))

    on(stage, check)


def test_a_dropped_table_can_be_created_anew_and_is_empty(stage: Stage) -> None:
    uri = stage.file("rows", ["a"])

    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, "t", raw({"schema": LINES}))
        await finished(destination, await destination.load(load(stage, "one", "t", uri)))
        await destination.drop_table(stage.dataset, "t")
        await destination.create_table(stage.dataset, "t", raw({"schema": LINES}))
        assert (await definition(destination, stage, "t"))["numRows"] == "0"
        assert (await finished(destination, await destination.load(load(stage, "two", "t", uri)))).error is None

    on(stage, check)


def test_a_table_keeps_its_rows_and_other_properties_when_it_is_changed(stage: Stage) -> None:
    uri = stage.file("rows", ["a", "b"])

    async def check(destination: Destination) -> None:
        made = {"schema": LINES, "description": "first", "labels": {"keep": "1", "change": "1", "drop": "1"}}
        await destination.create_table(stage.dataset, "t", raw(made))
        await finished(destination, await destination.load(load(stage, "l", "t", uri)))
        await destination.change_table(stage.dataset, "t", raw({"labels": {"change": "2", "drop": None, "new": "3"}}))
        found = await definition(destination, stage, "t")
        assert found["labels"] == {"keep": "1", "change": "2", "new": "3"}
        assert (found["description"], found["numRows"]) == ("first", "2")
        assert [field["name"] for field in found["schema"]["fields"]] == ["line"]

    on(stage, check)


def test_a_view_needs_the_tables_that_it_names(stage: Stage) -> None:
    def view(*tables: str) -> msgspec.Raw:
        query = " UNION ALL ".join(f"SELECT line FROM {name_of(stage.dataset, table)}" for table in tables)
        return raw({"view": {"query": query, "useLegacySql": False}})

    async def check(destination: Destination) -> None:
        with pytest.raises(TableGoneError, match="orders"):
            await destination.create_table(stage.dataset, "v", view("orders"))
        await destination.create_table(stage.dataset, "orders", raw({"schema": LINES}))
        await destination.create_table(stage.dataset, "v", view("orders"))
        with pytest.raises(TableGoneError, match="lines"):
            await destination.create_table(stage.dataset, "w", view("v", "lines"))
        await destination.create_table(stage.dataset, "w", view("v", "orders"))
        assert [item.kind for item in await destination.present(stage.dataset)] == ["TABLE", "VIEW", "VIEW"]

    on(stage, check)


def test_the_definition_of_a_view_is_replaced(stage: Stage) -> None:
    def view(table: str, **others: Any) -> msgspec.Raw:
        query = f"SELECT line FROM {name_of(stage.dataset, table)}"
        return raw({"view": {"query": query, "useLegacySql": False}, **others})

    async def check(destination: Destination) -> None:
        for table in ("one", "two"):
            await destination.create_table(stage.dataset, table, raw({"schema": LINES}))
        await destination.create_table(stage.dataset, "v", view("one", description="old", labels={"a": "1"}))
        await destination.replace_definition(stage.dataset, "v", view("two", labels={"b": "2"}))
        found = await definition(destination, stage, "v")
        assert "two" in found["view"]["query"]
        assert (found.get("description"), found["labels"]) == (None, {"b": "2"})
        with pytest.raises(TableGoneError, match="three"):
            await destination.replace_definition(stage.dataset, "v", view("three"))

    on(stage, check)


def test_a_load_reports_its_rows_and_needs_an_empty_table(stage: Stage) -> None:
    first, second = stage.file("1", ["a", "b"]), stage.file("2", ["c"])

    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, "t", raw({"schema": LINES}))
        before = await destination.now("EU")
        job = await finished(destination, await destination.load(load(stage, "1", "t", first, second)))
        assert (job.error, job.rows, job.billed) == (None, 3, None)
        assert before <= job.created <= job.started <= job.ended
        assert stage.rows("t") == ["a", "b", "c"]
        again = await finished(destination, await destination.load(load(stage, "2", "t", first)))
        assert again.error is not None
        assert again.error.reason == "duplicate"
        more = await finished(destination, await destination.load(load(stage, "3", "t", second, empty=False)))
        assert (more.error, more.rows) == (None, 1)
        assert stage.rows("t") == ["a", "b", "c", "c"]

    on(stage, check)


def test_a_load_of_no_rows_succeeds(stage: Stage) -> None:
    uri = stage.file("empty", [])

    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, "t", raw({"schema": LINES}))
        job = await finished(destination, await destination.load(load(stage, "l", "t", uri)))
        assert (job.error, job.rows) == (None, 0)

    on(stage, check)


def test_a_load_with_a_missing_file_loads_nothing_and_names_it(stage: Stage) -> None:
    there = stage.file("there", ["a"])

    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, "t", raw({"schema": LINES}))
        uris = (there, there.replace("there", "gone"))
        job = await finished(destination, await destination.load(load(stage, "l", "t", *uris)))
        assert job.error is not None
        assert job.error.reason == "notFound"
        assert uris[1] in job.error.message
        assert stage.rows("t") == []

    on(stage, check)


def test_a_load_into_a_missing_table_fails_and_creates_none(stage: Stage) -> None:
    uri = stage.file("rows", ["a"])

    async def check(destination: Destination) -> None:
        output = ""
        try:
            output = str((await finished(destination, await destination.load(load(stage, "l", "gone", uri)))).error)
        except NotFoundError as error:
            output = str(error)
        assert "gone" in output
        assert await destination.present(stage.dataset) == []

    on(stage, check)


def test_a_load_reads_the_files_that_exist_when_it_runs(stage: Stage) -> None:
    uri = stage.file("rows", ["old"])

    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, "t", raw({"schema": LINES}))
        stage.file("rows", ["new"])
        await finished(destination, await destination.load(load(stage, "l", "t", uri)))
        assert stage.rows("t") == ["new"]

    on(stage, check)


def test_job_ids_are_shared_by_all_kinds_of_jobs_and_can_be_used_once(stage: Stage) -> None:
    uri = stage.file("rows", ["a"])

    async def check(destination: Destination) -> None:
        for table in ("t", "u"):
            await destination.create_table(stage.dataset, table, raw({"schema": LINES}))
        first = await finished(destination, await destination.load(load(stage, "x", "t", uri)))
        insert = f"INSERT INTO {name_of(stage.dataset, 'u')} (line) SELECT line FROM {name_of(stage.dataset, 't')}"
        with pytest.raises(ConflictError):
            await destination.load(load(stage, "x", "u", uri))
        with pytest.raises(ConflictError):
            await destination.statement(statement(stage, "x", "u", insert))
        with pytest.raises(ConflictError):
            await destination.copy(copy(stage, "x", "t", "u"))
        assert await destination.job(first.id, "EU") == first
        assert (stage.rows("t"), stage.rows("u")) == (["a"], [])

    on(stage, check)


def test_one_of_many_concurrent_starts_of_a_load_wins(stage: Stage) -> None:
    uri = stage.file("rows", ["a"])

    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, "t", raw({"schema": LINES}))
        requested = load(stage, "race", "t", uri, empty=False)
        results = await asyncio.gather(*(destination.load(requested) for _ in range(10)), return_exceptions=True)
        assert sum(isinstance(result, Job) for result in results) == 1
        assert sum(isinstance(result, ConflictError) for result in results) == 9
        await finished(destination, await destination.job(requested.job_id, "EU"))
        assert stage.rows("t") == ["a"]

    on(stage, check)


def test_an_insert_reports_its_rows_and_the_bytes_billed(stage: Stage) -> None:
    uri = stage.file("rows", ["a", "b", "c"])

    async def check(destination: Destination) -> None:
        for table in ("scratch", "t"):
            await destination.create_table(stage.dataset, table, raw({"schema": LINES}))
        await finished(destination, await destination.load(load(stage, "l", "scratch", uri)))
        source = name_of(stage.dataset, "scratch")
        sql = f"INSERT INTO {name_of(stage.dataset, 't')} (line) SELECT line FROM {source} WHERE line IS NOT NULL"
        job = await finished(destination, await destination.statement(statement(stage, "i", "t", sql)))
        assert (job.error, job.rows) == (None, 3)
        assert job.billed is not None
        assert job.billed > 0
        refused = await finished(destination, await destination.statement(statement(stage, "j", "t", sql, billed=1)))
        assert refused.error is not None
        assert "bytes billed: 1" in refused.error.message
        assert stage.rows("t") == ["a", "b", "c"]

    on(stage, check)


def test_a_statement_that_names_a_missing_table_fails_with_its_name(stage: Stage) -> None:
    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, "t", raw({"schema": LINES}))
        sql = f"INSERT INTO {name_of(stage.dataset, 't')} (line) SELECT line FROM {name_of(stage.dataset, 'gone')}"
        output = ""
        try:
            job = await finished(destination, await destination.statement(statement(stage, "i", "t", sql)))
            output = str(job.error)
        except NotFoundError as error:
            output = str(error)
        assert "gone" in output

    on(stage, check)


def test_a_copy_replaces_rows_and_schema(stage: Stage) -> None:
    new, old = stage.file("new", ["a", "b"]), stage.file("old", ["x"])

    async def check(destination: Destination) -> None:
        more = {"fields": [*LINES["fields"], {"name": "more", "type": "INTEGER"}]}
        await destination.create_table(stage.dataset, "new", raw({"schema": more}))
        for table, uri in (("lines", new), ("old", old)):
            await destination.create_table(stage.dataset, table, raw({"schema": LINES}))
            await finished(destination, await destination.load(load(stage, table, table, uri)))
        into, source = (name_of(stage.dataset, table) for table in ("new", "lines"))
        insert = statement(stage, "i", "new", f"INSERT INTO {into} (line) SELECT line FROM {source}")
        await finished(destination, await destination.statement(insert))
        job = await finished(destination, await destination.copy(copy(stage, "c", "new", "old")))
        assert job.error is None
        assert stage.rows("old") == stage.rows("new") == ["a", "b"]
        columns = (await definition(destination, stage, "old"))["schema"]["fields"]
        assert [column["name"] for column in columns] == ["line", "more"]

    on(stage, check)


def test_a_copy_takes_constraints_from_its_source_and_keeps_other_properties(stage: Stage) -> None:
    def table(key: str, **others: Any) -> msgspec.Raw:
        return raw({"schema": LINES, "tableConstraints": {"primaryKey": {"columns": [key]}}, **others})

    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, "new", table("line", description="new", labels={"c": "d"}))
        await destination.create_table(stage.dataset, "old", raw({"schema": LINES, "labels": {"a": "b"}}))
        job = await finished(destination, await destination.copy(copy(stage, "c", "new", "old")))
        assert job.error is None
        found = await definition(destination, stage, "old")
        assert found["tableConstraints"] == {"primaryKey": {"columns": ["line"]}}
        assert (found.get("description"), found["labels"]) == (None, {"a": "b"})

    on(stage, check)


@pytest.mark.parametrize("layout", [{"timePartitioning": {"type": "DAY"}}, {"clustering": {"fields": ["line"]}}])
def test_a_copy_cannot_change_partitioning_or_clustering(stage: Stage, layout: dict[str, Any]) -> None:
    uri = stage.file("rows", ["a"])

    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, "new", raw({"schema": LINES, **layout}))
        await destination.create_table(stage.dataset, "old", raw({"schema": LINES}))
        await finished(destination, await destination.load(load(stage, "l", "old", uri)))
        job = await finished(destination, await destination.copy(copy(stage, "c", "new", "old")))
        assert job.error is not None
        assert "Incompatible table partitioning specification" in job.error.message
        assert stage.rows("old") == ["a"]

    on(stage, check)


def test_a_copy_to_a_missing_table_fails(stage: Stage) -> None:
    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, "t", raw({"schema": LINES}))
        job = await finished(destination, await destination.copy(copy(stage, "c", "t", "gone")))
        assert job.error is not None
        assert job.error.reason == "notFound"
        assert "gone" in job.error.message
        assert [item.name for item in await destination.present(stage.dataset)] == ["t"]

    on(stage, check)


@pytest.mark.parametrize("reason", ["backendError", "quotaExceeded", "invalid"])
def test_a_failed_job_has_a_reason_and_changes_nothing(stage: Stage, reason: str) -> None:
    uri = stage.file("rows", ["a"])

    async def check(destination: Destination) -> None:
        await destination.create_table(stage.dataset, "orders", raw({"schema": LINES}))
        stage.fail("orders", reason)
        job = await finished(destination, await destination.load(load(stage, "bad", "orders", uri)))
        assert job.error == JobError(reason, "An injected error.")
        assert stage.rows("orders") == []
        assert (await finished(destination, await destination.load(load(stage, "good", "orders", uri)))).rows == 1

    on(stage, check)


def test_an_expired_table_cannot_be_created(stage: Stage) -> None:
    async def check(destination: Destination) -> None:
        past = str(await destination.now("EU") - 1000)
        with pytest.raises(JobFailedError, match="expiration"):
            await destination.create_table(stage.dataset, "t", raw({"schema": LINES, "expirationTime": past}))
        assert await destination.present(stage.dataset) == []

    on(stage, check)


def test_routines_are_created_listed_and_replaced(stage: Stage) -> None:
    def routine(body: str) -> msgspec.Raw:
        return raw({"routineType": "SCALAR_FUNCTION", "language": "SQL", "definitionBody": body})

    async def check(destination: Destination) -> None:
        assert await destination.routines(stage.dataset) == []
        for name in ("b", "a"):
            await destination.create_routine(stage.dataset, name, routine("1"), replace=False)
        assert not await destination.create_routine(stage.dataset, "a", routine("2"), replace=False)
        for name in ("a", "c"):
            await destination.create_routine(stage.dataset, name, routine("2"), replace=True)
        assert await destination.routines(stage.dataset) == ["a", "b", "c"]
        reading = routine(f"(SELECT COUNT(*) FROM {name_of(stage.dataset, 'gone')})")
        for replace in (False, True):
            with pytest.raises(TableGoneError, match="gone"):
                await destination.create_routine(stage.dataset, "d", reading, replace=replace)
        await destination.create_table(stage.dataset, "gone", raw({"schema": LINES}))
        await destination.create_routine(stage.dataset, "d", reading, replace=False)

    on(stage, check)


@pytest.mark.parametrize("table", ["orders", "why?"])
def test_a_row_access_policy_is_created_once(stage: Stage, table: str) -> None:
    policy = raw({"filterPredicate": "line = 'a'", "grantees": ["allUsers"]})

    async def check(destination: Destination) -> None:
        with pytest.raises(TableGoneError):
            await destination.create_row_policy(stage.dataset, table, "eu", policy)
        await destination.create_table(stage.dataset, table, raw({"schema": LINES}))
        await destination.create_row_policy(stage.dataset, table, "eu", policy)
        assert not await destination.create_row_policy(stage.dataset, table, "eu", policy)
        assert await destination.row_policies(stage.dataset, table) == [RowPolicy(table, "eu", "line = 'a'")]
        assert await destination.grantees(stage.dataset, table, "eu") == ("allUsers",)

    on(stage, check)


@pytest.mark.parametrize(
    ("reason", "status", "expected"),
    [
        ("invalid", 400, JobFailedError),
        ("accessDenied", 403, DeniedError),
        ("quotaExceeded", 403, QuotaError),
        ("notFound", 404, NotFoundError),
        ("duplicate", 409, ConflictError),
        ("rateLimitExceeded", 403, UnavailableError),
        ("backendError", 503, UnavailableError),
    ],
)
def test_refusals_are_errors_with_the_words_of_bigquery(
    world: Cloud, monkeypatch: pytest.MonkeyPatch, reason: str, status: int, expected: type[BqdumpError]
) -> None:
    def refuse(operation: str) -> None:
        answer = {"operation": f"^bigquery.{operation}$", "status": status, "reason": reason}
        world.control("PUT", "faults", {"rules": [answer]})

    with on_servers(world, monkeypatch, Patience(tries=1)) as stage:
        here, empty = stage.dataset, raw({})
        requests: dict[str, Callable[[Destination], Awaitable[object]]] = {
            "datasets.insert": lambda destination: destination.create_dataset(PROJECT, here.name, empty),
            "datasets.patch": lambda destination: destination.change_dataset(here, empty),
            "tables.insert": lambda destination: destination.create_table(here, "t", empty),
            "tables.patch": lambda destination: destination.change_table(here, "t", empty),
            "tables.update": lambda destination: destination.replace_definition(here, "t", empty),
            "tables.list": lambda destination: destination.present(here),
            "jobs.insert": lambda destination: destination.load(load(stage, reason, "t", "gs://b/o")),
        }

        async def check(destination: Destination) -> None:
            for operation, request in requests.items():
                refuse(operation)
                if (operation, reason) in TAKEN:
                    assert await request(destination) is False
                    continue
                with pytest.raises(expected, match="cannot "):
                    await request(destination)
            refuse("none")

        on(stage, check, empty=True)


def test_a_copy_to_a_table_that_must_be_empty_fails_if_it_has_rows(stage: Stage) -> None:
    new, old = stage.file("new", ["a", "b"]), stage.file("old", ["c"])

    async def check(destination: Destination) -> None:
        for table, uri in (("new", new), ("old", old)):
            await destination.create_table(stage.dataset, table, raw({"schema": LINES}))
            await finished(destination, await destination.load(load(stage, table, table, uri)))
        await destination.create_table(stage.dataset, "none", raw({"schema": LINES}))
        refused = copy(stage, "c", "new", "old")._replace(empty=True)
        job = await finished(destination, await destination.copy(refused))
        assert job.error is not None
        assert job.error.reason == "duplicate"
        assert stage.rows("old") == ["c"]
        filled = copy(stage, "d", "new", "none")._replace(empty=True)
        assert (await finished(destination, await destination.copy(filled))).error is None
        assert stage.rows("none") == ["a", "b"]

    on(stage, check)
