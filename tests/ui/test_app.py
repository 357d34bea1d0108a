"""The console answers local browsers only, and changes nothing."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from bqdump.core.errors import DeniedError, DocumentError, UnavailableError, UsageError
from bqdump.ports.store import Stored
from bqdump.repository.published import read_manifest
from bqdump.ui.app import ADDRESSES, HEADERS, serve
from browser.scenes import Scene, shop
from browser.site import Site


@pytest.fixture(scope="module")
def scene() -> Scene:
    made = shop()
    asyncio.run(made.export("first"))
    return made


@pytest.fixture(scope="module")
def site(scene: Scene) -> Iterator[Site]:
    served = Site(scene.store, scene.settings)
    yield served
    served.close()


def ask(
    site: Site, path: str, method: str = "GET", host: str = "", headers: Mapping[str, str] = {}
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=20)
    connection.request(method, path, headers={**headers, **({"Host": host} if host else {})})
    answer = connection.getresponse()
    read = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    connection.close()
    return read


def paths() -> list[str]:
    return [
        address.path.replace("{run}", "first").replace("{table}", "orders").replace("{place:int}", "0")
        for address in ADDRESSES
        # tests/ui/test_restores.py has drills and restores.
        if "{began" not in address.path and "{restore}" not in address.path
    ]


@pytest.mark.parametrize("path", [*paths(), "/static/style.css", "/static/console.js", "/static/icon.svg", "/nowhere"])
def test_every_answer_has_the_security_headers(site: Site, path: str) -> None:
    status, headers, _ = ask(site, path)
    assert status == (404 if path == "/nowhere" else 200)
    assert HEADERS.items() <= headers.items()
    assert "server" not in headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "0.0.0.0", "[::1]"])
def test_other_host_names_are_refused(site: Site, host: str) -> None:
    status, _, body = ask(site, "/", host=host)
    assert status == 400
    assert "first" not in body


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "localhost:8642"])
def test_local_host_names_with_another_port_are_refused(site: Site, host: str) -> None:
    status, _, body = ask(site, "/", host=host)
    assert status == 400
    assert "first" not in body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_local_host_names_with_the_port_of_the_console_are_accepted(site: Site, host: str) -> None:
    assert ask(site, "/", host=f"{host}:{urlsplit(site.url).port}")[0] == 200


@pytest.mark.parametrize(
    ("site_", "mode", "path", "status"),
    [
        ("cross-site", "no-cors", "/runs/first/verify", 403),
        ("same-site", "cors", "/runs/first/verify", 403),
        ("cross-site", "no-cors", "/", 403),
        # A link in a message opens a page, but starts no verification.
        ("cross-site", "navigate", "/runs/first", 200),
        ("cross-site", "navigate", "/runs/first/verify", 403),
        ("cross-site", "navigate", "/datasets/shop/runs/first/verify", 403),
        ("same-origin", "navigate", "/runs/first/verify", 200),
        ("none", "navigate", "/runs/first/verify", 200),
    ],
)
def test_other_sites_can_start_no_requests(site: Site, site_: str, mode: str, path: str, status: int) -> None:
    dest = "document" if mode == "navigate" else "image"
    sent = {"Sec-Fetch-Site": site_, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    found, headers, body = ask(site, path, headers=sent)
    assert found == status
    assert HEADERS.items() <= headers.items()
    assert ("another site" in body) == (status == 403)


def test_other_sites_cannot_load_a_page_into_a_frame(site: Site) -> None:
    sent = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    assert ask(site, "/", headers=sent)[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_only_reading_methods_are_allowed(site: Site, method: str) -> None:
    assert {ask(site, path, method)[0] for path in paths()} == {405}


def test_reading_every_page_changes_no_object(site: Site, scene: Scene) -> None:
    before = {name: scene.store.peek(name) for name in scene.store.names_now()}
    for path in paths():
        ask(site, path)
    assert {name: scene.store.peek(name) for name in scene.store.names_now()} == before


@pytest.mark.parametrize(
    "path",
    [
        "/runs/first/tables/..%2f..%2fetc%2fpasswd",
        "/runs/first/tables/orders/files/-1",
        "/runs/first%00",
        "/runs/%2e%2e",
        "/static/..%2fapp.py",
        "/static/app.py",
        "/runs/first/tables/orders/files/99999999999999999999",
    ],
)
def test_paths_outside_a_manifest_are_not_found(site: Site, path: str) -> None:
    assert ask(site, path)[0] == 404


@pytest.mark.parametrize(
    "query", ["sort=nothing&page=x", "page=-1", "page=99999999999999999", "q=%00%ff", "sort=--size", "q=" + "a" * 2000]
)
def test_invalid_query_parameters_are_ignored(site: Site, query: str) -> None:
    assert ask(site, f"/runs/first?{query}")[0] == 200


def test_it_listens_on_loopback_only_and_reports_a_taken_port(site: Site, scene: Scene) -> None:
    port = urlsplit(site.url).port
    assert port
    for address in {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)} - {
        "127.0.0.1",
        "127.0.1.1",
    }:
        with socket.socket() as sock:
            assert sock.connect_ex((str(address), port)) != 0
    with pytest.raises(UsageError, match=f"cannot listen on port {port}"):
        asyncio.run(serve(scene.store, scene.settings, port, lambda address: None))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DeniedError("read", "gs://exports", "storage.objects.get is missing"), 403),
        (UnavailableError("read", "gs://exports", "no answer"), 503),
        (RuntimeError("oops"), 500),
    ],
)
def test_an_error_is_shown_as_a_page_with_its_message(
    scene: Scene, error: Exception, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(name: str, start: int = 0, length: int | None = None) -> Stored:
        raise error

    monkeypatch.setattr(scene.store, "read", failing)
    served = Site(scene.store, scene.settings)
    try:
        got, headers, body = ask(served, "/")
    finally:
        served.close()
    assert got == status
    assert "<h1>" in body
    assert "Traceback" not in body
    assert HEADERS.items() <= headers.items()
    assert str(error).rstrip(".") in body.replace("&#39;", "'")


@pytest.fixture
def damaged() -> Scene:
    made = shop()
    asyncio.run(made.export("first"))
    asyncio.run(made.export("second"))
    return made


def look(scene: Scene, path: str) -> tuple[int, str]:
    served = Site(scene.store, scene.settings)
    try:
        status, _, body = ask(served, path)
    finally:
        served.close()
    assert "Traceback" not in body
    return status, body.replace("&#39;", "'")


@pytest.mark.parametrize("data", [b"{", b'{"format_version": 2}'])
def test_an_unreadable_run_is_listed_with_its_reason(damaged: Scene, data: bytes) -> None:
    damaged.store.put_now(damaged.settings.layout.run("third").plan.name, data)
    status, body = look(damaged, "/")
    assert status == 200
    assert all(f'href="/runs/{run}"' in body for run in ("first", "second", "third"))
    assert body.count("cannot read _bqdump/runs/third/plan.json") == 1
    assert "Published run" in body
    status, body = look(damaged, "/runs/third")
    assert (status, "cannot read _bqdump/runs/third/plan.json" in body) == (500, True)
    assert "<h1>Unreadable</h1>" in body


@pytest.mark.parametrize("content", [b"", b"{}", b"{"])
def test_a_run_whose_manifest_is_damaged_is_not_shown_as_complete(content: bytes) -> None:
    made = shop()
    for run in ("first", "second"):
        asyncio.run(made.export(run))
    made.store.put_now(made.settings.layout.run("second").manifest.name, content)
    status, body = look(made, "/")
    assert status == 200
    assert 'Published run <a href="/runs/first">' in body
    assert "cannot read _bqdump/runs/second/manifest.json: it is not a valid Manifest" in body
    status, body = look(made, "/runs/second")
    assert (status, "<h1>Unreadable</h1>" in body) == (500, True)


def test_a_file_with_an_overlong_first_row_is_not_reported_as_empty() -> None:
    made = shop()
    made.table("wide", ["id,text", "1," + "x" * 200_000])
    asyncio.run(made.export("first"))
    _, body = look(made, "/runs/first/tables/wide/files/0")
    assert "The first row is too long for a preview." in body
    _, body = look(made, "/runs/first/tables/empty/files/0")
    assert "The file has no rows." in body


RUN_PAGES = ("", "/manifest", "/changes", "/tables/orders", "/tables/orders/files/0")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"settings":{', b'"settings":{},"x":{'),
        (b'"ended":1', b'"ended":0,"x":1'),
        (b'"started":1', b'"started":99999999999999,"x":1'),
        (b'"fields":[{"name":"id"', b'"fields":[{"name":7'),
    ],
)
def test_an_edited_manifest_is_not_reported_as_a_bug(damaged: Scene, old: bytes, new: bytes) -> None:
    layout = damaged.settings.layout.run("second")
    found = damaged.store.peek(layout.manifest.name)
    assert found
    assert old in found[0]
    damaged.store.put_now(layout.manifest.name, found[0].replace(old, new))
    without(damaged, layout.contents.name)
    for path in (*(f"/runs/second{page}" for page in RUN_PAGES), "/tables/orders", "/"):
        assert "This is a bug" not in look(damaged, path)[1]


def without(scene: Scene, prefix: str) -> Scene:
    """The scene after objects were deleted by hand or by a lifecycle rule."""
    gone = [
        (name, found[1].generation)
        for name in scene.store.names_now()
        if name.startswith(prefix) and (found := scene.store.peek(name))
    ]
    asyncio.run(scene.store.delete(gone))
    return scene


@pytest.mark.parametrize("prefix", ["_bqdump/runs/second/", "_bqdump/runs/"])
def test_a_deleted_published_run_is_reported_as_missing(damaged: Scene, prefix: str) -> None:
    status, body = look(without(damaged, prefix), "/")
    assert status == 200
    assert "_bqdump/runs/second/manifest.json is gone" in body
    assert "No runs yet" not in body


def test_a_missing_published_manifest_is_passed_over(damaged: Scene) -> None:
    without(damaged, "_bqdump/runs/second/manifest.json")
    assert asyncio.run(read_manifest(damaged.store, damaged.settings)).run == "first"
    with pytest.raises(DocumentError, match=r"it does not exist, although .*-second\.json shows"):
        asyncio.run(read_manifest(damaged.store, damaged.settings, "second"))


def test_failures_of_the_newest_run_are_reported() -> None:
    made = shop()
    asyncio.run(made.export("earlier"))
    asyncio.run(made.export("newest", failing={"orders": "Resources exceeded"}, partial=False))
    assert "The newest run has failed." in look(made, "/")[1]


def test_the_tables_of_a_run_are_those_whose_name_contains_the_text() -> None:
    made = shop()
    asyncio.run(made.export("first"))
    lines = {table: f'href="/runs/first/tables/{table}"' for table in ("orders", "customers")}
    unfiltered, filtered = (look(made, f"/runs/first{query}")[1] for query in ("", "?q=ORD"))
    assert [line in unfiltered for line in lines.values()] == [True, True]
    assert [line in filtered for line in lines.values()] == [True, False]


def test_a_run_of_an_empty_dataset_shows_no_tables() -> None:
    made = Scene()
    asyncio.run(made.export("first"))
    assert "This run exported no tables." in look(made, "/runs/first")[1]
    assert "No table name contains 'x'." in look(made, "/runs/first?q=x")[1]


def test_unreadable_runs_beyond_the_first_five_are_counted(damaged: Scene) -> None:
    for number in range(8):
        damaged.store.put_now(damaged.settings.layout.run(f"broken-{number}").plan.name, b"")
    _, body = look(damaged, "/")
    assert body.count("cannot read ") == 5
    assert "3 more runs cannot be read." in body


def test_a_table_history_includes_an_unreadable_run(damaged: Scene) -> None:
    layout = damaged.settings.layout.run("first")
    damaged.store.put_now(layout.contents.name, b"{")
    damaged.store.put_now(layout.manifest.name, b"{")
    status, body = look(damaged, "/tables/orders")
    assert status == 200
    assert 'href="/runs/second/tables/orders"' in body
    assert "cannot read _bqdump/runs/first/manifest.json" in body
