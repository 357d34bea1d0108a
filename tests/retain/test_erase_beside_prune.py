"""An erasure and a prune at the same time: whichever pauses wherever, values are gone and every kept run is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.target import Erasing
from bqdump.core.errors import BqdumpError, NotFoundError
from bqdump.retain.erase import erase
from bqdump.retain.prune import prune
from bqdump.retain.rewrite import Task
from restore.paused import Pause, Pausing
from retain.scene import DAY, LAYOUT, SETTINGS, Scene
from tiers import points

Verb = Callable[[Scene, Any], Coroutine[Any, Any, Any]]


def erasing(scene: Scene, store: Any) -> Coroutine[Any, Any, Any]:
    return erase(Task(store, SETTINGS, Erasing("sales", scene.now + 5000, "dana", "why"), None, delete=True))


def pruning(scene: Scene, store: Any) -> Coroutine[Any, Any, Any]:
    return prune(scene.pruning()._replace(store=store, now=scene.now))


def with_a_run_that_is_due() -> Scene:
    """Four runs: the first is pruned and its day is over, the second and third are about to be, the fourth is kept."""
    scene = Scene()
    scene.run("r1", "r2", incremental=True)
    scene.prune_once()
    scene.now += DAY
    scene.run("r3", "r4", incremental=True)
    return scene


def left(scene: Scene, table: str) -> list[str]:
    return [name for name in scene.names(f"/{table}_") if "_bqdump" not in name]


def check(scene: Scene) -> None:
    """The table is nowhere, and what the runs name that are in the log is there."""
    assert left(scene, "sales") == []
    assert scene.store.peek(LAYOUT.erasing.name) is None
    kept = [run for run in ("r2", "r3", "r4") if scene.store.peek(LAYOUT.run(run).manifest.name)]
    assert kept[-1:] == ["r4"]
    for run in kept:
        found = scene.store.peek(name := LAYOUT.run(run).manifest.name)
        assert found
        manifest = decode(found[0], Manifest, name)
        assert [entry.table for entry in manifest.tables] == ["items"], run
        if not scene.store.peek(LAYOUT.mark(run).name):
            for file in manifest.tables[0].files:
                there = scene.store.peek(file.name)
                assert there, (run, file.name)
                assert there[1].generation == file.generation


async def beside(scene: Scene, paused: Verb, whole: Verb, at: int) -> Pause:
    """One pauses before this request, the other begins and ends, and the first goes on."""
    pause = Pause(at)
    working = asyncio.create_task(paused(scene, Pausing(scene.store, pause)))
    if await pause.reach(working):
        await ended(asyncio.create_task(whole(scene, scene.store)))
    pause.over.set()
    await ended(working)
    return pause


async def ended(working: asyncio.Task[Any]) -> None:
    """Wait for its end. Whoever is refused is told how to go on."""
    await asyncio.wait([working])
    if error := working.exception():
        assert isinstance(error, BqdumpError), error
        assert error.hint, error


@pytest.mark.parametrize(("paused", "whole"), [(erasing, pruning), (pruning, erasing)], ids=["erase", "prune"])
def test_an_erasure_and_a_prune_at_once_leave_no_value_and_no_damaged_run(paused: Verb, whole: Verb) -> None:
    for at in points(range(1_000)):
        scene = with_a_run_that_is_due()
        pause = asyncio.run(beside(scene, paused, whole, at))
        for verb in (erasing, pruning):
            try:
                asyncio.run(verb(scene, scene.store))
            except NotFoundError:
                assert verb is erasing, "prune"
        check(scene)
        # What is written about a run as it is deleted goes with the next prune.
        scene.now += DAY
        asyncio.run(pruning(scene, scene.store))
        assert scene.names("/r1/") == [], at
        if pause.at >= len(pause.requests):
            break
    assert at > 20
