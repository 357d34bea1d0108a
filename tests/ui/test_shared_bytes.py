"""The report and the console show which part of a run's files earlier runs name as well, from its manifest alone."""

from __future__ import annotations

import asyncio
import re
from urllib.request import urlopen

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import size_text
from bqdump.repository.storage import read_storage
from browser.site import Site
from export.test_incremental import REPLACING
from export.test_incremental import UnchangedTables as Tables
from export.test_partitions import REPLACE, ROWS
from export.test_partitions import PartitionedExport as Partitions

OWN, SHARED = "exported by this run", "shared with earlier runs"


def shown(store: MemoryStore, settings: Settings, run: str, *pages: str) -> list[dict[str, str]]:
    """The tiles of a run's stored report, and of these pages of the console."""
    report = store.peek(f"_bqdump/runs/{run}/report.html")
    assert report
    site = Site(store, settings)
    try:
        texts = [report[0].decode(), *(urlopen(f"{site.url}{page}").read().decode() for page in pages)]
    finally:
        site.close()
    return [dict(re.findall(r"<dt>([^<]+)</dt>\s*<dd[^>]*>([^<]+)</dd>", text)) for text in texts]


@pytest.fixture
def unchanged() -> Tables:
    """Three runs; table a is unchanged since r2, table b is not."""
    world = Tables(REPLACING)

    async def export() -> None:
        await world.run("r1")
        await world.run("r2")
        world.put("b", "2", "3")
        await world.run("r3")

    asyncio.run(export())
    return world


def test_a_run_shows_its_own_bytes_and_those_of_earlier_runs(unchanged: Tables) -> None:
    usage = asyncio.run(read_storage(unchanged.store, unchanged.settings)).of("r3")
    assert usage.alone
    assert usage.shared
    for tiles in shown(unchanged.store, unchanged.settings, "r3", "runs/r3"):
        assert (tiles[OWN], tiles[SHARED]) == (size_text(usage.alone), size_text(usage.shared))


def test_a_run_that_shares_nothing_shows_its_file_size_only(unchanged: Tables) -> None:
    report, page = shown(unchanged.store, unchanged.settings, "r2", "runs/r2")
    assert {OWN, SHARED, "file size"} & {*report} == {OWN, SHARED, "file size"} & {*page} == {"file size"}


def test_unchanged_partitions_count_as_shared() -> None:
    world = Partitions(msgspec.structs.replace(REPLACE, incremental=True))
    world.export()
    world.put([*ROWS, "20260102:late"])
    world.export("r2")
    usage = asyncio.run(read_storage(world.store, world.settings)).of("r2")
    assert usage.alone
    assert usage.shared
    for tiles in shown(world.store, world.settings, "r2", "runs/r2"):
        assert (tiles[OWN], tiles[SHARED]) == (size_text(usage.alone), size_text(usage.shared))


def test_the_console_names_the_run_since_which_a_table_is_unchanged(unchanged: Tables) -> None:
    site = Site(unchanged.store, unchanged.settings)
    try:
        pages = {table: urlopen(f"{site.url}runs/r3/tables/{table}").read().decode() for table in "ab"}
    finally:
        site.close()
    said = {table: re.sub("<[^>]+>", "", text) for table, text in pages.items()}
    assert "unchanged since run r2" in said["a"]
    assert "unchanged since" not in said["b"]
