"""The report in a browser: opened as a file, sorted, filtered, printed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Visitor, fits_in_every_look
from browser.scenes import HOSTILE, Scene, orders, shop


def alone(work: Coroutine[Any, Any, None]) -> None:
    """Run it in its own thread: playwright uses this one's event loop."""
    thread = threading.Thread(target=asyncio.run, args=(work,))
    thread.start()
    thread.join()


async def two_exports(scene: Scene) -> None:
    await scene.export("before")
    orders(scene, 3000)
    scene.table("customers", ["id,name,born"], id="INTEGER", name="STRING", born="DATE")
    scene.table(f"evil {HOSTILE}", [HOSTILE])
    await scene.export("after", failing={"empty": f"Not found: {HOSTILE}"}, tasks=3)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """The report of a partial export with changes, as a file."""
    scene = shop()
    alone(two_exports(scene))
    found = scene.store.peek(scene.settings.layout.run("after").report)
    assert found
    path = tmp_path / "report.html"
    path.write_bytes(found[0])
    return path


def test_the_report_is_accessible_and_fits_the_screen(report: Path, visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(report.as_uri())
    expect(page.get_by_text("1 table failed; 4 tables exported and published.")).to_be_visible()
    titles = " ".join(page.get_by_role("heading", level=2).all_inner_texts())
    for title in ("Timeline", "Tables", "Failed", "Not exported", "Not at the snapshot time", "Changes"):
        assert title in titles
    fits_in_every_look(page)
    assert page.locator("img").count() == 0


def shown(page: Page) -> list[str]:
    return page.locator("#tables ~ .scroll").first.locator("tbody tr:visible th").all_inner_texts()


def test_tables_can_be_sorted_by_click_and_key_and_filtered(report: Path, visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(report.as_uri())
    tables = page.get_by_role("region", name="Tables")
    head = tables.get_by_role("columnheader", name="rows")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert shown(page)[0] == "orders"
    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert shown(page)[-1] == "orders"
    tables.get_by_role("columnheader", name="table").get_by_role("button").press("Space")
    assert shown(page)[0] == "customers"
    expect(head).not_to_have_attribute("aria-sort", "ascending")
    page.get_by_role("searchbox", name="Filter by name").fill("ORDERS")
    assert sorted(shown(page)) == ["orders", "orders_by_day"]
    expect(page.get_by_role("status")).to_have_text("2 of 4 shown")


def test_the_report_shows_the_same_without_javascript(report: Path, visitor: Visitor) -> None:
    page = visitor.page(script=False)
    page.goto(report.as_uri())
    assert len(shown(page)) == 4
    expect(page.get_by_role("searchbox")).to_be_hidden()
    assert page.get_by_role("button").count() == 0


def test_the_printed_report_is_white_and_has_no_controls(report: Path, visitor: Visitor) -> None:
    page = visitor.page(dark=True)
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper')") == "#fff"
    expect(page.get_by_role("searchbox")).to_be_hidden()
    expect(page.get_by_role("navigation")).to_be_hidden()
    assert len(page.pdf(format="A4")) > 10_000


def test_the_report_of_a_failed_run_is_accessible_and_fits_the_screen(tmp_path: Path, visitor: Visitor) -> None:
    scene = shop()
    alone(scene.export("night", failing={"empty": f"Not found: {HOSTILE}"}, partial=False))
    found = scene.store.peek(scene.settings.layout.run("night").failed_report("night"))
    assert found
    path = tmp_path / "failed.html"
    path.write_bytes(found[0])
    page = visitor.page()
    page.goto(path.as_uri())
    expect(page.get_by_text("1 table failed, 3 of 4 tables done. This run published nothing")).to_be_visible()
    expect(page.get_by_text("bqdump run --run-id night")).to_be_visible()
    fits_in_every_look(page)
