"""Etags, customer-supplied keys, and what Google's clients expect of answers."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Forbidden, PreconditionFailed
from google.cloud.storage import Blob

from local.storage_server import Http, path_of, storage_client

BUCKET = "conditions"


@pytest.fixture
def http(address: str) -> Iterator[Http]:
    with Http(address) as opened:
        yield opened


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    opened = storage_client(address)
    yield opened
    opened.close()


@pytest.mark.parametrize("media", [False, True])
def test_a_read_can_require_or_exclude_an_etag(http: Http, media: bool) -> None:
    tag = http.put(BUCKET, "read")["etag"]
    path, params = path_of(BUCKET, "read"), {"alt": "media"} if media else {}

    def get(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return http.call("GET", path, params=params, headers=named).status_code

    assert [get(If_Match=tag), get(If_Match=f'"{tag}"'), get(If_Match="*"), get(If_Match="other")] == [
        200,
        200,
        200,
        412,
    ]
    assert [get(If_None_Match=tag), get(If_None_Match="*"), get(If_None_Match="other")] == [304, 304, 200]


@pytest.mark.parametrize(("method", "changed"), [("PATCH", 200), ("PUT", 200), ("DELETE", 204)])
def test_a_change_can_require_an_etag(http: Http, method: str, changed: int) -> None:
    tag, path = http.put(BUCKET, "changed")["etag"], path_of(BUCKET, "changed")
    assert http.call(method, path, json={}, headers={"If-Match": "other"}).status_code == 412
    assert http.call(method, path, json={}, headers={"If-None-Match": tag}).status_code == 412
    assert http.call(method, path, json={}, headers={"If-Match": tag}).status_code == changed


def test_a_bucket_has_an_etag_too(http: Http) -> None:
    http.bucket("tagged")
    tag = http.call("GET", "b/tagged").json()["etag"]
    assert http.call("GET", "b/tagged", headers={"If-None-Match": tag}).status_code == 304
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        assert http.call(method, "b/tagged", json={}, headers={"If-Match": "other"}).status_code == 412
    assert http.call("DELETE", "b/tagged", headers={"If-Match": tag}).status_code == 204


def test_a_composed_object_has_no_content_type_unless_it_is_set(client: Any) -> None:
    bucket = client.bucket(BUCKET)
    parts = [bucket.blob(f"part-{number}") for number in range(2)]
    for part in parts:
        part.upload_from_string(b"x", content_type="text/plain")
    whole = bucket.blob("whole")
    whole.compose(parts)
    whole.reload()
    assert whole.content_type is None
    assert whole.download_as_bytes() == b"xx"
    typed = bucket.blob("typed")
    typed.content_type = "text/csv"
    typed.compose(parts)
    typed.reload()
    assert typed.content_type == "text/csv"


def test_a_download_has_both_checksums_in_one_header(http: Http, client: Any) -> None:
    made = http.put(BUCKET, "hashed", b"0123")
    header = http.call("GET", path_of(BUCKET, "hashed"), params={"alt": "media"}).headers["X-Goog-Hash"]
    assert header == f"crc32c={made['crc32c']},md5={made['md5Hash']}"
    blob = client.bucket(BUCKET).blob("hashed")
    assert blob.download_as_bytes(checksum="md5") == b"0123"
    assert (blob.crc32c, blob.md5_hash) == (made["crc32c"], made["md5Hash"])


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("glob/**/foobar", ["glob/foo/foobar", "glob/foobar"]),
        ("**/{foobar,baz}", ["glob/foo/baz", "glob/foo/foobar", "glob/foobar"]),
        ("glob/*", ["glob/foobar"]),
        ("glob/**", ["glob/foo/baz", "glob/foo/foobar", "glob/foobar"]),
        ("glob/fo?/b[a-c]z", ["glob/foo/baz"]),
    ],
)
def test_a_glob_of_folders_matches_also_no_folder(http: Http, glob: str, found: list[str]) -> None:
    for name in ("glob/foo/foobar", "glob/foo/baz", "glob/foobar"):
        http.put(BUCKET, name)
    listed = http.call("GET", f"b/{BUCKET}/o", params={"matchGlob": glob, "prefix": "glob/"}).json()
    assert [item["name"] for item in listed.get("items", [])] == found


def test_an_object_that_ends_with_the_delimiter_is_listed_on_request(http: Http, client: Any) -> None:
    for name in ("tree/", "tree/leaf"):
        http.put(BUCKET, name)
    listed = client.list_blobs(BUCKET, prefix="tre", delimiter="/", include_trailing_delimiter=True)
    assert ([blob.name for blob in listed], listed.prefixes) == (["tree/"], {"tree/"})
    plain = client.list_blobs(BUCKET, prefix="tre", delimiter="/")
    assert ([blob.name for blob in plain], plain.prefixes) == ([], {"tree/"})


def test_an_object_with_a_supplied_key_is_read_only_with_it(client: Any) -> None:
    bucket, key = client.bucket(BUCKET), os.urandom(32)
    Blob("secret", bucket, encryption_key=key).upload_from_string(b"content")
    assert Blob("secret", bucket, encryption_key=key).download_as_bytes() == b"content"
    with pytest.raises(BadRequest, match="encrypted by a customer-supplied encryption key"):
        bucket.blob("secret").download_as_bytes()
    with pytest.raises(Forbidden):
        Blob("secret", bucket, encryption_key=os.urandom(32)).download_as_bytes()
    found = bucket.get_blob("secret")
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode()
    assert found._properties["customerEncryption"] == {"encryptionAlgorithm": "AES256", "keySha256": digest}
    assert (found.crc32c, found.md5_hash) == (None, None)
    bucket.blob("plain").upload_from_string(b"open")
    with pytest.raises(BadRequest, match="not encrypted"):
        Blob("plain", bucket, encryption_key=key).download_as_bytes()


def test_a_supplied_key_can_be_rotated_by_a_rewrite(client: Any) -> None:
    bucket, old, new = client.bucket(BUCKET), os.urandom(32), os.urandom(32)
    source = Blob("rotated", bucket, encryption_key=old)
    source.upload_from_string(b"content")
    target = Blob("rotated", bucket, encryption_key=new)
    assert target.rewrite(source)[0] is None
    assert target.download_as_bytes() == b"content"
    with pytest.raises(Forbidden):
        Blob("rotated", bucket, encryption_key=old).download_as_bytes()
    with pytest.raises(BadRequest):
        bucket.blob("copy").rewrite(bucket.blob("rotated"))


def test_objects_with_the_same_supplied_key_can_be_composed(http: Http, client: Any) -> None:
    bucket, key = client.bucket(BUCKET), os.urandom(32)
    for number in range(2):
        Blob(f"secret-{number}", bucket, encryption_key=key).upload_from_string(b"x")
    body = {"sourceObjects": [{"name": "secret-0"}, {"name": "secret-1"}]}
    headers = {
        "x-goog-encryption-algorithm": "AES256",
        "x-goog-encryption-key": base64.b64encode(key).decode(),
        "x-goog-encryption-key-sha256": base64.b64encode(hashlib.sha256(key).digest()).decode(),
    }
    path = f"{path_of(BUCKET, 'both')}/compose"
    assert http.call("POST", path, json=body).status_code == 400
    assert http.call("POST", path, json=body, headers=headers).status_code == 200
    assert Blob("both", bucket, encryption_key=key).download_as_bytes() == b"xx"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"x-goog-encryption-key": "AAAA", "x-goog-encryption-algorithm": "AES256"}, "FormatIsInvalid"),
        ({"x-goog-encryption-key": base64.b64encode(bytes(32)).decode()}, "AlgorithmIsInvalid"),
        ({"x-goog-encryption-key": base64.b64encode(bytes(32)).decode(), "x-goog-encryption-algorithm": "AES256",
          "x-goog-encryption-key-sha256": "wrong"}, "Sha256IsInvalid"),
    ],
)  # fmt: skip
def test_an_invalid_key_is_refused(http: Http, headers: dict[str, str], reason: str) -> None:
    answer = http.call("POST", f"/upload/storage/v1/b/{BUCKET}/o", params={"uploadType": "media", "name": "x"},
                       headers=headers, data=b"x")  # fmt: skip
    assert answer.status_code == 400
    assert reason in answer.json()["error"]["errors"][0]["reason"]


def test_googles_client_reports_a_wrong_etag(client: Any) -> None:
    blob = client.bucket(BUCKET).blob("etag")
    blob.upload_from_string(b"x")
    with pytest.raises(PreconditionFailed):
        blob.reload(if_etag_match="other")
    assert blob.download_as_bytes(if_etag_match=blob.etag) == b"x"


def test_a_checksum_given_at_the_start_of_an_upload_is_compared(client: Any) -> None:
    blob = client.bucket(BUCKET).blob("large")
    with pytest.raises(BadRequest, match="doesn't match"):
        blob.upload_from_file(io.BytesIO(bytes(9 << 20)), checksum="crc32c", crc32c_checksum_value="AAAAAA==")
    assert not blob.exists()


def test_the_sources_of_a_composed_object_can_be_deleted_with_it(http: Http) -> None:
    for name in ("joined", "source-1"):
        http.put(BUCKET, name, b"x")
    body = {"sourceObjects": [{"name": "joined"}, {"name": "source-1"}], "deleteSourceObjects": True}
    assert http.call("POST", f"{path_of(BUCKET, 'joined')}/compose", json=body).json()["size"] == "2"
    assert http.call("GET", path_of(BUCKET, "source-1")).status_code == 404
    assert http.call("GET", path_of(BUCKET, "joined"), params={"alt": "media"}).content == b"xx"
