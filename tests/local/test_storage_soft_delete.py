"""Soft delete: objects and buckets that were deleted or replaced can be restored."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.storage_server import Http, path_of, storage_server

BUCKET = "soft"
DELETED = {"softDeleted": "true"}


def deleted(http: Http, bucket: str = BUCKET) -> list[tuple[str, str]]:
    items = http.call("GET", f"b/{bucket}/o", params=DELETED).json().get("items", [])
    return [(item["name"], item["generation"]) for item in items]


@pytest.mark.parametrize("verb", ["delete", "replace", "move"])
def test_what_is_deleted_or_replaced_is_listed_and_can_be_restored(http: Http, verb: str) -> None:
    made = http.put(BUCKET, verb, b"old", contentEncoding="x")
    path, generation = path_of(BUCKET, verb), made["generation"]
    if verb == "delete":
        http.call("DELETE", path).raise_for_status()
    elif verb == "replace":
        http.put(BUCKET, verb, b"new")
    else:
        http.call("POST", f"{path}/moveTo/o/elsewhere").raise_for_status()
    assert (verb, generation) in deleted(http)
    found = http.call("GET", path, params={**DELETED, "generation": generation}).json()
    assert found["softDeleteTime"] < found["hardDeleteTime"]
    assert http.call("GET", path, params={"generation": generation}).status_code == 404
    restored = http.call("POST", f"{path}/restore", params={"generation": generation}).json()
    assert restored["generation"] != generation
    assert (restored["contentEncoding"], restored["md5Hash"]) == (made["contentEncoding"], made["md5Hash"])
    assert "softDeleteTime" not in restored
    assert http.call("GET", path, params={"alt": "media"}).content == b"old"
    # What was restored is a copy.
    assert (verb, generation) in deleted(http)


def test_a_restored_object_replaces_only_what_the_caller_expects(http: Http) -> None:
    generation = http.put(BUCKET, "again")["generation"]
    live = http.put(BUCKET, "again", b"new")["generation"]
    path = path_of(BUCKET, "again")
    refused = http.call("POST", f"{path}/restore", params={"generation": generation, "ifGenerationMatch": "0"})
    assert refused.status_code == 412
    assert http.call("POST", f"{path}/restore", params={"generation": generation, "ifGenerationMatch": live}).ok
    assert {kept for name, kept in deleted(http) if name == "again"} == {generation, live}


@pytest.mark.parametrize(
    ("method", "suffix", "params", "status"),
    [
        ("GET", "", DELETED, 400),
        ("POST", "/restore", {}, 400),
        ("POST", "/restore", {"generation": "7"}, 404),
        ("GET", "", {**DELETED, "generation": "7"}, 404),
    ],
)
def test_a_soft_deleted_object_is_named_by_its_generation(
    http: Http, method: str, suffix: str, params: dict[str, str], status: int
) -> None:
    assert http.call(method, f"{path_of(BUCKET, 'none')}{suffix}", params=params).status_code == status


def test_versions_and_soft_deleted_objects_are_not_listed_together(http: Http) -> None:
    assert http.call("GET", f"b/{BUCKET}/o", params={**DELETED, "versions": "true"}).status_code == 400


def test_a_deleted_version_is_soft_deleted_and_a_noncurrent_one_is_not(http: Http) -> None:
    http.bucket("versioned", versioning={"enabled": True})
    generation = http.put("versioned", "x", b"old")["generation"]
    http.put("versioned", "x", b"new")
    assert deleted(http, "versioned") == []
    path = path_of("versioned", "x")
    http.call("DELETE", path, params={"generation": generation}).raise_for_status()
    assert deleted(http, "versioned") == [("x", generation)]
    http.call("POST", f"{path}/restore", params={"generation": generation}).raise_for_status()
    assert http.call("GET", path, params={"alt": "media"}).content == b"old"


def test_a_bucket_without_the_policy_keeps_nothing(http: Http) -> None:
    http.bucket("hard", softDeletePolicy={"retentionDurationSeconds": 0})
    http.put("hard", "x")
    http.call("DELETE", path_of("hard", "x")).raise_for_status()
    assert deleted(http, "hard") == []


@pytest.mark.parametrize("seconds", ["3600", "-1", "7776001"])
def test_a_duration_that_the_service_does_not_have_is_refused(http: Http, seconds: str) -> None:
    policy = {"softDeletePolicy": {"retentionDurationSeconds": seconds}}
    refused = http.call("PATCH", f"b/{BUCKET}", json=policy)
    assert (refused.status_code, "0 or from 604800 to 7776000" in refused.text) == (400, True)


def test_permission_to_restore_is_one_of_its_own(http: Http) -> None:
    generation = http.put(BUCKET, "guarded")["generation"]
    http.call("DELETE", path_of(BUCKET, "guarded"))
    http.call("PUT", "/_local/denied", json={"buckets": {BUCKET: ["storage.objects.restore"]}})
    try:
        path = f"{path_of(BUCKET, 'guarded')}/restore"
        assert http.call("POST", path, params={"generation": generation}).status_code == 403
    finally:
        http.call("DELETE", "/_local/denied")


def test_a_deleted_bucket_can_be_restored_and_its_objects_after_it(http: Http) -> None:
    http.bucket("gone", labels={"a": "b"})
    bucket = http.call("GET", "b/gone").json()
    generation = http.put("gone", "x", b"bytes")["generation"]
    http.call("DELETE", path_of("gone", "x")).raise_for_status()
    http.call("DELETE", "b/gone").raise_for_status()
    named = {"generation": bucket["generation"]}
    assert http.call("GET", "b/gone", params=DELETED).status_code == 400
    found = http.call("GET", "b/gone", params={**DELETED, **named}).json()
    assert found["softDeleteTime"] < found["hardDeleteTime"]
    listed = http.call("GET", "b", params=DELETED).json()["items"]
    assert [item["name"] for item in listed if item["generation"] == bucket["generation"]] == ["gone"]
    # A new bucket of the same name has nothing of the old one.
    http.bucket("gone")
    assert deleted(http, "gone") == []
    assert http.call("POST", "b/gone/restore", params=named).status_code == 409
    http.call("DELETE", "b/gone").raise_for_status()
    restored = http.call("POST", "b/gone/restore", params=named).json()
    assert (restored["generation"], restored["labels"]) == (bucket["generation"], {"a": "b"})
    assert "softDeleteTime" not in restored
    assert deleted(http, "gone") == [("x", generation)]
    http.call("POST", f"{path_of('gone', 'x')}/restore", params={"generation": generation}).raise_for_status()
    assert http.call("GET", path_of("gone", "x"), params={"alt": "media"}).content == b"bytes"


def test_soft_deleted_objects_and_buckets_outlive_the_server(tmp_path: Path) -> None:
    with storage_server(tmp_path, persist=True) as address, Http(address) as http:
        http.bucket("kept")
        http.bucket("left")
        left = http.call("GET", "b/left").json()
        http.call("DELETE", "b/left").raise_for_status()
        http.put("kept", "x", b"bytes")
        http.call("DELETE", path_of("kept", "x")).raise_for_status()
    with storage_server(tmp_path, persist=True) as address, Http(address) as http:
        [(name, generation)] = deleted(http, "kept")
        path = path_of("kept", name)
        http.call("POST", f"{path}/restore", params={"generation": generation}).raise_for_status()
        assert http.call("GET", path, params={"alt": "media"}).content == b"bytes"
        assert http.call("GET", "b/left").status_code == 404
        assert http.call("POST", "b/left/restore", params={"generation": left["generation"]}).ok
    with storage_server(tmp_path, persist=True) as address, Http(address) as http:
        assert http.call("GET", "b/left").ok
