"""A complete run whose manifest is missing stops prune: the manifest may have named files of other runs."""

from __future__ import annotations

import asyncio

import pytest

from bqdump.check.verify import verify
from bqdump.core.errors import DocumentError
from entries import entry
from retain.scene import DAY, LAYOUT, SETTINGS, Scene

REPLACE = "{table}/{table}_*.{ext}"


@pytest.mark.parametrize("also", ["", "plan.json"])
def test_a_missing_manifest_of_a_complete_run_stops_prune(scene: Scene, also: str) -> None:
    scene.run("a", "b", "c", "d", incremental=True)
    scene.warehouse.put("p", "sales", "items", ["new"])
    scene.run("e", incremental=True)
    scene.delete_now(LAYOUT.run("d").manifest.name)
    if also:
        scene.delete_now(f"/d/{also}")
    scene.now += 30 * DAY
    before = scene.names()
    for delete in (False, True):
        with pytest.raises(DocumentError, match=r"runs/d/manifest\.json: it does not exist, .*-d\.json"):
            scene.prune(delete=delete)
    assert scene.names() == before


def test_deleting_the_run_as_the_error_says_lets_prune_go_on(scene: Scene) -> None:
    scene.run("a", "b", "c")
    scene.delete_now(LAYOUT.run("a").manifest.name)
    with pytest.raises(DocumentError) as caught:
        scene.prune()
    for name in (LAYOUT.run("a").root, entry(scene.store, LAYOUT, "a")):
        assert name in str(caught.value)
        scene.delete_now(name)
    assert scene.removed(scene.prune()) == ["b"]


@pytest.mark.parametrize("path", [SETTINGS.path, REPLACE])
def test_a_missing_manifest_of_the_published_run_stops_prune(scene: Scene, path: str) -> None:
    scene.run("a", "b", "c", path=path)
    scene.delete_now(LAYOUT.run("c").manifest.name)
    with pytest.raises(DocumentError, match=r"runs/c/manifest\.json: it does not exist, .*-c\.json"):
        scene.prune(path=path)
    assert scene.names("/runs/a/manifest.json")


def test_an_entry_that_is_written_after_its_run_was_pruned_goes(scene: Scene) -> None:
    scene.run("a", "b")
    name = entry(scene.store, LAYOUT, "a")
    found = scene.store.peek(name)
    assert found
    scene.prune()
    for late in (name, LAYOUT.run("a").report):
        scene.store.put_now(late, found[0])
    scene.prune()
    assert [*scene.names("/a/"), *scene.names("-a.json")] == []
    scene.store.put_now(name, found[0])
    scene.prune()
    assert scene.names("-a.json") == []


def test_runs_that_carried_files_leave_no_more_than_their_marks(scene: Scene) -> None:
    """The first two runs export all tables: three readings prove that one did not change."""
    scene.run("first", "maker", incremental=True)
    for night in range(7):
        scene.warehouse.put("p", "sales", "items", [f"night {night}"])
        scene.run(f"night-{night:02}", incremental=True)
        scene.prune(keep_last=2, incremental=True)
    assert scene.names("/maker/") == ["x/maker/sales/sales_000000000000.csv"]
    assert asyncio.run(verify(scene.store, SETTINGS, "night-06")).findings == ()
    scene.warehouse.put("p", "sales", "sales", ["new"])
    scene.run("x1", "x2", "x3", incremental=True)
    scene.prune(keep_last=1, incremental=True)
    assert scene.names("/maker/") == []
