"""Listing: pages, prefixes, delimiters, offsets, globs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump_local.storage.methods.listing import list_page
from local.storage_server import Http, storage_client, storage_server

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "listing"
NAMES = ["a", "a/1", "a/2", "a/b/1", "a/b/2", "b.csv", "c/1.csv", "c/2.json", "d/", "d/x", "é", "z"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with storage_server() as address, Http(address) as http:
        http.bucket(BUCKET)
        http.bucket("many-objects")
        for name in reversed(NAMES):
            http.put(BUCKET, name)
        for number in range(1005):
            http.put("many-objects", f"{number:04}")
        yield address


@pytest.fixture
def http(address: str) -> Iterator[Http]:
    with Http(address) as http:
        yield http


def listed(http: Http, **params: Any) -> tuple[list[str], list[str]]:
    resource = http.call("GET", f"b/{BUCKET}/o", params=params).json()
    return [item["name"] for item in resource.get("items", [])], resource.get("prefixes", [])


def test_names_come_in_the_order_of_their_bytes(http: Http) -> None:
    assert listed(http) == (sorted(NAMES, key=str.encode), [])


@pytest.mark.parametrize(
    ("params", "names", "prefixes"),
    [
        ({"prefix": "a/"}, ["a/1", "a/2", "a/b/1", "a/b/2"], []),
        ({"prefix": "a/", "delimiter": "/"}, ["a/1", "a/2"], ["a/b/"]),
        ({"delimiter": "/"}, ["a", "b.csv", "z", "é"], ["a/", "c/", "d/"]),
        ({"prefix": "d/", "delimiter": "/"}, ["d/", "d/x"], []),
        ({"delimiter": "/", "prefix": "d", "includeTrailingDelimiter": "true"}, ["d/"], ["d/"]),
        ({"startOffset": "a/b/2", "endOffset": "c/2"}, ["a/b/2", "b.csv", "c/1.csv"], []),
        ({"matchGlob": "*.csv"}, ["b.csv"], []),
        ({"matchGlob": "**.csv"}, ["b.csv", "c/1.csv"], []),
        ({"matchGlob": "c/[0-9].{csv,json}"}, ["c/1.csv", "c/2.json"], []),
        ({"matchGlob": "a/?"}, ["a/1", "a/2"], []),
        ({"matchGlob": "c/[!1]*"}, ["c/2.json"], []),
        ({"prefix": "nothing"}, [], []),
        ({"softDeleted": "true"}, [], []),
    ],
)
def test_a_prefix_and_a_delimiter_select_parts_of_a_bucket(
    http: Http, params: dict[str, str], names: list[str], prefixes: list[str]
) -> None:
    assert listed(http, **params) == (names, prefixes)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("delimiter", [None, "/"])
def test_pages_together_hold_everything_once(address: str, size: int, delimiter: str | None) -> None:
    client = storage_client(address)
    pages = client.list_blobs(BUCKET, page_size=size, delimiter=delimiter)
    names, lengths = [], []
    for page in pages.pages:
        blobs = [blob.name for blob in page]
        names += blobs
        lengths.append(len(blobs))
    assert max(lengths) <= size
    whole = client.list_blobs(BUCKET, delimiter=delimiter)
    assert names == [blob.name for blob in whole]
    assert pages.prefixes == whole.prefixes
    client.close()


def test_a_page_has_at_most_1000_objects(address: str, http: Http) -> None:
    for params in ({}, {"maxResults": "5000"}):
        resource = http.call("GET", "b/many-objects/o", params=params).json()
        assert len(resource["items"]) == 1000
        rest = http.call("GET", "b/many-objects/o", params={"pageToken": resource["nextPageToken"]}).json()
        assert [item["name"] for item in rest["items"]] == [f"{number:04}" for number in range(1000, 1005)]
        assert "nextPageToken" not in rest
    client = storage_client(address)
    assert len(list(client.list_blobs("many-objects"))) == 1005
    client.close()


def test_the_next_page_continues_while_objects_are_added_and_deleted(http: Http) -> None:
    http.bucket("changing")
    for name in "bdf":
        http.put("changing", name)
    first = http.call("GET", "b/changing/o", params={"maxResults": 1}).json()
    http.put("changing", "a")
    http.put("changing", "c")
    http.call("DELETE", "b/changing/o/b")
    rest = http.call("GET", "b/changing/o", params={"pageToken": first["nextPageToken"]}).json()
    assert [item["name"] for item in rest["items"]] == ["c", "d", "f"]


@pytest.mark.parametrize("params", [{"pageToken": "?"}, {"maxResults": "-1"}, {"matchGlob": "[z-a]"}])
def test_invalid_requests_are_refused(http: Http, params: dict[str, str]) -> None:
    assert http.call("GET", f"b/{BUCKET}/o", params=params).status_code == 400


@given(
    names=st.sets(st.text("ab/", min_size=1, max_size=5), max_size=20),
    prefix=st.text("ab/", max_size=2),
    delimiter=st.sampled_from(["", "/", "b"]),
    size=st.integers(1, 4),
)
def test_pages_of_any_size_agree_with_the_definition(names: set[str], prefix: str, delimiter: str, size: int) -> None:
    ordered = sorted(names)
    expected = set()
    for name in ordered:
        if name.startswith(prefix):
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            expected.add(("name", name) if cut < 0 else ("prefix", name[: cut + 1]))
    query = {"prefix": prefix, "delimiter": delimiter, "maxResults": str(size)}
    found = []
    while True:
        page = list_page(ordered, query)
        assert len(page.names) + len(page.prefixes) <= size
        found += [("name", name) for name in page.names] + [("prefix", name) for name in page.prefixes]
        if page.token is None:
            break
        query["pageToken"] = page.token
    assert len(found) == len(expected)
    assert set(found) == expected
