"""The console shows what drills have proven of an export, and what restores have put in place."""

from __future__ import annotations

import asyncio
import re
import time

from msgspec.structs import replace

from bqdump.core.restore.documents import Restores
from bqdump.ports.warehouse import JobError
from bqdump.repository.repository import create
from browser.scenes import shop
from browser.site import Site
from proofs import drilled, note_of
from ui.test_app import ask


def test_the_first_page_shows_what_is_proven_and_a_failure_after_it() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    site = Site(scene.store, scene.settings)
    layout, began = scene.settings.layout, round(time.time() * 1000) - 3 * 24 * 3600 * 1000
    try:
        assert "Proven restorable:</strong> never." in ask(site, "/")[2]
        drilled(scene.store, layout, "first", began)
        page = ask(site, "/")[2]
        assert "<strong>Proven restorable:</strong> 3 of 3 tables, 3 days ago." in page
        assert 'class="badge good">proven</span>' in page
        drilled(scene.store, layout, "first", began + 1, (), ("orders",), ("<orders>: rows",))
        page = ask(site, "/")[2]
        assert "2 of 3 tables, 3 days ago; the newest drill failed: &lt;orders&gt;: rows" in page
        assert ">drill failed</span>" in page
    finally:
        site.close()


def test_a_pruned_run_with_the_id_of_this_one_proves_nothing_of_it() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    site = Site(scene.store, scene.settings)
    try:
        note = replace(note_of(scene.store, scene.settings.layout, "first", 1), snapshot=1, proofs="0" * 64)
        asyncio.run(create(scene.store, scene.settings.layout.drill("1"), note))
        assert "Proven restorable:</strong> never." in ask(site, "/")[2]
    finally:
        site.close()


def test_a_run_of_which_some_tables_were_proven_is_not_called_proven() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    site = Site(scene.store, scene.settings)
    try:
        drilled(scene.store, scene.settings.layout, "first", 1, ("orders", "customers"))
        page = ask(site, "/")[2]
        assert 'class="badge warn">2 of 3 tables proven</span>' in page
        assert ">proven</span>" not in page
    finally:
        site.close()


def test_each_drill_has_a_page_and_all_are_listed_the_newest_first() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    site = Site(scene.store, scene.settings)
    layout, began = scene.settings.layout, round(time.time() * 1000) - 3 * 24 * 3600 * 1000
    try:
        assert "No drills yet." in ask(site, "/drills")[2]
        assert "All drills" not in ask(site, "/")[2]
        drilled(scene.store, layout, "first", began)
        drilled(scene.store, layout, "first", began + 60_000, (), ("orders",), ("<orders>: rows",))
        drilled(scene.store, layout, "first", began + 120_000, ("orders",))
        assert 'href="/drills">All drills' in ask(site, "/")[2]
        listed = ask(site, "/drills")[2]
        assert listed.index("<main") < listed.index("began")
        assert re.findall(r'href="/drills/([0-9]+)"', listed) == [str(began + late) for late in (120_000, 60_000, 0)]
        assert re.findall(r'class="badge (\w+)">(\w+)<', listed) == [
            ("warn", "proven"),
            ("bad", "failed"),
            ("good", "proven"),
        ]
        assert 'href="/runs/first"' in listed
        one = ask(site, f"/drills/{began}")[2]
        assert '<div class="verdict good"><strong>Proven.</strong> 4 of 4 tables with rows came back' in one
        failed = ask(site, f"/drills/{began + 60_000}")[2]
        assert '<div class="verdict bad"><strong>Failed.</strong> 0 of 4 tables with rows' in failed
        assert "<li>&lt;orders&gt;: rows</li>" in failed
        assert ask(site, "/drills/7")[0] == 404
    finally:
        site.close()


def test_each_restore_has_a_page_and_all_are_listed_the_newest_first() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    site = Site(scene.store, scene.settings)
    try:
        assert "No restores yet." in ask(site, "/restores")[2]
        first = asyncio.run(scene.restore("copy"))
        asyncio.run(scene.restore("other", include=("orders",)))
        assert 'href="/restores">Restores' in ask(site, "/")[2]
        listed = ask(site, "/restores")[2]
        assert re.findall(r"<code>my-project\.(\w+)</code>", listed) == ["other", "copy"]
        assert re.findall(r'class="badge (\w+)">([\w ]+)<', listed) == [("good", "restored")] * 2
        assert 'href="/runs/first"' in listed
        assert f'href="/restores/{first.restore}"' in listed
        one = ask(site, f"/restores/{first.restore}")[2]
        assert '<div class="verdict good"><strong>Restored.</strong> 4 objects in place.' in one
        assert "Restore into my-project.copy" in one
        assert '<th scope="row"><code>orders</code></th><td>create</td>' in one
        assert "resumes" not in one
    finally:
        site.close()


def test_an_unfinished_restore_says_how_to_see_whether_it_runs() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    scene.warehouse.failing = lambda table, job: JobError("invalid", "<no>") if "_full" in table else None
    done = asyncio.run(scene.restore("copy"))
    site = Site(scene.store, scene.settings)
    try:
        one = ask(site, f"/restores/{done.restore}")[2]
        assert "<strong>Not finished.</strong> 0 objects in place, 4 failed." in one
        assert "<code>bqdump restores</code> also looks at its jobs, and reports whether it is running" in one
        assert f"<code>bqdump restores --abort {done.restore}</code> ends it" in one
        assert '<td>invalid</td><td class="wide">&lt;no&gt;</td>' in one
    finally:
        site.close()


def test_restores_that_cannot_be_read_are_named_and_ids_are_no_paths() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    scene.store.put_now(Restores(scene.settings.layout).restore("0123456789ab-1").plan.name, b"{")
    site = Site(scene.store, scene.settings)
    try:
        listed = ask(site, "/restores")[2]
        assert "Restore <code>0123456789ab-1</code>:" in listed
        assert ask(site, "/restores/0123456789ab-1")[0] == 500
        for name in ("0123456789ab-2", "..", "first", "%2e%2e%2fruns", "x" * 500):
            assert ask(site, f"/restores/{name}")[0] == 404, name
    finally:
        site.close()
