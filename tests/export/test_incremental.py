"""Incremental exports: tables that provably did not change keep the files of an earlier run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bqdump.cli.commands.plan import print_plan
from bqdump.core.documents.manifest import TableEntry
from bqdump.core.documents.manifest_index import read_time_of, snapshot_of
from bqdump.core.documents.retention import PrunedRun
from bqdump.core.errors import UsageError, VerificationError
from bqdump.core.plan.summary import Planned, planned
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.core.times import rfc3339
from bqdump.export.act import TaskResult
from bqdump.export.carry import read_published
from bqdump.export.placement.choose import running_export
from bqdump.export.placement.final_names import announce
from bqdump.export.planning.draft import draft_plan
from bqdump.export.planning.survey import Earlier, Request
from bqdump.export.run import run
from bqdump.ports.warehouse import JobError
from bqdump.repository.repository import create
from bqdump_memory import MemoryWarehouse
from export.overlap import Overlap, in_a_loop, published

REPLACING = Settings(project="p", dataset="d", target=Target("gs", "memory"), incremental=True)
KEEPING = msgspec.structs.replace(REPLACING, path="{run}/{table}_*.{ext}")
BOTH = pytest.mark.parametrize("settings", [REPLACING, KEEPING], ids=["replace", "keep"])
DAY = 86_400_000


class UnchangedTables(Overlap):
    """Two tables that do not change."""

    def __init__(self, settings: Settings = REPLACING) -> None:
        super().__init__(settings)
        self.put("a", "1")
        self.put("b", "2")
        self.now += DAY

    async def run(self, name: str, **settings: Any) -> TaskResult:
        return await run(self.task(name, **settings))

    def expires(self, table: str, time: int) -> None:
        """Let a table have this expiration, in ms."""
        tables = self.warehouse.datasets["p", "d"]
        definition = msgspec.json.decode(tables[table].definition) | {"expirationTime": str(time)}
        tables[table] = tables[table]._replace(definition=msgspec.Raw(msgspec.json.encode(definition)))

    async def entry(self, table: str) -> TableEntry:
        return next(entry for entry in (await self.manifest()).tables if entry.table == table)

    async def reasons(self, **settings: Any) -> dict[str, str]:
        """Why the next run would export each table that it exports."""
        chosen = msgspec.structs.replace(self.settings, **settings)
        earlier = Earlier(self.store, await read_published(self.store, chosen))
        self.now += 1000
        draft = await draft_plan(self.warehouse, Request(chosen, "next", 1, None, earlier))
        return {table.table: table.reason for table in draft.tables}

    async def rows(self, table: str) -> list[str]:
        """The rows in the published files, each at its generation."""
        found: list[str] = []
        for file in (await self.entry(table)).files:
            stored = await self.store.read(file.name)
            assert stored.generation == file.generation
            found += stored.data.decode().split()
        return found


@BOTH
async def test_the_third_run_exports_nothing_of_what_did_not_change(settings: Settings) -> None:
    world = UnchangedTables(settings)
    await world.run("r1")
    assert await world.reasons() == {
        "a": "no reading from before its last export",
        "b": "no reading from before its last export",
    }
    await world.run("r2")
    jobs = len(world.warehouse.extracted)
    world.put("b", "2", "3")
    await world.run("r3")
    assert await world.origins() == {"a": "r2", "b": "r3"}
    assert len(world.warehouse.extracted) == jobs + 1
    assert (await world.rows("a"), await world.rows("b")) == (["1"], ["2", "3"])
    manifest, entry = await world.manifest(), await world.entry("a")
    assert (manifest.totals.tables, manifest.totals.reused, manifest.totals.carried) == (2, 1, 0)
    # Its content was read at the snapshot time of r2, and is that of r3, too.
    assert (read_time_of(manifest, entry), snapshot_of(manifest, entry)) == (world.now - 1000, world.now)
    assert manifest.oldest_snapshot_time == manifest.snapshot_time


async def test_a_table_that_expires_is_carried_like_others_until_its_expiration_changes() -> None:
    """It is dropped as a whole, so its rows do not change before."""
    world = UnchangedTables()
    for name in ("r1", "r2", "r3"):
        world.expires("a", 2_000_000_000_000)
        await world.run(name)
    assert await world.origins() == {"a": "r2", "b": "r2"}
    world.expires("a", 3_000_000_000_000)
    assert await world.reasons() == {"a": "properties changed"}


@BOTH
async def test_a_night_without_changes_is_published_without_a_job_and_without_a_warning(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    world = UnchangedTables(settings)
    for name in ("r1", "r2", "r3", "r4", "r5"):
        result = await world.run(name)
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []
    assert await world.origins() == {"a": "r2", "b": "r2"}
    assert len(world.warehouse.extracted) == 4
    assert (result.state, result.plan.tables, result.plan.unit_count) == ("published", 0, 0)
    manifest = await world.manifest()
    assert (manifest.run, manifest.number, manifest.status) == ("r5", 5, "complete")
    assert await world.rows("a") == ["1"]


async def test_readings_are_recorded_without_the_setting_so_that_it_pays_off_at_once() -> None:
    world = UnchangedTables()
    await world.run("r1", incremental=False)
    await world.run("r2", incremental=False)
    await world.run("r3")
    assert await world.origins() == {"a": "r2", "b": "r2"}


async def test_a_change_costs_one_more_export_until_a_look_from_before_exists() -> None:
    world = UnchangedTables()
    for name in ("r1", "r2"):
        await world.run(name)
    world.put("a", "1", "9")
    assert await world.reasons() == {"a": "changed: numRows 1 → 2"}
    await world.run("r3")
    assert await world.reasons() == {"a": "changed: numRows 1 → 2 (around its last export)"}
    await world.run("r4")
    await world.run("r5")
    assert await world.origins() == {"a": "r4", "b": "r2"}


class Watched(UnchangedTables):
    """A world whose table `a` has changed, and was found so by r3. Early readings are watched."""

    def __init__(self, settings: Settings = REPLACING) -> None:
        super().__init__(settings)
        self.early: list[str] = []
        self.happens: dict[str, Callable[[], None]] = {}
        self.timed = True
        table, now = self.warehouse.table, self.warehouse.now

        async def read(dataset: Dataset, name: str) -> Table | None:
            found = await table(dataset, name)
            if not self.timed:
                self.early.append(name)
                self.happens.pop("early reading", lambda: None)()
            return found

        async def clock(location: str) -> int:
            found = await now(location)
            self.timed = True
            self.happens.pop("snapshot time", lambda: None)()
            return found

        self.warehouse.__dict__.update(table=read, now=clock)

    async def run(self, name: str, **settings: Any) -> TaskResult:
        self.early, self.timed = [], False
        self.now += DAY
        return await super().run(name, **settings)

    async def changed(self) -> None:
        for name in ("r1", "r2"):
            await self.run(name)
        self.put("a", "1", "2")
        await self.run("r3")
        await self.run("r4")

    def soon(self, when: str, *rows: str) -> None:
        """Give `a` these rows at a step of the next run."""

        def change() -> None:
            self.now += 1
            self.put("a", *rows)
            self.now += 1

        self.happens[when] = change


@BOTH
async def test_a_table_that_changed_lately_is_exported_once_for_its_next_change(settings: Settings) -> None:
    world = Watched(settings)
    await world.changed()
    for number in range(5, 8):
        world.put("a", *map(str, range(number)))
        await world.run(f"r{number}")
        assert world.early == ["a"]
        assert await world.reasons() == {}
    await world.run("r8")
    assert await world.origins() == {"a": "r7", "b": "r2"}
    assert await world.rows("a") == [str(number) for number in range(7)]


async def test_a_table_that_did_not_change_for_eight_nights_is_read_once() -> None:
    world = Watched()
    await world.changed()
    read = []
    for number in range(5, 13):
        await world.run(f"r{number}")
        read.append(world.early)
    assert read == [["a"]] * 7 + [[]]


async def test_a_change_between_the_early_reading_and_the_snapshot_time_is_exported_again() -> None:
    world = Watched()
    await world.changed()
    world.put("a", "5")
    world.soon("early reading", "6")
    await world.run("r5")
    assert await world.reasons() == {
        "a": "changed: lastModifiedTime {} → {} (around its last export)".format(
            *(
                rfc3339(look.modified)
                for entry in [await world.entry("a")]
                for look in (entry.look_before, entry.look)
                if look
            )
        )
    }
    await world.run("r6")
    assert (await world.origins(), await world.rows("a")) == ({"a": "r6", "b": "r2"}, ["6"])


async def test_a_change_after_the_snapshot_time_is_not_hidden_by_the_early_reading() -> None:
    world = Watched()
    await world.changed()
    world.put("a", "5")
    world.soon("snapshot time", "5", "6")
    await world.run("r5")
    assert await world.rows("a") == ["5"]
    assert await world.reasons() == {"a": "changed: numRows 1 → 2 (around its last export)"}
    await world.run("r6")
    assert await world.rows("a") == ["5", "6"]


async def test_a_change_less_than_a_minute_before_the_snapshot_time_is_exported_twice() -> None:
    """It may be in the early reading and not in the export, if clocks of BigQuery's servers differ."""
    world = Watched()
    await world.changed()
    world.now += DAY - 30_000
    world.put("a", "5")
    world.now -= DAY - 30_000
    await world.run("r5")
    assert world.early == ["a"]
    assert list(await world.reasons()) == ["a"]
    await world.run("r6")
    assert (await world.origins(), await world.rows("a")) == ({"a": "r6", "b": "r2"}, ["5"])


async def test_an_early_reading_of_a_table_with_a_streaming_buffer_proves_nothing() -> None:
    world = Watched()
    await world.changed()
    world.put("a", "5")
    world.warehouse.buffered["a"] = 3
    world.happens["snapshot time"] = world.warehouse.buffered.clear
    await world.run("r5")
    assert world.early == ["a"]
    # The reading of r4 is older than the change.
    assert await world.reasons() == {"a": "changed: numRows 2 → 1 (around its last export)"}


async def test_without_the_setting_with_a_chosen_time_or_excluded_nothing_is_read_early() -> None:
    world = Watched()
    await world.changed()
    await world.run("r5", incremental=False)
    assert world.early == []
    await world.run("r6", exclude=("a",), keep_others=True)
    assert world.early == []
    await world.run("r7", snapshot_time=rfc3339(world.now + DAY))
    assert world.early == []
    await world.run("r8")
    assert world.early == ["a"]


async def test_rows_deleted_between_the_snapshot_time_and_the_look_after_it_are_noticed() -> None:
    world = UnchangedTables()
    first = world.now - DAY
    world.put("a", "1", "x", modified=first)
    await world.run("r1")
    late = world.task("r2")

    class Deleting(MemoryWarehouse):
        """A row is deleted after the snapshot time, and leaves the time of the rows that are left."""

        async def table(self, dataset: Any, name: str) -> Any:
            if name == "a":
                world.now += 1
                world.put("a", "1", modified=first)
            return await super().table(dataset, name)

    deleting = Deleting(world.store, lambda: world.now)
    deleting.__dict__.update(world.warehouse.__dict__)
    await run(replace(late, warehouse=deleting))
    assert await world.rows("a") == ["1", "x"]
    assert await world.reasons() == {"a": "changed: numRows 2 → 1 (around its last export)"}


async def test_plan_shows_why_each_table_is_exported() -> None:
    world = UnchangedTables()
    world.put("v", "1", kind="VIEW")
    for name in ("r1", "r2"):
        await world.run(name)
    view = {"v": "views are always exported"}
    assert await world.reasons() == view
    world.warehouse.buffered["a"] = 3
    assert await world.reasons(allow=(Risk.STREAMING_BUFFER,)) == view | {"a": "streaming buffer"}
    del world.warehouse.buffered["a"]
    assert await world.reasons(compression="gzip") == view | dict.fromkeys("ab", "settings differ: compression")
    world.now += 30 * DAY
    assert await world.reasons() == view | dict.fromkeys("ab", "older than 30d")
    assert await world.reasons(full_every=0) == view
    assert await world.reasons(incremental=False) == dict.fromkeys("abv", "")


@BOTH
async def test_files_that_are_gone_or_written_again_are_exported_anew(settings: Settings) -> None:
    world = UnchangedTables(settings)
    for name in ("r1", "r2"):
        await world.run(name)
    (a,), (b,) = (await world.entry("a")).files, (await world.entry("b")).files
    await world.store.delete([(a.name, a.generation)])
    await world.store.write(b.name, (await world.store.read(b.name)).data, None)
    assert await world.reasons() == {"a": "files gone", "b": "files were written again"}
    await world.run("r3")
    assert await world.origins() == {"a": "r3", "b": "r3"}


@BOTH
async def test_a_file_that_disappears_after_planning_refuses_the_run(settings: Settings) -> None:
    world = UnchangedTables(settings)
    for name in ("r1", "r2"):
        await world.run(name)
    late = await world.planned("r3")
    (a,) = (await world.entry("a")).files
    await world.store.delete([(a.name, a.generation)])
    with pytest.raises(VerificationError, match="is gone since run r2 exported it"):
        await published(*late)
    assert (await world.manifest()).run == "r2"


async def test_a_run_reuses_no_files_of_a_run_that_was_pruned_when_it_was_planned() -> None:
    world = UnchangedTables(KEEPING)
    layout = world.settings.layout
    for name in ("r1", "r2"):
        await world.run(name)
    world.put("b", "2", "3")
    for name in ("r3", "r4"):
        await world.run(name)
    assert await world.origins() == {"a": "r2", "b": "r4"}
    # What a run in the log names stays, whichever run has exported it.
    await create(world.store, layout.mark("r2"), PrunedRun(run="r2"))
    assert await world.reasons() == {}
    for name in ("r1", "r3", "r4"):
        await create(world.store, layout.mark(name), PrunedRun(run=name))
    assert (await world.reasons()).keys() == {"a", "b"}


@BOTH
async def test_a_run_that_is_published_meanwhile_changes_nothing_for_tables_that_did_not_change(
    settings: Settings,
) -> None:
    world = UnchangedTables(settings)
    for name in ("r1", "r2"):
        await world.run(name)
    full = await world.planned("r3", incremental=False)
    late = await world.planned("r4")
    await published(*full)
    assert (await published(*late)).result == "published"
    # Replaced files are those of the other run, kept ones are where they were.
    assert await world.origins() == dict.fromkeys("ab", "r3" if settings is REPLACING else "r2")
    assert (await world.rows("a"), await world.rows("b")) == (["1"], ["2"])
    await world.run("r5")
    assert (await world.manifest()).totals.reused == 2


async def test_files_that_another_run_replaced_with_other_content_are_not_named() -> None:
    world = UnchangedTables()
    for name in ("r1", "r2"):
        await world.run(name)
    full = await world.planned("r3", incremental=False, compression="gzip")
    late = await world.planned("r4")
    await published(*full)
    with pytest.raises(VerificationError, match=r"run r3 has other files of them, or none \(a, b\)"):
        await published(*late)
    assert (await world.manifest()).run == "r3"


async def test_nothing_is_named_again_while_a_stopped_run_was_replacing_files() -> None:
    world = UnchangedTables()
    for name in ("r1", "r2"):
        await world.run(name)
    middle, halfway = await world.planned("r3", incremental=False)
    assert await announce(running_export(middle, halfway), ["a/a_000000000000.csv"], None, ["a", "b"])
    assert await world.reasons() == dict.fromkeys("ab", "run r3 is replacing files")
    await world.run("r4")
    assert await world.origins() == {"a": "r4", "b": "r4"}


@BOTH
async def test_a_superseded_run_leaves_the_later_one_as_it_is(settings: Settings) -> None:
    world = UnchangedTables(settings)
    for name in ("r1", "r2"):
        await world.run(name)
    early = await world.planned("r3")
    world.put("a", "9")
    await world.run("r4")
    assert (await published(*early)).result == "superseded"
    assert await world.origins() == {"a": "r4", "b": "r2"}
    assert (await world.rows("a"), await world.rows("b")) == (["9"], ["2"])


async def test_a_chosen_snapshot_time_uses_looks_that_are_known_to_be_older() -> None:
    world = UnchangedTables()
    for name in ("r1", "r2"):
        await world.run(name, snapshot_time=str(world.now))
    # Nothing shows that the look of r1 is older than the snapshot time of r2, a second later.
    world.now += 60_000
    await world.run("r3", snapshot_time=str(world.now - 30_000))
    await world.run("r4", snapshot_time=str(world.now))
    assert (await world.entry("a")).carried is not None


async def test_a_look_after_a_chosen_snapshot_time_is_none_from_before_it() -> None:
    world = UnchangedTables()
    await world.run("r1")
    world.now += 1000
    chosen = world.now
    world.now += 1000
    world.put("a", "1", "x")
    # The looks of both runs see the change; their files do not, as the snapshot times are earlier.
    await world.run("r2", snapshot_time=str(chosen))
    await world.run("r3", snapshot_time=str(chosen + 1))
    assert await world.rows("a") == ["1"]
    await world.run("r4")
    assert await world.rows("a") == ["1", "x"]


async def test_a_dropped_table_leaves_by_name_and_one_created_again_is_exported() -> None:
    world = UnchangedTables()
    world.put("c", "3")
    for name in ("r1", "r2"):
        await world.run(name)
    world.warehouse.drop("p", "d", "a")
    world.warehouse.drop("p", "d", "b")
    world.put("b", "2", modified=world.now - DAY)
    assert await world.reasons() == {"b": "recreated"}
    await world.run("r3")
    assert await world.origins() == {"b": "r3", "c": "r2"}
    assert [(one.table, one.reason) for one in (await world.manifest()).removed] == [("a", "dropped")]
    assert await world.store.stat("a/a_000000000000.csv") is None


async def test_excluded_tables_are_carried_over_and_unchanged_ones_named_again() -> None:
    world = UnchangedTables()
    for name in ("r1", "r2"):
        await world.run(name)
    await world.run("r3", include=("a",), keep_others=True)
    manifest = await world.manifest()
    assert (manifest.totals.reused, manifest.totals.carried) == (1, 1)
    assert [snapshot_of(manifest, entry) for entry in manifest.tables] == [world.now, world.now - 1000]
    await world.run("r4")
    assert await world.origins() == {"a": "r2", "b": "r2"}
    assert (await world.manifest()).totals.reused == 2


@BOTH
async def test_a_table_that_changed_just_after_it_was_read_is_exported_although_a_run_has_only_carried_it_over(
    settings: Settings,
) -> None:
    world = UnchangedTables(settings)
    chosen = str(world.now)
    world.now += 1000
    world.put("a", "1", "x")
    await world.run("r1", snapshot_time=chosen)
    await world.run("r2", include=("b",), keep_others=True)
    # The look of r1 saw the change, and is all that the manifest of r2 has of this table.
    assert (await world.origins(), await world.rows("a")) == ({"a": "r1", "b": "r2"}, ["1"])
    await world.run("r3")
    assert (await world.origins(), await world.rows("a")) == ({"a": "r3", "b": "r2"}, ["1", "x"])


async def test_a_risk_of_an_unchanged_table_must_be_allowed_as_if_it_were_exported() -> None:
    world = UnchangedTables()
    times = {"timePartitioning": {"type": "DAY"}}
    table = world.warehouse.datasets["p", "d"]["a"]
    definition = msgspec.json.encode({**msgspec.json.decode(table.definition), **times})
    world.warehouse.datasets["p", "d"]["a"] = table._replace(definition=msgspec.Raw(definition))
    for name in ("r1", "r2"):
        await world.run(name, allow=(Risk.PSEUDO_COLUMNS,))
    with pytest.raises(UsageError, match="ingestion times are not exported"):
        await world.run("r3")
    await world.run("r4", allow=(Risk.PSEUDO_COLUMNS,))
    assert await world.origins() == {"a": "r2", "b": "r2"}
    assert [(flag.risk, flag.table) for flag in (await world.manifest()).flags] == [(Risk.PSEUDO_COLUMNS, "a")]


@BOTH
async def test_a_table_that_failed_is_exported_the_next_time(settings: Settings) -> None:
    world = UnchangedTables(settings)
    for name in ("r1", "r2"):
        await world.run(name)
    world.put("a", "1", "2")
    world.warehouse.failing = lambda table, _: JobError("invalid", "no") if table == "a" else None
    result = await world.run("r3", allow_partial=True)
    assert [failure.table for failure in result.failed] == ["a"]
    assert await world.origins() == {"b": "r2"}
    world.warehouse.failing = lambda _, __: None
    left = "its last export failed" if settings is REPLACING else "not in the published export"
    assert await world.reasons() == {"a": left}
    await world.run("r4")
    assert await world.origins() == {"a": "r4", "b": "r2"}


def test_plan_shows_what_is_exported_and_what_is_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    async def shown(world: UnchangedTables) -> Planned:
        world.now += 1000
        earlier = Earlier(world.store, await read_published(world.store, world.settings))
        draft = await draft_plan(world.warehouse, Request(world.settings, "next", 1, None, earlier))
        return planned(draft.plan, draft.tables)

    async def check() -> None:
        world = UnchangedTables()
        for name in ("r1", "r2"):
            await world.run(name)
        world.put("b", "2", "3")
        plan = await shown(world)
        assert [(one.table, one.run, one.rows, one.files) for one in plan.unchanged] == [("a", "r2", 1, 1)]
        assert (plan.totals["tables"], plan.totals["unchanged"], plan.totals["bytes_saved"]) == (1, 1, 1)
        print_plan(world.settings, plan)
        printed = capsys.readouterr().out
        assert "b      changed: numRows 1 → 2\n" in printed
        assert "a         1    1 B      1  r2\n" in printed
        assert "1 table unchanged since earlier runs, 1 B: not exported again.\n" in printed
        await world.run("r3")
        await world.run("r4")
        print_plan(world.settings, await shown(world))
        printed = capsys.readouterr().out
        assert printed.startswith("Nothing to export.\n")
        assert "\nUnchanged, so not exported again:\n" in printed
        assert "share" not in printed

    in_a_loop(check)


async def test_a_report_shows_since_which_run_a_table_is_unchanged() -> None:
    world = UnchangedTables()
    for name in ("r1", "r2"):
        await world.run(name)
    world.put("b", "2", "3")
    await world.run("r3")
    page = (await world.store.read(world.settings.layout.run("r3").report)).data.decode()
    assert "files of run r2, unchanged until" in page
    assert "1 table exported. 1 table unchanged since earlier runs." in page
    assert "carried over" not in page
