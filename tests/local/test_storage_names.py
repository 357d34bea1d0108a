"""Names of objects, and their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.storage_server import Http, path_of, storage_client, storage_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET = "names"
# What a running server holds, so that no other one uses the folder.
HELD = ".bqdump-local/lock"
HOSTILE = [
    "with space",
    "100%",
    "%2e%2e%2f",
    "a+b&c=d?e#f",
    "únïcödé/日本語/🦆",
    "e\u0301",
    "\u00e9",
    "..a",
    "x/../y",
    "../../outside",
    "/absolute",
    "//",
    "folder/",
    "./here",
    "back\\slash",
    "tab\there",
    "null\0byte",
    ".bqdump-local/objects/x",
    "-rf",
    "*",
    "quote\"'`$(x)",
    "con",
    "n" * 900,
    "d/" * 300 + "deep",
    "k" * 1024,
    "\U0010ffff",
]


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path != root / HELD]


@pytest.fixture
def http(tmp_path: Path) -> Iterator[Http]:
    with storage_server(tmp_path / "root") as address, Http(address) as http:
        http.bucket(BUCKET, softDeletePolicy={"retentionDurationSeconds": "0"})
        yield http


def test_any_name_works(http: Http, tmp_path: Path) -> None:
    client = storage_client(http.address)
    bucket = client.bucket(BUCKET)
    for name in HOSTILE:
        bucket.blob(name).upload_from_string(name.encode(), if_generation_match=0)
    assert [blob.name for blob in client.list_blobs(BUCKET)] == sorted(HOSTILE, key=str.encode)
    for name in HOSTILE:
        assert bucket.blob(name).download_as_bytes() == name.encode()
    assert {path.name for path in tmp_path.iterdir()} == {"root"}
    assert {path.name for path in (tmp_path / "root").iterdir()} == {BUCKET, ".bqdump-local"}
    for name in HOSTILE:
        bucket.blob(name).delete()
    assert list(client.list_blobs(BUCKET)) == []
    assert files_below(tmp_path / "root") == []
    client.close()


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "a\rb", "n" * 1025, ".well-known/acme-challenge/x"])
def test_names_that_the_service_refuses(http: Http, name: str) -> None:
    assert http.upload(BUCKET, name).status_code == 400
    assert http.upload_multipart(BUCKET, {"name": name}).status_code == 400
    assert http.start_resumable(BUCKET, name).status_code == 400


def test_names_must_be_utf8(http: Http) -> None:
    assert http.call("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=%ff").status_code == 400
    assert http.call("GET", f"b/{BUCKET}/o/%ff").status_code == 400


def test_objects_are_files_in_the_layout_of_the_bucket(http: Http, tmp_path: Path) -> None:
    folder = tmp_path / "root" / BUCKET
    http.put(BUCKET, "orders/orders_000000000000.csv", b"1\n")
    http.put(BUCKET, "orders/orders_000000000001.csv", b"2\n")
    assert (folder / "orders/orders_000000000000.csv").read_bytes() == b"1\n"
    http.call("POST", f"{path_of(BUCKET, 'orders/orders_000000000001.csv')}/moveTo/o/top.csv").raise_for_status()
    assert (folder / "top.csv").read_bytes() == b"2\n"
    http.call("DELETE", path_of(BUCKET, "orders/orders_000000000000.csv"))
    # A folder without objects does not exist.
    assert [path.name for path in folder.iterdir()] == ["top.csv"]
    http.call("DELETE", path_of(BUCKET, "top.csv"))
    http.call("DELETE", f"b/{BUCKET}").raise_for_status()
    assert not folder.exists()


@pytest.mark.parametrize("names", [("a", "a/b", "a/b/c"), ("a/b/c", "a/b", "a")])
def test_an_object_can_exist_next_to_a_folder_of_its_name(http: Http, names: tuple[str, ...]) -> None:
    for name in names:
        http.put(BUCKET, name, name.encode())
    for name in names:
        assert http.call("GET", path_of(BUCKET, name), params={"alt": "media"}).content == name.encode()
    http.call("DELETE", path_of(BUCKET, names[0])).raise_for_status()
    http.put(BUCKET, names[1], b"again")
    assert http.call("GET", path_of(BUCKET, names[1]), params={"alt": "media"}).content == b"again"
    assert http.call("GET", path_of(BUCKET, names[2]), params={"alt": "media"}).content == names[2].encode()


def test_names_that_differ_only_in_case_are_two_objects(http: Http) -> None:
    http.put(BUCKET, "Orders.csv", b"upper")
    http.put(BUCKET, "orders.csv", b"lower")
    assert http.call("GET", path_of(BUCKET, "Orders.csv"), params={"alt": "media"}).content == b"upper"
    assert http.call("GET", path_of(BUCKET, "orders.csv"), params={"alt": "media"}).content == b"lower"


def test_a_file_removed_by_hand_is_not_found(http: Http, tmp_path: Path) -> None:
    http.put(BUCKET, "gone")
    (tmp_path / "root" / BUCKET / "gone").unlink()
    assert http.call("GET", path_of(BUCKET, "gone"), params={"alt": "media"}).status_code == 404
    assert http.put(BUCKET, "gone", b"back")["size"] == "4"


def test_failed_uploads_leave_no_files(http: Http, tmp_path: Path) -> None:
    http.put(BUCKET, "x")
    assert http.upload(BUCKET, "x", ifGenerationMatch=0).status_code == 412
    assert http.upload_multipart(BUCKET, {"name": "y", "crc32c": "AAAAAA=="}).status_code == 400
    url = http.start_resumable(BUCKET, "z").headers["location"]
    http.call("DELETE", url)
    assert files_below(tmp_path / "root") == [tmp_path / "root" / BUCKET / "x"]


def test_a_persistent_server_has_its_objects_after_a_restart(tmp_path: Path) -> None:
    with storage_server(tmp_path, persist=True) as address, Http(address) as http:
        http.bucket(BUCKET, location="EU", labels={"a": "b"})
        bucket = http.call("GET", f"b/{BUCKET}").json()
        kept = http.put(BUCKET, "kept/object", b"kept")
        odd = http.put(BUCKET, "kept/../odd", b"odd")
        for name in ("deleted", "removed"):
            http.put(BUCKET, name)
        http.call("DELETE", path_of(BUCKET, "deleted"))
    (tmp_path / BUCKET / "removed").unlink()
    with storage_server(tmp_path, persist=True) as address, Http(address) as http:
        again = http.call("GET", f"b/{BUCKET}").json()
        items = http.call("GET", f"b/{BUCKET}/o").json()["items"]
        links = ("selfLink", "mediaLink")
        assert {**again, "selfLink": ""} == {**bucket, "selfLink": ""}
        assert [{key: item[key] for key in item if key not in links} for item in items] == [
            {key: item[key] for key in item if key not in links} for item in (odd, kept)
        ]
        assert http.call("GET", path_of(BUCKET, "kept/../odd"), params={"alt": "media"}).content == b"odd"
        assert int(http.put(BUCKET, "new")["generation"]) > int(kept["generation"])


def test_without_persistence_a_server_starts_empty(tmp_path: Path) -> None:
    with storage_server(tmp_path) as address, Http(address) as http:
        http.bucket(BUCKET)
        http.put(BUCKET, "x")
    with storage_server(tmp_path) as address, Http(address) as http:
        assert http.call("GET", "b").json() == {"kind": "storage#buckets"}
        http.bucket(BUCKET)
        assert http.upload(BUCKET, "x", ifGenerationMatch=0).ok
