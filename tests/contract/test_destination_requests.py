"""The requests of a restore, validated with Google's descriptions of its APIs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import msgspec
import pytest

from bqdump.adapters.bigquery.destination import BigQueryDestination
from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.patience import Patience
from bqdump.core.errors import BqdumpError
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.destination import CopyRequest, LoadRequest, StatementRequest, TableName
from contract.test_requests import DATASET, RecordedServers, serve
from googles_apis import BIGQUERY
from local.bigquery_server import PROJECT

ONCE = Gate(Patience(tries=1))
HERE = Dataset(PROJECT, DATASET, "EU")
NEW = Dataset(PROJECT, "new", "EU")
COLUMNS = {"fields": [{"name": "id", "type": "INTEGER"}]}
OPTIONS = {"sourceFormat": "PARQUET", "parquetOptions": {"enableListInference": True}}
NAMES = ("two words", "50% #1?")


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


async def requests() -> None:
    """Send every request of a Destination. Those that the stand-in refuses are sent all the same."""
    destination = BigQueryDestination(PROJECT, ONCE, job_timeout=5400)

    async def send(request: Awaitable[object]) -> None:
        with suppress(BqdumpError):
            await request

    view = {"view": {"query": "SELECT 1 AS one", "useLegacySql": False}}
    routine = {"routineType": "SCALAR_FUNCTION", "language": "SQL", "definitionBody": "1"}
    policy = {"filterPredicate": "TRUE", "grantees": ["user:a@example.com"]}
    labels = {"made": "here"}
    try:
        await send(destination.find_dataset(PROJECT, "new"))
        await send(destination.create_dataset(PROJECT, "new", raw({"location": "EU", "labels": labels})))
        await send(destination.change_dataset(NEW, raw({"labels": {"made": None}})))
        await send(destination.change_access(NEW, raw([{"role": "OWNER", "specialGroup": "projectOwners"}]), "etag"))
        await send(destination.present(NEW))
        await send(destination.find_job("none", "EU"))
        await send(destination.cancel_job("none", "EU"))
        for name in NAMES:
            await send(destination.create_table(NEW, name, raw({"schema": COLUMNS, "labels": labels})))
            await send(destination.change_table(NEW, name, raw({"labels": {"made": None}})))
            await send(destination.create_row_policy(NEW, name, "eu", raw(policy)))
        await send(destination.create_table(NEW, "v", raw(view)))
        await send(destination.replace_definition(NEW, "v", raw(view)))
        await send(destination.routines(NEW))
        for replace in (False, True):
            await send(destination.create_routine(NEW, "f", raw(routine), replace=replace))
        to = TableName(NEW, NAMES[0], "20260131")
        for empty in (True, False):
            uris, schema = ("gs://target/o",), raw(COLUMNS)
            await send(destination.load(LoadRequest(f"l{empty}", to, uris, raw(OPTIONS), schema, empty, labels)))
        await send(destination.statement(StatementRequest("s", NEW, "v", "SELECT 1", labels, 10 << 20)))
        await send(destination.copy(CopyRequest("c", TableName(HERE, "one"), to, labels)))
        await send(destination.drop_table(NEW, NAMES[1]))
        await send(destination.drop_dataset(NEW))
    finally:
        await destination.close()


@pytest.fixture(scope="module")
def world() -> RecordedServers:
    with serve() as served:
        served.big.sent.clear()
        asyncio.run(requests())
        return served


def test_a_restore_sends_only_valid_requests(world: RecordedServers) -> None:
    assert world.problems() == []


def test_the_methods_of_a_restore_are_those_that_its_roles_allow(world: RecordedServers) -> None:
    assert world.methods() == {
        "bigquery.datasets.get", "bigquery.datasets.insert", "bigquery.datasets.patch", "bigquery.datasets.delete",
        "bigquery.tables.list", "bigquery.tables.insert", "bigquery.tables.patch", "bigquery.tables.update",
        "bigquery.tables.delete", "bigquery.routines.list", "bigquery.routines.insert", "bigquery.routines.update",
        "bigquery.rowAccessPolicies.insert", "bigquery.jobs.insert", "bigquery.jobs.get",
        "bigquery.jobs.cancel",
    }  # fmt: skip


def test_a_load_never_creates_its_table_and_is_empty_or_appends(world: RecordedServers) -> None:
    bodies = world.bodies("bigquery.jobs.insert")
    loads = [body["configuration"] for body in bodies if "load" in body["configuration"]]
    assert [load["load"]["writeDisposition"] for load in loads] == ["WRITE_EMPTY", "WRITE_APPEND"]
    for load in loads:
        assert load["labels"] == {"made": "here"}
        assert load["load"]["createDisposition"] == "CREATE_NEVER"
        assert load["load"]["destinationTable"]["tableId"] == f"{NAMES[0]}$20260131"
        assert load["load"]["schema"] == COLUMNS
        assert {key: load["load"][key] for key in OPTIONS} == OPTIONS
    assert {body["jobReference"]["location"] for body in bodies} == {"EU"}


def test_every_job_has_the_time_after_which_bigquery_cancels_it(world: RecordedServers) -> None:
    bodies = world.bodies("bigquery.jobs.insert")
    assert [body["configuration"].get("jobTimeoutMs") for body in bodies] == ["5400000"] * len(bodies)
    assert {kind for body in bodies for kind in body["configuration"]} >= {"load", "query", "copy"}


def test_a_statement_has_its_billing_limit(world: RecordedServers) -> None:
    queries = [
        body["configuration"] for body in world.bodies("bigquery.jobs.insert") if "query" in body["configuration"]
    ]
    assert [query["query"]["maximumBytesBilled"] for query in queries] == [str(10 << 20)]
    assert [query["labels"] for query in queries] == [{"made": "here"}]


def test_every_request_names_its_api(world: RecordedServers) -> None:
    assert {api for api, _ in world.sent()} == {BIGQUERY}
