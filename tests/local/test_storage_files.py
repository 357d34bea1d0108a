"""A bucket is a folder: the server's answers reflect changes of files by hand."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from bqdump.adapters.checksums import crc32c
from forged import with_checksum_of
from local.storage_server import Http, path_of, storage_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BUCKET = "by-hand"


@pytest.fixture
def http(tmp_path: Path) -> Iterator[Http]:
    with storage_server(tmp_path, persist=True) as address, Http(address) as http:
        http.bucket(BUCKET)
        yield http


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / BUCKET


def listed(http: Http, **params: Any) -> list[tuple[str, int, str]]:
    resource = http.call("GET", f"b/{BUCKET}/o", params=params).json()
    return [(item["name"], int(item["size"]), item["crc32c"]) for item in resource.get("items", [])]


def as_object(name: str, data: bytes) -> tuple[str, int, str]:
    return name, len(data), crc32c(data)


def content(http: Http, name: str) -> bytes:
    return http.call("GET", path_of(BUCKET, name), params={"alt": "media"}).content


def remove(path: Path) -> None:
    path.unlink()


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name(".elsewhere"))
    path.symlink_to(path.with_name(".elsewhere"))


@pytest.mark.parametrize("lose", [remove, remove_folder, replace_by_folder, replace_by_link])
def test_a_file_that_is_gone_is_no_object(http: Http, folder: Path, lose: Callable[[Path], None]) -> None:
    http.put(BUCKET, "t/x", b"one")
    http.put(BUCKET, "other", b"two")
    lose(folder / "t/x")
    assert listed(http) == [as_object("other", b"two")]
    assert http.call("GET", f"b/{BUCKET}/o", params={"delimiter": "/"}).json().get("prefixes") is None
    for method in ("GET", "DELETE", "PATCH"):
        assert http.call(method, path_of(BUCKET, "t/x"), json={}).status_code == 404
    assert http.call("POST", f"{path_of(BUCKET, 't/x')}/rewriteTo/{path_of(BUCKET, 'y')}").status_code == 404
    assert http.upload(BUCKET, "t/x", b"again", ifGenerationMatch=0).ok
    assert content(http, "t/x") == b"again"


@pytest.mark.parametrize("first", ["get", "list", "media"])
def test_a_file_that_was_changed_answers_as_it_is(http: Http, folder: Path, first: str) -> None:
    before = http.put(BUCKET, "t/x", b"one", metadata={"note": "one"}, contentType="text/csv")
    with (folder / "t/x").open("ab") as file:
        file.write(b" and more")
    if first == "list":
        listed(http)
    elif first == "media":
        content(http, "t/x")
    after = http.call("GET", path_of(BUCKET, "t/x")).json()
    assert ("t/x", int(after["size"]), after["crc32c"]) == as_object("t/x", b"one and more")
    assert int(after["generation"]) > int(before["generation"])
    assert "metadata" not in after
    assert listed(http) == [as_object("t/x", b"one and more")]
    assert content(http, "t/x") == b"one and more"
    assert http.upload(BUCKET, "t/x", b"new", ifGenerationMatch=before["generation"]).status_code == 412
    assert http.upload(BUCKET, "t/x", b"new", ifGenerationMatch=after["generation"]).ok


def test_other_bytes_of_the_same_size_are_seen(http: Http, folder: Path) -> None:
    before = http.put(BUCKET, "x", b"one")
    (folder / "x").write_bytes(b"two")
    os.utime(folder / "x", ns=(1, 1))
    assert listed(http) == [as_object("x", b"two")]
    assert http.call("GET", path_of(BUCKET, "x")).json()["generation"] != before["generation"]


def test_a_file_that_was_only_touched_is_the_same_object(http: Http, folder: Path) -> None:
    before = http.put(BUCKET, "x", b"one")
    os.utime(folder / "x", ns=(1, 1))
    assert http.call("GET", path_of(BUCKET, "x")).json() == before


def test_a_file_that_was_added_is_an_object(http: Http, folder: Path) -> None:
    http.put(BUCKET, "t/x", b"one")
    (folder / "t/new").write_bytes(b"added")
    assert http.upload(BUCKET, "t/new", b"", ifGenerationMatch=0).status_code == 412
    assert listed(http, prefix="t/n") == [as_object("t/new", b"added")]
    (folder / "u/v").mkdir(parents=True)
    (folder / "u/v/w").write_bytes(b"deep")
    assert [name for name, *_ in listed(http)] == ["t/new", "t/x", "u/v/w"]
    assert http.call("GET", f"b/{BUCKET}/o", params={"delimiter": "/"}).json()["prefixes"] == ["t/", "u/"]
    assert http.call("DELETE", path_of(BUCKET, "t/new")).ok
    assert not (folder / "t/new").exists()


def test_a_file_that_was_renamed_is_another_object(http: Http, folder: Path) -> None:
    http.put(BUCKET, "t/x", b"one")
    (folder / "t").rename(folder / "moved")
    assert listed(http) == [as_object("moved/x", b"one")]
    assert http.call("GET", path_of(BUCKET, "t/x")).status_code == 404


def test_what_a_dot_hides_is_no_object(http: Http, folder: Path) -> None:
    http.put(BUCKET, ".own", b"one")
    (folder / ".DS_Store").write_bytes(b"")
    (folder / ".git").mkdir()
    (folder / ".git/HEAD").write_bytes(b"")
    assert listed(http) == [as_object(".own", b"one")]
    assert http.call("GET", path_of(BUCKET, ".git/HEAD")).status_code == 404


def test_pages_hold_what_is_there(http: Http, folder: Path) -> None:
    for number in range(9):
        http.put(BUCKET, f"{number}", b"one")
    for number in (0, 3, 4, 8):
        (folder / f"{number}").unlink()
    names, token = [], None
    while True:
        params = {"maxResults": 2, **({"pageToken": token} if token else {})}
        page = http.call("GET", f"b/{BUCKET}/o", params=params).json()
        names += [item["name"] for item in page["items"]]
        if not (token := page.get("nextPageToken")):
            break
    assert names == ["1", "2", "5", "6", "7"]


def test_a_bucket_is_empty_when_its_files_are_gone(http: Http, folder: Path) -> None:
    http.put(BUCKET, "x", b"one")
    assert http.call("DELETE", f"b/{BUCKET}").status_code == 409
    (folder / "x").unlink()
    assert http.call("DELETE", f"b/{BUCKET}").ok


def test_what_was_done_while_no_server_ran_is_seen_as_well(tmp_path: Path) -> None:
    with storage_server(tmp_path, persist=True) as address, Http(address) as http:
        http.bucket(BUCKET)
        for name in ("changed", "gone", "kept"):
            http.put(BUCKET, name, b"one")
    (tmp_path / BUCKET / "gone").unlink()
    (tmp_path / BUCKET / "changed").write_bytes(b"other")
    (tmp_path / BUCKET / "new").write_bytes(b"new")
    with storage_server(tmp_path, persist=True) as address, Http(address) as http:
        expected = {"changed": b"other", "kept": b"one", "new": b"new"}
        assert listed(http) == [as_object(name, data) for name, data in expected.items()]


def test_files_that_were_there_before_the_bucket_are_no_objects_until_they_are_changed(tmp_path: Path) -> None:
    (tmp_path / BUCKET).mkdir()
    (tmp_path / BUCKET / "old").write_bytes(b"one")
    with storage_server(tmp_path) as address, Http(address) as http:
        http.bucket(BUCKET)
        assert listed(http) == []
        (tmp_path / BUCKET / "old").write_bytes(b"changed")
        assert listed(http) == [as_object("old", b"changed")]


def test_other_bytes_of_the_same_size_and_crc32c_are_another_generation(http: Http, folder: Path) -> None:
    before = http.put(BUCKET, "x", b"one and more")
    forged = with_checksum_of(b"one and more", b"two")
    (folder / "x").write_bytes(forged)
    os.utime(folder / "x", ns=(1, 1))
    after = http.call("GET", path_of(BUCKET, "x")).json()
    assert (after["size"], after["crc32c"]) == (before["size"], before["crc32c"])
    assert int(after["generation"]) > int(before["generation"])
    assert content(http, "x") == forged
