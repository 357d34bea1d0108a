"""A browser shows until when a copy is locked, and what an erasure has left, also where it showed more before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import expect

from bqdump import verbs
from bqdump.core.documents.target import Erasing
from bqdump.core.settings.settings import Settings
from bqdump.core.times import rfc3339
from bqdump.ports.store import ObjectStore
from browser.conftest import Visitor, fits_in_every_look
from browser.site import Site
from copying.scene import Copies
from copying.sets_scene import Sets
from opened import everywhere
from sets.world import SetWorld

Value = TypeVar("Value")
Open = Callable[[ObjectStore, Settings], Site]
DAYS = 5_000


@pytest.fixture
def site() -> Iterator[Open]:
    sites: list[Site] = []

    def start(store: ObjectStore, settings: Settings) -> Site:
        sites.append(Site(store, settings))
        return sites[-1]

    yield start
    for one in sites:
        one.close()


def off(work: Callable[[], Value]) -> Value:
    """The result, made in another thread: no event loop can run in this one while playwright has its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def on_the_page(until: int) -> str:
    """A time as pages show it."""
    return rfc3339(until)[:19].replace("T", " ")


def report(store: ObjectStore, settings: Settings, folder: Path) -> str:
    """The address of the page that `bqdump report` makes."""
    page: Any = off(lambda: asyncio.run(verbs.report(everywhere(store), settings)))
    file = folder / "report.html"
    file.write_bytes(page[1] if isinstance(page, tuple) else page)
    return file.as_uri()


def test_a_locked_copy_says_until_when_it_is_locked(site: Open, visitor: Visitor, tmp_path: Path) -> None:
    copies = off(Copies)
    off(lambda: copies.export("n1"))
    off(lambda: copies.copy("n1", lock=DAYS))
    off(lambda: copies.export("n2"))
    off(lambda: copies.copy("n2", lock=DAYS))
    manifest = copies.target.peek(copies.there.layout.run("n2").manifest.name)
    assert manifest
    until = on_the_page(manifest[1].locked_until)
    address = report(copies.target, copies.there, tmp_path)
    page = visitor.page()
    page.goto(site(copies.target, copies.there).url)
    expect(page.get_by_text(f"locked until {until}")).to_be_visible()
    expect(page.get_by_role("row", name="n2 complete published")).to_contain_text(until)
    fits_in_every_look(page)
    page.get_by_role("link", name="n2").first.click()
    expect(page.get_by_text(f"Locked copy. Its files are locked until {until}")).to_be_visible()
    fits_in_every_look(page)
    page.goto(address)
    expect(page.get_by_text("Locked copy. Its files are locked until")).to_contain_text(until)


def test_an_export_says_nothing_of_locks(site: Open, visitor: Visitor) -> None:
    copies = off(Copies)
    off(lambda: copies.export("n1"))
    page = visitor.page()
    page.goto(site(copies.source.store, copies.settings).url)
    expect(page.get_by_role("row", name="n1 complete published")).to_be_visible()
    assert page.get_by_text("locked").count() == 0


def test_a_locked_set_says_until_when_all_of_it_is_locked(site: Open, visitor: Visitor, tmp_path: Path) -> None:
    sets = off(Sets)
    off(lambda: sets.export("n1"))
    off(lambda: sets.copy(lock=DAYS))
    found = off(sets.published)
    assert found
    locks = [peeked[1].locked_until for entry in found.datasets if (peeked := sets.target.peek(entry.manifest))]
    address = report(sets.target, sets.there, tmp_path)
    page = visitor.page()
    page.goto(site(sets.target, sets.there).url)
    said = f"Locked copy. Its files are locked until {on_the_page(min(locks))}"
    expect(page.get_by_text(said)).to_be_visible()
    fits_in_every_look(page)
    page.goto(address)
    expect(page.get_by_text(said)).to_be_visible()


@pytest.mark.parametrize("prefix", ["x/", "x/sales/"])
def test_an_erasure_is_seen_on_every_page(site: Open, visitor: Visitor, prefix: str) -> None:
    world = SetWorld("ops", "sales")
    off(lambda: world.run("n1"))
    served = site(world.store, world.settings())
    page = visitor.page()

    def looks(tables: int) -> None:
        page.goto(served.url)
        expect(page.locator("dl.tiles div", has_text="tables").first).to_contain_text(str(2 + tables))
        expect(page.get_by_role("row", name="sales published").locator("td").nth(3)).to_have_text(str(tables))
        page.goto(f"{served.url}datasets/sales/runs/n1")
        expect(page.get_by_role("link", name="items")).to_have_count(tables - 1)

    looks(2)
    erasing = Erasing("items", world.clock(), "dana", "why")
    settings = world.settings(prefix=prefix)
    if prefix == "x/":
        erasing = Erasing("sales.items", world.clock(), "dana", "why")
    served.do(verbs.erase(everywhere(world.store), settings, erasing, delete=True))
    looks(1)
    if prefix == "x/":
        stored = world.store.peek(world.settings().layout.set_run("n1").report)
        assert stored
        assert b"<dd>3</dd>" in stored[0]
