"""Changes of one dataset, table or job that meet: the order is forced by what happens in the middle of the first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import requests
from google.api_core.exceptions import NotFound

from bqdump_local.bigquery.errors import BigQueryError
from bqdump_local.bigquery.files.objects import ObjectStore
from bqdump_local.bigquery.jobs.jobs import Job
from bqdump_local.bigquery.jobs.service import Service
from bqdump_local.bigquery.routes.jobs import JobRoutes
from bqdump_local.bigquery.rows import streaming, writing
from bqdump_local.bigquery.settings import JobSettings
from bqdump_local.bigquery.sql.results import JobResult
from bqdump_local.bigquery.statements import ddl
from bqdump_local.bigquery.tables import buffers
from bqdump_local.bigquery.tables.catalog import Catalog
from bqdump_local.bigquery.tables.datasets import Dataset
from bqdump_local.bigquery.tables.tables import Table
from bqdump_local.bigquery.tables.warehouse import Warehouse
from bqdump_local.bigquery.types import parse_fields
from local.bigquery_server import PROJECT, Cloud, serve_world

SCHEMA = {"schema": {"fields": [{"name": "a", "type": "INTEGER"}]}}
FIELDS = parse_fields(SCHEMA["schema"]["fields"])
PLACE = {"projectId": "p", "datasetId": "d", "tableId": "t"}


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    warehouse = Warehouse(tmp_path)
    catalog = Catalog(warehouse, JobSettings())
    catalog.create_dataset("p", "d", {})
    yield catalog
    warehouse.close()


def rows(catalog: Catalog, table: Table) -> list[int]:
    with catalog.warehouse.cursor() as cursor:
        return [row[0] for row in cursor.execute(f"SELECT a FROM {table.current.name} ORDER BY a").fetchall()]


def stored(catalog: Catalog) -> set[str]:
    with catalog.warehouse.cursor() as cursor:
        names = "SELECT 'data.' || table_name FROM duckdb_tables() WHERE schema_name = 'data'"
        return {row[0] for row in cursor.execute(names).fetchall()}


def write(catalog: Catalog, value: int, **options: str) -> writing.Written:
    return writing.place(catalog, PLACE, options, FIELDS, f"SELECT {value} AS a")


# -- what is deleted stays deleted


@pytest.mark.parametrize("whole", [False, True], ids=["table", "dataset"])
def test_a_table_that_is_deleted_during_a_load_stays_deleted(catalog: Catalog, *, whole: bool) -> None:
    table = catalog.create_table("p", "d", "t", SCHEMA)

    def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        cursor.execute(f"CREATE TABLE {name} AS SELECT 1 AS a")
        if whole:
            catalog.delete_dataset("p", "d", contents=True)
        else:
            catalog.delete_table(table)

    with pytest.raises(BigQueryError, match=r"Not found: Table p:d\.t"):
        catalog.new_version(table, build)
    assert [key for key, _ in catalog.warehouse.kept() if key.startswith("table:")] == []
    assert stored(catalog) == set()


def test_rows_that_are_gone_with_their_table_are_a_missing_table(catalog: Catalog) -> None:
    table = catalog.create_table("p", "d", "t", SCHEMA)

    def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        catalog.delete_table(table)
        cursor.execute(f"CREATE TABLE {name} AS FROM {table.current.name}")

    with pytest.raises(BigQueryError, match=r"Not found: Table p:d\.t"):
        catalog.new_version(table, build)


@pytest.mark.parametrize("change", ["change", "stream", "rename", "keep"])
def test_a_change_of_a_deleted_table_does_not_bring_it_back(catalog: Catalog, change: str) -> None:
    table = catalog.create_table("p", "d", "t", SCHEMA)
    catalog.delete_table(table)
    changes: dict[str, Callable[[], object]] = {
        "change": lambda: catalog.change_table(table, {**SCHEMA, "description": "x"}),
        "stream": lambda: streaming.insert_all(catalog, table, {"rows": [{"json": {"a": 1}}]}),
        "rename": lambda: catalog.rename_table(table, "u"),
        "keep": lambda: catalog.keep_table(table),
    }
    with pytest.raises(BigQueryError) as raised:
        changes[change]()
    assert raised.value.reason in ("notFound", "invalid")
    assert [key for key, _ in catalog.warehouse.kept() if key.startswith("table:")] == []


def test_a_change_of_a_deleted_dataset_does_not_bring_it_back(catalog: Catalog) -> None:
    dataset = catalog.dataset("p", "d")
    catalog.delete_dataset("p", "d", contents=True)
    with pytest.raises(BigQueryError, match="Not found: Dataset p:d"):
        catalog.change_dataset(dataset, {"description": "x"})
    assert catalog.warehouse.kept() == []


def test_a_table_of_a_dataset_that_is_deleted_meanwhile_leaves_no_rows(catalog: Catalog) -> None:
    def build(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        cursor.execute(f"CREATE TABLE {name} AS SELECT 1 AS a")
        catalog.delete_dataset("p", "d", contents=True)

    with pytest.raises(BigQueryError, match="Not found: Dataset p:d"):
        catalog.create_table("p", "d", "t", SCHEMA, build)
    assert stored(catalog) == set()


def test_a_table_is_not_renamed_over_one_that_was_created_meanwhile(catalog: Catalog) -> None:
    table = catalog.create_table("p", "d", "t", SCHEMA)
    other = catalog.create_table("p", "d", "u", SCHEMA)
    with pytest.raises(BigQueryError, match=r"Already Exists: Table p:d\.u"):
        catalog.rename_table(table, "u")
    assert catalog.find_table("p", "d", "t") is table
    assert catalog.find_table("p", "d", "u") is other


def test_a_dataset_is_found_and_deleted_in_one_step(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    find = catalog.dataset

    def is_free() -> bool:
        if free := catalog.lock.acquire(blocking=False):
            catalog.lock.release()
        return free

    def found(project: str, dataset_id: str) -> Dataset:
        others.append(threads.submit(is_free).result())
        return find(project, dataset_id)

    others: list[bool] = []
    monkeypatch.setattr(catalog, "dataset", found)
    with ThreadPoolExecutor(1) as threads:
        catalog.delete_dataset("p", "d", contents=True)
    assert others == [False]


def test_a_table_of_a_dataset_that_is_deleted_meanwhile_is_none(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = catalog.dataset

    def found(project: str, dataset_id: str) -> Dataset:
        monkeypatch.undo()
        dataset = find(project, dataset_id)
        catalog.delete_dataset(project, dataset_id, contents=True)
        return dataset

    monkeypatch.setattr(catalog, "dataset", found)
    assert catalog.find_table("p", "d", "t") is None


# -- loads that meet


def test_two_jobs_that_create_a_table_both_append_to_it(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    create = writing._create

    def second(*arguments: Any) -> writing.Written:
        monkeypatch.setattr(writing, "_create", create)
        write(catalog, 2, writeDisposition="WRITE_APPEND")
        return create(*arguments)

    monkeypatch.setattr(writing, "_create", second)
    assert write(catalog, 1, writeDisposition="WRITE_APPEND").rows == 1
    assert rows(catalog, catalog.table("p", "d", "t")) == [1, 2]


def test_one_of_two_jobs_finds_an_empty_table(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    table = catalog.create_table("p", "d", "t", SCHEMA)
    check = writing._check_properties

    def second(*arguments: Any) -> None:
        check(*arguments)
        monkeypatch.setattr(writing, "_check_properties", check)
        outcomes.append(threads.submit(write, catalog, 2))

    outcomes: list[Any] = []
    monkeypatch.setattr(writing, "_check_properties", second)
    with ThreadPoolExecutor(1) as threads:
        assert write(catalog, 1).rows == 1
        with pytest.raises(BigQueryError, match=r"Already Exists: Table p:d\.t"):
            outcomes[0].result()
    assert rows(catalog, table) == [1]


def test_a_statement_replaces_what_another_has_created_meanwhile(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialize = ddl.materialize

    def second(*arguments: Any) -> Any:
        catalog.create_table("p", "d", "t", SCHEMA)
        return materialize(*arguments)

    monkeypatch.setattr(ddl, "materialize", second)
    service = Service(catalog, ObjectStore("http://127.0.0.1:1"), JobSettings())
    job = service.accept("p", {"configuration": {"query": {"query": "CREATE OR REPLACE TABLE d.t AS SELECT 1 AS a"}}})
    job.ended.result()
    assert job.error is None
    table = catalog.table("p", "d", "t")
    assert rows(catalog, table) == [1]
    assert stored(catalog) == set(table.stored)


# -- streamed rows


def test_a_streamed_row_that_could_not_be_stored_is_new_when_it_is_sent_again(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = catalog.create_table("p", "d", "t", SCHEMA)
    body = {"rows": [{"insertId": "x", "json": {"a": 1}}]}

    def fail(*_: object) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patched:
        patched.setattr(buffers, "stream", fail)
        with pytest.raises(OSError, match="no space"):
            streaming.insert_all(catalog, table, body)
    streaming.insert_all(catalog, table, body)
    streaming.insert_all(catalog, table, body)
    assert table.buffer is not None
    assert table.buffer.rows == 1


def test_streamed_rows_stay_if_they_cannot_be_moved(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    table = catalog.create_table("p", "d", "t", SCHEMA)
    streaming.insert_all(catalog, table, {"rows": [{"json": {"a": 1}}]})

    def fail(*_: object) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patched:
        patched.setattr(catalog, "new_version", fail)
        with pytest.raises(OSError, match="no space"):
            buffers.flush(catalog, table)
    assert buffers.flush(catalog, table) == 1
    assert rows(catalog, table) == [1]


def test_rows_streamed_to_a_table_that_is_deleted_meanwhile_are_of_a_missing_table(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = catalog.create_table("p", "d", "t", SCHEMA)
    body = {"rows": [{"json": {"a": 1}}]}
    streaming.insert_all(catalog, table, body)
    insert = streaming._insert

    def late(_: Catalog, cursor: duckdb.DuckDBPyConnection, name: str, *rows: Any) -> int:
        # Before, the rows are tried in a table of their own.
        if name.startswith("data."):
            catalog.delete_table(table)
        return insert(catalog, cursor, name, *rows)

    monkeypatch.setattr(streaming, "_insert", late)
    with pytest.raises(BigQueryError, match=r"Not found: Table p:d\.t"):
        streaming.insert_all(catalog, table, body)


# -- the end of the process


def test_the_warehouse_closes_while_a_query_runs() -> None:
    warehouse = Warehouse()
    running = threading.Event()
    ended: list[Exception] = []

    def endless() -> Iterator[pa.RecordBatch]:
        running.set()
        while True:
            yield pa.record_batch({"a": [1]})

    def run() -> None:
        with warehouse.cursor() as cursor:
            cursor.register("rows", pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), endless()))
            try:
                cursor.execute("SELECT count(*) FROM rows")
            except duckdb.Error as error:
                ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    running.wait()
    warehouse.close()
    thread.join()
    assert [type(error) for error in ended] == [duckdb.InterruptException]
    with pytest.raises(BigQueryError, match="shutting down"), warehouse.cursor():
        pass


def test_the_warehouse_closes_while_rows_are_read() -> None:
    warehouse = Warehouse()
    with warehouse.cursor() as cursor:
        cursor.execute("FROM range(1000000)")
        assert cursor.fetchone() == (0,)
        warehouse.close()


def test_what_a_killed_process_had_not_finished_is_removed_at_the_next_start(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    catalog = Catalog(warehouse, JobSettings())
    catalog.create_dataset("p", "d", {})
    table = catalog.create_table("p", "d", "t", SCHEMA)
    write(catalog, 1, writeDisposition="WRITE_APPEND")
    streaming.insert_all(catalog, table, {"rows": [{"json": {"a": 2}}]})
    kept = set(table.stored)
    with warehouse.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {warehouse.fresh_name()} AS SELECT 1 AS half")
    warehouse.close()
    again = Catalog(Warehouse(tmp_path), JobSettings())
    assert stored(again) == kept
    assert rows(again, again.table("p", "d", "t")) == [1]
    again.warehouse.close()


def test_only_a_folder_that_another_stack_uses_is_called_so(tmp_path: Path) -> None:
    folder = tmp_path / "blocks"
    (folder / "bigquery.duckdb").mkdir(parents=True)
    with pytest.raises(duckdb.IOException, match="Is a directory"):
        Warehouse(folder)


# -- jobs


def test_a_job_that_is_cancelled_after_its_effect_has_succeeded(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    service = Service(Catalog(warehouse, JobSettings()), ObjectStore("http://127.0.0.1:1"), JobSettings())
    execute = service.jobs._execute

    def then_cancel(job: Job) -> JobResult:
        outcome = execute(job)
        job.cancelled.set()
        return outcome

    service.jobs._execute = then_cancel
    service.catalog.create_dataset("p", "d", {})
    body = {"configuration": {"query": {"query": "CREATE TABLE d.t AS SELECT 1 AS a"}}}
    job = service.accept("p", body)
    job.ended.result()
    assert job.error is None
    assert rows(service.catalog, service.catalog.table("p", "d", "t")) == [1]
    warehouse.close()


def test_a_request_id_that_is_sent_many_times_at_once_runs_one_query(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64)")
    body = {"query": f"INSERT INTO {name}.t VALUES (1)", "requestId": "once", "useLegacySql": False}

    def send(_: int) -> Any:
        url = f"{world.address}/bigquery/v2/projects/{PROJECT}/queries"
        return requests.post(url, json=body, timeout=60).json()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(send, range(8)))
    assert len({answer["jobReference"]["jobId"] for answer in answers}) == 1
    assert world.sql(f"SELECT COUNT(*) FROM {name}.t") == [(1,)]


def test_a_request_id_can_be_sent_again_after_any_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(tmp_path)
    service = Service(Catalog(warehouse, JobSettings()), ObjectStore("http://127.0.0.1:1"), JobSettings())
    routes = JobRoutes(service)
    new = {"configuration": {"query": {"query": "SELECT 1"}}}

    def fail(*_: object) -> None:
        raise OSError("no space")

    async def run() -> Job:
        with monkeypatch.context() as patched:
            patched.setattr(service, "accept", fail)
            with pytest.raises(OSError, match="no space"):
                await routes._accepted("p", "once", new)
        return await routes._accepted("p", "once", new)

    job = asyncio.run(run())
    job.ended.result()
    assert job.error is None
    warehouse.close()


def test_a_job_whose_end_cannot_be_stored_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(tmp_path)
    service = Service(Catalog(warehouse, JobSettings()), ObjectStore("http://127.0.0.1:1"), JobSettings())
    keep = warehouse.keep

    def full(key: str, document: dict[str, Any] | None) -> None:
        if document and document.get("state") == "DONE":
            raise duckdb.IOException("no space")
        keep(key, document)

    monkeypatch.setattr(warehouse, "keep", full)
    job = service.accept("p", {"configuration": {"query": {"query": "SELECT 1"}}})
    job.ended.result(60)
    assert (job.state, job.error) == ("DONE", None)
    warehouse.close()


def test_a_job_that_runs_when_the_process_ends_has_failed_at_the_next_start(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    service = Service(Catalog(warehouse, JobSettings()), ObjectStore("http://127.0.0.1:1"), JobSettings())
    running, proceed = threading.Event(), threading.Event()

    def wait(_: Job) -> JobResult:
        running.set()
        proceed.wait()
        return JobResult()

    service.jobs._execute = wait
    body = {"jobReference": {"jobId": "j"}, "configuration": {"query": {"query": "SELECT 1"}}}
    job = service.accept("p", body)
    running.wait()
    warehouse.close()
    again = Service(Catalog(Warehouse(tmp_path), JobSettings()), ObjectStore("http://127.0.0.1:1"), JobSettings())
    found = again.jobs.get("p", "j", "US").resource()
    assert found["status"]["errorResult"]["message"] == "The local stack ended while this job ran."
    with pytest.raises(BigQueryError, match=r"Already Exists: Job p:US\.j"):
        again.accept("p", body)
    proceed.set()
    job.ended.result()
    again.catalog.warehouse.close()
    later = Service(Catalog(Warehouse(tmp_path), JobSettings()), ObjectStore("http://127.0.0.1:1"), JobSettings())
    assert later.jobs.get("p", "j", "US").resource() == found
    later.catalog.warehouse.close()


def test_jobs_and_the_rows_of_queries_outlive_a_restart(tmp_path: Path) -> None:
    with serve_world(tmp_path) as world:
        world.client.query("SELECT 7 AS a", job_id="done", job_retry=None).result()
        with pytest.raises(NotFound):
            world.client.query("SELECT 1 AS a FROM none.t", job_id="failed", job_retry=None).result()
        before = {name: world.client.get_job(name, location="US") for name in ("done", "failed")}
    with serve_world(tmp_path) as world:
        after = {job.job_id: job for job in world.client.list_jobs()}
        assert set(after) == set(before)
        for name, job in before.items():
            found = world.client.get_job(name, location="US")
            assert (found.state, found.error_result, found.ended) == (job.state, job.error_result, job.ended)
        assert [tuple(row) for row in world.client.get_job("done", location="US").result()] == [(7,)]
        assert world.sql("SELECT 8 AS a") == [(8,)]
        assert next(iter(world.client.list_jobs())).created > before["failed"].created


# -- lists


@pytest.mark.parametrize("deleted", ["t0", "t1"])
def test_a_table_that_is_deleted_meanwhile_shifts_no_page(world: Cloud, deleted: str) -> None:
    name = world.dataset()
    for number in range(4):
        world.sql(f"CREATE TABLE {name}.t{number} (a INT64)")
    pages = iter(world.client.list_tables(name, page_size=2).pages)
    first = [table.table_id for table in next(pages)]
    world.client.delete_table(f"{name}.{deleted}")
    assert first + [table.table_id for table in next(pages)] == ["t0", "t1", "t2", "t3"]


def test_the_pages_of_rows_show_one_state_of_their_table(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT a FROM UNNEST([1, 2, 3, 4]) AS a ORDER BY a")
    pages = iter(world.client.list_rows(f"{name}.t", selected_fields=world.client.get_table(f"{name}.t").schema,
                                        page_size=2).pages)  # fmt: skip
    first = [row["a"] for row in next(pages)]
    world.sql(f"DELETE FROM {name}.t WHERE a < 3")
    assert sorted(first + [row["a"] for row in next(pages)]) == [1, 2, 3, 4]
