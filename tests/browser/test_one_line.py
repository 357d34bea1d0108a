"""Numbers and times stay on one line, on a desk and on a phone: in a tile, and in a table, with how long ago it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from bqdump import verbs
from bqdump.core.restore.documents import Restores
from bqdump.ports.warehouse import JobError
from browser.conftest import Visitor, too_wide
from browser.scenes import START, Scene, nights, shop
from browser.site import Site
from proofs import drilled

WIDTHS = (1280, 900, 400)
# What has a second line below its first, and times that are wider than their cell.
BROKEN = """() => [...document.querySelectorAll("dl.tiles dt, dl.tiles dd, table time, .when > *")].filter(one => {
  const range = document.createRange();
  range.selectNodeContents(one);
  const boxes = [...range.getClientRects()].filter(box => box.width > 0);
  const line = parseFloat(getComputedStyle(one).fontSize), cell = one.closest("td, th, div").getBoundingClientRect();
  return boxes.some(box => box.top > boxes[0].top + line || box.right > cell.right);
}).map(one => one.textContent)"""
PAGES = ("", "runs/nightly-0003", "runs/nightly-0003/changes", "runs/nightly-0003/tables/orders", "tables/orders",
         "growth?since=7d", "restores", "drills", f"drills/{START}")  # fmt: skip


def alone(work: Callable[[], Any]) -> Any:
    """Its result, from a thread of its own: playwright uses this one's event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def broken(page: Page) -> list[tuple[int, str]]:
    """What is broken, by the width of the window; "" for a page that scrolls sideways."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        found += [(width, text) for text in page.evaluate(BROKEN)]
        found += [(width, "")] if too_wide(page) else []
    return found


async def restored(scene: Scene) -> list[str]:
    """The ids of a restore that is done, and of one that failed."""
    done = await scene.restore("copy")
    scene.warehouse.failing = lambda table, job: JobError("invalid", "no") if "_1_" in table else None
    return [done.restore, (await scene.restore("restored_after_an_incident")).restore]


@pytest.fixture
def scene() -> Scene:
    """Four nights: the second one failed, and the third one was partial."""
    made = shop()
    made.table("many", ["id", *map(str, range(30_000))], id="INTEGER")
    alone(lambda: asyncio.run(nights(made, 4)))
    return made


def test_tiles_and_times_of_the_console_stay_on_one_line(scene: Scene, visitor: Visitor) -> None:
    ids = alone(lambda: asyncio.run(restored(scene)))
    alone(lambda: drilled(scene.store, scene.settings.layout, "nightly-0003", START))
    page, site = visitor.page(), Site(scene.store, scene.settings)
    try:
        for path in (*PAGES, *(f"restores/{one}" for one in ids)):
            answer = page.goto(site.url + path)
            assert answer
            assert (answer.status, broken(page)) == (200, []), path
    finally:
        site.close()


def test_tiles_and_times_of_reports_stay_on_one_line(scene: Scene, tmp_path: Path, visitor: Visitor) -> None:
    ids = alone(lambda: asyncio.run(restored(scene)))
    page, layout = visitor.page(), scene.settings.layout
    names = [layout.run(f"nightly-000{night}").report for night in (0, 2, 3)]
    names += [Restores(layout).restore(ids[0]).report]
    files = [found[0] for found in map(scene.store.peek, names) if found]
    files += [alone(lambda: asyncio.run(verbs.report(lambda _: scene.store, scene.settings, drill=True)))[1]]
    assert len(files) == 5
    for number, data in enumerate(files):
        path = tmp_path / f"{number}.html"
        path.write_bytes(data)
        page.goto(path.as_uri())
        assert broken(page) == [], number
