"""Whoever reads or restarts a run that is being pruned, or was, is told so in one sentence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump import verbs
from bqdump.adapters.memory import MemoryStore
from bqdump.check.verify import verify
from bqdump.core.documents.retention import Tombstone
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, NotFoundError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.plan import Options
from bqdump.core.retention.pruned import Pruned
from bqdump.export.run import run
from bqdump.observe.history import list_runs
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
from retain.scene import KEEP, LAYOUT, SETTINGS, Scene


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


async def propose_now(scene: Scene, run: str) -> None:
    tombstone = Tombstone(run=run, snapshot_time="2026-01-31T03:00:00.000Z")
    await overwrite(scene.store, LAYOUT.run(run).tombstone, tombstone)


def propose(scene: Scene, run: str) -> None:
    asyncio.run(propose_now(scene, run))


def decide_on(scene: Scene, run: str, **fields: Any) -> None:
    tombstone = Tombstone(run=run, decided=True, snapshot_time="2026-01-31T03:00:00.000Z", **fields)
    asyncio.run(overwrite(scene.store, LAYOUT.run(run).tombstone, tombstone))


def test_a_verification_of_a_run_that_is_pruned_meanwhile_reports_it(scene: Scene) -> None:
    scene.run("a", "b")
    store = Between(scene.store, lambda: prune(scene.pruning()))
    with pytest.raises(NotFoundError, match=r"^cannot verify run a: it was pruned meanwhile\. bqdump\.runs\(\) lists"):
        asyncio.run(verify(store, SETTINGS, "a"))


def test_a_run_whose_deletion_has_begun_is_not_there_any_more(scene: Scene) -> None:
    scene.run("a", "b")
    decide_on(scene, "a")
    scene.delete_now("a/manifest")
    with pytest.raises(NotFoundError, match=r"^cannot read run a: it is being pruned\."):
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
                await prune(scene.pruning())
            return await super().stat(name)

    request = Request(Options(project="p", dataset="copy"), "a")
    with pytest.raises(NotFoundError, match=r"^cannot restore run a: it was pruned meanwhile\."):
        asyncio.run(restore(Restoring(Pruning(), big, SETTINGS, request, Owner("x", 0), 1)))
    with pytest.raises(NotFoundError, match="there is none"):
        asyncio.run(restore(Restoring(scene.store, big, SETTINGS, request, Owner("y", 0), 1)))


def test_whoever_reads_the_published_run_as_it_is_replaced_and_pruned_reads_the_next_one(scene: Scene) -> None:
    async def publish_and_prune() -> None:
        for name in ("b", "c"):
            await verbs_run(scene, name)
        await prune(scene.pruning())

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


def test_runs_shows_a_run_that_is_being_pruned_and_not_one_that_was(scene: Scene) -> None:
    scene.run("a", "b")
    decide_on(scene, "a")
    scene.delete_now("-a.json")
    assert [(one.run, one.state) for one in asyncio.run(list_runs(scene.store, SETTINGS))] == [
        ("b", "complete"),
        ("a", "pruning"),
    ]
    decide_on(scene, "a", emptied=True)
    assert [one.run for one in asyncio.run(list_runs(scene.store, SETTINGS))] == ["b"]


def test_an_abandoned_run_that_a_killed_prune_was_deleting_is_not_resumed(scene: Scene) -> None:
    scene.abandon("a")
    before = scene.names("x/a/")
    decide_on(scene, "a")
    with pytest.raises(UsageError, match="a run of this id was pruned or is being pruned"):
        scene.run("a")
    assert scene.names("x/a/") == before


def test_what_a_killed_prune_has_proposed_is_withdrawn_by_a_run_that_carries_tables_over(scene: Scene) -> None:
    scene.run("a")
    scene.abandon("b", include=("sales",), keep_others=True)
    propose(scene, "a")
    assert scene.run("b", include=("sales",), keep_others=True)[0].state == "published"
    assert not scene.names("tombstone")
    assert asyncio.run(verify(scene.store, SETTINGS, "b")).findings == ()


def test_what_a_killed_prune_has_proposed_is_withdrawn_by_a_run_that_ends_after_all(scene: Scene) -> None:
    class Late(MemoryStore):
        """The manifest is stored when the deletion has just been proposed."""

        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def write(self, name: str, data: bytes, expect: int | None) -> int:
            if name == LAYOUT.run("a").manifest.name:
                await propose_now(scene, "a")
            return await super().write(name, data, expect)

    asyncio.run(run(replace(scene.task("a"), store=Late())))
    assert not scene.names("tombstone")
    assert asyncio.run(read_manifest(scene.store, SETTINGS)).run == "a"


def test_a_tag_withdraws_what_a_killed_prune_has_proposed(scene: Scene) -> None:
    scene.run("a", "b")
    propose(scene, "a")
    assert asyncio.run(change_tags(scene.store, LAYOUT, "a", ["audit"])) == ("audit",)
    assert not scene.names("tombstone")
    decide_on(scene, "a")
    with pytest.raises(NotFoundError, match=r"^cannot tag run a: it is being pruned"):
        asyncio.run(change_tags(scene.store, LAYOUT, "a", ["keep"]))


def test_the_id_of_a_pruned_run_stays_taken_while_another_run_names_its_files(scene: Scene) -> None:
    scene.run("a")
    scene.run("b", include=("sales",), keep_others=True)
    scene.prune()
    before = {name: scene.store.peek(name) for name in scene.names("x/a/")}
    assert list(before) == ["x/a/items/items_000000000000.csv"]
    with pytest.raises(UsageError, match="a run of this id was pruned or is being pruned"):
        scene.run("a")
    assert {name: scene.store.peek(name) for name in scene.names("x/a/")} == before
    scene.run("c")
    scene.prune()
    assert scene.names("x/a/") + scene.names("/runs/a/") == []
    assert scene.run("a")[0].state == "published"


def test_a_slow_prune_does_not_delete_documents_of_a_new_run_with_the_same_id(scene: Scene) -> None:
    async def meanwhile() -> None:
        await prune(scene.pruning())
        await verbs_run(scene, "a")

    class Slow(MemoryStore):
        """This prune lists the documents of the run after another one has finished, and the run was started anew."""

        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__
            self.todo = True

        async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
            if prefix == LAYOUT.run("a").root and self.__dict__.pop("todo", False):
                await meanwhile()
            async for page in super().objects(prefix, start):
                yield page

    scene.run("a", "b")
    asyncio.run(prune(scene.pruning()._replace(store=Slow())))
    assert asyncio.run(verify(scene.store, SETTINGS, "a")).findings == ()
    assert LAYOUT.run("a").plan.name in scene.names()


def test_a_run_prunes_after_it_was_published(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.run("a", "b")
    asyncio.run(verbs_run(scene, "c", prune=False))
    assert scene.names("x/a/")
    with caplog.at_level(logging.INFO):
        asyncio.run(verbs_run(scene, "d", prune=True, keep_last=2))
    assert {name.split("/")[1] for name in scene.names("x/") if "_bqdump" not in name} == {"c", "d"}
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

        async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
            if "/references/" in name and self.__dict__.pop("todo", False):
                await verbs_run(scene, "b", snapshot_time=str(taken))
                await prune(scene.pruning())
            return await super().write_note(name, data, expect)

    taken = scene.now + 1
    task = scene.task("c", include=("sales",), keep_others=True, path=KEEP)
    scene.now += 1000
    asyncio.run(run(replace(task, store=Slow())))
    assert asyncio.run(verify(scene.store, SETTINGS, "c")).findings == ()
    manifest = asyncio.run(read_manifest(scene.store, SETTINGS))
    assert (manifest.run, manifest.over) == ("c", "b")


def test_a_run_takes_no_file_over_that_a_prune_is_about_to_delete(scene: Scene) -> None:
    """The prune has looked for whoever names the files, and deletes them once the run is published."""
    scene.run("a")
    stopped, published = asyncio.Event(), asyncio.Event()

    class Deleting(MemoryStore):
        def __init__(self) -> None:
            self.__dict__ = dict(scene.store.__dict__)

        async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
            if any(name.endswith(".csv") for name, _ in objects):
                stopped.set()
                await published.wait()
            return await scene.store.delete(objects)

    class Slow(MemoryStore):
        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__
            self.todo = True

        async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
            if "/references/" in name and self.__dict__.pop("todo", False):
                await verbs_run(scene, "b", snapshot_time=str(taken))
                pruning.append(asyncio.create_task(prune(scene.pruning()._replace(store=Deleting()))))
                pruning[0].add_done_callback(lambda _: stopped.set())
                await stopped.wait()
            return await super().write_note(name, data, expect)

    async def take_over() -> None:
        await run(replace(scene.task("c", include=("sales",), keep_others=True, path=KEEP), store=Slow()))
        published.set()
        assert scene.removed(await pruning[0]) == ["a"]

    pruning: list[asyncio.Task[Pruned]] = []
    taken = scene.now + 1
    scene.now += 1000
    asyncio.run(take_over())
    assert asyncio.run(verify(scene.store, SETTINGS, "c")).findings == ()
