"""Batches: many calls in one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.api_core.exceptions import BadRequest

from local.storage_server import Http, batch_answers, path_of, storage_client

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "batches"


@pytest.fixture
def http(address: str) -> Iterator[Http]:
    with Http(address) as http:
        http.call("DELETE", "/_local/requests")
        yield http
        http.call("DELETE", "/_local/faults")


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    client = storage_client(address)
    yield client
    client.close()


def test_the_official_client_deletes_100_objects_in_one_request(client: Any, http: Http) -> None:
    bucket = client.bucket(BUCKET)
    names = [f"d/{number} %/é.csv" for number in range(100)]
    blobs = []
    for name in names:
        http.put(BUCKET, name)
        blobs.append(bucket.blob(name))
    http.call("DELETE", "/_local/requests")
    with client.batch():
        for blob in blobs:
            blob.delete()
    counts = http.call("GET", "/_local/requests").json()
    assert counts["requests"] == {"storage.batch": 1}
    assert counts["batched"] == {"storage.objects.delete": 100}
    assert list(client.list_blobs(BUCKET, prefix="d/")) == []


def test_more_than_100_calls_are_refused_and_none_is_carried_out(client: Any, http: Http) -> None:
    http.put(BUCKET, "survivor")
    calls: list[tuple[str, str, dict[str, Any] | None]] = [("DELETE", path_of(BUCKET, "survivor"), None)] * 101
    assert http.batch(calls).status_code == 400

    def delete_101_times() -> None:
        with client.batch():
            for _ in range(101):
                client.bucket(BUCKET).blob("survivor").delete()

    with pytest.raises(BadRequest, match="101"):
        delete_101_times()
    assert http.call("GET", path_of(BUCKET, "survivor")).ok


def test_the_official_client_patches_in_batches(client: Any, http: Http) -> None:
    blobs = []
    for name in ("p1", "p2"):
        http.put(BUCKET, name)
        blobs.append(client.bucket(BUCKET).blob(name))
    with client.batch():
        for blob in blobs:
            blob.metadata = {"ünï": "cödé 🦆"}
            blob.patch()
    assert [blob.metadata for blob in blobs] == [{"ünï": "cödé 🦆"}] * 2
    assert client.bucket(BUCKET).get_blob("p1").metadata == {"ünï": "cödé 🦆"}


def test_one_failing_call_does_not_stop_the_others(client: Any, http: Http) -> None:
    http.put(BUCKET, "present")
    bucket = client.bucket(BUCKET)
    with client.batch(raise_exception=False) as batch:
        bucket.blob("absent").delete()
        bucket.blob("present").delete()
    assert [response.status_code for response in batch._responses] == [404, 204]
    assert not bucket.blob("present").exists()


def test_answers_come_in_order_and_with_the_ids_of_their_calls(http: Http) -> None:
    made = http.put(BUCKET, "a")
    response = http.batch(
        [
            ("GET", path_of(BUCKET, "a"), None),
            ("GET", path_of(BUCKET, "absent"), None),
            ("POST", f"{path_of(BUCKET, 'a')}/rewriteTo/{path_of(BUCKET, 'b')}", {"metadata": {"k": "v"}}),
            ("DELETE", path_of(BUCKET, "a"), None),
            ("GET", path_of(BUCKET, "a") + "?fields=name", None),
        ]
    )
    answers = batch_answers(response)
    assert [status for status, _ in answers] == [200, 404, 200, 204, 404]
    assert answers[0][1] == made
    assert answers[2][1]["resource"]["metadata"] == {"k": "v"}
    assert [f"<response-call-{number}>" in response.text for number in range(5)] == [True] * 5


def test_media_does_not_go_through_a_batch(http: Http) -> None:
    http.put(BUCKET, "media")
    calls: list[tuple[str, str, dict[str, Any] | None]] = [("GET", path_of(BUCKET, "media") + "?alt=media", None)]
    assert [status for status, _ in batch_answers(http.batch(calls))] == [400]


@pytest.mark.parametrize("content_type", ["application/json", "multipart/mixed; boundary=mark"])
def test_a_malformed_batch_is_refused(http: Http, content_type: str) -> None:
    body = "--mark\r\nContent-Type: application/http\r\n\r\nnonsense\r\n--mark--"
    response = http.call("POST", "/batch/storage/v1", data=body, headers={"content-type": content_type})
    assert response.status_code == 400


def test_a_malformed_part_keeps_all_others_from_being_carried_out(http: Http) -> None:
    http.put(BUCKET, "whole")
    path = path_of(BUCKET, "whole")
    body = (
        f"--mark\r\nContent-Type: application/http\r\n\r\nDELETE /storage/v1/{path} HTTP/1.1\r\n\r\n"
        "\r\n--mark\r\nContent-Type: application/http\r\n\r\nnonsense\r\n--mark--"
    )
    headers = {"content-type": "multipart/mixed; boundary=mark"}
    assert http.call("POST", "/batch/storage/v1", data=body, headers=headers).status_code == 400
    assert http.call("GET", path).ok


def test_faults_hit_single_calls_of_a_batch(http: Http) -> None:
    for name in ("f1", "f2", "f3"):
        http.put(BUCKET, name)
    rules = [
        {"operation": "delete", "path": "/f1$", "status": 503},
        {"operation": "delete", "path": "/f2$", "status": 503, "after": True},
        {"operation": "delete", "path": "/f3$", "status": "reset"},
    ]
    http.call("PUT", "/_local/faults", json={"rules": rules}).raise_for_status()
    answers = batch_answers(http.batch([("DELETE", path_of(BUCKET, name), None) for name in ("f1", "f2", "f3")]))
    assert [status for status, _ in answers] == [503, 503, 503]
    assert [http.call("GET", path_of(BUCKET, name)).status_code for name in ("f1", "f2", "f3")] == [200, 404, 200]
    assert http.call("GET", "/_local/requests").json()["injected"] == {"storage.objects.delete": 3}
