"""Uploads in parts, by the XML API."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from xml.etree import ElementTree

import pytest

from local.storage_server import Http, path_of

BUCKET = "parts"
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def start(http: Http, name: str, **headers: str) -> str:
    answer = http.call("POST", f"/{BUCKET}/{name}", params={"uploads": ""}, headers=headers)
    answer.raise_for_status()
    identifier = ElementTree.fromstring(answer.content).findtext(f"{NAMESPACE}UploadId")
    assert identifier is not None
    return identifier


def send(http: Http, name: str, identifier: str, number: int, data: bytes, **headers: str) -> Any:
    params = {"partNumber": str(number), "uploadId": identifier}
    return http.call("PUT", f"/{BUCKET}/{name}", params=params, data=data, headers=headers)


def complete(http: Http, name: str, identifier: str, parts: list[tuple[int, str]]) -> Any:
    named = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
    body = f"<CompleteMultipartUpload>{named}</CompleteMultipartUpload>"
    return http.call("POST", f"/{BUCKET}/{name}", params={"uploadId": identifier}, data=body)


def test_the_parts_that_are_named_make_the_object_in_the_order_of_their_numbers(http: Http) -> None:
    headers = {"content-type": "text/csv", "x-goog-meta-k": "v", "x-goog-storage-class": "NEARLINE"}
    identifier = start(http, "a%2Fb", **headers)
    etags = {number: send(http, "a%2Fb", identifier, number, data).headers["etag"]
             for number, data in ((3, b"three"), (1, b"one"), (2, b"left out"))}  # fmt: skip
    etags[1] = send(http, "a%2Fb", identifier, 1, b"again").headers["etag"]
    assert http.call("GET", path_of(BUCKET, "a/b")).status_code == 404
    assert complete(http, "a%2Fb", identifier, [(1, etags[1]), (3, etags[3])]).ok
    path = path_of(BUCKET, "a/b")
    assert http.call("GET", path, params={"alt": "media"}).content == b"againthree"
    found = http.call("GET", path).json()
    assert (found["contentType"], found["metadata"], found["storageClass"]) == ("text/csv", {"k": "v"}, "NEARLINE")
    assert "md5Hash" not in found
    assert complete(http, "a%2Fb", identifier, [(1, etags[1])]).status_code == 404


@pytest.mark.parametrize("parts", [[], [(2, ""), (1, "")], [(1, "other")], [(7, "")]])
def test_parts_that_are_out_of_order_or_unknown_make_no_object(http: Http, parts: list[tuple[int, str]]) -> None:
    identifier = start(http, "never")
    etags = {number: send(http, "never", identifier, number, b"x").headers["etag"] for number in (1, 2)}
    refused = complete(http, "never", identifier, [(number, etag or etags.get(number, "")) for number, etag in parts])
    assert (refused.status_code, b"<Code>Invalid" in refused.content) == (400, True)
    assert http.call("GET", path_of(BUCKET, "never")).status_code == 404


def test_a_part_with_a_wrong_checksum_is_refused(http: Http) -> None:
    identifier = start(http, "checked")
    refused = send(http, "checked", identifier, 1, b"x", **{"x-goog-hash": "crc32c=AAAAAA=="})
    assert refused.status_code == 400


def test_an_upload_can_be_cancelled(http: Http) -> None:
    identifier = start(http, "cancelled")
    send(http, "cancelled", identifier, 1, b"x")
    assert http.call("DELETE", f"/{BUCKET}/cancelled", params={"uploadId": identifier}).status_code == 204
    missing = send(http, "cancelled", identifier, 1, b"x")
    assert (missing.status_code, b"<Code>NoSuchUpload</Code>" in missing.content) == (404, True)


@pytest.mark.parametrize("number", [0, 10_001])
def test_part_numbers_are_those_of_the_service(http: Http, number: int) -> None:
    assert send(http, "numbers", start(http, "numbers"), number, b"x").status_code == 400


def test_a_body_that_is_not_xml_is_refused(http: Http) -> None:
    identifier = start(http, "xml")
    for body in (b"<Complete", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"<a><Part/></a>"):
        refused = http.call("POST", f"/{BUCKET}/xml", params={"uploadId": identifier}, data=body)
        assert (refused.status_code, b"<Code>Malformed" in refused.content) == (400, True)
    assert http.call("GET", f"/{BUCKET}/xml", params={"uploadId": identifier}).status_code == 501


def test_an_upload_into_an_unknown_bucket_is_refused(http: Http) -> None:
    refused = http.call("POST", "/absent/x", params={"uploads": ""})
    assert (refused.status_code, b"<Message>" in refused.content) == (404, True)


def test_a_supplied_key_and_a_kms_key_exclude_each_other(http: Http) -> None:
    key = base64.b64encode(b"k" * 32).decode()
    headers = {
        "x-goog-encryption-algorithm": "AES256",
        "x-goog-encryption-key": key,
        "x-goog-encryption-key-sha256": base64.b64encode(hashlib.sha256(b"k" * 32).digest()).decode(),
        "x-goog-encryption-kms-key-name": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
    }
    answer = http.call("POST", f"/{BUCKET}/x", params={"uploads": ""}, headers=headers)
    assert (answer.status_code, "cannot be used together" in answer.text) == (400, True)
