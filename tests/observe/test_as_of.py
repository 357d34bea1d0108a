"""Which run a time stands for."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from bqdump import verbs
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import NotFoundError, TablesFailedError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.times import AsOf
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.ports.warehouse import JobError
from bqdump_memory import MemoryWarehouse

KEEPING = "{run}/{table}/{table}_*.csv"
SETTINGS = Settings(project="project", dataset="data", target=Target("gs", "memory"), path=KEEPING)
REPLACING = replace(SETTINGS, path="{table}/{table}_*.csv")
FIRST, DAY = 1_800_000_000_000, 86_400_000


class Exports:
    """Exports of one table, one a day."""

    def __init__(self) -> None:
        self.store, self.now = MemoryStore(), FIRST
        self.warehouse = MemoryWarehouse(self.store, lambda: self.now)
        self.warehouse.put("project", "data", "t", ["row"])

    def export(self, *names: str, settings: Settings = SETTINGS) -> None:
        """Export on the next days."""
        for name in names:
            asyncio.run(run(Task(self.store, self.warehouse, settings, name, Owner(name, 0), 1)))
            self.now += DAY

    def as_of(self, days: float, settings: Settings = SETTINGS) -> str:
        """The run as of that many days after the first one."""
        wanted = AsOf(round(FIRST + days * DAY), "then")
        return asyncio.run(verbs.run_as_of(lambda _: self.store, settings, wanted)).run

    def refused(self, days: float, settings: Settings = SETTINGS) -> str:
        """Why there is none."""
        with pytest.raises(NotFoundError) as refused:
            self.as_of(days, settings)
        return str(refused.value)


def test_the_newest_run_whose_snapshot_time_is_not_later_is_chosen() -> None:
    exports = Exports()
    exports.export("a", "b", "c")
    assert [exports.as_of(days) for days in (0, 0.9, 1, 1.5, 2, 100)] == ["a", "a", "b", "b", "c", "c"]


def test_where_nothing_as_old_is_kept_the_oldest_run_is_named() -> None:
    exports = Exports()
    exports.export("a", "b")
    said = exports.refused(-1)
    assert "cannot find a run as of then (until 2027-01-14T08:00:00.000Z)" in said
    assert "the oldest of 2 runs is run a, with snapshot time 2027-01-15T08:00:00.000Z" in said


def test_a_run_whose_files_a_later_one_has_replaced_is_not_chosen() -> None:
    exports = Exports()
    exports.export("a", "b", settings=REPLACING)
    assert exports.as_of(1, REPLACING) == "b"
    said = exports.refused(0.5, REPLACING)
    assert "the files of earlier runs were replaced by later ones, and the only one kept is run b" in said
    wanted = AsOf(FIRST, "then")
    assert asyncio.run(verbs.run_as_of(lambda _: exports.store, REPLACING, wanted, files=False)).run == "a"


def test_a_kept_run_before_those_that_replaced_each_other_is_chosen() -> None:
    exports = Exports()
    exports.export("a")
    exports.export("b", "c", settings=REPLACING)
    assert [exports.as_of(days, REPLACING) for days in (1.5, 2)] == ["a", "c"]


def test_an_index_that_is_missing_is_made_up_for_by_the_manifest() -> None:
    exports = Exports()
    exports.export("a", "b")
    name = "_bqdump/runs/a/contents.json"
    found = exports.store.peek(name)
    assert found
    asyncio.run(exports.store.delete([(name, found[1].generation)]))
    assert exports.as_of(0.5) == "a"


def test_a_run_that_was_not_finished_is_not_chosen() -> None:
    exports = Exports()
    exports.export("a")
    exports.warehouse.failing = lambda table, job: JobError("invalid", "it cannot be exported")
    with pytest.raises(TablesFailedError):
        exports.export("b")
    assert exports.as_of(5) == "a"


def test_where_nothing_was_exported_the_way_to_start_is_named() -> None:
    assert "nothing has been published there yet. Start one: bqdump.run()" in Exports().refused(0)
