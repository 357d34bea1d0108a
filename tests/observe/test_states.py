"""A state of a run has one word: in status, runs, prune and the console, for one dataset and for sets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import get_args

import pytest
from msgspec.structs import replace

from bqdump import verbs
from bqdump.core.documents.copying import Copying
from bqdump.core.documents.run import Owner
from bqdump.core.errors import DatasetsFailedError, NotFoundError
from bqdump.core.results import State
from bqdump.observe.history import RunState
from bqdump.observe.status import StatusState, newest_run, status
from bqdump.repository.repository import create
from bqdump.ui.archive import Archive, Collection
from bqdump.ui.run import run_page
from bqdump.ui.runs import runs_page
from bqdump.ui.sets import datasets_page
from browser.scenes import Scene, shop
from entries import entry
from opened import everywhere
from sets.world import SetWorld
from ui.test_sets import asked

FAILING = {"orders": "Resources exceeded"}
# Whether a run with a manifest is published is a fact of its own in `runs`.
WHOLE = ("complete", "partial")


def drop(scene: Scene, name: str) -> None:
    if found := scene.store.peek(name):
        asyncio.run(scene.store.delete([(name, found[1].generation)]))


def planning(scene: Scene) -> None:
    asyncio.run(create(scene.store, scene.settings.layout.run("r").planner, Owner("r", 0)))


def test_the_newest_run_is_one_that_was_stopped_while_planning_where_no_run_has_a_plan() -> None:
    scene = shop()
    with pytest.raises(NotFoundError, match="no run has been planned"):
        asyncio.run(newest_run(scene.store, scene.settings))
    planning(scene)
    assert asyncio.run(newest_run(scene.store, scene.settings)) == "r"
    assert asyncio.run(status(scene.store, scene.settings, "r")).state == "planning"


def copying(scene: Scene) -> None:
    planning(scene)
    document = scene.settings.layout.run("r").copying
    asyncio.run(create(scene.store, document, Copying("r", "gs://a", "0" * 64, ())))


def running(scene: Scene) -> None:
    asyncio.run(scene.export("r"))
    layout = scene.settings.layout
    for name in scene.store.names_now():
        if (
            name.startswith((layout.latest.name, layout.log, layout.run("r").receipts))
            or "manifest" in name
            or "contents" in name
        ):
            drop(scene, name)


def failed(scene: Scene) -> None:
    asyncio.run(scene.export("r", failing=FAILING, partial=False))


def superseded(scene: Scene) -> None:
    complete(scene)
    layout = scene.settings.layout
    drop(scene, layout.run("r").manifest.name)
    drop(scene, layout.run("r").contents.name)
    drop(scene, entry(scene.store, layout, "r"))


def published(scene: Scene) -> None:
    asyncio.run(scene.export("r"))


def complete(scene: Scene) -> None:
    published(scene)
    asyncio.run(scene.export("later"))


def partial(scene: Scene) -> None:
    asyncio.run(scene.export("r", failing=FAILING))
    drop(scene, scene.settings.layout.latest.name)


STATES = [planning, copying, running, failed, superseded, published, complete, partial]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_state_of_a_run_has_one_word(state: Callable[[Scene], None]) -> None:
    scene = shop()
    state(scene)
    at = everywhere(scene.store)
    shown = asyncio.run(verbs.status(at, scene.settings, "r")).state
    line = next(line for line in asyncio.run(verbs.runs(at, scene.settings)) if line.run == "r")
    pruned = asyncio.run(verbs.prune(at, replace(scene.settings, keep_last=9), delete=False))
    retained = next(run.state for run in pruned.runs if run.run == "r")
    archive = Archive(scene.store, scene.settings)
    listed = bytes(asyncio.run(runs_page(archive, asked())).body).decode()
    badge = re.search(r'runs/r">.*?<span class="badge[^"]*">([a-z]+)', listed)
    assert badge
    assert {retained, badge[1]} == {line.state}
    if line.whole:
        expected = {"published": WHOLE, "superseded": WHOLE}.get(shown, (shown,))
        assert line.state in expected
        assert line.published == (shown == "published")
    else:
        assert line.state == shown == state.__name__
        page = bytes(asyncio.run(run_page(archive, asked(run="r"))).body).decode()
        assert f"<strong>{shown.capitalize()}.</strong>" in page


def test_every_state_is_documented_and_no_other_is_used() -> None:
    assert {*get_args(RunState), *get_args(StatusState)} <= {*get_args(State)}
    # See test_trust and test_damaged_log.
    assert {state.__name__ for state in STATES} | {"not trusted", "unreadable"} == {*get_args(StatusState)}


def in_set(world: SetWorld, run: str) -> tuple[str, dict[str, str], str]:
    """The state of a run of a set in status, where `runs` and the console agree with it, and those of its datasets."""
    at, settings = everywhere(world.store), world.settings()
    status = asyncio.run(verbs.status(at, settings, run))
    lines = {line.dataset: line for line in asyncio.run(verbs.runs(at, settings)) if line.run == run}
    listed = bytes(asyncio.run(datasets_page(Collection(world.store, settings), asked())).body).decode()
    badge = re.search(rf'runs/{run}">.*?<span class="badge[^"]*">([a-z]+)', listed)
    assert badge
    assert badge[1] == lines["*"].state
    for dataset in status.datasets:
        if not lines[dataset.dataset].whole:
            assert lines[dataset.dataset].state == dataset.state
    return status.state, {dataset.dataset: dataset.state for dataset in status.datasets}, lines["*"].state


@pytest.mark.usefixtures("no_waiting")
def test_a_state_of_a_set_has_one_word() -> None:
    world = SetWorld()
    world.put("sales", "bad")
    world.run("good")
    assert in_set(world, "good")[::2] == ("published", "complete")
    world.broken.add("bad")
    with pytest.raises(DatasetsFailedError):
        world.run("first")
    assert in_set(world, "first")[::2] == ("partial", "partial")
    world.broken.update(("orders", "items"))
    with pytest.raises(DatasetsFailedError):
        world.run("none")
    assert in_set(world, "none")[::2] == ("failed", "failed")


@pytest.mark.filterwarnings("ignore:coroutine method 'aclose' of")
@pytest.mark.usefixtures("no_waiting")
def test_a_set_in_progress_is_running_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    world = SetWorld()

    async def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(world.warehouse, "extract", dies)
    with suppress(KeyboardInterrupt):
        world.run("night")
    assert in_set(world, "night")[::2] == ("running", "running")
    monkeypatch.undo()
    world.run("later")
    assert in_set(world, "night")[::2] == ("superseded", "superseded")
