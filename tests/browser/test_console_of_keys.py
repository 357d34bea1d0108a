"""The console in a browser where keys are trusted: runs that none of them has signed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from playwright.sync_api import expect

from bqdump.services.keys import remembering
from browser.conftest import Visitor, fits_in_every_look
from browser.site import Site
from copying.sets_scene import Sets
from observe.test_trust import public
from ui.test_trust import three_runs


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The consoles of one dataset and of a set."""
    key = public(tmp_path_factory.mktemp("keys"))
    one, sets = three_runs(), Sets()
    sets.export("n1")
    sites = []
    for store, settings in ((one.store, one.settings), (sets.world.store, sets.here)):
        own = replace(settings, trust=(key,))
        sites.append(Site(store, own, remembering(store, own)))
    yield sites[0].url, sites[1].url
    for site in sites:
        site.close()


def test_runs_that_are_not_trusted_are_shown_with_the_reason(urls: tuple[str, str], visitor: Visitor) -> None:
    page, (one, several) = visitor.page(), urls
    page.goto(one)
    expect(page.get_by_text("Published run one: complete, 4 tables")).to_be_visible()
    expect(page.get_by_text("Run three is not trusted: it is not signed.")).to_be_visible()
    expect(page.get_by_role("row", name="one complete")).to_be_visible()
    fits_in_every_look(page)
    page.get_by_role("region", name="Runs").get_by_role("link", name="two").click()
    expect(page.get_by_text("Not trusted. Reason: it is signed by another key")).to_be_visible()
    fits_in_every_look(page)
    page.get_by_role("link", name="orders", exact=True).click()
    expect(page.get_by_text("Run two is not trusted: it is signed by another key")).to_be_visible()
    fits_in_every_look(page)
    page.goto(several)
    expect(page.get_by_role("row", name="ops not trusted")).to_be_visible()
    fits_in_every_look(page)
    page.get_by_role("region", name="Runs").get_by_role("link", name="n1").click()
    expect(page.get_by_text("Not trusted. 2 datasets")).to_be_visible()
    fits_in_every_look(page)
