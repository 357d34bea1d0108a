"""The requests of bqdump's adapters, validated with Google's descriptions of its APIs.

It checks the path, the parameters, and every field of the body, also in batches and uploads.
"""

from __future__ import annotations

import asyncio
import email.message
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

import pytest

from bqdump.adapters.bigquery import BigQueryWarehouse
from bqdump.adapters.gcs import CloudStore
from bqdump.core.documents.run import Owner
from bqdump.core.formats.formats import FORMATS
from bqdump.core.plan.shape import Mask, Shape
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.sql import statements as sql
from bqdump.export.planning.obtain import obtain_plan
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.ports.warehouse import ExtractRequest, QueryRequest
from bqdump_local.bigquery import create_app
from bqdump_local.storage.app import create_app as storage_app
from local.bigquery_server import PROJECT
from local.storage_server import Http, serving

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

DATASET, BUCKET = "data", "target"
BIGQUERY, STORAGE = "bigquery.v2", "storage.v1"
# Parameters that Google's client adds although the description does not contain them.
UNDOCUMENTED = {("bigquery.jobs.get", "projection")}
INTEGER = re.compile(r"-?[0-9]+")


class Sent(NamedTuple):
    """A request as received: the raw path with its query, and the JSON body; None without one."""

    method: str
    target: str
    body: Any


class Method(NamedTuple):
    """One method of an API: its name, its parameters and body, its HTTP method and its path."""

    id: str
    verb: str
    path: re.Pattern[str]
    parameters: dict[str, Any]
    body: dict[str, Any] | None


class Discovery:
    """One API. `problems` returns an empty list for a valid request."""

    def __init__(self, api: str) -> None:
        place = files("googleapiclient").joinpath("discovery_cache", "documents", f"{api}.json")
        document = json.loads(place.read_text())
        self._schemas: dict[str, Any] = document["schemas"]
        self._common: dict[str, Any] = document["parameters"]
        self.methods = list(_methods(document, document["servicePath"]))

    def method(self, sent: Sent) -> Method | None:
        """The method that a request calls; the most specific path wins."""
        path = sent.target.partition("?")[0]
        found = [method for method in self.methods if method.verb == sent.method and method.path.fullmatch(path)]
        return max(found, key=lambda method: len(method.path.pattern), default=None)

    def problems(self, sent: Sent) -> list[str]:
        """The parts of the request that are not valid."""
        method = self.method(sent)
        if method is None:
            return [f"no method is called by {sent.method} {sent.target}"]
        found = list(self._parameters(method, sent.target.partition("?")[2]))
        if sent.body is not None:
            if method.body is None:
                return [*found, f"{method.id} takes no body"]
            found += self._value(sent.body, method.body, method.id)
        return found

    def _parameters(self, method: Method, query: str) -> Iterator[str]:
        for name, value in parse_qsl(query, keep_blank_values=True):
            schema = method.parameters.get(name) or self._common.get(name)
            if (method.id, name) in UNDOCUMENTED:
                continue
            if schema is None:
                yield f"{method.id} has no parameter {name}"
            else:
                yield from self._text(value, schema, f"{method.id}?{name}")

    def _text(self, value: str, schema: dict[str, Any], place: str) -> Iterator[str]:
        kind = schema.get("type")
        fits = {
            "boolean": value in ("true", "false", "True", "False"),
            "integer": bool(INTEGER.fullmatch(value)),
            "string": "int" not in schema.get("format", "") or bool(INTEGER.fullmatch(value)),
        }
        if not fits.get(str(kind), True):
            yield f"{place}: {value!r} is not {kind} {schema.get('format', '')}".rstrip()
        if "enum" in schema and value not in schema["enum"]:
            yield f"{place}: {value!r} is none of {schema['enum']}"

    def _value(self, value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
        if value is None:
            # JSON null omits a field.
            return
        if "$ref" in schema:
            yield from self._value(value, self._schemas[schema["$ref"]], place)
            return
        kind = schema.get("type")
        if kind == "object":
            yield from self._object(value, schema, place)
        elif kind == "array":
            if not isinstance(value, list):
                yield f"{place}: {value!r} is not a list"
                return
            for number, item in enumerate(value):
                yield from self._value(item, schema["items"], f"{place}[{number}]")
        elif kind != "any" and not _fits(value, schema):
            yield f"{place}: {value!r} is not {kind} {schema.get('format', '')}".rstrip()

    def _object(self, value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{place}: {value!r} is not an object"
            return
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if inner is None:
                yield f"{place} has no field {name}"
            elif item is None and ".insert" in place:
                yield f"{place}.{name} is null, which means nothing where something is created"
            else:
                yield from self._value(item, inner, f"{place}.{name}")


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a scalar has its type. 64-bit integers are strings."""
    kind, form = schema.get("type"), schema.get("format", "")
    number = isinstance(value, int) and not isinstance(value, bool)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":
        return number
    if kind == "number":
        return number or isinstance(value, float)
    if form in ("int64", "uint64"):
        return isinstance(value, str) and INTEGER.fullmatch(value) is not None
    return isinstance(value, str) and (not schema.get("enum") or value in schema["enum"])


def _methods(resource: dict[str, Any], service: str) -> Iterator[Method]:
    for method in resource.get("methods", {}).values():
        parameters, body = method.get("parameters", {}), method.get("request")
        # A resource of several segments has a name for each in the flat path.
        paths = [f"/{service}{method['flatPath' if method['path'].startswith('{+resource}') else 'path']}"]
        if method.get("useMediaDownloadService"):
            paths.append(f"/download{paths[0]}")
        paths += [protocol["path"] for protocol in method.get("mediaUpload", {}).get("protocols", {}).values()]
        for path in dict.fromkeys(paths):
            yield Method(method["id"], method["httpMethod"], _pattern(path), parameters, body)
    for inner in resource.get("resources", {}).values():
        yield from _methods(inner, service)


def _pattern(path: str) -> re.Pattern[str]:
    """A path template as a pattern for raw paths, in which a name is one segment."""
    parts = re.split(r"\{\+?(\w+)\}", path)
    return re.compile("".join("[^/]+" if number % 2 else re.escape(part) for number, part in enumerate(parts)))


class Recorder:
    """An ASGI application that records every request of Google's clients, and passes it to another application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.sent: list[Sent] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        messages = [message async for message in _whole(receive)]
        body = b"".join(message.get("body", b"") for message in messages)
        query = scope["query_string"].decode()
        target = scope["raw_path"].decode() + (f"?{query}" if query else "")
        kind = dict(scope["headers"]).get(b"content-type", b"").decode()
        if b"x-goog-api-client" in dict(scope["headers"]):
            self.sent += calls(scope["method"], target, kind, body)
        waiting = iter(messages)

        async def again() -> Message:
            return next(waiting, None) or await receive()

        await self.app(scope, again, send)


async def _whole(receive: Receive) -> AsyncIterator[Message]:
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        yield message


def calls(method: str, target: str, kind: str, body: bytes) -> list[Sent]:
    """The calls in a request: several in a batch, one with metadata and content in an upload."""
    if kind.startswith("multipart/mixed"):
        return [_batched(part.get_payload(decode=True)) for part in _parts(kind, body)]
    if kind.startswith("multipart/related"):
        return [Sent(method, target, json.loads(_bytes(next(_parts(kind, body)).get_payload(decode=True))))]
    return [Sent(method, target, json.loads(body) if body and kind.startswith("application/json") else None)]


def _parts(kind: str, body: bytes) -> Iterator[email.message.Message]:
    whole = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    for part in whole.walk():
        if not part.is_multipart():
            yield part


def _batched(payload: object) -> Sent:
    line, _, rest = _bytes(payload).decode().partition("\n")
    method, target, *_ = line.split()
    target = re.sub(r"^https?://[^/]+", "", target)
    body = email.message_from_string(rest).get_payload()
    return Sent(method, target, json.loads(str(body)) if str(body).strip() else None)


def _bytes(payload: object) -> bytes:
    assert isinstance(payload, bytes)
    return payload


class World(NamedTuple):
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


APIS = {api: Discovery(api) for api in (BIGQUERY, STORAGE)}


@contextmanager
def serve() -> Iterator[World]:
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
            yield World(big, store)


async def export(settings: Settings, name: str, *, abandoned: bool = False) -> None:
    """Run a complete export with the real adapters, or one that is planned and abandoned."""
    store, warehouse = CloudStore(BUCKET, PROJECT), BigQueryWarehouse(PROJECT)
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
def world() -> Iterator[World]:
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


def test_a_complete_export_sends_only_valid_requests(world: World) -> None:
    assert world.problems() == []


def test_the_methods_of_an_export_are_those_that_its_roles_allow(world: World) -> None:
    assert world.methods() - {"bigquery.jobs.get", "bigquery.jobs.getQueryResults"} == {
        "bigquery.datasets.get", "bigquery.tables.list", "bigquery.tables.get", "bigquery.jobs.insert",
        "bigquery.jobs.list", "bigquery.jobs.query", "bigquery.rowAccessPolicies.list", "storage.buckets.get",
        "bigquery.rowAccessPolicies.getIamPolicy", "bigquery.routines.list", "bigquery.routines.get",
        "bigquery.models.list",
        "storage.objects.get",
        "storage.objects.insert", "storage.objects.list", "storage.objects.patch", "storage.objects.copy",
        "storage.objects.delete",
    }  # fmt: skip


def test_every_table_is_extracted_at_the_snapshot_time_with_its_labels(world: World) -> None:
    jobs = world.bodies("bigquery.jobs.insert")
    assert len(jobs) == 12
    tables = [job["configuration"]["extract"]["sourceTable"]["tableId"].split("@") for job in jobs]
    assert {name for name, _ in tables} == {"one", "two words", "ünï"}
    assert len({moment for _, moment in tables}) <= 4
    assert {json.dumps(job["configuration"]["labels"]) for job in jobs[:6]} == {'{"team": "data"}'}
    assert {job["jobReference"]["location"] for job in jobs} == {"EU"}


@pytest.mark.parametrize(("format_", "codec"), [(name, codec) for name in FORMATS for codec in FORMATS[name].codecs])
def test_every_format_and_codec_is_valid_for_bigquery(world: World, format_: str, codec: str) -> None:
    world.big.sent.clear()

    async def start() -> None:
        warehouse = BigQueryWarehouse(PROJECT)
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
    world: World, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    world.big.sent.clear()
    monkeypatch.setenv("SOME_SALT", "pepper")
    masked = Shape(masks={"id": Mask(sha256="SOME_SALT")}, where="id > 0")

    async def start() -> None:
        warehouse = BigQueryWarehouse(PROJECT)
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
