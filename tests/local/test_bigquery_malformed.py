"""Requests that no client of Google sends: each is refused with 400 and a sentence, never with its own error."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from local.bigquery_server import PROJECT, Cloud

DEEP = b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"
NESTED = json.dumps({"query": f"SELECT {'(' * 3000}1{')' * 3000}"}).encode()
QUERIES = "/bigquery/v2/projects/{project}/queries"
JOBS = "/bigquery/v2/projects/{project}/jobs"
TABLES = "/bigquery/v2/projects/{project}/datasets/{dataset}/tables"
DATASETS = "/bigquery/v2/projects/{project}/datasets"
PARTS = b"--m\r\n\r\n%s\r\n--m\r\n\r\nx\r\n--m--"

BODIES: list[tuple[str, bytes | dict[str, Any]]] = [
    *((path, body) for path in (QUERIES, JOBS, TABLES, DATASETS) for body in (b"{", b"[]", b"\xff\xfe", b"NaN", DEEP)),
    (TABLES, b'{"tableReference": {"tableId": "\\ud800"}}'),
    (TABLES, {"tableReference": 5}),
    (TABLES, {"tableReference": {"tableId": 5}}),
    (TABLES, {"tableReference": {"tableId": "a/../b"}}),
    (TABLES, {"tableReference": {"tableId": "q"}, "labels": 5}),
    (TABLES, {"tableReference": {"tableId": "q"}, "expirationTime": "soon"}),
    (TABLES, {"tableReference": {"tableId": "q"}, "timePartitioning": "DAY"}),
    (TABLES, {"tableReference": {"tableId": "q"}, "schema": {"fields": 5}}),
    (TABLES, {"tableReference": {"tableId": "q"}, "schema": {"fields": [5]}}),
    (TABLES, {"tableReference": {"tableId": "q"}, "schema": {"fields": [{"type": "STRING"}]}}),
    (TABLES, {"tableReference": {"tableId": "q"}, "schema": {"fields": [{"name": "a", "type": 5}]}}),
    (TABLES, {"tableReference": {"tableId": "q"}, "schema": {"fields": [{"name": "a", "type": "STRING", "mode": 5}]}}),
    (DATASETS, {"datasetReference": {"datasetId": 5}}),
    (DATASETS, {"datasetReference": {"datasetId": "d"}, "location": 5}),
    (DATASETS, {"datasetReference": {"datasetId": "d"}, "labels": ["x"]}),
    (DATASETS, {"datasetReference": {"datasetId": "d"}, "defaultTableExpirationMs": "x"}),
    (QUERIES, {"query": 5}),
    (QUERIES, {"query": "SELECT 1", "maxResults": "x"}),
    (QUERIES, {"query": "SELECT 1", "timeoutMs": "x"}),
    (QUERIES, {"query": "SELECT 1", "jobTimeoutMs": "x"}),
    (QUERIES, {"query": "SELECT 1", "defaultDataset": "x"}),
    (QUERIES, {"query": "SELECT @a", "queryParameters": [5]}),
    (QUERIES, {"query": "SELECT @a", "queryParameters": {"name": "a"}}),
    (QUERIES, {"query": "SELECT @a", "queryParameters": [{"name": "a"}]}),
    (QUERIES, {"query": "SELECT @a", "queryParameters": [{"name": "a", "parameterType": {"type": "FOO"}}]}),
    (JOBS, {"configuration": 5}),
    (JOBS, {"configuration": {"query": 5}}),
    (JOBS, {"configuration": {"load": {"sourceUris": 5}}}),
    (JOBS, {"configuration": {"load": {"sourceUris": ["gs://b/x"], "destinationTable": 5}}}),
    (JOBS, {"configuration": {"query": {"query": "SELECT 1"}}, "jobReference": 5}),
    (TABLES + "/t/insertAll", {"rows": 5}),
    (TABLES + "/t/insertAll", {"rows": [5]}),
    (TABLES + "/t/rowAccessPolicies", {"rowAccessPolicyReference": 5}),
    (TABLES + "/t/rowAccessPolicies", {"rowAccessPolicyReference": {"policyId": "p"}, "filterPredicate": 5}),
    ("/bigquery/v2/projects/{project}/datasets/{dataset}/routines", {"routineReference": 5}),
]


@pytest.fixture(scope="module")
def dataset(world: Cloud) -> str:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    return name


def refusal(world: Cloud, dataset: str, method: str, path: str, **options: Any) -> str:
    """The message of an error that must be the caller's, in the API's format."""
    url = world.address + path.format(project=PROJECT, dataset=dataset)
    answer = requests.request(method, url, timeout=60, **options)
    assert answer.status_code in (400, 415), (answer.status_code, answer.text[-600:])
    message: str = answer.json()["error"]["message"]
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize(("path", "body"), BODIES, ids=range(len(BODIES)))
def test_a_malformed_body_is_refused(world: Cloud, dataset: str, path: str, body: bytes | dict[str, Any]) -> None:
    assert refusal(world, dataset, "POST", path, data=body if isinstance(body, bytes) else json.dumps(body))


def test_a_statement_of_many_parentheses_is_answered_or_refused(world: Cloud, dataset: str) -> None:
    # How many can be read depends on the version of Python.
    url = world.address + QUERIES.format(project=PROJECT, dataset=dataset)
    assert requests.post(url, data=NESTED, timeout=60).status_code in (200, 400)


def test_a_value_of_another_type_is_named_with_its_place(world: Cloud, dataset: str) -> None:
    body = {"tableReference": {"tableId": "q"}, "schema": {"fields": [{"name": "a", "type": "STRING", "mode": 5}]}}
    message = refusal(world, dataset, "POST", TABLES, json=body)
    assert message == "Invalid JSON payload received. Invalid value at 'table.schema.fields[0].mode': 5"


@pytest.mark.parametrize(
    "path",
    [
        *(f"{TABLES}/t/data?{given}" for given in ("startIndex=-1", "maxResults=-1", f"startIndex={10**20}")),
        *(f"{TABLES}?{given}" for given in ("maxResults=-5", "pageToken=-5", "maxResults=x")),
        f"{JOBS}?maxResults=-1",
        f"{JOBS}?minCreationTime=x",
    ],
)
def test_a_number_that_is_none_is_refused(world: Cloud, dataset: str, path: str) -> None:
    assert "Invalid value for" in refusal(world, dataset, "GET", path)


@pytest.mark.parametrize(("encoding", "message"), [("gzip", "not valid gzip"), ("br", "Unsupported content encoding")])
def test_a_body_in_another_encoding_is_refused(world: Cloud, dataset: str, encoding: str, message: str) -> None:
    headers = {"content-encoding": encoding}
    assert message in refusal(world, dataset, "POST", QUERIES, data=b'{"query": "SELECT 1"}', headers=headers)


@pytest.mark.parametrize("metadata", [b"{", b"5", b'{"configuration": 5}'])
def test_an_upload_with_malformed_metadata_is_refused(world: Cloud, dataset: str, metadata: bytes) -> None:
    headers = {"content-type": "multipart/related; boundary=m"}
    path = "/upload" + JOBS + "?uploadType=multipart"
    assert refusal(world, dataset, "POST", path, data=PARTS % metadata, headers=headers)


def test_a_malformed_range_does_not_end_a_resumable_upload(world: Cloud, dataset: str) -> None:
    table = {"projectId": PROJECT, "datasetId": dataset, "tableId": "uploaded"}
    job = {"configuration": {"load": {"destinationTable": table, "sourceFormat": "CSV", "autodetect": True}}}
    begun = requests.post(
        f"{world.address}/upload{JOBS.format(project=PROJECT)}?uploadType=resumable", json=job, timeout=60
    )
    location = begun.headers["Location"].removeprefix(world.address)
    headers = {"content-range": "bytes abc"}
    assert "Content-Range" in refusal(world, dataset, "PUT", location, data=b"a\n1\n", headers=headers)
    whole = {"content-range": "bytes 0-3/4"}
    assert requests.put(world.address + location, data=b"a\n1\n", headers=whole, timeout=60).status_code == 200
