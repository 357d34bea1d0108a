"""Incremental exports by partition: a table that changed is exported again where it changed, and nowhere else."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from bqdump.core.documents.manifest import TableEntry
from bqdump.core.errors import VerificationError
from bqdump.export.placement.choose import running_export
from bqdump.export.run import obtain_plan, run
from bqdump.export.work.work import work
from bqdump.ports.warehouse import ExtractRequest
from export.test_partitions import MODES, REPLACE, ROWS, PartitionedExport, by_day

LATER = [*ROWS, "20260102:late"]


def incremental(settings: Any, **others: Any) -> PartitionedExport:
    return PartitionedExport(msgspec.structs.replace(settings, incremental=True, **others))


class Requests:
    """The jobs and looks at partitions since the last call."""

    def __init__(self, world: PartitionedExport, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.looks = world, list[str]()
        self._jobs: set[str] = set()
        table = world.warehouse.table

        async def counted(dataset: Any, name: str) -> Any:
            self.looks += [name.partition("$")[2]] if "$" in name else []
            return await table(dataset, name)

        monkeypatch.setattr(world.warehouse, "table", counted)

    def since(self) -> tuple[list[str], list[str]]:
        extracted = self.world.warehouse.extracted
        new = [request for job, request in extracted.items() if job not in self._jobs]
        self._jobs |= extracted.keys()
        looks, self.looks = self.looks, []
        return sorted(one.partition if isinstance(one, ExtractRequest) else "query" for one in new), sorted(looks)


def origins(entry: TableEntry) -> dict[str, str]:
    return {one.id: one.carried.run if one.carried else "" for one in entry.partitions}


@MODES
def test_only_what_changed_is_exported_again(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = incremental(settings)
    world.export()
    first, requests = world.entry(), Requests(world, monkeypatch)
    requests.since()
    world.put(LATER)
    entry = world.export("r2")
    # The small table is exported until there are three looks at it.
    assert requests.since() == (["", "20260102"], ["20260101", "20260102", "20260102", "__NULL__"])
    assert world.lines(entry) == by_day(LATER)
    assert origins(entry) == {"20260101": "r1", "20260102": "", "__NULL__": "r1"}
    unchanged = [file for file in first.files if "20260102" not in file.name]
    assert [file for file in entry.files if "20260102" not in file.name] == unchanged
    assert (entry.planned_rows, entry.expected_rows) == (5, 5)
    assert [one.partitions for one in world.plan("r2").reused_partitions] == [("20260101", "__NULL__")]
    # What was not changed since keeps its origin.
    world.put([*LATER, "20260103:new"])
    entry = world.export("r3")
    assert requests.since()[0][-1:] == ["20260103"]
    assert world.lines(entry) == by_day([*LATER, "20260103:new"])
    assert origins(entry) == {"20260101": "r1", "20260102": "r2", "20260103": "", "__NULL__": "r1"}
    assert world.manifest().removed_partitions == ()


@MODES
@pytest.mark.parametrize("expires", [False, True])
def test_a_table_or_partitions_that_expire_are_exported_where_they_changed(settings: Any, expires: bool) -> None:
    """A table, or a partition, expires as a whole: what is left of either is as it was."""
    world = incremental(settings)
    tables = world.warehouse.datasets["p", "d"]
    if expires:
        definition = msgspec.json.decode(tables["events"].definition) | {"expirationTime": "2000000000000"}
        tables["events"] = tables["events"]._replace(definition=msgspec.Raw(msgspec.json.encode(definition)))
    else:
        world.warehouse.expire("p", "d", "events", 10**12)
    world.export()
    world.put(LATER)
    assert origins(world.export("r2")) == {"20260101": "r1", "20260102": "", "__NULL__": "r1"}


@MODES
def test_an_unchanged_table_costs_no_look_at_any_partition(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = incremental(settings)
    for name in ("r1", "r2"):
        entry = world.export(name)
        assert {one.route for one in entry.partitions} == {"extract"}
    requests = Requests(world, monkeypatch)
    requests.since()
    entry = world.export("r3")
    assert requests.since() == ([], [])
    assert entry.carried
    assert world.lines(entry) == by_day(ROWS)
    # The table as a whole was unchanged; now one of its partitions is not.
    world.put(LATER)
    entry = world.export("r4")
    assert requests.since()[0] == ["20260102"]
    assert world.lines(entry) == by_day(LATER)
    assert origins(entry)["20260101"] in ("r1", "r2")


@MODES
def test_a_deletion_without_a_new_time_is_a_change(settings: Any) -> None:
    world = incremental(settings)
    world.export()
    world.put(ROWS[1:])
    entry = world.export("r2")
    assert world.lines(entry) == by_day(ROWS[1:])
    assert origins(entry) == {"20260101": "", "20260102": "r1", "__NULL__": "r1"}


@MODES
def test_a_partition_that_changed_around_its_export_is_exported_again(settings: Any) -> None:
    world = incremental(settings)
    world.warehouse.after = lambda request: world.put(LATER) if request.partition == "20260102" else None
    world.export()
    world.warehouse.after = lambda _: None
    entry = world.export("r2")
    assert world.lines(entry) == by_day(LATER)
    assert origins(entry) == {"20260101": "r1", "20260102": "", "__NULL__": "r1"}


@MODES
def test_a_change_just_after_the_snapshot_time_is_not_missed(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looked unchanged before the snapshot time, and is looked at once more."""
    world = incremental(settings)
    world.export()
    world.put([*ROWS, "20260103:new"])
    now = world.warehouse.now

    async def changing(location: str) -> int:
        at = await now(location)
        monkeypatch.setattr(world.warehouse, "now", now)
        return at

    listing, tables = 0, world.warehouse.tables

    async def counted(*args: Any) -> Any:
        nonlocal listing
        listing += 1
        if listing == 2:
            # After the snapshot time, before the looks of planning.
            world.put([*LATER, "20260103:new"])
        return await tables(*args)

    monkeypatch.setattr(world.warehouse, "now", changing)
    monkeypatch.setattr(world.warehouse, "tables", counted)
    entry = world.export("r2")
    assert world.lines(entry) == by_day([*ROWS, "20260103:new"])
    assert origins(entry)["20260102"] == ""


@MODES
def test_files_that_are_gone_are_exported_again(settings: Any) -> None:
    world = incremental(settings)
    entry = world.export()
    gone = next(file.name for file in entry.files if "20260101" in file.name)
    asyncio.run(world.store.delete([(gone, next(f.generation for f in entry.files if f.name == gone))]))
    world.put(LATER)
    entry = world.export("r2")
    assert world.lines(entry) == by_day(LATER)
    assert origins(entry) == {"20260101": "", "20260102": "", "__NULL__": "r1"}


@MODES
def test_other_settings_export_everything_again_without_queries(settings: Any) -> None:
    world = incremental(settings)
    world.export()
    world.put(LATER)
    entry = world.export("r2", header=False)
    assert world.lines(entry) == by_day(LATER)
    assert set(origins(entry).values()) == {""}
    assert {one.route for one in entry.partitions} == {"extract"}


@MODES
def test_partitions_are_exported_again_after_some_time(settings: Any) -> None:
    world = incremental(settings, full_every=86_400)
    world.export()
    world.now += 86_400_000
    world.put(LATER)
    entry = world.export("r2")
    assert set(origins(entry).values()) == {""}
    assert {one.route for one in entry.partitions} == {"extract"}


@MODES
def test_a_table_of_which_all_partitions_are_unchanged_stays_complete(settings: Any) -> None:
    """A partition was dropped, so the table has changed, and what is left has not."""
    world = incremental(settings)
    world.export()
    world.put([row for row in ROWS if not row.startswith("20260101")])
    entry = world.export("r2")
    assert world.lines(entry) == by_day([row for row in ROWS if not row.startswith("20260101")])
    assert sorted(origins(entry).values()) == ["", "r1"]
    (gone,) = world.manifest().removed_partitions
    assert gone.partitions == ("20260101",)


def test_a_run_that_replaces_files_meanwhile_is_noticed() -> None:
    world = incremental(REPLACE)
    world.export()
    world.put(LATER)
    world.now += 1000

    async def overtaken() -> None:
        early = world.task("r2")
        plan = await obtain_plan(early)
        assert plan.reused_partitions
        await work(running_export(early, plan))
        # A run of an earlier snapshot time would lose; this one is as of the same data, and exports everything.
        later = world.task("r1b", incremental=False, snapshot_time="")
        world.now -= 500
        await run(later)
        world.now += 500
        with pytest.raises(VerificationError, match="has other files of them, or none"):
            await run(world.task("r2"))

    asyncio.run(overtaken())
    assert world.lines(world.entry()) == by_day(LATER)
