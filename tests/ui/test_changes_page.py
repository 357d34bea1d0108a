"""The console and the report state what the files' checksums prove about content, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from bqdump.core.documents.changes import SAME
from bqdump.export.publish.report import report_page
from browser.scenes import Scene
from browser.site import Site
from ui.test_app import ask


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.table("prices", ["id,price", "1,10", "2,20"], id="INTEGER", price="INTEGER")
    made.table("kept", ["id", "1"], id="INTEGER")
    asyncio.run(made.export("one"))
    return made


@pytest.fixture
def site(scene: Scene) -> Iterator[Site]:
    served = Site(scene.store, scene.settings)
    yield served
    served.close()


def change_prices(scene: Scene) -> None:
    scene.table("prices", ["id,price", "1,30", "2,40"], id="INTEGER", price="INTEGER")


def test_changed_values_in_the_same_number_of_rows_are_reported(scene: Scene, site: Site) -> None:
    change_prices(scene)
    asyncio.run(scene.export("two"))
    _, _, page = ask(site, "/runs/two/changes")
    assert "content changed" in page
    assert SAME not in page
    assert "<code>kept</code>" not in page
    assert "content changed" in ask(site, "/tables/prices")[2]
    assert "same bytes" in ask(site, "/tables/kept")[2]
    _, report = asyncio.run(report_page(scene.store, scene.settings, "two", "one"))
    assert "content changed" in report.decode()


def test_equal_bytes_are_given_as_the_reason(scene: Scene, site: Site) -> None:
    asyncio.run(scene.export("two"))
    assert SAME in ask(site, "/runs/two/changes")[2]
    _, report = asyncio.run(report_page(scene.store, scene.settings, "two", "one"))
    assert SAME in report.decode()


def test_files_made_with_other_settings_are_unclear_and_the_command_is_shown(scene: Scene, site: Site) -> None:
    scene.settings = replace(scene.settings, header=False)
    change_prices(scene)
    asyncio.run(scene.export("two"))
    page = ask(site, "/runs/two/changes")[2]
    assert "unclear" in page
    assert "bqdump diff one two --values" in page


def test_the_console_shows_what_grew_since_a_run_a_date_or_a_time(scene: Scene, site: Site) -> None:
    alone = ask(site, "/growth")
    assert (alone[0], "no earlier run" in alone[2]) == (200, True)
    scene.table("prices", ["id,price", "1,10", "2,20", "3,30"], id="INTEGER", price="INTEGER")
    asyncio.run(scene.export("two"))
    assert 'href="/growth?since=7d"' in ask(site, "/")[2]
    for since in ("", "?since=one", "?since=7d", "?since=2020-01-01"):
        _, _, page = ask(site, f"/growth{since}")
        assert "+1 " in page
        assert '<a href="/tables/prices"><code>prices</code></a>' in page
        assert "<code>kept</code>" not in page
    status, _, refused = ask(site, "/growth?since=%3Cb%3E")
    assert (status, "<b>" in refused.partition("<main")[2]) == (404, False)
