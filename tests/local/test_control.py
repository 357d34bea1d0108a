"""Counting, faults and latency around a stand-in."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import googleapiclient
import pytest
import requests
from google.api_core.exceptions import ServiceUnavailable, TooManyRequests
from google.cloud.storage.retry import DEFAULT_RETRY

from bqdump_local.operations import bigquery_operation, storage_operation
from local.storage_server import Http, path_of, storage_client

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "controlled"


@pytest.fixture
def http(address: str) -> Iterator[Http]:
    with Http(address) as http:
        http.put(BUCKET, "present")
        http.call("DELETE", "/_local/requests").raise_for_status()
        yield http
        http.call("DELETE", "/_local/faults").raise_for_status()


@pytest.fixture
def bucket(address: str) -> Iterator[Any]:
    client = storage_client(address)
    yield client.bucket(BUCKET)
    client.close()


def faults(http: Http, *rules: dict[str, Any], seed: int = 0) -> None:
    http.call("PUT", "/_local/faults", json={"rules": rules, "seed": seed}).raise_for_status()


def counts(http: Http) -> dict[str, Any]:
    resource: dict[str, Any] = http.call("GET", "/_local/requests").json()
    return resource


def test_a_server_reports_its_health(http: Http) -> None:
    assert http.call("GET", "/_local/health").json() == {"service": "storage", "status": "ok"}


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
def test_a_web_page_is_refused(http: Http, origin: str) -> None:
    path, headers = "/storage/v1/b?project=p", {"Origin": origin, "Content-Type": "text/plain"}
    refused = http.call("POST", path, data=b'{"name": "planted"}', headers=headers)
    assert refused.status_code == 403
    assert refused.json()["error"]["errors"][0]["reason"] == "forbidden"
    assert http.call("PUT", "/_local/faults", data=b"{}", headers=headers).status_code == 403
    assert http.call("GET", "/storage/v1/b/planted").status_code == 404


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example:{port}", "[::1]:{port}",
     "127.0.0.1:{port}@evil.example", "localhost:{port}:{port}", ""],
)  # fmt: skip
def test_another_host_name_is_refused(http: Http, host: str) -> None:
    """A page whose domain resolves to this machine sends no Origin with a GET."""
    headers = {"Host": host.format(port=urlsplit(http.address).port)}
    for path in ("/storage/v1/b/controlled", "/_local/health", "/_local/faults"):
        refused = http.call("GET", path, headers=headers)
        assert refused.status_code == 403, refused.text
        assert refused.json()["error"]["errors"][0]["reason"] == "forbidden"
    assert counts(http)["requests"] == {}


def test_two_host_headers_are_refused(http: Http) -> None:
    """Whichever one a server uses, the other may be a web page's."""
    split = urlsplit(http.address)
    lines = [f"Host: {name}" for name in (split.netloc, "evil.example")]
    for order in (lines, lines[::-1]):
        with socket.create_connection((str(split.hostname), int(split.port or 0)), timeout=20) as connection:
            text = "\r\n".join(["GET /storage/v1/b/controlled HTTP/1.1", *order, "Connection: close", "", ""])
            connection.sendall(text.encode())
            answer = connection.recv(1000).decode()
        assert answer.startswith(("HTTP/1.1 403 ", "HTTP/1.1 400 ")), answer


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_the_host_names_of_this_machine_are_accepted(http: Http, name: str) -> None:
    headers = {"Host": f"{name}:{urlsplit(http.address).port}"}
    assert http.call("GET", "/storage/v1/b/controlled", headers=headers).status_code == 200


def test_requests_are_counted_by_operation(http: Http, bucket: Any) -> None:
    blob = bucket.blob("counted")
    blob.upload_from_string(b"x")
    blob.reload()
    blob.download_as_bytes()
    blob.delete()
    list(bucket.list_blobs())
    expected = {
        "storage.objects.insert": 1,
        "storage.objects.get": 2,
        "storage.objects.delete": 1,
        "storage.objects.list": 1,
    }
    assert counts(http) == {"service": "storage", "requests": expected, "batched": {}, "injected": {}}
    assert http.call("DELETE", "/_local/requests").json()["requests"] == expected
    assert counts(http)["requests"] == {}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_fault_answers_in_the_format_of_the_api_without_effect(http: Http, status: int) -> None:
    faults(http, {"operation": r"^storage\.objects\.insert$", "status": status})
    response = http.upload(BUCKET, "never")
    assert response.status_code == response.json()["error"]["code"] == status
    assert "retry-after" not in response.headers
    assert http.call("GET", path_of(BUCKET, "never")).status_code == 404


def test_official_clients_raise_the_exception_of_the_fault(http: Http, bucket: Any) -> None:
    faults(http, {"status": 503, "times": 1}, {"status": 429, "times": 1})
    with pytest.raises(ServiceUnavailable, match="Service unavailable: try again later"):
        bucket.blob("present").reload(retry=None)
    with pytest.raises(TooManyRequests, match="429 GET"):
        bucket.blob("present").reload(retry=None)
    bucket.blob("present").reload(retry=None)


def test_official_clients_retry_through_faults(http: Http, bucket: Any) -> None:
    faults(http, {"status": 503, "times": 1}, {"status": "reset", "times": 1})
    bucket.blob("present").reload(retry=DEFAULT_RETRY.with_delay(initial=0.01))
    assert counts(http)["requests"] == {"storage.objects.get": 3}


def test_a_request_can_be_carried_out_and_answered_with_503(http: Http) -> None:
    faults(http, {"operation": "insert", "status": 503, "times": 1, "after": True})
    assert http.upload(BUCKET, "accepted", b"stored", ifGenerationMatch=0).status_code == 503
    assert http.call("GET", path_of(BUCKET, "accepted"), params={"alt": "media"}).content == b"stored"
    # What a client meets that simply tries again.
    assert http.upload(BUCKET, "accepted", b"stored", ifGenerationMatch=0).status_code == 412


@pytest.mark.parametrize("after", [False, True])
def test_a_reset_closes_the_connection_without_an_answer(http: Http, after: bool) -> None:
    name = f"reset-{after}"
    faults(http, {"operation": "insert", "status": "reset", "times": 1, "after": after})
    with pytest.raises(requests.exceptions.ConnectionError):
        http.upload(BUCKET, name)
    assert http.call("GET", path_of(BUCKET, name)).status_code == (200 if after else 404)
    assert http.upload(BUCKET, name).status_code == 200


def test_a_fault_reads_a_large_body_before_it_answers(http: Http) -> None:
    faults(http, {"operation": "insert", "status": 503, "times": 1})
    assert http.upload(BUCKET, "large", b"x" * 20_000_000).status_code == 503


def test_a_rule_can_match_the_decoded_path_and_query(http: Http) -> None:
    faults(http, {"path": "/o/sp ace/é.*generation=7", "status": 500})
    path = path_of(BUCKET, "sp ace/é")
    assert http.call("GET", path, params={"generation": 7}).status_code == 500
    assert http.call("GET", path, params={"generation": 8}).status_code == 404


def test_times_limits_the_number_of_faults(http: Http) -> None:
    faults(http, {"operation": "get", "status": 503, "times": 2})
    statuses = [http.call("GET", path_of(BUCKET, "present")).status_code for _ in range(4)]
    assert statuses == [503, 503, 200, 200]
    assert counts(http)["injected"] == {"storage.objects.get": 2}
    assert http.call("GET", "/_local/faults").json()["rules"][0]["times"] == 0


def test_probability_follows_the_seed(http: Http) -> None:
    def run(seed: int) -> list[int]:
        faults(http, {"status": 503, "probability": 0.5}, seed=seed)
        return [http.call("GET", path_of(BUCKET, "present")).status_code for _ in range(40)]

    first = run(1)
    assert set(first) == {200, 503}
    assert run(1) == first
    assert run(2) != first


def test_latency_delays_a_request_without_changing_it(http: Http) -> None:
    faults(http, {"operation": "get", "seconds": 0.05})
    started = time.monotonic()
    assert http.call("GET", path_of(BUCKET, "present")).status_code == 200
    assert time.monotonic() - started >= 0.05
    assert counts(http)["injected"] == {}


def test_faults_can_be_read_and_removed(http: Http) -> None:
    faults(http, {"operation": "get", "status": 503}, seed=4)
    rule = {
        "operation": "get",
        "path": "",
        "status": 503,
        "reason": "",
        "message": "",
        "probability": 1.0,
        "times": None,
        "seconds": 0.0,
        "after": False,
        "rows": 0,
    }
    assert http.call("GET", "/_local/faults").json() == {"rules": [rule], "seed": 4}
    assert http.call("DELETE", "/_local/faults").json() == {"rules": [], "seed": 0}
    assert http.call("GET", path_of(BUCKET, "present")).ok


@pytest.mark.parametrize(
    "rule", [{"operation": "("}, {"status": "explode"}, {"status": 200}, {"statsu": 503}, {"times": "many"}], ids=str
)
def test_invalid_rules_are_refused(http: Http, rule: dict[str, Any]) -> None:
    assert http.call("PUT", "/_local/faults", json={"rules": [rule]}).status_code == 400
    assert http.call("GET", "/_local/faults").json()["rules"] == []


def methods(document: str) -> Iterator[tuple[str, str, str]]:
    """Every method of an API's discovery document: its id, HTTP method, and a path with example names."""
    folder = Path(googleapiclient.__file__).parent / "discovery_cache/documents"
    api = json.loads((folder / f"{document}.json").read_text())
    for resource in api["resources"].values():
        for method in resource.get("methods", {}).values():
            path = method.get("flatPath", method["path"])
            parts = ["x" if part.startswith("{") and "}:" not in part else part for part in path.split("/")]
            parts = ["x:" + part.partition("}:")[2] if "}:" in part else part for part in parts]
            yield method["id"], method["httpMethod"], f"/{api['servicePath']}{'/'.join(parts)}"


OWN = {"storage.buckets", "storage.objects"}
OTHER = ("relocate", "Restore", "lock", "Layout", "IamP", "Context", "watch", "objects.testIam")


@pytest.mark.parametrize(("identifier", "verb", "path"), list(methods("bigquery.v2")))
def test_bigquery_requests_have_the_names_of_the_api(identifier: str, verb: str, path: str) -> None:
    assert bigquery_operation(verb, path + "?alt=json") == identifier


@pytest.mark.parametrize(
    ("identifier", "verb", "path"),
    [
        method
        for method in methods("storage.v1")
        if method[0].rpartition(".")[0] in OWN and not any(word in method[0] for word in OTHER)
    ],
)
def test_storage_requests_have_the_names_of_the_api(identifier: str, verb: str, path: str) -> None:
    assert storage_operation(verb, path + "?alt=json") == identifier


@pytest.mark.parametrize(
    ("verb", "path", "operation"),
    [
        ("POST", "/upload/storage/v1/b/x/o?uploadType=multipart", "storage.objects.insert"),
        ("PUT", "/upload/storage/v1/b/x/o?upload_id=1", "storage.objects.insert"),
        ("GET", "/download/storage/v1/b/x/o/a%2Fb?alt=media", "storage.objects.get"),
        ("POST", "/batch/storage/v1", "storage.batch"),
        ("GET", "/favicon.ico", "storage.other"),
    ],
)
def test_storage_media_and_batches_have_names(verb: str, path: str, operation: str) -> None:
    assert storage_operation(verb, path) == operation


def test_bigquery_uploads_are_job_inserts() -> None:
    assert bigquery_operation("POST", "/upload/bigquery/v2/projects/p/jobs?uploadType=multipart") == (
        "bigquery.jobs.insert"
    )
    assert bigquery_operation("GET", "/") == "bigquery.other"


@pytest.mark.parametrize(("status", "error"), [("reset-body", "ConnectionReset"), ("close-body", "IncompleteRead")])
def test_an_answer_can_be_truncated(http: Http, status: str, error: str) -> None:
    faults(http, {"operation": "get", "status": status, "times": 1})
    with pytest.raises(requests.exceptions.RequestException, match=error):
        _ = http.call("GET", path_of(BUCKET, "present")).content


def test_one_bit_of_an_answer_can_be_flipped(http: Http) -> None:
    target = path_of(BUCKET, "present") + "?alt=media"
    before = http.call("GET", target).content
    faults(http, {"operation": "get", "status": "flip", "times": 1})
    after = http.call("GET", target).content
    different = [one ^ other for one, other in zip(before, after, strict=True) if one != other]
    assert different == [1]


def test_an_invalid_status_is_refused(http: Http) -> None:
    answer = http.call("PUT", "/_local/faults", json={"rules": [{"status": "gone"}]})
    assert answer.status_code == 400
    assert "reset-body" in answer.json()["error"]["message"]


def test_the_clock_of_a_server_can_be_set(http: Http) -> None:
    try:
        http.call("PUT", "/_local/clock", json={"offset_seconds": 86_400}).raise_for_status()
        assert http.call("GET", "/_local/clock").json() == {"offset_seconds": 86_400}
        later = http.put(BUCKET, "later")
        assert datetime.fromisoformat(later["timeCreated"]) > datetime.now(UTC) + timedelta(hours=23)
    finally:
        http.call("PUT", "/_local/clock", json={"offset_seconds": 0}).raise_for_status()
    assert http.call("PUT", "/_local/clock", json={"offset": 1}).status_code == 400
