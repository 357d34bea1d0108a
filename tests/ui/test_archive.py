"""The requests of a page: few, regardless of the number of runs; immutable documents are read once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.ports.store import Note, ObjectInfo, Stored
from bqdump.ui.archive import Archive
from browser.scenes import Scene, large, older, shop
from copying.scene import Copies

pytestmark = pytest.mark.usefixtures("no_waiting")


class Counted(MemoryStore):
    """Counts requests: reads by the last part of the name, listings by page."""

    def __init__(self) -> None:
        super().__init__("exports")
        self.asked: Counter[str] = Counter()

    async def stat(self, name: str) -> ObjectInfo | None:
        """See ObjectStore."""
        self.asked["stat"] += 1
        return await super().stat(name)

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore."""
        self.asked[name.rpartition("/")[2]] += 1
        return await super().read(name, start, length)

    async def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        """See ObjectStore."""
        async for page in super().notes(prefix, start):
            self.asked["notes"] += 1
            yield page

    async def folders(self, prefix: str) -> list[str]:
        """See ObjectStore."""
        self.asked["folders"] += 1
        return await super().folders(prefix)


def counted() -> tuple[Scene, Counted, Archive]:
    scene, store = Scene(), Counted()
    scene.store = scene.warehouse.store = store
    return scene, store, Archive(store, scene.settings)


def test_a_thousand_runs_take_two_listings() -> None:
    scene, store, archive = counted()
    asyncio.run(older(scene, 1000))
    store.asked.clear()
    assert len(asyncio.run(archive.runs())) == 1000
    assert store.asked == {"folders": 1, "notes": 1}


def test_a_run_takes_one_cached_read_and_a_table_one_range_of_the_manifest() -> None:
    scene, store, archive = counted()
    asyncio.run(large(scene, 500))
    store.asked.clear()
    for _ in range(3):
        contents, line = asyncio.run(archive.line("large", "table_00321"))
    assert len(contents.tables) == 500
    assert asyncio.run(archive.entry("large", line)).table == "table_00321"
    # Whether the manifest is the one that the log is about.
    assert store.asked == {"contents.json": 1, "manifest.json": 1, "notes": 1, "stat": 3}


def test_without_its_index_a_run_is_read_from_its_manifest_once() -> None:
    scene, store, archive = counted()
    asyncio.run(large(scene, 50))
    index = scene.settings.layout.run("large").contents.name
    found = store.peek(index)
    assert found
    asyncio.run(store.delete([(index, found[1].generation)]))
    store.asked.clear()
    for _ in range(3):
        assert len(asyncio.run(archive.finished("large")).tables) == 50
    # Whether there is another manifest.
    assert store.asked == {"contents.json": 1, "manifest.json": 1, "notes": 1, "stat": 3}


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = shop()
    for number in range(4):
        asyncio.run(scene.export(f"night-{number}"))
    archive = Archive(scene.store, scene.settings)
    contents = scene.store.peek(scene.settings.layout.run("night-0").contents.name)
    assert contents
    size = len(contents[0])
    monkeypatch.setattr("bqdump.ui.archive.KEPT_BYTES", 2 * size + size // 2)
    for number in (0, 1, 2, 3, 3, 0):
        asyncio.run(archive.finished(f"night-{number}"))
    assert [name.split("/")[2] for name in archive._kept.names] == ["night-3", "night-0"]


def test_a_damaged_index_is_rebuilt_and_a_damaged_manifest_is_reported_by_name() -> None:
    scene, store, _ = counted()
    asyncio.run(large(scene, 5))
    layout = scene.settings.layout.run("large")
    contents = asyncio.run(Archive(store, scene.settings).finished("large"))
    store.put_now(layout.contents.name, b"{broken")
    assert asyncio.run(Archive(store, scene.settings).finished("large")) == contents
    store.put_now(layout.manifest.name, b"{broken")
    with pytest.raises(DocumentError, match=r"manifest\.json"):
        asyncio.run(Archive(store, scene.settings).finished("large"))


def test_a_run_copied_under_another_name_is_reported_and_not_shown_as_a_run() -> None:
    scene, store, archive = counted()
    asyncio.run(large(scene, 3))
    for name in ("manifest", "contents"):
        found = store.peek(getattr(scene.settings.layout.run("large"), name).name)
        assert found
        store.put_now(getattr(scene.settings.layout.run("copy"), name).name, found[0])
    with pytest.raises(DocumentError, match=r"runs/copy/manifest\.json: it is about run 'large'"):
        asyncio.run(archive.contents("copy"))


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "-x", "x" * 101, "a\n"])
def test_an_invalid_run_id_never_becomes_part_of_an_object_name(name: str) -> None:
    _, store, archive = counted()
    with pytest.raises(NotFoundError):
        asyncio.run(archive.contents(name))
    assert store.asked == {}


def test_a_run_that_is_said_to_be_the_newest_where_copies_are_locked_is_not() -> None:
    vault = Copies("keep")
    vault.export("r1")
    vault.copy(lock=3)
    vault.target.put_now(vault.there.layout.run("planted").planner.name, b'{"execution":"x","task":0}')
    assert asyncio.run(Archive(vault.target, vault.there).newest()) == "r1"
