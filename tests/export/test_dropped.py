"""A table that is dropped while a run works is removed by name, as one that was dropped before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, TablesFailedError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export import act
from bqdump.export.act import TaskResult, exported
from bqdump.export.publish.publish import Published, publish
from bqdump.export.run import run
from bqdump.export.task import RunningExport
from bqdump.observe.status import status
from bqdump.pool.tables import Ledger
from bqdump.ports.warehouse import JobError
from export.overlap import Overlap, in_a_loop, published

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"))
KEEPING = msgspec.structs.replace(SETTINGS, path="{run}/{table}/{table}_*.{ext}")
BY_PARTITION = msgspec.structs.replace(SETTINGS, path="{table}/{partition}/{table}_*.{ext}", partitions_min_bytes=1)
LAYOUTS = pytest.mark.parametrize("settings", [SETTINGS, KEEPING], ids=["replace", "keep"])


class ShrinkingDataset(Overlap):
    """Five tables. at_job: called with the table before a job reads it."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        super().__init__(settings)
        self.at_job: Callable[[str], None] = lambda table: None
        self.warehouse.failing = self._failing
        for table in "abcde":
            self.put(table, f"{table},1")

    def _failing(self, table: str, _job: str) -> JobError | None:
        self.at_job(table)
        return None

    def dropping(self, *tables: str) -> None:
        """From now on, the job of each of these tables comes too late."""

        def drop(table: str) -> None:
            if table in tables and self.warehouse.datasets["p", "d"][table].versions[-1].rows is not None:
                self.now += 1
                self.warehouse.drop("p", "d", table)

        self.at_job = drop

    def run(self, name: str, execution: str = "", tasks: int = 1, **settings: Any) -> TaskResult:
        """The result of a run; of several tasks that of the one which publishes."""
        task = self.task(name, **settings)
        made = [replace(task, owner=Owner(execution or name, number), tasks=tasks) for number in range(tasks)]

        async def every() -> list[Any]:
            return await asyncio.gather(*map(run, made), return_exceptions=True)

        results = asyncio.run(every())
        if errors := [one for one in results if isinstance(one, BaseException)]:
            raise errors[0]
        published: TaskResult = next(one for one in results if one.state == "published")
        return published

    def published(self) -> Manifest:
        return asyncio.run(self.manifest())

    def content(self) -> dict[str, str]:
        """The published rows by table. Every listed file is there at its generation."""
        found = {}
        for entry in self.published().tables:
            stored = [self.store.peek(file.name) for file in entry.files]
            assert [one[1].generation for one in stored if one] == [file.generation for file in entry.files]
            found[entry.table] = "".join(one[0].decode() for one in stored if one)
        return found

    def data(self) -> list[str]:
        """The names of all data files."""
        return [name for name in self.store.names_now() if not name.startswith("_bqdump/")]


def events(caplog: pytest.LogCaptureFixture, event: LogEvent) -> list[str]:
    """The tables that log lines of this event are about."""
    return sorted(record.__dict__["table"] for record in caplog.records if record.__dict__.get("event") == event)


@LAYOUTS
def test_a_dropped_table_is_removed_by_name_and_the_others_are_published(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    world = ShrinkingDataset(settings)
    world.run("first")
    world.dropping("b")
    result = world.run("second")
    manifest = world.published()
    assert (manifest.run, manifest.status, manifest.failed) == ("second", "complete", ())
    assert [(one.table, one.reason, one.run) for one in manifest.removed] == [("b", "dropped", "first")]
    assert [(flag.risk, flag.table) for flag in manifest.flags] == [(Risk.DROPPED_TABLES, "b")]
    assert world.content().keys() == {"a", "c", "d", "e"}
    assert events(caplog, LogEvent.TABLE_DROPPED) == events(caplog, LogEvent.TABLE_REMOVED) == ["b"]
    assert (result.failed, manifest.left) == ((), ())
    if settings is SETTINGS:
        assert sorted(world.data()) == sorted(file.name for table in manifest.tables for file in table.files)
    done = asyncio.run(exported(world.task("second"), result))
    assert [one.table for one in done.removed] == ["b"]
    found = asyncio.run(status(world.store, settings, "second"))
    assert (found.state, found.done, found.waiting, found.failed, found.skipped) == ("published", 4, 0, (), 1)
    world.run("third")
    assert world.published().removed == ()


@LAYOUTS
def test_the_first_export_names_a_table_that_was_dropped_meanwhile(settings: Settings) -> None:
    world = ShrinkingDataset(settings)
    world.dropping("a", "b", "c", "d")
    world.run("first")
    manifest = world.published()
    assert manifest.removed == ()
    assert [(one.table, one.kind) for one in manifest.skipped] == [(name, "TABLE") for name in "abcd"]
    assert "was dropped after the snapshot time" in manifest.skipped[0].reason
    assert world.content() == {"e": "e,1\n"}


@LAYOUTS
def test_most_tables_dropped_at_once_are_refused_until_that_is_allowed(settings: Settings) -> None:
    world = ShrinkingDataset(settings)
    world.run("first")
    world.dropping("a", "b", "c")
    with pytest.raises(TablesFailedError, match=r"3 of 5 tables failed.*dropped after the snapshot time") as refused:
        world.run("second")
    assert "More than half of the published tables would be removed" in refused.value.hint
    assert "Fix the cause" not in refused.value.hint
    assert (world.published().run, {*world.content()}) == ("first", {*"abcde"})
    with pytest.raises(TablesFailedError):
        world.run("second", execution="again")
    world.now -= 3000
    world.run("second", execution="allowed", allow=(Risk.REMOVED_TABLES,))
    assert (world.published().run, {*world.content()}) == ("second", {"d", "e"})
    assert [one.table for one in world.published().removed] == ["a", "b", "c"]


def test_tables_that_planning_has_found_dropped_count_for_the_limit() -> None:
    world = ShrinkingDataset()
    world.run("first")
    world.warehouse.drop("p", "d", "a")
    world.dropping("b", "c")
    with pytest.raises(TablesFailedError, match="2 of 4 tables failed"):
        world.run("second")


@LAYOUTS
def test_with_a_partial_export_most_tables_dropped_at_once_keep_their_last_export(settings: Settings) -> None:
    world = ShrinkingDataset(settings)
    world.run("first")
    before = world.data()
    world.dropping("a", "b", "c")
    result = world.run("second", allow_partial=True)
    manifest = world.published()
    assert (manifest.status, [one.table for one in manifest.failed]) == ("partial", ["a", "b", "c"])
    assert [one.table for one in result.failed] == ["a", "b", "c"]
    assert manifest.removed == ()
    assert {*before} <= {*world.data()}


def test_with_a_partial_export_a_dropped_table_is_removed_and_a_failed_one_keeps_its_last_export() -> None:
    world = ShrinkingDataset()
    world.run("first")

    def fails(table: str, _job: str) -> JobError | None:
        world.at_job(table)
        return JobError("invalid", "it is broken") if table == "c" else None

    world.dropping("b")
    world.warehouse.failing = fails
    with pytest.raises(TablesFailedError, match=r"1 of 5 tables failed.*c: invalid.*[^b]*resume with"):
        world.run("second")
    world.now -= 1000
    world.run("second", execution="partial", allow_partial=True)
    manifest = world.published()
    assert [one.table for one in manifest.failed] == [one.table for one in manifest.left] == ["c"]
    assert [one.table for one in manifest.removed] == ["b"]


@LAYOUTS
def test_a_table_that_was_created_again_fails_and_only_a_new_run_has_it(settings: Settings) -> None:
    world = ShrinkingDataset(settings)
    world.run("first")

    def again(table: str) -> None:
        if table == "b":
            world.now += 1
            world.warehouse.drop("p", "d", table)
            world.put(table, "new")

    world.at_job = again
    with pytest.raises(TablesFailedError, match=r"b: recreated: it was dropped and created again at ") as failed:
        world.run("second")
    assert "Fix the cause" not in failed.value.hint
    assert world.published().run == "first"
    world.at_job = lambda table: None
    world.run("third")
    assert world.content()["b"] == "new\n"


def test_of_a_dataset_that_is_gone_no_table_counts_as_dropped() -> None:
    world = ShrinkingDataset()
    world.run("first")

    async def gone(_project: str, _name: str) -> Any:
        raise BqdumpError("find", "dataset d", "it is gone")

    world.dropping("b")
    plan = world.warehouse.dataset
    calls = []

    async def dataset(project: str, name: str) -> Any:
        calls.append(name)
        return await (plan if len(calls) == 1 else gone)(project, name)

    world.warehouse.__dict__["dataset"] = dataset
    with pytest.raises(TablesFailedError, match="b: notFound"):
        world.run("second", allow=(Risk.REMOVED_TABLES,))
    assert world.published().run == "first"


@pytest.mark.parametrize("tasks", [2, 3])
def test_all_tasks_publish_the_same(tasks: int) -> None:
    world = ShrinkingDataset()
    world.run("first")
    world.dropping("a", "d")
    world.run("second", tasks=tasks)
    assert world.content().keys() == {"b", "c", "e"}


def test_a_restarted_task_goes_without_what_the_run_has_given_up() -> None:
    world = ShrinkingDataset()
    world.run("first")
    world.dropping("b")
    world.run("second")
    stored = world.store.peek("_bqdump/runs/second/report.html")
    assert stored
    asyncio.run(world.store.delete([(stored[1].name, stored[1].generation)]))
    world.now -= 1000
    assert world.run("second", execution="again").failed == ()
    assert world.content().keys() == {"a", "c", "d", "e"}


def test_unchanged_tables_stay_where_others_are_dropped() -> None:
    world = ShrinkingDataset()
    settings: dict[str, Any] = {"incremental": True}
    for name in ("first", "second", "third"):
        world.run(name, **settings)
    world.put("b", "b,2")
    world.put("c", "c,2")
    world.dropping("b")
    world.run("fourth", **settings)
    manifest = world.published()
    assert {entry.table: bool(entry.carried) for entry in manifest.tables} == {
        "a": True, "c": False, "d": True, "e": True,
    }  # fmt: skip
    assert [one.table for one in manifest.removed] == ["b"]
    assert world.content()["a"] == "a,1\n"


def test_a_table_that_is_dropped_between_its_partitions_is_removed_in_full() -> None:
    world = ShrinkingDataset(BY_PARTITION)
    world.warehouse.put("p", "d", "days", ["20260101:a", "20260102:b", "20260103:c"], partitioned=True)
    world.run("first")
    world.warehouse.put("p", "d", "days", ["20260101:d", "20260102:e", "20260103:f"])
    jobs = []

    def second_partition(table: str) -> None:
        jobs.append(table)
        if table == "days" and jobs.count("days") == 2:
            world.now += 1
            world.warehouse.drop("p", "d", "days")

    world.at_job = second_partition
    world.run("second")
    manifest = world.published()
    assert [(one.table, one.reason) for one in manifest.removed] == [("days", "dropped")]
    assert world.content().keys() == {*"abcde"}
    assert sorted(world.data()) == sorted(file.name for table in manifest.tables for file in table.files)


def test_files_of_a_naive_export_of_a_dropped_table_stay() -> None:
    world = ShrinkingDataset()
    info = world.store.put_now("b/b_000000000000.csv", b"theirs")
    world.dropping("b")
    world.run("first")
    found = world.store.peek("b/b_000000000000.csv")
    assert found
    assert found[1].generation == info.generation


@LAYOUTS
def test_most_tables_of_an_overlapping_run_are_not_removed_unasked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was published when this run gave its dropped tables up."""
    world = ShrinkingDataset(settings)

    async def overlapping() -> None:
        first = await world.planned("first")
        second = world.task("second")
        world.dropping("a", "b", "c")

        async def published_meanwhile(export: RunningExport, ledger: Ledger) -> Published:
            await published(*first)
            return await publish(export, ledger)

        monkeypatch.setattr(act, "publish", published_meanwhile)
        await run(second)

    with pytest.raises(UsageError, match=r"does not have 3 tables of run first, more than half"):
        in_a_loop(overlapping)
    assert (world.published().run, {*world.content()}) == ("first", {*"abcde"})


@LAYOUTS
def test_a_dropped_table_that_failed_in_the_published_export_is_not_called_failed(settings: Settings) -> None:
    world = ShrinkingDataset(settings)
    dropping, world.warehouse.failing = world.warehouse.failing, lambda table, job: invalid(table)
    world.run("first", allow_partial=True)
    assert [one.table for one in world.published().failed] == ["b"]
    world.warehouse.failing = dropping
    world.dropping("b")
    world.run("second", keep_others=True)
    manifest = world.published()
    assert (manifest.status, manifest.failed) == ("complete", ())
    assert [(flag.risk, flag.table) for flag in manifest.flags] == [(Risk.DROPPED_TABLES, "b")]


def invalid(table: str) -> JobError | None:
    return JobError("invalid", "cannot be read") if table == "b" else None
