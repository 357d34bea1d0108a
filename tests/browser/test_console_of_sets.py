"""The console over a set of datasets in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from bqdump.core.errors import DatasetsFailedError
from browser.conftest import Visitor, fits_in_every_look
from browser.site import Site
from sets.world import SetWorld


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    world = SetWorld()
    world.put("sales", "bad")
    world.broken.add("bad")
    with pytest.raises(DatasetsFailedError):
        world.run("first", 2)
    site = Site(world.store, world.settings())
    yield site.url
    site.close()


def test_a_set_links_to_its_runs_and_to_each_dataset(url: str, visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(url)
    expect(page.get_by_text("2 datasets published by run first")).to_be_visible()
    expect(page.get_by_role("region", name="Failed")).to_contain_text("1 of 3 tables failed")
    fits_in_every_look(page)
    page.get_by_role("region", name="Runs").get_by_role("link", name="first").click()
    expect(page.get_by_role("row", name="ops_eu published 2 of 2")).to_be_visible()
    fits_in_every_look(page)
    page.get_by_role("link", name="ops_eu").click()
    page.get_by_role("link", name="orders", exact=True).click()
    expect(page.get_by_role("heading", name="orders")).to_be_visible()
    page.get_by_role("link", name="ops_eu", exact=True).click()
    expect(page.get_by_role("heading", name="Runs of ops_eu")).to_be_visible()
    page.get_by_role("link", name="Datasets").click()
    expect(page.get_by_role("heading", name="Datasets", level=1)).to_be_visible()
