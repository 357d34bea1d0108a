"""The requests of bqdump's adapters, validated with Google's descriptions of its APIs.

It checks the path, the parameters, and every field of the body, also in batches and uploads.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.bigquery.warehouse import BigQueryWarehouse
from bqdump.adapters.gcs.store import CloudStore
from bqdump.adapters.patience import Patience
from bqdump.core.documents.run import Owner
from bqdump.core.formats.formats import FORMATS
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.sql import statements as sql
from bqdump.core.tables.catalog import Mask, Shape
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import Task
from bqdump.ports.warehouse import ExtractRequest, QueryRequest
from bqdump_local.bigquery import create_app
from bqdump_local.storage.app import create_app as storage_app
from googles_apis import APIS, BIGQUERY, STORAGE, Recorder, Sent
from local.bigquery_server import PROJECT
from local.storage_server import Http, serving

ONCE = Gate(Patience(tries=1))
DATASET, BUCKET = "data", "target"


class RecordedServers(NamedTuple):
    """Both servers, and the requests that Google's clients have sent to each."""

    big: Recorder
    store: Recorder

    def sent(self) -> list[tuple[str, Sent]]:
        """Every call, with its API."""
        return [*((BIGQUERY, sent) for sent in self.big.sent), *((STORAGE, sent) for sent in self.store.sent)]

    def methods(self) -> set[str]:
        """The names of all methods called."""
        found = (APIS[api].method(sent) for api, sent in self.sent())
        return {method.id for method in found if method}

    def problems(self) -> list[str]:
        """All parts of requests that are not valid."""
        return [problem for api, sent in self.sent() for problem in APIS[api].problems(sent)]

    def bodies(self, method: str) -> list[Any]:
        """The bodies of all calls of a method."""
        return [sent.body for api, sent in self.sent() if (called := APIS[api].method(sent)) and called.id == method]


@contextmanager
def serve() -> Iterator[RecordedServers]:
    """Both servers with a dataset of three tables and a bucket. The environment points Google's clients to them."""
    store = Recorder(storage_app())
    with serving(store) as objects:
        big = Recorder(create_app(storage=objects))
        with serving(big) as tables, Http(objects) as http, pytest.MonkeyPatch.context() as patch:
            patch.setenv("STORAGE_EMULATOR_HOST", objects)
            patch.setenv("BIGQUERY_EMULATOR_HOST", tables)
            patch.setenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
            http.bucket(BUCKET)
            base = f"{tables}/bigquery/v2/projects/{PROJECT}"
            reference = {"projectId": PROJECT, "datasetId": DATASET}
            made = [("datasets", {"datasetReference": reference, "location": "EU"})]
            schema = {"fields": [{"name": "id", "type": "INT64"}]}
            made += [
                (f"datasets/{DATASET}/tables", {"tableReference": reference | {"tableId": name}, "schema": schema})
                for name in ("one", "two words", "ünï")
            ]
            routine = {"routineType": "SCALAR_FUNCTION", "definitionBody": "1"}
            made.append((f"datasets/{DATASET}/routines", {"routineReference": {"routineId": "f"}, **routine}))
            policy = {"rowAccessPolicyReference": {"policyId": "p"}, "filterPredicate": "TRUE"}
            made.append((f"datasets/{DATASET}/tables/one/rowAccessPolicies", policy))
            for path, body in made:
                http.call("POST", f"{base}/{path}", json=body).raise_for_status()
            yield RecordedServers(big, store)


async def export(settings: Settings, name: str, *, abandoned: bool = False) -> None:
    """Run a complete export with the real adapters, or one that is planned and abandoned."""
    store, warehouse = CloudStore(BUCKET, PROJECT), BigQueryWarehouse(PROJECT, ONCE)
    task = Task(store, warehouse, settings, name, Owner(name, 0), 1)
    try:
        if abandoned:
            await obtain_plan(task)
        else:
            assert (await run(task)).state == "published"
    finally:
        await store.close()
        await warehouse.close()


@pytest.fixture(scope="module")
def world() -> Iterator[RecordedServers]:
    """Servers on which two runs of each mode were exported, the second over the first."""
    labels, allow = {"team": "data"}, (Risk.ROW_POLICIES,)
    plain = Settings(project=PROJECT, dataset=DATASET, target=Target("gs", BUCKET), labels=labels, allow=allow)
    kept = Target("gs", BUCKET, "kept/")
    keep = Settings(project=PROJECT, dataset=DATASET, target=kept, path="{run}/{table}_*.{ext}", allow=allow)
    with serve() as served:
        for settings, name in ((plain, "r1"), (plain, "r2"), (keep, "k1"), (keep, "k2")):
            asyncio.run(export(settings, f"{name}-abandoned", abandoned=True))
            asyncio.run(export(settings, name))
        yield served


def test_a_complete_export_sends_only_valid_requests(world: RecordedServers) -> None:
    assert world.problems() == []


def test_the_methods_of_an_export_are_those_that_its_roles_allow(world: RecordedServers) -> None:
    assert world.methods() - {"bigquery.jobs.get", "bigquery.jobs.getQueryResults"} == {
        "bigquery.datasets.get", "bigquery.tables.list", "bigquery.tables.get", "bigquery.jobs.insert",
        "bigquery.jobs.list", "bigquery.jobs.query", "bigquery.rowAccessPolicies.list", "storage.buckets.get",
        "bigquery.rowAccessPolicies.getIamPolicy", "bigquery.routines.list", "bigquery.routines.get",
        "bigquery.models.list",
        "storage.objects.get",
        "storage.objects.insert", "storage.objects.list", "storage.objects.patch", "storage.objects.copy",
        "storage.objects.delete",
    }  # fmt: skip


def test_every_table_is_extracted_at_the_snapshot_time_with_its_labels(world: RecordedServers) -> None:
    jobs = world.bodies("bigquery.jobs.insert")
    assert len(jobs) == 12
    tables = [job["configuration"]["extract"]["sourceTable"]["tableId"].split("@") for job in jobs]
    assert {name for name, _ in tables} == {"one", "two words", "ünï"}
    assert len({moment for _, moment in tables}) <= 4
    assert {json.dumps(job["configuration"]["labels"]) for job in jobs[:6]} == {'{"team": "data"}'}
    assert {job["jobReference"]["location"] for job in jobs} == {"EU"}


@pytest.mark.parametrize(("format_", "codec"), [(name, codec) for name in FORMATS for codec in FORMATS[name].codecs])
def test_every_format_and_codec_is_valid_for_bigquery(world: RecordedServers, format_: str, codec: str) -> None:
    world.big.sent.clear()

    async def start() -> None:
        warehouse = BigQueryWarehouse(PROJECT, ONCE)
        try:
            dataset = await warehouse.dataset(PROJECT, DATASET)
            requested = ExtractRequest(f"{format_}_{codec}", dataset, "one", await warehouse.now("EU"), f"gs://{BUCKET}/x_*",
                                   format_, codec, header=True, delimiter="\t", labels={})  # fmt: skip
            await warehouse.job((await warehouse.extract(requested)).id, "EU")
        finally:
            await warehouse.close()

    asyncio.run(start())
    assert world.problems() == []
    (job,) = world.bodies("bigquery.jobs.insert")
    extract = job["configuration"]["extract"]
    assert extract["destinationFormat"] == FORMATS[format_].api
    assert extract["compression"] == codec.upper()
    assert ("fieldDelimiter" in extract) == (format_ == "csv")


@pytest.mark.parametrize("format_", FORMATS)
def test_a_query_and_its_dry_run_are_valid_requests(
    world: RecordedServers, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    world.big.sent.clear()
    monkeypatch.setenv("SOME_SALT", "pepper")
    masked = Shape(masks={"id": Mask(sha256="SOME_SALT")}, where="id > 0")

    async def start() -> None:
        warehouse = BigQueryWarehouse(PROJECT, ONCE)
        try:
            dataset = await warehouse.dataset(PROJECT, DATASET)
            found = await warehouse.table(dataset, "one")
            assert found
            select = sql.select_part(dataset, "one", await warehouse.now("EU"), found.definition, masked)
            await warehouse.estimate(dataset, "one", select, masked.salts)
            requested = QueryRequest(f"query_{format_}", dataset, "one", None, select, f"gs://{BUCKET}/q_*", format_,
                                 "none", header=True, delimiter="\t", labels={"team": "data"}, parameters=masked.salts,
                                 max_bytes_billed=20_000_000)  # fmt: skip
            await warehouse.job((await warehouse.query(requested)).id, "EU")
        finally:
            await warehouse.close()

    asyncio.run(start())
    assert world.problems() == []
    dry, real = world.bodies("bigquery.jobs.insert")
    assert dry["configuration"]["dryRun"] is True
    assert dry["jobReference"]["location"] == real["jobReference"]["location"] == "EU"
    assert real["configuration"]["labels"] == {"team": "data"}
    query = real["configuration"]["query"]
    assert query["maximumBytesBilled"] == "20000000"
    assert query["useLegacySql"] is False
    assert query["query"].endswith(dry["configuration"]["query"]["query"])
    assert query["query"].startswith("EXPORT DATA OPTIONS(")
    assert "pepper" not in query["query"]
    (parameter,) = query["queryParameters"]
    assert (parameter["name"], parameter["parameterValue"]) == ("salt_0", {"value": "pepper"})


JOB: dict[str, Any] = {
    "jobReference": {"projectId": "p", "jobId": "j", "location": "EU"},
    "configuration": {
        "labels": {"a": "b"},
        "extract": {"sourceTable": {"projectId": "p", "datasetId": "d", "tableId": "t"}, "destinationUris": ["gs://b/*"],
                    "printHeader": True},
    },
}  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    """The job with an added or changed value."""
    body: dict[str, Any] = json.loads(json.dumps(JOB))
    *folders, last = path.split(".")
    place = body
    for folder in folders:
        place = place[folder]
    place[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("configuration.extract.printHeeder", True, "configuration.extract has no field printHeeder"),
        ("configuration.extract.printHeader", "true", "printHeader: 'true' is not boolean"),
        ("configuration.extract.destinationUris", "gs://b/*", "destinationUris: 'gs://b/*' is not a list"),
        ("configuration.extract.destinationUris", [7], "destinationUris[0]: 7 is not string"),
        ("configuration.extract.sourceTable", "d.t", "sourceTable: 'd.t' is not an object"),
        ("configuration.extract.sourceTable.table", "t", "sourceTable has no field table"),
        ("configuration.labels.n", 7, "labels.n: 7 is not string"),
        ("jobTimeout", 7, "bigquery.jobs.insert has no field jobTimeout"),
    ],
)
def test_an_invalid_field_is_detected(path: str, value: Any, problem: str) -> None:
    target = "/bigquery/v2/projects/p/jobs?prettyPrint=false"
    assert APIS[BIGQUERY].problems(Sent("POST", target, JOB)) == []
    (found,) = APIS[BIGQUERY].problems(Sent("POST", target, changed(path, value)))
    assert found.endswith(problem)


@pytest.mark.parametrize(
    ("method", "target", "problem"),
    [
        ("GET", "b/x/o?maxResult=7", "storage.objects.list has no parameter maxResult"),
        ("GET", "b/x/o?maxResults=many", "storage.objects.list?maxResults: 'many' is not integer uint32"),
        ("GET", "b/x/o?projection=all", "storage.objects.list?projection: 'all' is none of ['full', 'noAcl']"),
        ("DELETE", "b/x/o/y?ifGenerationMatch=new", "ifGenerationMatch: 'new' is not string int64"),
        ("GET", "buckets/x", "no method is called by GET /storage/v1/buckets/x"),
        ("GET", "b/x/o/a/b", "no method is called by GET /storage/v1/b/x/o/a/b"),
    ],
)
def test_an_invalid_path_or_parameter_is_detected(method: str, target: str, problem: str) -> None:
    (found,) = APIS[STORAGE].problems(Sent(method, f"/storage/v1/{target}", None))
    assert found.endswith(problem)


def test_an_unexpected_body_is_detected() -> None:
    sent = Sent("GET", "/storage/v1/b/x/o/y", {"name": "y"})
    assert APIS[STORAGE].problems(sent) == ["storage.objects.get takes no body"]
