"""A dataset of the last set that the next one lacks is named, refused unless allowed, and its export stays."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from bqdump.cli.plan_parts import print_set
from bqdump.core.errors import UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.risks import Risk
from bqdump.core.settings.table_settings import parse_tables
from bqdump.sets.plan import plan_set
from logged import logged
from sets.world import SetWorld, names

NEW = "New in this set: c_bk. If a restore has created it, leave it out with --exclude-datasets."
ALLOWED = (Risk.REMOVED_TABLES,)


@pytest.fixture
def world() -> SetWorld:
    world = SetWorld("a", "b", "c")
    world.run("first")
    return world


def test_a_dataset_that_is_not_named_any_more_is_refused_unless_allowed(world: SetWorld) -> None:
    with pytest.raises(UsageError, match=r"1 dataset of the last set would be missing: b .*no longer chosen"):
        world.run("second", exclude_datasets=("b",))
    assert world.set_manifest().run == "first"
    world.run("second", exclude_datasets=("b",), allow=ALLOWED)
    project = world.set_manifest()
    assert (project.run, names(project)) == ("second", {"a": "published", "c": "published"})
    assert [(one.dataset, one.reason, one.run) for one in project.removed] == [("b", "excluded", "first")]
    manifest = world.manifest("b")
    assert manifest
    assert manifest.run == "first"


def test_a_dropped_dataset_is_named_and_most_of_them_at_once_are_refused(world: SetWorld) -> None:
    del world.warehouse.datasets["p", "b"]
    world.run("second")
    assert [(one.dataset, one.reason) for one in world.set_manifest().removed] == [("b", "dropped")]
    del world.warehouse.datasets["p", "c"]
    world.put("d", "orders")
    world.run("third")
    del world.warehouse.datasets["p", "a"], world.warehouse.datasets["p", "d"]
    world.put("e", "orders")
    with pytest.raises(UsageError, match="2 datasets of the last set would be missing"):
        world.run("fourth")


def test_plan_and_run_name_a_dataset_that_only_a_pattern_chooses_and_no_run_has_exported(
    world: SetWorld, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as one that a restore has created next to the others."""
    caplog.set_level(logging.INFO)

    def said(run: str, **settings: Any) -> tuple[bool, bool]:
        chosen = world.settings(**settings)
        print_set(chosen, asyncio.run(plan_set(world.task("plan", **settings))))
        caplog.clear()
        world.run(run, **settings)
        [planned] = logged(caplog, LogEvent.SET_PLANNED)
        return NEW in capsys.readouterr().out, planned.message.endswith(NEW)

    assert said("second") == (False, False)
    world.put("b_bk", "orders")
    assert said("third", dataset="a,b,b_bk,c") == (False, False)
    world.put("c_bk", "orders")
    assert said("fourth") == (True, True)
    assert said("fifth") == (False, False)


def test_an_emptied_project_is_refused_and_the_exports_stay(world: SetWorld) -> None:
    before = world.store.names_now()
    world.warehouse.datasets.clear()
    with pytest.raises(UsageError, match=r"matches no dataset of project p\. It has no datasets"):
        world.run("second")
    assert world.store.names_now() == before


def test_a_refused_set_gives_its_prefix_back() -> None:
    world = SetWorld()
    with pytest.raises(UsageError, match=r"matches no table of any dataset\. Did you mean 'orders'\?"):
        world.run("first", include=("ordres",))
    assert not [name for name in world.store.names_now() if name.endswith("dataset.json")]


def test_a_section_by_a_label_that_nothing_has_is_refused_with_the_labels_of_every_dataset() -> None:
    world = SetWorld()
    world.warehouse.label("p", "ops_us", "orders", {"pii": "true"})
    with pytest.raises(UsageError, match=r"\[tables.label:pi=true\]: .* any dataset\. Did you mean 'label:pii=true'"):
        world.run("first", tables=parse_tables({"label:pi=true": {"route": "extract"}}))


def test_an_include_need_not_match_in_every_dataset() -> None:
    world = SetWorld()
    world.put("sales", "special")
    world.run("first", include=("special",))
    project = world.set_manifest()
    assert names(project) == {"sales": "published"}
    assert {one.dataset for one in project.skipped} == {"ops_eu", "ops_us"}
    assert world.content("sales").keys() == {"special"}


def test_a_table_created_after_the_snapshot_time_does_not_fail_its_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    world = SetWorld()
    listing = world.warehouse.list_datasets

    async def later(project: str) -> object:
        found = await listing(project)
        original = world.warehouse.dataset

        async def dataset(project: str, name: str) -> object:
            world.put(name, "new")
            return await original(project, name)

        monkeypatch.setattr(world.warehouse, "dataset", dataset)
        return found

    monkeypatch.setattr(world.warehouse, "list_datasets", later)
    world.run("first")
    assert set(names(world.set_manifest()).values()) == {"published"}
    assert world.content("sales").keys() == {"orders", "items"}


def test_a_table_that_is_dropped_while_the_set_is_exported_leaves_its_dataset_by_name(
    world: SetWorld,
) -> None:
    world.put("b", "customers")
    world.run("second")

    def drop(table: str, _job: str) -> None:
        if table == "customers" and world.warehouse.datasets["p", "b"][table].versions[-1].rows is not None:
            world.warehouse.drop("p", "b", table)

    world.warehouse.failing = drop
    world.run("third", 2)
    assert (world.set_manifest().run, world.set_manifest().status) == ("third", "complete")
    manifest = world.manifest("b")
    assert manifest
    assert [(one.table, one.reason, one.run) for one in manifest.removed] == [("customers", "dropped", "second")]
