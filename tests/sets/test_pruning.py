"""The documents of a set's runs are pruned with the runs that they name, and never before."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence

import pytest

from bqdump import verbs
from bqdump.core.documents.target import Erasing
from bqdump.core.errors import BqdumpError, DatasetsFailedError, DocumentError, NotFoundError
from bqdump.core.progress.log_events import DATASET
from bqdump.core.retention.policy import policy_of
from bqdump.core.retention.pruned import Pruned
from bqdump.core.sets.member import one_dataset
from bqdump.repository.exports import exports_at
from bqdump.repository.notes import change_tags
from bqdump.repository.repository import value_of
from bqdump.retain.prune import prune_exports
from opened import everywhere
from sets.world import FIRST, SetWorld

DAY = 86_400_000
ROOT = "x/_bqdump/projects/"


async def no_jobs(_since: int) -> set[str]:
    return set()


def pruned(world: SetWorld, days: float = 0.1, *, delete: bool = True, at_once: bool = True) -> Pruned:
    """The result of a prune, so many days after the first run, that keeps the last run of each dataset."""
    now, settings = FIRST + round(days * DAY), world.settings(keep_last=1)

    async def main() -> Pruned:
        exports = await exports_at(everywhere(world.store), settings)
        return await prune_exports(exports, policy_of(settings), now, no_jobs, delete=delete, at_once=at_once)

    return asyncio.run(main())


def kept(world: SetWorld) -> set[str]:
    """The runs of the set that have documents."""
    return {name.removeprefix(ROOT).split("/")[0] for name in world.store.names_now() if name.startswith(ROOT)}


@pytest.fixture
def world() -> SetWorld:
    world = SetWorld()
    for run in ("first", "second", "third"):
        world.run(run)
    return world


def test_they_go_with_the_last_run_that_they_name(world: SetWorld) -> None:
    assert pruned(world, delete=False).removed
    assert kept(world) == {"first", "second", "third"}
    assert pruned(world).left == ()
    assert kept(world) == {"third"}
    assert world.set_manifest().run == "third"
    assert world.content("sales").keys() == {"orders", "items"}


def test_they_stay_while_a_dataset_keeps_the_run(world: SetWorld) -> None:
    own = one_dataset(world.settings(), "sales")
    asyncio.run(change_tags(world.store, own.layout, "first", ["keep"]))
    pruned(world)
    assert kept(world) == {"first", "third"}


def test_objects_of_others_stay_and_are_named(world: SetWorld) -> None:
    world.store.put_now(f"{ROOT}first/notes.txt", b"mine")
    assert pruned(world).left == (f"{ROOT}first/notes.txt",)
    assert kept(world) == {"first", "third"}


def test_a_run_that_failed_stays_until_it_is_abandoned() -> None:
    world = SetWorld()
    world.put("sales", "bad")
    world.broken.add("bad")
    with pytest.raises(DatasetsFailedError):
        world.run("first")
    world.broken.clear()
    world.run("second")
    pruned(world, at_once=False)
    assert kept(world) == {"first", "second"}
    pruned(world, days=8)
    assert kept(world) == {"second"}


def test_a_run_that_may_still_be_published_stays(world: SetWorld) -> None:
    """Nothing is published that is later, or nothing at all."""
    found = world.store.peek("x/_bqdump/project.json")
    assert found
    asyncio.run(world.store.delete([(found[1].name, found[1].generation)]))
    pruned(world, days=30)
    assert kept(world) == {"first", "second", "third"}


@pytest.mark.parametrize("before", range(3))
def test_an_interrupted_prune_is_finished_and_lets_no_late_task_begin(
    before: int, world: SetWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """before: this many batches of the run's documents are deleted before the prune dies."""
    batches, delete = [0], world.store.delete

    async def dying(objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        if any(name.startswith(ROOT) for name, _ in objects):
            batches[0] += 1
            if batches[0] > before:
                raise KeyboardInterrupt
        return await delete(objects)

    monkeypatch.setattr(world.store, "delete", dying)
    with pytest.raises(KeyboardInterrupt):
        pruned(world)
    monkeypatch.undo()
    assert kept(world) == {"first", "second", "third"}
    if before:
        with pytest.raises(DocumentError, match="does not fit the plan of the set"):
            world.run("first", execution="late")
    assert pruned(world).left == ()
    assert kept(world) == {"third"}


def test_notes_of_a_late_task_are_removed(world: SetWorld) -> None:
    pruned(world)
    world.store.put_now(f"{ROOT}first/receipts/00000.json", b"{}")
    pruned(world)
    assert kept(world) == {"third"}
    world.store.put_now(f"{ROOT}fourth/planner.json", b'{"execution":"x","task":0}')
    pruned(world, days=99)
    assert kept(world) == {"third", "fourth"}


def test_a_run_that_stopped_while_it_was_planned_is_removed_once_its_note_is_old(world: SetWorld) -> None:
    world.store.clock = lambda: FIRST
    world.store.put_now(f"{ROOT}fourth/planner.json", b'{"execution":"x","task":0}')
    pruned(world, days=6)
    assert kept(world) == {"third", "fourth"}
    pruned(world, days=8)
    assert kept(world) == {"third"}


def test_a_table_is_erased_from_every_dataset_that_has_it_or_from_one(world: SetWorld) -> None:
    at = itertools.count(FIRST + DAY)

    def erased(table: str) -> list[tuple[str, tuple[str, ...]]]:
        erasing = Erasing(table, next(at), "dana", "why")
        done = asyncio.run(verbs.erase(everywhere(world.store), world.settings(), erasing, delete=True))
        return [(export.target, export.runs) for export in done.exports]

    every = ("first", "second", "third")
    assert erased("sales.items") == [("gs://memory/x/sales/", every)]
    datasets = ("ops_eu", "ops_us", "sales")
    assert [target for target, _ in erased("orders")] == [f"gs://memory/x/{name}/" for name in datasets]
    project = asyncio.run(value_of(world.store, world.settings().layout.set_manifest))
    assert project
    for entry in project.datasets:
        there = world.store.peek(entry.manifest)
        assert there
        assert (entry.manifest_generation, entry.tables) == (there[1].generation, 0 if entry.dataset == "sales" else 1)
    assert [name for name in world.store.names_now() if "/orders/" in name or "sales/items/" in name] == []
    with pytest.raises(NotFoundError, match="there is no dataset nosuch"):
        erased("nosuch.orders")
    world.run("fourth")
    assert erased("sales.items") == [("gs://memory/x/sales/", ("fourth",))]


def test_each_line_of_a_prune_names_its_dataset(caplog: pytest.LogCaptureFixture) -> None:
    world = SetWorld("ops", "sales")
    for run in ("first", "second"):
        world.run(run)
    datasets: list[str] = []

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            datasets.append(f"{DATASET.get()}: {record.getMessage().split(':')[0]}")

    log = logging.getLogger("bqdump.retain.prune")
    log.addHandler(heard := Heard())
    try:
        with caplog.at_level(logging.INFO, log.name):
            pruned(world)
    finally:
        log.removeHandler(heard)
    removed = "removed run first (complete)"
    assert [line for line in datasets if "removed run" in line] == [f"ops: {removed}", f"sales: {removed}"]
