"""The console shows when an export was last proven restorable."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from msgspec.structs import replace

from bqdump.core.documents.target import Drill
from bqdump.repository.repository import create
from browser.scenes import Scene, shop
from browser.site import Site
from opened import snapshot_of
from ui.test_app import ask


def drill(scene: Scene, began: int, tables: int, **changes: Any) -> Drill:
    snapshot = snapshot_of(scene.store, scene.settings.layout, "first")
    values = {"dataset": "p.d", "tool": "1", "began": began, "ended": began, "tables": tables, "of": 38, **changes}
    return Drill(run="first", snapshot=snapshot, **values)


def test_the_first_page_shows_the_newest_proof_and_a_failure_after_it() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    site = Site(scene.store, scene.settings)
    try:
        assert "Last proven restorable:</strong> never." in ask(site, "/")[2]
        began = round(time.time() * 1000) - 3 * 24 * 3600 * 1000
        good = drill(scene, began, 38)
        asyncio.run(create(scene.store, scene.settings.layout.drill("1"), good))
        page = ask(site, "/")[2]
        assert "3 days ago (all 38 tables), run" in page
        assert ">proven</span>" in page
        bad = drill(scene, began + 1, 1, different=1, problems=("<orders>: rows",))
        asyncio.run(create(scene.store, scene.settings.layout.drill("2"), bad))
        page = ask(site, "/")[2]
        assert "the newest drill failed: &lt;orders&gt;: rows" in page
        assert ">drill failed</span>" in page
    finally:
        site.close()


def test_a_pruned_run_with_the_id_of_this_one_is_not_the_last_proven() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    site = Site(scene.store, scene.settings)
    try:
        pruned = drill(scene, 1, 38)
        asyncio.run(create(scene.store, scene.settings.layout.drill("1"), replace(pruned, snapshot=1)))
        assert "Last proven restorable:</strong> never." in ask(site, "/")[2]
    finally:
        site.close()


def test_a_run_of_which_some_tables_were_proven_is_not_called_proven() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    site = Site(scene.store, scene.settings)
    try:
        some = drill(scene, 1, 3, of=4, last="c")
        asyncio.run(create(scene.store, scene.settings.layout.drill("1"), some))
        page = ask(site, "/")[2]
        assert ">3 of 4 tables proven</span>" in page
        assert ">proven</span>" not in page
    finally:
        site.close()
