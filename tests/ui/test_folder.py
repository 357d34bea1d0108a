"""The console over a local folder: a bucket copied with any tool."""

from __future__ import annotations

import asyncio
import http.client
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from bqdump.adapters.folder.store import FolderStore
from bqdump.core.settings.target import Target
from browser.scenes import orders, shop
from browser.site import Site

pytestmark = pytest.mark.usefixtures("no_waiting")


def test_a_copied_bucket_is_shown_and_not_changed(tmp_path: Path) -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    orders(scene, 9)
    asyncio.run(scene.export("second"))
    for name in scene.store.names_now():
        found = scene.store.peek(name)
        assert found
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found[0])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    settings = msgspec.structs.replace(scene.settings, target=Target("file", str(tmp_path)))
    site = Site(FolderStore(tmp_path), settings)

    def read(path: str) -> str:
        connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=20)
        connection.request("GET", f"/{path}")
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    try:
        assert "Published run" in read("")
        assert "/runs/first" in read("")
        assert "Complete." in read("runs/second")
        assert "<td>2026-01-02</td>" in read("runs/second/tables/orders/files/0")
        assert "and the manifest records" in read("runs/first/tables/orders/files/0")
        assert "−1,991 rows" in read("tables/orders")
        verified = read("runs/second/verify")
        assert "All files are complete.</strong> Size and CRC32C match the manifest" in verified
        assert "This is a copy of the export." in verified
    finally:
        site.close()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
