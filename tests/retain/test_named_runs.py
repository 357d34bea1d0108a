"""Pruning runs by name: exactly these, or none of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump import verbs
from bqdump.core.errors import BqdumpError, NotFoundError, UsageError
from bqdump.core.retention.pruned import Pruned
from bqdump.repository.notes import change_tags
from retain.scene import LAYOUT, SETTINGS, Scene
from sets.world import SetWorld


def pruned(scene: Scene, *runs: str, delete: bool = True, now: bool = False, **settings: Any) -> Pruned:
    """The result of pruning runs by name."""
    chosen, at_work = replace(SETTINGS, keep_last=0, **settings), scene.warehouse.at_work
    return asyncio.run(verbs.prune(lambda _: scene.store, chosen, at_work, runs=runs, delete=delete, now=now))


def test_only_named_runs_go_whatever_the_rules_say(scene: Scene) -> None:
    scene.run("a", "b", "c", "d")
    shown = pruned(scene, "b", delete=False)
    assert [(one.run, one.removed) for one in shown.runs if one.removed] == [("b", True)]
    assert scene.names("x/b/")
    result = pruned(scene, "b", "a", now=True)
    assert scene.removed(result) == ["a", "b"]
    assert [bool(scene.names(f"x/{run}/")) for run in "abcd"] == [False, False, True, True]
    scene.abandon("half")
    result = pruned(scene, "c")
    assert scene.removed(result) == ["c"]
    assert "half" in {one.run for one in result.kept}


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ("d", "run d: it is kept: published"),
        ("b", "run b: it is kept: tag keep. Nothing was deleted. Remove the tag first"),
        ("c", "run c: it is kept: run half relies on its files"),
        (
            "half",
            "it is kept: unfinished. Nothing was deleted. An hour after it was stopped, this deletes it: ",
        ),
        ("z", "run z: there is none"),
    ],
)
def test_where_a_law_keeps_one_of_them_none_is_deleted(scene: Scene, run: str, why: str) -> None:
    scene.run("a", "b", "c", incremental=True)
    scene.abandon("half", incremental=True)
    scene.run("d")
    asyncio.run(change_tags(scene.store, LAYOUT, "b", ["keep"], []))
    before = scene.names()
    for delete in (False, True):
        with pytest.raises((UsageError, NotFoundError)) as refused:
            pruned(scene, "a", run, delete=delete, abandoned_after=0)
        assert why in str(refused.value)
    assert scene.names() == before


def test_a_tag_that_the_settings_keep_is_kept_here_as_well(scene: Scene) -> None:
    scene.run("a", "b")
    asyncio.run(change_tags(scene.store, LAYOUT, "a", ["audit"], []))
    with pytest.raises(UsageError, match="tag audit"):
        pruned(scene, "a", keep_tag=("audit",))
    assert scene.removed(pruned(scene, "a")) == ["a"]


def test_of_a_set_the_run_goes_in_each_dataset_that_has_it() -> None:
    world = SetWorld("ops", "sales")
    for run in ("first", "second"):
        world.run(run)
    result = asyncio.run(verbs.prune(lambda _: world.store, world.settings(), runs=("first",), delete=True, now=True))
    assert sorted((one.dataset, one.run) for one in result.removed) == [("p.ops", "first"), ("p.sales", "first")]
    assert [name for name in world.store.names_now() if "/runs/first/manifest" in name] == []
    with pytest.raises(BqdumpError, match="it is kept"):
        asyncio.run(verbs.prune(lambda _: world.store, world.settings(), runs=("second",), delete=True))


def test_a_run_that_waits_for_its_day_may_be_named_again(scene: Scene) -> None:
    scene.run("a", "b")
    for _ in range(2):
        pruned(scene, "a")
    assert scene.names("x/a/")
    assert scene.removed(pruned(scene, "a", now=True)) == ["a"]
    assert scene.names("x/a/") == []
