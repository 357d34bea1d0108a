"""The console shows tags, and, on request, what removing each run would free."""

from __future__ import annotations

import asyncio

from bqdump.core.sizes import size_text
from bqdump.repository.notes import change_tags
from browser.scenes import shop
from browser.site import Site
from ui.test_app import ask


def test_the_first_page_shows_tags_and_storage_on_request() -> None:
    scene = shop()
    asyncio.run(scene.export("first"))
    asyncio.run(change_tags(scene.store, scene.settings.layout, "first", ["keep"]))
    site = Site(scene.store, scene.settings)
    try:
        page = ask(site, "/")[2]
        assert ">would free<" not in page
        assert ">tag keep</span>" in page
        page = ask(site, "/?storage")[2]
        assert ">would free<" in page
        sizes = sum(
            len(found[0])
            for name in scene.store.names_now()
            if "_bqdump" not in name and (found := scene.store.peek(name))
        )
        assert page.count(size_text(sizes)) > ask(site, "/")[2].count(size_text(sizes))
    finally:
        site.close()
