"""The console shows when an export was last proven restorable."""

from __future__ import annotations

import asyncio
import time

from bqdump.core.documents.target import Drill
from bqdump.repository.repository import create
from browser.scenes import shop
from browser.site import Site
from ui.test_app import ask


def test_the_first_page_shows_the_newest_proof_and_a_failure_after_it() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    site = Site(scene.store, scene.settings)
    try:
        assert "Last proven restorable:</strong> never." in ask(site, "/")[2]
        began = round(time.time() * 1000) - 3 * 24 * 3600 * 1000
        good = Drill(run="first", snapshot=0, dataset="p.d", tool="1", began=began, ended=began, tables=38, of=38)
        asyncio.run(create(scene.store, scene.settings.layout.drill("1"), good))
        page = ask(site, "/")[2]
        assert "3 days ago (all 38 tables), run" in page
        assert ">proven</span>" in page
        bad = Drill(run="first", snapshot=0, dataset="p.d", tool="1", began=began + 1, ended=began + 1, tables=1, of=38,
                    different=1, problems=("<orders>: rows",))  # fmt: skip
        asyncio.run(create(scene.store, scene.settings.layout.drill("2"), bad))
        page = ask(site, "/")[2]
        assert "the newest drill failed: &lt;orders&gt;: rows" in page
        assert ">drill failed</span>" in page
    finally:
        site.close()


def test_a_run_of_which_some_tables_were_proven_is_not_called_proven() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    site = Site(scene.store, scene.settings)
    try:
        some = Drill(run="first", snapshot=0, dataset="p.d", tool="1", began=1, ended=1, tables=3, of=38, last="c")
        asyncio.run(create(scene.store, scene.settings.layout.drill("1"), some))
        page = ask(site, "/")[2]
        assert ">3 of 38 tables proven</span>" in page
        assert ">proven</span>" not in page
    finally:
        site.close()
