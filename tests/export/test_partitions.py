"""Exports by partition: each partition is as of the snapshot time, in files of its own, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.run import Owner, Plan, Receipt
from bqdump.core.documents.units import Changed, GivenUp
from bqdump.core.errors import TablesFailedError, UsageError
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.table_settings import parse_tables
from bqdump.core.settings.target import Target
from bqdump.core.times import rfc3339
from bqdump.core.units.tables import FIRST_QUERY
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import ReadRoute, Task
from bqdump.pool.units import record_end
from bqdump.ports.warehouse import ExtractRequest, Job, JobError
from bqdump.repository.published import read_manifest
from bqdump_memory import MemoryEncoder, MemoryReader, MemoryWarehouse

REPLACE = Settings(project="p", dataset="d", target=Target("gs", "memory"), partitions_min_bytes=1,
                   path="{table}/day={partition}/{table}_*.{ext}")  # fmt: skip
KEEP = msgspec.structs.replace(REPLACE, path="{run}/{table}/day={partition}/{table}_*.{ext}")
MODES = pytest.mark.parametrize("settings", [REPLACE, KEEP], ids=["replace", "keep"])
ROWS = ["20260101:a", "20260101:b", "20260102:c", "__NULL__:d"]


class Changing(MemoryWarehouse):
    """A warehouse in which something happens at each extract job, before or after it has read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.before: Callable[[ExtractRequest], None] = lambda _: None
        self.after: Callable[[ExtractRequest], None] = lambda _: None

    def expire(self, project: str, dataset: str, table: str, after: int) -> None:
        """Let the partitions of a table expire after so many milliseconds."""
        found = self.datasets[project, dataset][table]
        definition = msgspec.json.decode(found.definition)
        definition["timePartitioning"]["expirationMs"] = str(after)
        self.datasets[project, dataset][table] = found._replace(definition=msgspec.Raw(msgspec.json.encode(definition)))

    async def extract(self, request: ExtractRequest) -> Job:
        self.before(request)
        job = await super().extract(request)
        while (job := await self.job(job.id, "US")).state != "done":
            await asyncio.sleep(0)
        self.after(request)
        return job


class PartitionedExport:
    """A partitioned table and another one."""

    def __init__(self, settings: Settings, rows: list[str] | None = None) -> None:
        self.now, self.settings, self.store = 1_790_000_000_000, settings, MemoryStore()
        self.warehouse = Changing(self.store, lambda: self.now)
        self.put(ROWS if rows is None else rows)
        self.warehouse.put("p", "d", "small", ["x"])
        self.now += 1000
        reading = ReadRoute(MemoryReader(self.warehouse, lambda: self.now), MemoryEncoder(), 1)
        self._open = lambda: reading

    def put(self, rows: list[str]) -> None:
        self.now += 1000
        self.warehouse.put("p", "d", "events", rows, partitioned=True)

    def task(self, name: str, number: int = 0, of: int = 1, **settings: Any) -> Task:
        chosen = msgspec.structs.replace(self.settings, **settings)
        return Task(
            self.store, self.warehouse, chosen, name, Owner(f"e-{name}", number), of, open_read_route=self._open
        )

    def export(self, name: str = "r1", **settings: Any) -> TableEntry:
        self.now += 1000
        asyncio.run(run(self.task(name, **settings)))
        return self.entry()

    def manifest(self) -> Manifest:
        return asyncio.run(read_manifest(self.store, self.settings))

    def plan(self, name: str) -> Plan:
        """The plan of a run."""
        document = self.settings.layout.run(name).plan
        found = self.store.peek(document.name)
        assert found
        return decode(found[0], Plan, document.name)

    def entry(self, table: str = "events") -> TableEntry:
        return next(entry for entry in self.manifest().tables if entry.table == table)

    def lines(self, entry: TableEntry) -> dict[str, list[str]]:
        """The exported lines, by partition."""
        files, found = list(entry.files), {}
        for partition in entry.partitions:
            own, files = files[: partition.files], files[partition.files :]
            stored = [self.store.peek(file.name) for file in own]
            found[partition.id] = sorted(b"".join(one[0] for one in stored if one).decode().splitlines())
        assert not files
        return found

    def data(self) -> list[str]:
        return sorted(name for name in self.store.names_now() if name.endswith(".csv"))


def by_day(rows: list[str]) -> dict[str, list[str]]:
    days = sorted({row.partition(":")[0] for row in rows})
    return {day: [row for row in rows if row.startswith(f"{day}:")] for day in days}


@MODES
def test_each_partition_has_a_folder_of_files(settings: Settings) -> None:
    world = PartitionedExport(settings)
    entry = world.export()
    assert world.lines(entry) == by_day(ROWS)
    run_ = "r1/" if settings is KEEP else ""
    assert world.data() == [
        f"{run_}events/day=20260101/events_000000000000.csv",
        f"{run_}events/day=20260102/events_000000000000.csv",
        f"{run_}events/day=__HIVE_DEFAULT_PARTITION__/events_000000000000.csv",
        f"{run_}small/small_000000000000.csv",
    ]
    assert [file.name for file in entry.files] == world.data()[:3]
    assert [(one.id, one.route, one.planned_rows) for one in entry.partitions] == [
        ("20260101", "extract", 2), ("20260102", "extract", 1), ("__NULL__", "extract", 1)
    ]  # fmt: skip
    assert all(one.look and one.look.rows == one.planned_rows for one in entry.partitions)
    assert (entry.planned_rows, entry.expected_rows) == (4, 4)


@MODES
def test_several_tasks_share_the_partitions_of_a_table(settings: Settings) -> None:
    rows = [f"202601{day:02}:{number}" for day in range(1, 29) for number in range(2)]
    world = PartitionedExport(settings, rows)

    async def check() -> list[str]:
        ended = await asyncio.gather(*(run(world.task("r1", number, 3)) for number in range(3)))
        return sorted(one.state for one in ended)

    assert "published" in asyncio.run(check())
    assert world.lines(world.entry()) == by_day(rows)
    tasks = {request.partition: job for job, request in world.warehouse.extracted.items()
             if isinstance(request, ExtractRequest) and request.partition}  # fmt: skip
    assert len(tasks) == 28


@MODES
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_partition_that_changes_while_it_is_extracted_is_read_as_of_the_snapshot_time(
    settings: Settings, moment: str
) -> None:
    world = PartitionedExport(settings)

    def change(request: ExtractRequest) -> None:
        if request.partition == "20260102":
            world.put([*ROWS, "20260102:late"])

    setattr(world.warehouse, moment, change)
    entry = world.export()
    assert world.lines(entry) == by_day(ROWS)
    routes = {one.id: (one.route, one.look is None) for one in entry.partitions}
    assert routes == {"20260101": ("extract", False), "20260102": ("query", True), "__NULL__": ("extract", False)}
    assert len(world.data()) == 4


@MODES
def test_a_deletion_is_seen_although_it_leaves_no_time(settings: Settings) -> None:
    world = PartitionedExport(settings)

    def delete(request: ExtractRequest) -> None:
        if request.partition == "20260101" and "_0" in request.job_id:
            world.put(ROWS[1:])

    world.warehouse.before = delete
    assert world.lines(world.export()) == by_day(ROWS)


@MODES
def test_what_changed_while_the_export_was_planned_is_read_as_of_the_snapshot_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, later = PartitionedExport(settings), [*ROWS[1:], "20260102:late", "20260103:new"]
    tables = world.warehouse.tables
    listings = iter((ROWS, later))

    async def changing(*args: Any) -> Any:
        # The second listing follows the snapshot time.
        if next(listings, None) is later:
            world.put(later)
        return await tables(*args)

    monkeypatch.setattr(world.warehouse, "tables", changing)
    lines = world.lines(world.export())
    assert lines == by_day(ROWS) | {"20260103": []}


@MODES
def test_what_changed_just_before_the_snapshot_time_is_exported(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, later = PartitionedExport(settings), [*ROWS[1:], "20260102:late", "20260103:new"]
    now, requested = world.warehouse.now, iter((later,))

    async def changing(location: str) -> int:
        if rows := next(requested, None):
            world.put(rows)
            world.now += 1000
        return await now(location)

    monkeypatch.setattr(world.warehouse, "now", changing)
    entry = world.export()
    assert world.lines(entry) == by_day(later)
    assert {one.id: one.route for one in entry.partitions} == {
        "20260101": "query", "20260102": "query", "20260103": "query", "__NULL__": "extract"
    }  # fmt: skip


@MODES
def test_a_chosen_snapshot_time_is_older_than_any_look_so_queries_read_all_partitions(settings: Settings) -> None:
    world = PartitionedExport(settings)
    then = rfc3339(world.now)
    world.put(["20260102:other"])
    entry = world.export(snapshot_time=then)
    assert world.lines(entry) == by_day(ROWS)
    assert {one.route for one in entry.partitions} == {"query"}
    assert (entry.planned_rows, entry.rows, entry.expected_rows) == (4, 4, 4)


def test_without_queries_a_change_fails_the_table_by_name() -> None:
    world = PartitionedExport(msgspec.structs.replace(REPLACE, route="extract"))
    world.warehouse.before = lambda request: world.put([*ROWS, "20260102:late"]) if request.partition else None
    with pytest.raises(
        TablesFailedError, match=r"partition .*: it was changed since the snapshot time, and the settings"
    ):
        world.export()


@MODES
def test_rows_that_are_streamed_in_leave_all_partitions_to_queries(settings: Settings) -> None:
    world = PartitionedExport(settings)
    world.warehouse.buffered["events"] = 3
    entry = world.export(allow=(Risk.STREAMING_BUFFER,))
    assert world.lines(entry) == by_day(ROWS)
    assert {(one.route, one.look) for one in entry.partitions} == {("query", None)}


@MODES
def test_a_partition_that_fails_fails_its_table_and_leaves_its_earlier_files(settings: Settings) -> None:
    world = PartitionedExport(settings)
    world.export()
    world.put([*ROWS, "20260102:late"])
    units = iter(("20260102",))
    bad = JobError("invalid", "It cannot be read.")
    failing: dict[str, JobError] = {}
    world.warehouse.failing = lambda _, job: failing.get(job)
    world.warehouse.before = lambda one: failing.update({one.job_id: bad} if one.partition in units else {})
    with pytest.raises(TablesFailedError, match=r"events: invalid: partition 20260102: It cannot be read"):
        world.export("r2")
    units = iter(("20260102",))
    world.now += 1000
    asyncio.run(run(world.task("r3", allow_partial=True)))
    manifest = world.manifest()
    assert [entry.table for entry in manifest.tables] == ["small"]
    assert [failure.message for failure in manifest.failed] == ["partition 20260102: It cannot be read."]
    left = [file.name for table in manifest.left for file in table.files]
    if settings is REPLACE:
        assert left == [name for name in world.data() if "events" in name]
    assert len(left) == (3 if settings is REPLACE else 0)


@MODES
def test_the_read_route_reads_partition_by_partition(settings: Settings) -> None:
    world = PartitionedExport(msgspec.structs.replace(settings, route="read"))
    entry = world.export()
    assert world.lines(entry) == by_day(ROWS)
    assert [(one.route, one.rows) for one in entry.partitions] == [("read", 2), ("read", 1), ("read", 1)]


@MODES
def test_a_small_table_is_one_and_leaves_the_folder_of_partitions_out(settings: Settings) -> None:
    world = PartitionedExport(msgspec.structs.replace(settings, partitions_min_bytes=1000))
    entry = world.export()
    assert entry.partitions == ()
    assert [file.name.removeprefix("r1/") for file in entry.files] == ["events/events_000000000000.csv"]


@MODES
def test_the_last_section_that_matches_a_table_by_name_or_label_decides_how_large_it_must_be(
    settings: Settings,
) -> None:
    def partitions(sections: dict[str, Any], least: int) -> int:
        world = PartitionedExport(msgspec.structs.replace(settings, partitions_min_bytes=least))
        world.warehouse.label("p", "d", "events", {"by": "day"})
        return len(world.export(tables=parse_tables(sections)).partitions)

    day, whole = {"partitions_min_bytes": "0"}, {"partitions_min_bytes": "100TB"}
    assert partitions({"label:by=day": day}, 1000) == 3
    assert partitions({"label:by!=day": day, "small": day}, 1000) == 0
    assert partitions({"label:by": whole}, 1) == 0
    assert partitions({"label:by": day, "e*": whole}, 1) == 0
    assert partitions({"e*": whole, "events": day, "*": {"route": "extract"}}, 1000) == 3


@pytest.mark.parametrize("incremental", [False, True], ids=["", "incremental"])
@MODES
def test_a_table_whose_label_is_removed_is_exported_as_one_again(settings: Settings, incremental: bool) -> None:
    sections = parse_tables({"label:by=day": {"partitions_min_bytes": 0}})
    world = PartitionedExport(
        msgspec.structs.replace(settings, partitions_min_bytes=1000, tables=sections, incremental=incremental)
    )
    for table in ("small", "events"):
        world.warehouse.label("p", "d", table, {"by": "day"})
    assert world.lines(world.export()) == by_day(ROWS)
    world.warehouse.label("p", "d", "events", {})
    world.put([*ROWS, "20260103:e"])
    whole = world.export("r2")
    stored = world.store.peek(whole.files[0].name)
    assert (whole.partitions, len(whole.files), stored and len(stored[0].splitlines())) == ((), 1, 5)
    world.warehouse.label("p", "d", "events", {"by": "day"})
    world.put(ROWS)
    assert world.lines(world.export("r3")) == by_day(ROWS)


def test_the_files_of_partitions_that_are_gone_are_deleted_in_replace_mode() -> None:
    world = PartitionedExport(REPLACE)
    world.export()
    world.put(ROWS[2:])
    world.now += 1000
    assert world.lines(world.export("r2")) == by_day(ROWS[2:])
    assert len(world.data()) == 3


@MODES
def test_partitions_that_were_dropped_leave_by_name(settings: Settings) -> None:
    world = PartitionedExport(settings)
    world.export()
    world.put(ROWS[2:])
    world.export("r2")
    manifest = world.manifest()
    (gone,) = manifest.removed_partitions
    assert (gone.table, gone.reason, gone.partitions, gone.run, gone.rows) == (
        "events", "dropped", ("20260101",), "r1", 2
    )  # fmt: skip
    assert [(flag.risk, flag.table, flag.detail) for flag in manifest.flags if flag.table == "events"] == [
        (Risk.DROPPED_PARTITIONS, "events", "20260101: dropped")
    ]
    world.export("r3")
    assert world.manifest().removed_partitions == ()


def test_more_than_half_of_the_partitions_leave_only_where_it_is_allowed() -> None:
    world = PartitionedExport(REPLACE)
    world.export()
    world.put(ROWS[3:])
    with pytest.raises(UsageError, match=r"removed from the published export: events \(20260101, 20260102: dropped\)"):
        world.export("r2")
    assert world.lines(world.entry()) == by_day(ROWS)
    world.export("r3", allow=(Risk.REMOVED_PARTITIONS,))
    assert world.lines(world.entry()) == by_day(ROWS[3:])


def test_all_partitions_may_expire() -> None:
    world = PartitionedExport(REPLACE)
    world.export()
    world.warehouse.expire("p", "d", "events", 86_400_000)
    world.put(ROWS[3:])
    world.export("r2")
    assert [(one.reason, one.partitions) for one in world.manifest().removed_partitions] == [
        ("expired", ("20260101", "20260102"))
    ]


def test_a_table_that_grows_takes_its_whole_files_away() -> None:
    world = PartitionedExport(msgspec.structs.replace(REPLACE, partitions_min_bytes=1000))
    world.export()
    entry = world.export("r2", partitions_min_bytes=0)
    assert [file.name for file in entry.files] == world.data()[:3]
    entry = world.export("r3")
    assert [file.name for file in entry.files] == world.data()[:1]


@MODES
def test_a_killed_task_is_followed_by_one_that_finishes_each_partition_alike(settings: Settings) -> None:
    world = PartitionedExport(settings)

    async def check() -> None:
        killed = asyncio.create_task(run(world.task("r1")))
        seen = 0

        def change(request: ExtractRequest) -> None:
            nonlocal seen
            seen += 1
            if request.partition == "20260102":
                world.put([*ROWS, "20260102:late"])
            if seen == 2:
                killed.cancel()

        world.warehouse.after = change
        with pytest.raises(asyncio.CancelledError):
            await killed
        world.warehouse.after = lambda _: None
        await run(world.task("r1"))

    asyncio.run(check())
    assert world.lines(world.entry()) == by_day(ROWS)


def test_one_task_that_saw_a_change_and_one_that_did_not_publish_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("keep", "replace"):
        world = PartitionedExport(KEEP if name == "keep" else REPLACE)
        looks: Iterator[bool] = iter((True, False) * 20)
        table = world.warehouse.table

        async def flapping(dataset: Any, requested: str, of: Any = table, when: Iterator[bool] = looks) -> Any:
            found = await of(dataset, requested)
            if "$" in requested and world.warehouse.extracted and next(when):  # noqa: B023
                return msgspec.structs.replace(found, definition=msgspec.Raw(b'{"numRows":"9"}'))
            return found

        monkeypatch.setattr(world.warehouse, "table", flapping)

        async def both(world: PartitionedExport = world) -> None:
            await asyncio.gather(*(run(world.task("r1", number, 2)) for number in range(2)))

        asyncio.run(both())
        assert world.lines(world.entry()) == by_day(ROWS)


def test_a_plan_names_its_partitions_and_their_units() -> None:
    world = PartitionedExport(REPLACE)

    async def check() -> Plan:
        return await obtain_plan(world.task("r1"))

    plan = asyncio.run(check())
    assert (plan.tables, plan.unit_count) == (2, 4)
    assert [(one.table, one.units) for one in plan.partitioned] == [("events", 3)]
    lines = world.store.peek(plan.units)
    assert lines
    # What the partitions have in common is there once.
    assert lines[0].count(b'"timePartitioning"') == 1


def test_a_limit_below_the_listing_of_partitions_is_refused_by_name() -> None:
    world = PartitionedExport(REPLACE)
    with pytest.raises(UsageError, match=r"the query for the partitions of tables bills 10\.5 MB"):
        world.export(max_bytes_billed=1)


async def test_either_an_extract_job_counts_or_a_change_is_recorded_and_never_both() -> None:
    world = PartitionedExport(REPLACE)

    task = world.task("r1")
    plan = await obtain_plan(task)
    first, second = "00000-00000", "00000-00001"

    async def record(end: Receipt | GivenUp | Changed) -> Receipt | GivenUp | Changed:
        return await record_end(task.store, task.layout, plan, end)

    def receipt(unit: str, attempt: int) -> Receipt:
        return Receipt(unit, "events", f"job_{attempt}", attempt, 1, 1, 1, 1, 0)

    changed = await record(Changed(first, "job_0"))
    assert changed == Changed(first, "job_0")
    # A task whose look was equal goes on with the query, as all others do.
    assert await record(receipt(first, 0)) == changed
    assert await record(receipt(first, FIRST_QUERY)) == receipt(first, FIRST_QUERY)
    assert await record(changed) == receipt(first, FIRST_QUERY)
    assert await record(receipt(second, 0)) == receipt(second, 0)
    assert await record(Changed(second, "job_0")) == receipt(second, 0)
