"""Requests to Cloud Storage that no client of Google sends: refused with 400, in the API's format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.storage_server import Http

BUCKET = "malformed"
OBJECT = f"b/{BUCKET}/o/plain"
COMPOSE = f"b/{BUCKET}/o/composed/compose"
HEAD = b"--m\r\ncontent-type: application/json\r\n\r\n"
TAIL = b"\r\n--m\r\ncontent-type: text/plain\r\n\r\nx\r\n--m--"

BODIES: list[tuple[str, str, Any]] = [
    ("POST", "b", {"name": 5}),
    ("POST", "b", {"name": "labels", "labels": 5}),
    ("POST", "b", {"name": "versions", "versioning": 5}),
    ("POST", "b", {"name": "versions", "versioning": {"enabled": "x"}}),
    ("POST", "b", {"name": "deleted", "softDeletePolicy": {"retentionDurationSeconds": "x"}}),
    ("PATCH", OBJECT, {"metadata": 5}),
    ("PATCH", OBJECT, {"metadata": {"a": 5}}),
    ("PATCH", OBJECT, {"contentType": 5}),
    ("PATCH", OBJECT, {"retention": 5}),
    ("PATCH", OBJECT, {"temporaryHold": "x"}),
    ("PATCH", OBJECT, {"contexts": {"custom": {"a": 5}}}),
    ("POST", COMPOSE, {"sourceObjects": 5}),
    ("POST", COMPOSE, {"sourceObjects": [5]}),
    ("POST", COMPOSE, {"sourceObjects": [{"name": 5}]}),
    ("POST", COMPOSE, {"sourceObjects": [{"name": "plain", "generation": "x"}]}),
    ("POST", COMPOSE, {"sourceObjects": [{"name": "plain", "objectPreconditions": 5}]}),
    ("POST", COMPOSE, {"sourceObjects": [{"name": "plain", "objectPreconditions": {"ifGenerationMatch": "x"}}]}),
    ("POST", COMPOSE, {"sourceObjects": [{"name": "plain"}], "destination": 5}),
]


@pytest.mark.parametrize(("method", "path", "body"), BODIES, ids=range(len(BODIES)))
def test_a_value_of_another_type_is_refused(http: Http, method: str, path: str, body: Any) -> None:
    http.put(BUCKET, "plain")
    answer = http.call(method, path, json=body)
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (400, "invalid")


@pytest.mark.parametrize("metadata", [{"name": 5}, {"name": "a", "md5Hash": 5}, {"name": "a", "crc32c": 5}])
def test_an_upload_with_such_metadata_is_refused(http: Http, metadata: Any) -> None:
    headers = {"content-type": "multipart/related; boundary=m"}
    path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart"
    answer = http.call("POST", path, data=HEAD + json.dumps(metadata).encode() + TAIL, headers=headers)
    assert answer.status_code == 400


def test_a_batch_with_a_malformed_address_is_refused(http: Http) -> None:
    headers = {"content-type": "multipart/mixed; boundary=m"}
    part = b"--m\r\nContent-Type: application/http\r\n\r\nGET http://[bad HTTP/1.1\r\n\r\n\r\n--m--"
    assert http.call("POST", "/batch/storage/v1", data=part, headers=headers).status_code == 400


def test_a_client_may_send_back_what_only_the_service_sets(http: Http) -> None:
    resource = http.put(BUCKET, "plain")
    sent = {**resource, "metadata": {"a": "b"}, "owner": {"entity": "user"}, "componentCount": 3, "unknown": [1]}
    assert http.call("PUT", OBJECT, json=sent).json()["metadata"] == {"a": "b"}
