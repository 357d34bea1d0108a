"""Copy, rewrite, compose and move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from local.storage_server import Http, path_of, storage_client, storage_server

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET, OTHER = "copies", "other-copies"
KEY = "projects/p/locations/us/keyRings/r/cryptoKeys/k"
LARGE = b"0123456789" * 250_000
RESOURCE = {"name": "source", "contentType": "text/csv", "metadata": {"a": "1"}}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with storage_server() as address, Http(address) as http:
        http.bucket(BUCKET)
        http.bucket(OTHER, storageClass="NEARLINE")
        yield address


@pytest.fixture
def http(address: str) -> Iterator[Http]:
    with Http(address) as http:
        http.upload_multipart(BUCKET, RESOURCE, b"source data").raise_for_status()
        yield http


def data(http: Http, bucket: str, name: str) -> bytes:
    response = http.call("GET", path_of(bucket, name), params={"alt": "media"})
    response.raise_for_status()
    return response.content


@pytest.mark.parametrize("verb", ["copyTo", "rewriteTo"])
def test_a_copy_is_a_new_object_like_its_source(http: Http, verb: str) -> None:
    source = http.call("GET", path_of(BUCKET, "source")).json()
    response = http.call("POST", f"{path_of(BUCKET, 'source')}/{verb}/{path_of(OTHER, 'a/copy')}").json()
    if verb == "rewriteTo":
        assert (response["kind"], response["done"]) == ("storage#rewriteResponse", True)
        assert response["totalBytesRewritten"] == response["objectSize"] == "11"
        response = response["resource"]
    assert (response["bucket"], response["name"], response["metageneration"]) == (OTHER, "a/copy", "1")
    for key in ("crc32c", "md5Hash", "size", "contentType", "metadata"):
        assert response[key] == source[key]
    assert int(response["generation"]) > int(source["generation"])
    assert response["storageClass"] == "NEARLINE"
    assert data(http, OTHER, "a/copy") == b"source data"


def test_a_body_that_describes_the_object_replaces_the_metadata_of_the_source(http: Http) -> None:
    path = f"{path_of(BUCKET, 'source')}/rewriteTo/{path_of(BUCKET, 'described')}"
    made = http.call("POST", path, json={"metadata": {"b": "2"}, "storageClass": "COLDLINE"}).json()["resource"]
    assert (made["metadata"], made["storageClass"]) == ({"b": "2"}, "COLDLINE")
    assert "contentType" not in made
    # A body with nothing but the name, as the official client sends it, leaves them alone.
    made = http.call("POST", path, json={"name": "described"}).json()["resource"]
    assert (made["metadata"], made["contentType"]) == ({"a": "1"}, "text/csv")


def test_a_copy_does_not_change_with_its_source(http: Http) -> None:
    http.call("POST", f"{path_of(BUCKET, 'source')}/copyTo/{path_of(BUCKET, 'independent')}").raise_for_status()
    http.put(BUCKET, "source", b"changed")
    assert data(http, BUCKET, "independent") == b"source data"
    http.call("DELETE", path_of(BUCKET, "source"))
    assert data(http, BUCKET, "independent") == b"source data"


def test_an_object_may_be_rewritten_onto_itself(http: Http) -> None:
    before = http.call("GET", path_of(BUCKET, "source")).json()
    for _ in range(2):
        after = http.call("POST", f"{path_of(BUCKET, 'source')}/rewriteTo/{path_of(BUCKET, 'source')}").json()
    assert int(after["resource"]["generation"]) > int(before["generation"])
    assert data(http, BUCKET, "source") == b"source data"


@pytest.mark.parametrize(("bucket", "options"), [(OTHER, {}), (BUCKET, {"destinationKmsKeyName": KEY})])
def test_a_large_object_goes_to_another_class_or_key_by_several_rewrites_and_not_by_a_copy(
    http: Http, bucket: str, options: dict[str, str]
) -> None:
    http.put(BUCKET, "large", LARGE)
    target = path_of(bucket, "large elsewhere")
    refused = http.call("POST", f"{path_of(BUCKET, 'large')}/copyTo/{target}", params=options)
    assert (refused.status_code, refused.json()["error"]["errors"][0]["reason"]) == (413, "uploadTooLarge")
    path = f"{path_of(BUCKET, 'large')}/rewriteTo/{target}"
    answers = [http.call("POST", path, params=options).json()]
    while not answers[-1]["done"]:
        assert "resource" not in answers[-1]
        assert http.call("GET", target).status_code == 404
        again = {**options, "rewriteToken": answers[-1]["rewriteToken"]}
        answers.append(http.call("POST", path, params=again).json())
    assert [answer["totalBytesRewritten"] for answer in answers] == ["1048576", "2097152", "2500000"]
    assert answers[-1]["resource"]["generation"] == http.call("GET", target).json()["generation"]
    http.call("DELETE", target)


def test_a_rewrite_goes_on_only_from_the_same_source_to_the_same_target(http: Http) -> None:
    http.put(BUCKET, "large", LARGE)
    path = f"{path_of(BUCKET, 'large')}/rewriteTo/{path_of(OTHER, 'a')}"
    token = http.call("POST", path).json()["rewriteToken"]
    other = f"{path_of(BUCKET, 'large')}/rewriteTo/{path_of(OTHER, 'b')}"
    assert http.call("POST", other, params={"rewriteToken": token}).status_code == 400
    token = http.call("POST", path).json()["rewriteToken"]
    http.put(BUCKET, "large", LARGE)
    assert http.call("POST", path, params={"rewriteToken": token}).status_code == 400


@pytest.mark.parametrize("verb", ["copyTo", "rewriteTo"])
def test_a_large_object_is_copied_at_once_where_no_byte_moves(http: Http, verb: str) -> None:
    http.put(BUCKET, "large", LARGE)
    http.call("POST", f"{path_of(BUCKET, 'large')}/{verb}/{path_of(BUCKET, 'again')}").raise_for_status()
    assert data(http, BUCKET, "again") == LARGE


@pytest.mark.parametrize("verb", ["copyTo", "rewriteTo"])
def test_copies_from_and_to_nowhere_are_not_found(http: Http, verb: str) -> None:
    assert http.call("POST", f"{path_of(BUCKET, 'absent')}/{verb}/{path_of(BUCKET, 'x')}").status_code == 404
    assert http.call("POST", f"{path_of(BUCKET, 'source')}/{verb}/{path_of('absent', 'x')}").status_code == 404


def test_compose_joins_objects_in_the_order_given(http: Http) -> None:
    for name, content in (("p1", b"one,"), ("p2", b"two,"), ("p3", b"three")):
        http.put(BUCKET, name, content)
    body: dict[str, Any] = {
        "sourceObjects": [{"name": "p1"}, {"name": "p2"}, {"name": "p3"}],
        "destination": {"contentType": "text/csv", "metadata": {"joined": "yes"}},
    }
    made = http.call("POST", f"{path_of(BUCKET, 'joined')}/compose", json=body).json()
    assert (made["componentCount"], made["size"], made["contentType"]) == (3, "13", "text/csv")
    assert "md5Hash" not in made
    assert made["crc32c"] == http.put(BUCKET, "whole", b"one,two,three")["crc32c"]
    assert data(http, BUCKET, "joined") == b"one,two,three"
    # Onto one of its own sources, and counting what that is made of.
    body = {"sourceObjects": [{"name": "joined"}, {"name": "p1"}]}
    made = http.call("POST", f"{path_of(BUCKET, 'joined')}/compose", json=body).json()
    assert made["componentCount"] == 4
    assert data(http, BUCKET, "joined") == b"one,two,threeone,"


@pytest.mark.parametrize(("count", "status"), [(0, 400), (1, 200), (32, 200), (33, 400)])
def test_compose_takes_1_to_32_sources(http: Http, count: int, status: int) -> None:
    body = {"sourceObjects": [{"name": "source"}] * count}
    assert http.call("POST", f"{path_of(BUCKET, 'composed')}/compose", json=body).status_code == status


def test_compose_of_an_absent_object_is_not_found(http: Http) -> None:
    body = {"sourceObjects": [{"name": "source"}, {"name": "absent"}]}
    assert http.call("POST", f"{path_of(BUCKET, 'half')}/compose", json=body).status_code == 404
    assert http.call("GET", path_of(BUCKET, "half")).status_code == 404


def test_a_move_leaves_nothing_behind(http: Http) -> None:
    source = http.call("GET", path_of(BUCKET, "source")).json()
    made = http.call("POST", f"{path_of(BUCKET, 'source')}/moveTo/o/moved%2Fhere").json()
    assert (made["name"], made["metadata"], made["crc32c"]) == ("moved/here", {"a": "1"}, source["crc32c"])
    assert int(made["generation"]) > int(source["generation"])
    assert data(http, BUCKET, "moved/here") == b"source data"
    assert http.call("GET", path_of(BUCKET, "source")).status_code == 404


def test_a_move_onto_itself_or_from_nowhere_changes_nothing(http: Http) -> None:
    assert http.call("POST", f"{path_of(BUCKET, 'source')}/moveTo/o/source").status_code == 400
    assert http.call("POST", f"{path_of(BUCKET, 'absent')}/moveTo/o/x").status_code == 404
    assert data(http, BUCKET, "source") == b"source data"


def test_the_official_client_copies_rewrites_composes_and_moves(address: str, http: Http) -> None:
    client = storage_client(address)
    bucket = client.bucket(BUCKET)
    source = bucket.get_blob("source")
    copied = bucket.copy_blob(source, client.bucket(OTHER), "by client", if_generation_match=None)
    assert (copied.crc32c, copied.metadata) == (source.crc32c, {"a": "1"})
    target = bucket.blob("rewritten")
    assert target.rewrite(source, if_source_generation_match=source.generation) == (None, 11, 11)
    assert target.content_type == "text/csv"
    joined = bucket.blob("client joined")
    joined.compose([source, target], if_source_generation_match=[source.generation, target.generation])
    assert joined.download_as_bytes() == b"source data" * 2
    moved = bucket.move_blob(joined, "client moved")
    assert (moved.name, moved.size) == ("client moved", 22)
    assert not joined.exists()
    client.close()
