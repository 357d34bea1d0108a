"""Object versioning: replaced and deleted objects stay until their generation is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import Conflict, NotFound

from local.storage_server import Http, storage_client, storage_server

BUCKET = "live"


@pytest.fixture
def bucket(address: str) -> Iterator[Any]:
    client = storage_client(address)
    made = client.bucket(f"versioned-{id(client)}")
    made.versioning_enabled = True
    made.create()
    yield made
    client.close()


def versions(bucket: Any) -> list[tuple[str, bytes]]:
    found = bucket.client.list_blobs(bucket, versions=True)
    return [(blob.name, bucket.blob(blob.name, generation=blob.generation).download_as_bytes()) for blob in found]


def test_a_replaced_object_stays_as_a_version(bucket: Any) -> None:
    blob = bucket.blob("a/b")
    for data in (b"one", b"two", b"three"):
        blob.upload_from_string(data)
    assert versions(bucket) == [("a/b", b"one"), ("a/b", b"two"), ("a/b", b"three")]
    assert [one.name for one in bucket.list_blobs()] == ["a/b"]
    assert bucket.blob("a/b").download_as_bytes() == b"three"
    first = next(iter(bucket.client.list_blobs(bucket, versions=True)))
    assert first.time_deleted is not None
    copied = bucket.copy_blob(first, bucket, "copy", source_generation=first.generation)
    assert copied.download_as_bytes() == b"one"


def test_a_deleted_object_stays_and_its_generation_can_be_deleted(bucket: Any) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string(b"data")
    generation = blob.generation
    bucket.blob("x").delete()
    with pytest.raises(NotFound):
        bucket.blob("x").download_as_bytes()
    assert versions(bucket) == [("x", b"data")]
    with pytest.raises(Conflict, match="not empty"):
        bucket.delete()
    old = bucket.blob("x", generation=generation)
    old.metadata = {"k": "v"}
    old.patch()
    assert bucket.get_blob("x", generation=generation).metadata == {"k": "v"}
    assert bucket.get_blob("x") is None
    bucket.blob("x", generation=generation).delete()
    assert versions(bucket) == []
    bucket.delete()


def test_the_live_generation_can_be_deleted_for_good(bucket: Any) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string(b"data")
    bucket.blob("x", generation=blob.generation).delete()
    assert versions(bucket) == []


def test_without_versioning_nothing_stays(address: str) -> None:
    with Http(address) as http:
        http.put(BUCKET, "x", b"1")
        http.put(BUCKET, "x", b"2")
        listed = http.call("GET", f"b/{BUCKET}/o", params={"versions": "true"}).json()
        assert [item["size"] for item in listed["items"]] == ["1"]


def test_versions_outlive_the_server(tmp_path: Path) -> None:
    for turn in range(2):
        with storage_server(tmp_path, persist=True) as address, Http(address) as http:
            if not turn:
                http.bucket("kept", versioning={"enabled": True})
                http.put("kept", "x", b"one")
                http.put("kept", "x", b"two")
            listed = http.call("GET", "b/kept/o", params={"versions": "true"}).json()["items"]
            old = http.call("GET", "b/kept/o/x", params={"alt": "media", "generation": listed[0]["generation"]})
            assert (len(listed), old.content) == (2, b"one")
