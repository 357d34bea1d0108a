"""Uploads, downloads and metadata."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
from typing import TYPE_CHECKING, Any

import google_crc32c
import pytest

from local.storage_server import Http, path_of, storage_client

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "objects"
QUANTUM = 256 * 1024


@pytest.fixture
def http(address: str) -> Iterator[Http]:
    with Http(address) as http:
        yield http


@pytest.fixture
def bucket(address: str) -> Iterator[Any]:
    client = storage_client(address)
    yield client.bucket(BUCKET)
    client.close()


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def test_an_object_has_its_metadata(http: Http) -> None:
    resource = {"name": "a.csv", "metadata": {"table": "t"}, "cacheControl": "no-store"}
    made = http.upload_multipart(BUCKET, resource, b"1,2\n").json()
    assert made["kind"] == "storage#object"
    assert made["id"] == f"{BUCKET}/a.csv/{made['generation']}"
    assert (made["size"], made["crc32c"], made["md5Hash"]) == ("4", crc32c(b"1,2\n"), md5(b"1,2\n"))
    assert (made["contentType"], made["storageClass"], made["metageneration"]) == ("text/csv", "STANDARD", "1")
    assert (made["metadata"], made["cacheControl"]) == ({"table": "t"}, "no-store")
    assert len(made["generation"]) == 16
    assert made["timeCreated"] == made["updated"]
    assert made["timeCreated"].endswith("Z")
    assert http.call("GET", path_of(BUCKET, "a.csv")).json() == made
    assert http.call("GET", made["mediaLink"]).content == b"1,2\n"


def test_the_official_client_reads_what_it_has_written(bucket: Any) -> None:
    blob = bucket.blob("client")
    blob.metadata = {"key": "value"}
    blob.upload_from_string(b"content", content_type="text/plain")
    again = bucket.get_blob("client")
    assert (again.generation, again.etag, again.metadata) == (blob.generation, blob.etag, {"key": "value"})
    assert (again.size, again.content_type, again.time_created) == (7, "text/plain", blob.time_created)
    assert again.download_as_bytes() == b"content"
    assert bucket.get_blob("absent") is None
    again.delete()
    assert not again.exists()


def test_multipart_data_can_contain_a_boundary(http: Http) -> None:
    data = b"\r\n--mark\r\ncontent-type: text/plain\r\n\r\n\n--mark\n\r\n"
    http.upload_multipart(BUCKET, {"name": "tricky"}, data).raise_for_status()
    assert http.call("GET", path_of(BUCKET, "tricky"), params={"alt": "media"}).content == data


@pytest.mark.parametrize("body", [b"", b"--mark\r\n\r\n{}\r\n--mark--", b"--other--"])
def test_a_malformed_multipart_body_is_refused(http: Http, body: bytes) -> None:
    response = http.call(
        "POST",
        f"/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart&name=x",
        headers={"content-type": "multipart/related; boundary=mark"},
        data=body,
    )
    assert response.status_code == 400


@pytest.mark.parametrize("size", [0, 1, QUANTUM - 1, QUANTUM, QUANTUM + 1, 3 * QUANTUM + 5])
def test_resumable_uploads_of_any_size(bucket: Any, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    blob = bucket.blob("resumable", chunk_size=QUANTUM)
    # Without a size the client cannot know which chunk is the last, and so sends them with an open total.
    blob.upload_from_file(io.BytesIO(data[:size]))
    assert (blob.size, blob.crc32c) == (size, crc32c(data[:size]))
    assert bucket.blob("resumable").download_as_bytes() == data[:size]


def test_a_resumable_upload_reports_its_progress(http: Http) -> None:
    data = b"x" * (2 * QUANTUM + 10)
    url = http.start_resumable(BUCKET, "steps").headers["location"]

    def put(content: bytes, content_range: str) -> tuple[int, str | None]:
        response = http.call("PUT", url, data=content, headers={"content-range": content_range})
        return response.status_code, response.headers.get("range")

    assert put(b"", "bytes */*") == (308, None)
    # Only whole quanta of an incomplete upload are kept.
    assert put(data[: QUANTUM + 7], f"bytes 0-{QUANTUM + 6}/*") == (308, f"bytes=0-{QUANTUM - 1}")
    assert put(b"", f"bytes */{len(data)}") == (308, f"bytes=0-{QUANTUM - 1}")
    assert put(b"y" * 10, f"bytes {2 * QUANTUM}-{2 * QUANTUM + 9}/*")[0] == 503
    assert http.call("GET", path_of(BUCKET, "steps")).status_code == 404
    # Bytes that are there already may come again.
    assert put(data, f"bytes 0-{len(data) - 1}/{len(data)}") == (200, None)
    assert put(b"", "bytes */*") == (200, None)
    assert http.call("GET", path_of(BUCKET, "steps")).json()["crc32c"] == crc32c(data)


def test_a_resumable_upload_can_be_cancelled_or_unknown(http: Http) -> None:
    url = http.start_resumable(BUCKET, "cancelled").headers["location"]
    assert http.call("DELETE", url).status_code == 499
    assert http.call("PUT", url, data=b"x").status_code == 404


def test_a_resumable_upload_keeps_to_its_announced_size(http: Http) -> None:
    url = http.start_resumable(BUCKET, "sized").headers["location"]
    assert http.call("PUT", url, data=b"xx", headers={"content-range": "bytes 0-1/1"}).status_code == 400
    assert http.call("PUT", url, data=b"xx", headers={"content-range": "bytes zero"}).status_code == 400
    assert http.call("PUT", url, data=b"x", headers={"content-range": "bytes 0-0/1"}).status_code == 200


@pytest.mark.parametrize("key", ["crc32c", "md5Hash"])
def test_an_upload_with_a_wrong_checksum_stores_nothing(http: Http, key: str) -> None:
    digest = (crc32c if key == "crc32c" else md5)(b"other")
    response = http.upload_multipart(BUCKET, {"name": "wrong", key: digest}, b"data")
    assert response.status_code == 400
    assert "doesn't match calculated" in response.json()["error"]["message"]
    url = http.start_resumable(BUCKET, "wrong").headers["location"]
    header = {"x-goog-hash": f"{'crc32c' if key == 'crc32c' else 'md5'}={digest}"}
    assert http.call("PUT", url, data=b"data", headers=header).status_code == 400
    assert http.call("GET", path_of(BUCKET, "wrong")).status_code == 404


def test_correct_checksums_are_accepted(http: Http) -> None:
    resource = {"name": "right", "crc32c": crc32c(b"data"), "md5Hash": md5(b"data")}
    assert http.upload_multipart(BUCKET, resource, b"data").ok


@pytest.mark.parametrize(
    ("header", "content", "content_range"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-30", b"0123456789", "bytes 0-9/10"),
        ("bytes=8-100", b"89", "bytes 8-9/10"),
        ("bytes=0-9", b"0123456789", "bytes 0-9/10"),
        ("bytes=5-2", b"0123456789", None),
        ("bytes=0-1,4-5", b"0123456789", None),
        ("lines=1-2", b"0123456789", None),
    ],
)
def test_a_range_of_bytes_is_returned(http: Http, header: str, content: bytes, content_range: str | None) -> None:
    http.put(BUCKET, "range", b"0123456789")
    response = http.call("GET", path_of(BUCKET, "range"), params={"alt": "media"}, headers={"range": header})
    assert response.content == content
    assert response.status_code == (206 if content_range else 200)
    assert response.headers.get("content-range") == content_range


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_outside_of_the_object_is_refused(http: Http, header: str) -> None:
    http.put(BUCKET, "range", b"0123456789")
    response = http.call("GET", path_of(BUCKET, "range"), params={"alt": "media"}, headers={"range": header})
    assert (response.status_code, response.headers["content-range"]) == (416, "bytes */10")


def test_downloads_carry_checksums_and_generation(http: Http) -> None:
    made = http.put(BUCKET, "hashed", b"data")
    response = http.call("GET", f"/download/storage/v1/{path_of(BUCKET, 'hashed')}?alt=media")
    assert response.headers["x-goog-hash"] == f"crc32c={made['crc32c']},md5={made['md5Hash']}"
    assert response.headers["x-goog-generation"] == made["generation"]
    assert response.headers["x-goog-stored-content-length"] == "4"


def test_large_objects_stay_readable_while_they_are_replaced(address: str, http: Http) -> None:
    old, new = b"old!" * 5_000_000, b"new"
    http.put(BUCKET, "large", old)
    with Http(address) as reader:
        response = reader.call("GET", path_of(BUCKET, "large"), params={"alt": "media"}, stream=True)
        pieces = response.iter_content(1 << 16)
        first = next(pieces)
        http.put(BUCKET, "large", new)
        assert first + b"".join(pieces) == old
    assert http.call("GET", path_of(BUCKET, "large"), params={"alt": "media"}).content == new


def test_gzip_objects_are_stored_unchanged(bucket: Any) -> None:
    packed = gzip.compress(b"a,b\n" * 1000)
    blob = bucket.blob("packed.csv.gz")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed, content_type="text/csv")
    assert (blob.size, blob.crc32c) == (len(packed), crc32c(packed))
    assert blob.download_as_bytes(raw_download=True) == packed
    assert blob.download_as_bytes() == b"a,b\n" * 1000


def test_gzip_objects_are_decompressed_for_clients_that_do_not_accept_gzip(http: Http) -> None:
    packed = gzip.compress(b"one\n") + gzip.compress(b"two\n")
    http.put(BUCKET, "members.gz", packed, contentEncoding="gzip")
    response = http.call(
        "GET", path_of(BUCKET, "members.gz"), params={"alt": "media"}, headers={"accept-encoding": "identity"}
    )
    assert response.content == b"one\ntwo\n"
    assert "content-encoding" not in response.headers
    # Without a declared encoding, the bytes are returned unchanged.
    http.put(BUCKET, "opaque.gz", packed)
    opaque = http.call(
        "GET", path_of(BUCKET, "opaque.gz"), params={"alt": "media"}, headers={"accept-encoding": "identity"}
    )
    assert opaque.content == packed


def test_a_patch_merges_metadata_and_an_update_replaces_it(http: Http) -> None:
    resource = {"name": "meta", "metadata": {"a": "1", "b": "2"}, "contentLanguage": "en"}
    made = http.upload_multipart(BUCKET, resource).json()
    path = path_of(BUCKET, "meta")
    patched = http.call("PATCH", path, json={"metadata": {"a": None, "c": "3"}}).json()
    assert patched["metadata"] == {"b": "2", "c": "3"}
    assert patched["contentLanguage"] == "en"
    assert (patched["generation"], patched["metageneration"]) == (made["generation"], "2")
    assert patched["etag"] != made["etag"]
    updated = http.call("PUT", path, json={"metadata": {"d": "4"}}).json()
    assert (updated["metadata"], updated["metageneration"]) == ({"d": "4"}, "3")
    assert "contentLanguage" not in updated
    assert "metadata" not in http.call("PATCH", path, json={"metadata": None}).json()


def test_custom_metadata_is_limited_to_8_kib(http: Http) -> None:
    assert http.upload_multipart(BUCKET, {"name": "m", "metadata": {"k": "v" * 8191}}).status_code == 200
    assert http.upload_multipart(BUCKET, {"name": "m", "metadata": {"k": "v" * 8192}}).status_code == 400
    assert http.call("PATCH", path_of(BUCKET, "m"), json={"metadata": {"k2": "v"}}).status_code == 400
    assert http.upload_multipart(BUCKET, {"name": "m", "metadata": {"k": 1}}).status_code == 400


def test_a_partial_response_has_only_the_requested_fields(http: Http) -> None:
    http.put(BUCKET, "partial")
    assert http.call("GET", path_of(BUCKET, "partial"), params={"fields": "name,size"}).json() == {
        "name": "partial",
        "size": "4",
    }
    listed = http.call("GET", f"b/{BUCKET}/o", params={"prefix": "partial", "fields": "items(name),nextPageToken"})
    assert listed.json() == {"items": [{"name": "partial"}]}
    nested = http.call("GET", f"b/{BUCKET}/o", params={"prefix": "partial", "fields": "items/name,kind"})
    assert nested.json() == {"kind": "storage#objects", "items": [{"name": "partial"}]}
    assert http.call("GET", f"b/{BUCKET}/o", params={"fields": "items)"}).status_code == 400


@pytest.mark.parametrize("path", ["/storage/v1/b/absent/o", "/storage/v1/b/absent/o/x", "/storage/v1/b/absent"])
def test_errors_have_the_format_of_the_api(http: Http, path: str) -> None:
    response = http.call("GET", path)
    message = "The specified bucket does not exist."
    assert response.status_code == 404
    assert response.json() == {
        "error": {
            "code": 404,
            "message": message,
            "errors": [{"message": message, "domain": "global", "reason": "notFound"}],
        }
    }


def test_unknown_paths_and_methods_are_refused(http: Http) -> None:
    assert http.call("GET", "/storage/v2/b").status_code == 404
    assert http.call("GET", "b/x/y/z").status_code == 404
    assert http.call("POST", path_of(BUCKET, "x")).status_code == 405
    assert http.call("POST", "b", data=b"{").status_code == 400
    assert http.call("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=carrier-pigeon&name=x").status_code == 400
