"""The page of a table shows how many of its partitions were exported, and how many are those of earlier runs."""

from __future__ import annotations

from urllib.request import urlopen

import msgspec

from browser.site import Site
from export.test_partitions import REPLACE, ROWS, PartitionedExport


def test_the_page_of_a_table_counts_its_partitions() -> None:
    world = PartitionedExport(msgspec.structs.replace(REPLACE, incremental=True))
    world.export()
    world.put([*ROWS, "20260102:late"])
    world.export("r2")
    site = Site(world.store, world.settings)
    try:
        shown = [urlopen(f"{site.url}runs/{run}/tables/events").read().decode() for run in ("r1", "r2")]
    finally:
        site.close()
    assert "<dt>partitions</dt><dd>3</dd>" in shown[0]
    assert "<dt>partitions</dt><dd>3, of which 2 are unchanged since earlier runs</dd>" in shown[1]
