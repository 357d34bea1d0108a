"""Nothing leaves an export unasked: tables that a run would not have are named, and refused or carried over."""

from __future__ import annotations

import logging

import msgspec
import pytest

from bqdump.core.errors import UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.run import run
from bqdump.ports.warehouse import JobError
from export.overlap import Overlap
from logged import logged

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory", "night/"))
KEEPING = msgspec.structs.replace(SETTINGS, path="{run}/{table}/{table}_*.{ext}")


class Night(Overlap):
    """A dataset of three tables, which run r1 has exported."""

    def files(self) -> list[str]:
        """The names of data files, without their numbers."""
        names = [name for name in self.store.names_now() if "/_bqdump/" not in name]
        return [name.replace("_000000000000", "") for name in names]

    async def removed(self) -> list[tuple[str, str, str]]:
        """The tables that the published run has removed: name, reason, and the run that had them."""
        return [(one.table, one.reason, one.run) for one in (await self.manifest()).removed]


async def night(settings: Settings = SETTINGS) -> Night:
    made = Night(settings)
    for name in "abc":
        made.put(name, name)
    await run(made.task("r1"))
    return made


async def test_excluded_tables_are_refused_until_their_removal_is_allowed(caplog: pytest.LogCaptureFixture) -> None:
    world = await night()
    before = world.store.names_now()
    for chosen in ({"include": ("a",)}, {"exclude": ("b", "c")}):
        with pytest.raises(UsageError) as refused:
            await run(world.task("r2", **chosen))
        said = str(refused.value)
        assert all(words in said for words in ("b (excluded), c (excluded)", "keep_others", "allow='removed-tables'"))
        assert world.store.names_now() == before
    with caplog.at_level(logging.WARNING):
        await run(world.task("r3", include=("a",), allow=(Risk.REMOVED_TABLES,)))
    assert len(logged(caplog, LogEvent.TABLE_REMOVED)) == 2
    assert await world.removed() == [("b", "excluded", "r1"), ("c", "excluded", "r1")]
    assert world.files() == ["night/a/a.csv"]
    found = world.store.peek("night/_bqdump/runs/r3/report.html")
    assert found
    assert b"Removed from the published export" in found[0]
    # Once is enough.
    await run(world.task("r4", include=("a",)))
    assert await world.removed() == []


async def test_an_emptied_dataset_keeps_its_export_until_removal_is_allowed() -> None:
    world = await night()
    for name in "abc":
        world.warehouse.drop("p", "d", name)
    before = world.store.names_now()
    with pytest.raises(UsageError, match=r"a \(dataset empty\), b \(dataset empty\), c \(dataset empty\)"):
        await run(world.task("r2"))
    assert world.store.names_now() == before
    await run(world.task("r3", allow=(Risk.REMOVED_TABLES,)))
    assert await world.removed() == [(name, "dataset-empty", "r1") for name in "abc"]
    assert world.files() == []


async def test_a_table_that_was_made_again_or_gets_another_extension_is_not_removed() -> None:
    world = await night()
    world.warehouse.drop("p", "d", "b")
    world.put("b", "again")
    await run(world.task("r2", format="json", compression="gzip"))
    assert await world.removed() == []
    assert world.files() == [f"night/{name}/{name}.json.gz" for name in "abc"]


async def test_files_are_not_carried_over_into_a_folder_for_each_run() -> None:
    world = await night()
    before = world.store.names_now()
    with pytest.raises(UsageError, match="Export all tables once"):
        await run(world.task("r2", path=KEEPING.path, include=("a",), keep_others=True))
    assert world.store.names_now() == before


async def test_where_runs_are_kept_the_manifest_names_files_of_the_older_run() -> None:
    world = await night(KEEPING)
    await run(world.task("r2", include=("a",), keep_others=True))
    names = [file.name for entry in (await world.manifest()).tables for file in entry.files]
    assert [name.split("/")[1] for name in names] == ["r2", "r1", "r1"]
    assert len(world.files()) == 4


async def test_a_carried_table_that_was_dropped_leaves_with_the_next_run_of_all() -> None:
    world = await night()
    some = {"include": ("a",), "keep_others": True}
    await run(world.task("r2", **some))
    world.warehouse.drop("p", "d", "b")
    await run(world.task("r3", **some))
    assert await world.origins() == {"a": "r3", "b": "r1", "c": "r1"}
    await run(world.task("r4"))
    assert await world.removed() == [("b", "dropped", "r1")]
    assert world.files() == ["night/a/a.csv", "night/c/c.csv"]


async def test_a_failed_table_of_a_partial_export_is_carried_over_as_failed() -> None:
    world = await night()
    world.warehouse.failing = lambda table, job: JobError("invalid", "no") if table == "b" else None
    await run(world.task("r2", allow_partial=True))
    world.warehouse.failing = lambda table, job: None
    await run(world.task("r3", include=("a",), keep_others=True))
    manifest = await world.manifest()
    assert (manifest.status, [one.table for one in manifest.failed]) == ("partial", ["b"])
    assert [table.table for table in manifest.left] == ["b"]
    assert "night/b/b.csv" in world.files()
    with pytest.raises(UsageError, match="b"):
        await run(world.task("r4", include=("a",)))
    await run(world.task("r5"))
    assert ((await world.manifest()).status, (await world.manifest()).left) == ("complete", ())


async def test_half_of_the_tables_may_be_dropped_and_more_may_not() -> None:
    world = await night()
    world.put("d", "d")
    await run(world.task("r2"))
    for name in "ab":
        world.warehouse.drop("p", "d", name)
    await run(world.task("r3"))
    assert await world.removed() == [("a", "dropped", "r2"), ("b", "dropped", "r2")]
    for name in "cd":
        world.warehouse.drop("p", "d", name)
    world.put("e", "e")
    with pytest.raises(UsageError, match=r"c \(dropped\), d \(dropped\)"):
        await run(world.task("r4"))
    assert world.files() == ["night/c/c.csv", "night/d/d.csv"]
