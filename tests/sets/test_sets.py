"""Several datasets are exported at one snapshot time, each below a folder of its own, and one document names them."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from bqdump.core.errors import DatasetsFailedError, UsageError
from bqdump.core.wording import COMMANDS
from bqdump.export.run import run
from bqdump.export.task import Task
from sets.world import SetWorld, names


@pytest.mark.parametrize("tasks", [1, 2, 7])
def test_every_dataset_is_published_at_one_snapshot_time(tasks: int) -> None:
    world = SetWorld()
    world.run("r", tasks)
    project = world.set_manifest()
    assert (project.run, project.status, names(project)) == (
        "r", "complete", {"ops_eu": "published", "ops_us": "published", "sales": "published"},
    )  # fmt: skip
    for entry in project.datasets:
        manifest = world.manifest(entry.dataset)
        assert manifest
        assert (manifest.snapshot, manifest.dataset) == (project.snapshot, entry.dataset)
        assert entry.manifest == f"x/{entry.dataset}/_bqdump/runs/r/manifest.json"
        assert world.content(entry.dataset) == {
            "items": f"{entry.dataset}.items\n", "orders": f"{entry.dataset}.orders\n",
        }  # fmt: skip


def test_a_failing_dataset_is_named_and_does_not_hold_back_the_others() -> None:
    world = SetWorld()
    world.put("sales", "bad")
    world.broken.add("bad")
    # The task that ends first may not know about the others yet.
    with pytest.raises(DatasetsFailedError, match=r"1 of 3 datasets failed.* \(sales: .*bad"):
        world.run("r", 2)
    with pytest.raises(
        DatasetsFailedError, match=r"1 of 3 datasets failed, the others are not affected \(sales: .*bad"
    ):
        world.run("r", execution="second")
    project = world.set_manifest()
    assert (project.status, names(project)) == (
        "partial", {"ops_eu": "published", "ops_us": "published", "sales": "failed"},
    )  # fmt: skip
    assert world.manifest("sales") is None
    world.broken.clear()
    world.run("r", execution="again")
    assert (world.set_manifest().status, world.set_manifest().run) == ("complete", "r")
    assert world.manifest("sales")


def test_the_way_to_resume_is_said_once_for_all_datasets() -> None:
    world = SetWorld()
    for dataset in ("ops_eu", "sales"):
        world.put(dataset, "bad")
    world.broken.add("bad")
    with pytest.raises(DatasetsFailedError) as failed:
        world.run("r", execution="second")
    said = failed.value.sentence(COMMANDS)
    assert "ops_eu: " in said
    assert "sales: " in said
    assert said.count("resume with") == 1


def test_where_every_dataset_fails_no_others_are_mentioned() -> None:
    world = SetWorld()
    for dataset in ("ops_eu", "ops_us", "sales"):
        world.put(dataset, "bad")
    world.broken.add("bad")
    with pytest.raises(DatasetsFailedError, match=r"3 of 3 datasets failed \("):
        world.run("r")


def test_a_pattern_that_matches_one_dataset_keeps_the_layout_of_a_set() -> None:
    world = SetWorld("ops_eu", "sales")
    world.run("r", dataset="ops_*")
    assert names(world.set_manifest()) == {"ops_eu": "published"}
    assert world.manifest("ops_eu")


def test_a_set_may_not_have_the_prefix_of_a_single_export_nor_the_other_way_round() -> None:
    world = SetWorld()
    world.run("r")
    task = world.task("s", dataset="sales")
    single = Task(task.store, task.warehouse, task.settings, "s", task.owner, 1)
    with pytest.raises(UsageError, match="it belongs to a set of datasets of p"):
        asyncio.run(run(single))
    single = replace(single, settings=world.settings(dataset="sales", prefix="y/"))
    asyncio.run(run(single))
    with pytest.raises(UsageError, match=r"it belongs to p\.sales"):
        world.run("t", prefix="y/")
