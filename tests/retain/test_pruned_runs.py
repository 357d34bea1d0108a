"""Whoever reads or restarts a run that is being pruned, or was, is told so in one sentence."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump import verbs
from bqdump.adapters.memory import MemoryStore
from bqdump.check.verify import verify
from bqdump.core.documents.retention import PrunedRun
from bqdump.core.documents.run import Owner
from bqdump.core.errors import NotFoundError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.plan import Options
from bqdump.export.run import run
from bqdump.observe.history import list_runs
from bqdump.observe.status import status
from bqdump.ports.store import ObjectInfo
from bqdump.repository.notes import change_tags
from bqdump.repository.published import read_manifest
from bqdump.repository.repository import overwrite
from bqdump.restoration.restore import restore_one as restore
from bqdump.restoration.task import Request
from bqdump.restoration.task import Task as Restoring
from bqdump.retain.prune import prune
from bqdump_memory import MemoryDestination
from logged import logged
from retain.scene import DAY, KEEP, LAYOUT, SETTINGS, Scene


class Between(MemoryStore):
    """A store in which something happens as soon as a manifest has been read."""

    def __init__(self, store: MemoryStore, meanwhile: Any) -> None:
        self.__dict__ = store.__dict__
        self.meanwhile = meanwhile

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Any:
        stored = await super().read(name, start, length)
        if name == LAYOUT.run("a").manifest.name and (meanwhile := self.__dict__.pop("meanwhile", None)):
            await meanwhile()
        return stored


async def mark_now(scene: Scene, run: str) -> None:
    await overwrite(scene.store, LAYOUT.mark(run), PrunedRun(run=run))


def mark(scene: Scene, run: str) -> None:
    asyncio.run(mark_now(scene, run))


async def prune_twice(scene: Scene) -> None:
    """Prune, and delete the files when their day is over."""
    for _ in range(2):
        await prune(scene.pruning())
        scene.now += DAY


def test_a_verification_of_a_run_that_is_pruned_meanwhile_reports_it(scene: Scene) -> None:
    scene.run("a", "b")
    store = Between(scene.store, lambda: prune_twice(scene))
    with pytest.raises(NotFoundError, match=r"^cannot verify run a: it was pruned\. bqdump\.runs\(\) lists"):
        asyncio.run(verify(store, SETTINGS, "a"))


def test_a_run_whose_deletion_has_begun_is_not_there_any_more(scene: Scene) -> None:
    scene.run("a", "b")
    mark(scene, "a")
    with pytest.raises(NotFoundError, match=r"^cannot read run a: it was pruned\."):
        asyncio.run(read_manifest(scene.store, SETTINGS, "a"))


def test_a_restore_of_a_run_that_is_pruned_meanwhile_reports_it_and_restores_nothing_wrong(scene: Scene) -> None:
    scene.run("a", "b")
    big = MemoryDestination(scene.store, scene.warehouse.clock)

    class Pruning(MemoryStore):
        """The run is pruned when the restore looks at its first file."""

        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__
            self.todo = True

        async def stat(self, name: str) -> ObjectInfo | None:
            if name.startswith("x/a/") and self.__dict__.pop("todo", False):
                await prune_twice(scene)
            return await super().stat(name)

    request = Request(Options(project="p", dataset="copy"), "a")
    with pytest.raises(NotFoundError, match=r"^cannot restore run a: it was pruned\."):
        asyncio.run(restore(Restoring(Pruning(), big, SETTINGS, request, Owner("x", 0), 1)))
    with pytest.raises(NotFoundError, match="it was pruned"):
        asyncio.run(restore(Restoring(scene.store, big, SETTINGS, request, Owner("y", 0), 1)))


def test_whoever_reads_the_published_run_as_it_is_replaced_and_pruned_reads_the_next_one(scene: Scene) -> None:
    async def publish_and_prune() -> None:
        for name in ("b", "c"):
            await verbs_run(scene, name)
        await prune_twice(scene)

    class Moving(MemoryStore):
        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__
            self.todo = True

        async def stat(self, name: str) -> Any:
            info = await super().stat(name)
            if name == LAYOUT.run("a").manifest.name and self.__dict__.pop("todo", False):
                await publish_and_prune()
            return info

    scene.run("a")
    assert asyncio.run(read_manifest(Moving(), SETTINGS)).run == "c"


async def verbs_run(scene: Scene, name: str, **settings: Any) -> Any:
    task = scene.task(name, **settings)

    class Services:
        store, warehouse, signer = task.store, task.warehouse, None
        store_at = staticmethod(lambda _: task.store)

        class read_route:  # noqa: N801
            open = staticmethod(lambda: task.read_route)

    services: Any = Services()
    return await verbs.run_one(services, verbs.Start(task.settings, name, task.owner, 1))


def test_no_list_shows_a_run_that_was_pruned(scene: Scene) -> None:
    scene.run("a", "b")
    scene.abandon("c")
    for name in ("a", "c"):
        mark(scene, name)
    assert [line.run for line in asyncio.run(list_runs(scene.store, SETTINGS))] == ["b"]
    for name in ("a", "c"):
        with pytest.raises(NotFoundError, match=f"run {name}: it was pruned"):
            asyncio.run(status(scene.store, SETTINGS, name))


def test_an_abandoned_run_that_a_killed_prune_was_deleting_is_not_resumed(scene: Scene) -> None:
    scene.abandon("a")
    before = scene.names("x/a/")
    mark(scene, "a")
    with pytest.raises(UsageError, match="a run of this id was pruned"):
        scene.run("a")
    assert scene.names("x/a/") == before


def test_a_pruned_run_gets_no_tag(scene: Scene) -> None:
    scene.run("a", "b")
    mark(scene, "a")
    with pytest.raises(NotFoundError, match=r"^cannot tag run a: it was pruned"):
        asyncio.run(change_tags(scene.store, LAYOUT, "a", ["keep"]))
    assert scene.names("/tags/") == []


def test_the_id_of_a_pruned_run_is_never_given_again(scene: Scene) -> None:
    scene.run("a")
    scene.run("b", include=("sales",), keep_others=True)
    scene.prune()
    before = {name: scene.store.peek(name) for name in scene.names("x/a/")}
    assert list(before) == ["x/a/items/items_000000000000.csv"]
    with pytest.raises(UsageError, match="a run of this id was pruned"):
        scene.run("a")
    assert {name: scene.store.peek(name) for name in scene.names("x/a/")} == before
    assert scene.names("/runs/a/plan.json") == []


def test_a_run_prunes_after_it_was_published(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.run("a", "b")
    asyncio.run(verbs_run(scene, "c", prune=False))
    assert scene.names("x/a/")
    with caplog.at_level(logging.INFO):
        asyncio.run(verbs_run(scene, "d", prune=True, keep_last=2))
    assert {line.run for line in asyncio.run(list_runs(scene.store, SETTINGS))} == {"c", "d"}
    assert [record.args for record in logged(caplog, LogEvent.PRUNE_DONE)]


def test_a_run_stays_published_whatever_prune_meets(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.run("a", "b")
    scene.store.put_now(LAYOUT.run("a").manifest.name, b"{")
    ended = asyncio.run(verbs_run(scene, "c", prune=True))
    assert ended.result.state == "published"
    [failed] = logged(caplog, LogEvent.PRUNE_FAILED)
    assert "runs/a/manifest.json" in failed.getMessage()


def test_files_that_a_run_is_about_to_take_over_stay(scene: Scene) -> None:
    """It has found the published run, and another run is published and the first one pruned before it goes on."""
    scene.run("a")

    class Slow(MemoryStore):
        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__
            self.todo = True

        async def write(self, name: str, data: bytes, expect: int | None) -> int:
            if name == LAYOUT.run("c").manifest.name and self.__dict__.pop("todo", False):
                await verbs_run(scene, "b", snapshot_time=str(taken))
                await prune(scene.pruning())
            return await super().write(name, data, expect)

    taken = scene.now + 1
    task = scene.task("c", include=("sales",), keep_others=True, path=KEEP)
    scene.now += 1000
    asyncio.run(run(replace(task, store=Slow())))
    for _ in range(3):
        scene.now += DAY
        scene.prune_once()
    assert asyncio.run(verify(scene.store, SETTINGS, "c")).findings == ()
    assert asyncio.run(read_manifest(scene.store, SETTINGS)).run == "c"
