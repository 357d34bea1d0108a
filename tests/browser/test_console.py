"""The console in a browser: no runs and many, failed and running, searched and sorted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from playwright.sync_api import Page, Route, expect

from browser.conftest import Visitor, barriers, fits_in_every_look, too_wide
from browser.scenes import HOSTILE, Scene, large, nights, older, orders, shop
from browser.site import Site
from proofs import drilled

Serve = Callable[[Scene], Site]


def test_an_empty_target_shows_how_to_start_a_run(site: Serve, visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(site(Scene()).url)
    expect(page.get_by_text("No runs yet.")).to_be_visible()
    expect(page.get_by_text("bqdump run")).to_be_visible()
    assert barriers(page) == []


def test_a_run_links_to_its_tables_files_and_rows(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)
    served.do(scene.export("first"))
    page = visitor.page()
    page.goto(served.url)
    expect(page.get_by_text("Published run first: complete, 4 tables")).to_be_visible()
    page.get_by_role("region", name="Runs").get_by_role("link", name="first").click()
    expect(page.get_by_text("Complete. 4 tables exported. 1 object not exported.")).to_be_visible()
    expect(page.get_by_role("row", name="forecast model of the unknown kind")).to_be_visible()
    expect(page.get_by_role("region", name="Warnings")).to_contain_text("forecast")
    expect(page.get_by_role("row", name="orders_by_day view")).to_be_visible()
    page.get_by_role("link", name="customers").click()
    expect(page.get_by_role("row", name="name STRING nullable")).to_be_visible()
    page.get_by_role("link", name="customers/customers_000000000000.csv", exact=True).click()
    expect(page.get_by_text("The first 50 rows.")).to_be_visible()
    expect(page.get_by_role("row", name="50 Aiko 50")).to_be_visible()
    page.get_by_role("link", name="Run first").click()
    page.get_by_role("link", name="Verify stored files").click()
    expect(page.get_by_text("All files are complete.")).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="Changes since the previous run").click()
    expect(page.get_by_text("This is the first finished run")).to_be_visible()


def test_code_for_other_tools_is_copied_with_one_click(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)
    served.do(scene.export("first"))
    page = visitor.page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{served.url}runs/first/tables/orders")
    page.get_by_role("button", name="Copy as polars").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("import polars as pl\n\nframe = pl.scan_csv(\n")
    assert '"gs://exports/orders/orders_000000000000.csv"' in copied
    page.get_by_text("BigQuery external table", exact=True).click()
    expect(page.get_by_text("CREATE EXTERNAL TABLE")).to_be_visible()
    assert barriers(page) == []
    assert not too_wide(page)


def test_many_runs_are_charted_and_paged(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)
    served.do(nights(scene, 8))
    served.do(older(scene, 46))
    page = visitor.page()
    page.goto(served.url)
    expect(page.get_by_role("heading", name="The last 54 runs")).to_be_visible()
    assert page.get_by_role("figure").count() == 4
    expect(page.get_by_role("row", name="nightly-0004 partial")).to_be_visible()
    expect(page.get_by_role("row", name="nightly-0002 failed")).to_be_visible()
    assert page.locator("tbody tr").count() == 50
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("row", name="older-0000 complete")).to_be_visible()
    assert page.locator("tbody tr").count() == 4


def test_a_table_history_shows_when_its_columns_changed(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)
    served.do(nights(scene, 4))
    scene.table("orders", ["id,price"], id="STRING", price="NUMERIC")
    served.do(scene.export("wider"))
    page = visitor.page()
    page.goto(f"{served.url}runs/wider/tables/orders")
    page.get_by_role("link", name="History of this table").click()
    expect(page.get_by_role("row", name="wider")).to_contain_text(
        "columns +added price, −removed customer, −removed day, ~changed id"
    )
    expect(page.get_by_role("row", name="nightly-0003")).to_contain_text("+60 rows")
    page.goto(f"{served.url}runs/wider/changes")
    expect(page.get_by_role("row", name="orders changed")).to_contain_text("price")
    page.goto(f"{served.url}tables/customers")
    expect(page.get_by_role("row", name="nightly-0002")).to_contain_text("not exported")


def test_a_failed_run_shows_the_table_the_reason_and_the_fix(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)
    served.do(scene.export("broken", failing={"orders": "Access Denied: no permission"}, partial=False))
    page = visitor.page()
    page.goto(served.url)
    expect(page.get_by_text("Nothing is published.")).to_be_visible()
    page.get_by_role("link", name="Progress of broken").click()
    expect(page.get_by_text("1 table failed, 3 done; nothing was published.")).to_be_visible()
    expect(page.get_by_text("bqdump run --run-id broken")).to_be_visible()
    expect(page.get_by_role("row", name="orders invalid Access Denied")).to_be_visible()
    assert barriers(page) == []
    assert not too_wide(page)


def test_the_page_of_a_running_export_updates_itself(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)

    async def gated() -> asyncio.Semaphore:
        scene.warehouse.gate = asyncio.Semaphore(0)
        return scene.warehouse.gate

    async def let_through(gate: asyncio.Semaphore, jobs: int) -> None:
        for _ in range(jobs):
            gate.release()

    gate = served.do(gated())
    running = served.start(scene.export("live"))
    page = visitor.page()
    page.goto(f"{served.url}runs/live")
    expect(page.get_by_text("0 of 4 tables done.")).to_be_visible()
    expect(page.get_by_role("row", name="orders").first).to_be_visible()
    served.do(let_through(gate, 1))
    expect(page.get_by_text("1 of 4 tables done.")).to_be_visible()
    assert barriers(page) == []
    served.do(let_through(gate, 3))
    expect(page.get_by_text("Complete. 4 tables exported.")).to_be_visible()
    running.result(20)


def test_the_page_of_a_running_export_reloads_without_javascript(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)
    served.do(scene.export("broken", failing={"orders": "no"}, partial=False))
    page = visitor.page(script=False)
    page.goto(f"{served.url}runs/broken")
    assert page.locator('meta[http-equiv="refresh"]').count() == 1
    expect(page.get_by_text("1 table failed")).to_be_visible()


def names(page: Page) -> list[str]:
    return page.locator("#listing tbody th").all_inner_texts()


def test_ten_thousand_tables_are_filtered_while_typing_sorted_and_paged(site: Serve, visitor: Visitor) -> None:
    scene = Scene()
    served = site(scene)
    served.do(large(scene, 10_000))
    page = visitor.page()
    page.goto(f"{served.url}runs/large")
    assert len(names(page)) == 100
    expect(page.get_by_text("Page 1 of 100")).to_be_visible()
    page.get_by_role("columnheader", name="table").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="table")).to_have_attribute("aria-sort", "ascending")
    assert names(page)[:2] == ["table_00000", "table_00001"]
    page.get_by_role("searchbox", name="Filter by name").fill("_0499")
    expect(page.get_by_text("10 of 10,000 tables")).to_be_visible()
    assert names(page) == [f"table_0499{digit}" for digit in range(10)]
    page.get_by_role("columnheader", name="table").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="table")).to_have_attribute("aria-sort", "descending")
    assert names(page) == [f"table_0499{digit}" for digit in reversed(range(10))]
    expect(page.get_by_role("searchbox")).to_have_value("_0499")
    page.get_by_role("columnheader", name="size").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="size")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("searchbox", name="Filter by name").fill("nothing like this")
    expect(page.get_by_text("No table name contains 'nothing like this'.")).to_be_visible()
    page.get_by_role("searchbox", name="Filter by name").fill("")
    expect(page.get_by_text("Page 1 of 100")).to_be_visible()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("Page 2 of 100")).to_be_visible()


def test_filter_text_typed_before_the_page_finishes_loading_is_applied(site: Serve, visitor: Visitor) -> None:
    scene = Scene()
    served = site(scene)
    served.do(large(scene, 300))
    page = visitor.page()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/console.js", hold)
    with page.expect_request("**/console.js"):
        page.goto(f"{served.url}runs/large", wait_until="commit")
    page.get_by_role("searchbox", name="Filter by name").fill("_0012")
    held[0].continue_()
    expect(page.get_by_text("10 of 300 tables")).to_be_visible()


def test_the_filter_works_without_javascript(site: Serve, visitor: Visitor) -> None:
    scene = Scene()
    served = site(scene)
    served.do(large(scene, 300))
    page = visitor.page(script=False)
    page.goto(f"{served.url}runs/large")
    page.get_by_role("searchbox", name="Filter by name").fill("_0012")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("10 of 300 tables")).to_be_visible()


def test_every_page_is_accessible_and_fits_the_screen(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)
    served.do(nights(scene, 6))
    scene.table(f"evil {HOSTILE}", [f"a,{HOSTILE}", f"<b>bold</b>,{HOSTILE}\x00"])
    orders(scene, 10)
    served.do(scene.export("last", tasks=3))
    evil = f"runs/last/tables/{quote(f'evil {HOSTILE}', safe='')}"
    page = visitor.page()
    paths = ["", "runs/nightly-0003", "runs/nightly-0002", "tables/orders", evil]
    paths += [f"runs/last{path}" for path in ("", "/changes", "/verify", "/manifest", "/tables/orders")]
    for path in [*paths, "runs/last/tables/orders/files/0", f"{evil}/files/0"]:
        page.goto(served.url + path)
        assert page.locator("h1").count() == 1
        fits_in_every_look(page)
    assert page.locator("img").count() == 0
    assert page.locator("td b").count() == 0
    expect(page.get_by_text("<b>bold</b>")).to_be_visible()


def test_the_keyboard_reaches_everything_in_page_order(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)
    served.do(scene.export("first"))
    page = visitor.page()
    page.goto(f"{served.url}runs/first")
    met = []
    for _ in range(9):
        page.keyboard.press("Tab")
        met.append(page.evaluate("document.activeElement.innerText || document.activeElement.name"))
    assert met[:8] == [
        "Skip to content",
        "bqdump",
        "Runs",
        "Changes since the previous run",
        "Verify stored files",
        "Manifest",
        "q",
        met[7],
    ]
    page.get_by_role("columnheader", name="rows").get_by_role("link").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="rows")).to_have_attribute("aria-sort", "descending")


def test_missing_pages_are_reported_as_a_page(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)
    served.do(scene.export("first"))
    page = visitor.page()
    for path, sentence in {
        "nowhere": "Page not found.",
        "runs/none": "cannot find run none",
        "runs/..%2F..%2Fetc": "Page not found.",
        "runs/a%20b": "it is not a valid run id",
        "runs/first/tables/none": "run first did not export it",
        "runs/first/tables/orders/files/7": "it has 1 file",
        "tables/none": "exported it",
    }.items():
        answer = page.goto(served.url + path)
        assert answer
        assert answer.status == 404
        expect(page.get_by_text(sentence)).to_be_visible()
    # The browser itself reports each of these answers.
    assert len(visitor.troubles) == 7
    assert all("404" in trouble for trouble in visitor.troubles)
    visitor.troubles.clear()


def test_a_file_replaced_by_a_later_run_is_reported(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)
    served.do(scene.export("first"))
    orders(scene, 5)
    served.do(scene.export("second"))
    page = visitor.page()
    page.goto(f"{served.url}runs/first/tables/orders/files/0")
    expect(page.get_by_text("A later run may have replaced it.")).to_be_visible()
    # The page is an error.
    visitor.troubles.clear()


def test_drills_the_days_and_a_search_fit_every_look(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)
    served.do(nights(scene, 4))
    layout = scene.settings.layout
    # The loop of the browser runs in this thread.
    with ThreadPoolExecutor() as thread:
        thread.submit(drilled, scene.store, layout, "nightly-0003", 1_790_000_000_000).result()
        late = (1_790_000_600_000, (), ("orders",), ("orders: other values",))
        thread.submit(drilled, scene.store, layout, "nightly-0003", *late).result()
    page = visitor.page()
    page.goto(served.url)
    expect(page.get_by_role("img", name="Days: complete on")).to_be_visible()
    page.get_by_role("searchbox").fill("0002")
    expect(page.get_by_text("1 of 4 runs")).to_be_visible()
    fits_in_every_look(page)
    page.goto(served.url)
    page.get_by_role("link", name="All drills").click()
    expect(page.get_by_role("row", name="orders: other values")).to_be_visible()
    fits_in_every_look(page)
    page.get_by_role("table").get_by_role("link").first.click()
    expect(page.get_by_text("Failed. 0 of 4 tables with rows")).to_be_visible()
    fits_in_every_look(page)


def test_a_search_works_without_javascript(site: Serve, visitor: Visitor) -> None:
    scene = shop()
    served = site(scene)
    served.do(nights(scene, 4))
    page = visitor.page(script=False)
    page.goto(served.url)
    page.get_by_role("searchbox").fill("0002")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("1 of 4 runs")).to_be_visible()
