"""The rule for requests: each field of the APIs has an effect, or is listed as having none, or is refused by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from starlette.routing import Route

import bqdump_local
from bqdump_local.bigquery import api_fields as bigquery_fields
from bqdump_local.bigquery import create_app
from bqdump_local.bigquery.bodies import checked as bigquery_checked
from bqdump_local.bigquery.errors import BigQueryError
from bqdump_local.cloud_run import api_fields as cloud_run_fields
from bqdump_local.cloud_run import template
from bqdump_local.cloud_run.app import create_app as create_cloud_run
from bqdump_local.cloud_run.errors import CloudRunError
from bqdump_local.storage import api_fields as storage_fields
from bqdump_local.storage.errors import ApiError
from deploy import discovery
from local.bigquery_server import PROJECT, Cloud
from local.storage_server import Http, storage_server

APIS = {
    "bigquery.v2": bigquery_fields.SCHEMAS,
    "storage.v1": storage_fields.SCHEMAS,
    "run.v2": cloud_run_fields.SCHEMAS,
}
PARAMETERS = {
    "bigquery.v2": bigquery_fields.PARAMETERS,
    "storage.v1": storage_fields.PARAMETERS,
    "run.v2": cloud_run_fields.PARAMETERS,
}
# What Cloud Run's bodies are decoded to.
STRUCTS: list[type[msgspec.Struct]] = [template.RunRequest, template.Overrides, template.ContainerOverride]
STRUCTS += [template.ExecutionTemplate, template.TaskTemplate, template.Container, template.Variable]
DECODED = {field.encode_name for struct in STRUCTS for field in msgspec.structs.fields(struct)}
SCHEMAS = [(api, name) for api, schemas in APIS.items() for name in schemas]
# Those of which anything is used or kept.
FILLED = [(api, name) for api, name in SCHEMAS if APIS[api][name].effect or APIS[api][name].recorded]
DOCS = Path(__file__).parents[2] / "docs" / "internals" / "local-stack.md"
# The types of fields without a schema.
TYPES = {
    "": "string",
    "text": "string",
    "int32": "integer",
    "bool": "boolean",
    "list": "array",
    "map": "object",
    "any": "",
}
SOURCES = [path for path in Path(bqdump_local.__file__).parent.rglob("*.py") if path.name != "api_fields.py"]


def described(api: str, name: str) -> dict[str, Any]:
    """The properties of a schema. A dot leads to a part that has no name of its own."""
    first, *rest = name.split(".")
    schema = discovery.document(api)["schemas"][first]
    for part in rest:
        schema = schema["properties"][part]
        schema = schema.get("items", schema)
    properties: dict[str, Any] = schema["properties"]
    return properties


def contained(api: str, name: str, field: str) -> str:
    """What a field contains, as the fields of the stand-ins name it."""
    schema = described(api, name)[field]
    schema = schema.get("items", schema)
    mapped = schema.get("additionalProperties")
    if isinstance(mapped, dict) and "$ref" in mapped:
        return f"*{mapped['$ref']}"
    if "properties" in schema:
        return f"{name}.{field}"
    if schema.get("format") in ("int64", "uint64"):
        return "int64"
    named = str(schema.get("$ref", ""))
    return named if named and "properties" in discovery.document(api)["schemas"][named] else ""


@pytest.mark.parametrize(("api", "name"), SCHEMAS)
def test_every_field_of_the_api_is_in_exactly_one_group(api: str, name: str) -> None:
    fields = APIS[api][name]
    groups = [fields.effect, fields.recorded, fields.missing, fields.output]
    assert sum(map(len, groups)) == len(fields.known)
    assert set(fields.known) == set(described(api, name))


@pytest.mark.parametrize(("api", "name"), FILLED)
def test_what_a_field_contains_is_checked_too(api: str, name: str) -> None:
    """Only the contents of fields that are recorded as a whole need no check."""
    fields = APIS[api][name]
    parts = fields.effect | fields.recorded
    assert parts
    for field, part in parts.items():
        inner = contained(api, name, field)
        if field in fields.effect or part:
            kind = described(api, name)[field].get("type", "object")
            assert part.removesuffix("[]") == inner or part == "any" or kind == TYPES[part], field
            # Bodies for Cloud Run are decoded to types of their own.
            assert api == "run.v2" or part in ("any", "int64") or _type_of(part) == kind, field
            assert part.removeprefix("*").removesuffix("[]") in {*APIS[api], *TYPES, "int64"}, field


def _type_of(part: str) -> str:
    return TYPES.get(part) or ("array" if part.endswith("[]") else "object")


def served() -> Iterator[tuple[str, dict[str, Any]]]:
    """All methods that the stack serves, with the API."""
    routed = [*create_app(storage="http://127.0.0.1:1").routes, *create_cloud_run().routes]
    routes = [one for one in routed if isinstance(one, Route)]
    paths = {(verb, re.sub(r"\{\w+\}", "{}", route.path)) for route in routes for verb in route.methods or ()}
    for api, base in (("bigquery.v2", "/bigquery/v2"), ("run.v2", "")):
        for method in methods(discovery.document(api)):
            path = re.sub(r"\{\+?\w+\}", "{}", f"{base}/{method.get('flatPath', method['path'])}")
            if (method["httpMethod"], path) in paths:
                yield api, method
    with storage_server() as address, Http(address) as http:
        for method in methods(discovery.document("storage.v1")):
            http.call("POST", "b", json={"name": "bucket"})
            http.upload("bucket", "bucket")
            base = "/upload/storage/v1" if method.get("supportsMediaUpload") else "/storage/v1"
            path = f"{base}/" + re.sub(r"\{\w+\}", "bucket", method["path"])
            body: dict[str, Any] = {"json": {}} if "request" in method else {}
            answer = http.call(method["httpMethod"], path, **body)
            if answer.status_code != 405 and not _unserved(answer):
                yield "storage.v1", method


def _unserved(answer: requests.Response) -> bool:
    return answer.status_code == 404 and '"message":"Not Found"' in answer.text


def methods(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from resource.get("methods", {}).values()
    for inner in resource.get("resources", {}).values():
        yield from methods(inner)


def test_the_bodies_of_all_methods_that_are_served_are_checked() -> None:
    needed = {(api, method["request"]["$ref"]) for api, method in served() if "request" in method}
    assert {name for api, name in needed if api == "bigquery.v2"} >= {"Dataset", "Table", "Job", "QueryRequest"}
    assert {name for api, name in needed if api == "storage.v1"} >= {"Bucket", "Object", "ComposeRequest"}
    assert {name for api, name in needed if api == "run.v2"} >= {"GoogleCloudRunV2Job", "GoogleCloudRunV2RunJobRequest"}
    # These methods read nothing but what they name.
    needed -= {("bigquery.v2", "TestIamPermissionsRequest"), ("bigquery.v2", "GetIamPolicyRequest")}
    assert {one for one in needed if one[1] not in APIS[one[0]]} == set()


def listed() -> set[str]:
    """The fields in the list of the documentation."""
    text = DOCS.read_text(encoding="utf-8").partition("## Fields without effect")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \|", text, re.MULTILINE)
    return {f"{schema}.{field}" for schema, cells in rows for field in re.findall(r"`([\w.$]+)`", cells)}


def test_fields_without_effect_are_those_of_the_documentation() -> None:
    tables = [*APIS.values(), *PARAMETERS.values()]
    recorded = {f"{name}.{field}" for table in tables for name, one in table.items() for field in one.recorded}
    assert listed() == recorded


@pytest.mark.parametrize(("api", "name"), [one for one in SCHEMAS if APIS[one[0]][one[1]].effect])
def test_a_field_with_an_effect_is_read_by_the_code(api: str, name: str) -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    unread = [
        field
        for field in APIS[api][name].effect
        if field not in DECODED and not re.search(rf"['\"]{field}['\"]|\b{field}\b(?=.*\.split)", code)
    ]
    assert unread == []


def sample(schema: dict[str, Any]) -> Any:
    """A value that asks for something."""
    kind = schema.get("type", "object")
    return {"boolean": True, "integer": 7, "string": "7", "array": ["x"], "number": 7.5}.get(kind, {"x": "y"})


REFUSALS = (BigQueryError, ApiError, CloudRunError)
MISSING = [(api, name, field) for api, name in SCHEMAS for field in APIS[api][name].missing]


@pytest.mark.parametrize(("api", "name", "field"), MISSING)
def test_a_missing_field_is_refused_by_name_unless_it_asks_for_nothing(api: str, name: str, field: str) -> None:
    checked = {"bigquery.v2": bigquery_checked, "run.v2": cloud_run_fields.checked}.get(api, storage_fields.checked)
    with pytest.raises(
        (BigQueryError, ApiError, CloudRunError), match=f"does not support the field body.{field}"
    ) as caught:
        checked(name, {field: sample(described(api, name)[field])}, "body")
    assert getattr(caught.value, "status", None) == 501
    values: tuple[Any, ...] = (None, False, "", [], {})
    for nothing in values:
        assert checked(name, {field: nothing}, "body") == {field: nothing}


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "datasets/{d}/tables", {"tableReference": {"tableId": "t"}, "model": {"x": 1}}, "table.model"),
        ("PATCH", "datasets/{d}/tables/t", {"view": {"privacyPolicy": {"x": 1}}}, "table.view.privacyPolicy"),
        ("POST", "jobs", {"configuration": {"load": {"maxBadRecords": 3}}}, "job.configuration.load.maxBadRecords"),
        ("POST", "jobs", {"configuration": {"extract": {"sourceModel": {"modelId": "m"}}}},
         "job.configuration.extract.sourceModel"),
        ("POST", "queries", {"query": "SELECT 1", "createSession": True}, "query_request.createSession"),
        ("POST", "datasets/{d}/tables/t/insertAll", {"templateSuffix": "_x"}, "request.templateSuffix"),
    ],
)  # fmt: skip
def test_a_request_with_a_missing_field_is_answered_501(
    world: Cloud, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    address = f"{world.address}/bigquery/v2/projects/{PROJECT}/{path.format(d=name)}"
    answer = requests.request(method, address, json=body, timeout=30)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        501, f"This local stand-in does not support the field {field}."
    )  # fmt: skip


def test_a_storage_request_with_a_missing_field_is_answered_501() -> None:
    with storage_server() as address, Http(address) as http:
        http.bucket("bucket")
        answers = [
            http.call("POST", "b", json={"name": "other", "hierarchicalNamespace": {"enabled": True}}),
            http.call("PATCH", "b/bucket", json={"ipFilter": {"mode": "Enabled"}}),
            http.upload_multipart("bucket", {"name": "x", "acl": [{"role": "OWNER"}]}),
        ]
        assert [answer.status_code for answer in answers] == [501] * 3
        assert "the field object.acl" in answers[2].text
        assert http.call("PATCH", "b/bucket", json={"hierarchicalNamespace": {"enabled": False}}).status_code == 200


@pytest.mark.parametrize("path", ["datasets/{d}", "datasets/{d}/tables/t"])
def test_numbers_for_int64_are_answered_as_strings(world: Cloud, path: str) -> None:
    name = world.dataset()
    columns: list[dict[str, Any]] = [{"name": "i", "type": "INTEGER"}, {"name": "s", "type": "STRING", "maxLength": 5}]
    columns.append({"name": "n", "type": "NUMERIC", "precision": 9, "scale": 2})
    table = {"tableReference": {"tableId": "t"}, "schema": {"fields": columns}, "expirationTime": 4102444800000,
             "rangePartitioning": {"field": "i", "range": {"start": 0, "end": 10, "interval": 2}}}  # fmt: skip
    base = f"{world.address}/bigquery/v2/projects/{PROJECT}"
    assert requests.post(f"{base}/datasets/{name}/tables", json=table, timeout=30).status_code == 200
    limits = {
        "defaultTableExpirationMs": 7_200_000,
        "maxTimeTravelHours": 48,
        "defaultPartitionExpirationMs": 7_200_000,
    }
    assert requests.patch(f"{base}/datasets/{name}", json=limits, timeout=30).status_code == 200
    found = requests.get(f"{base}/{path.format(d=name)}", timeout=30).json()
    schema = "Table" if path.endswith("t") else "Dataset"
    assert discovery.check("bigquery.v2", schema, found) == []
