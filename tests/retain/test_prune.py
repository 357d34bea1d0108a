"""Prune: what goes, in which order, what stays, and what happens when it is killed on the way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.check.verify import verify
from bqdump.core.documents.codec import decode
from bqdump.core.documents.target import Latest
from bqdump.core.errors import BqdumpError, DocumentError, NotFoundError, UnavailableError, UsageError
from bqdump.export.placement.choose import running_export
from bqdump.export.publish.publish import publish
from bqdump.export.run import obtain_plan, run
from bqdump.export.work.work import work
from bqdump.observe.history import list_runs
from bqdump.pool.tables import read_ledger
from bqdump.repository.notes import change_tags
from bqdump.repository.repository import value_of
from bqdump.retain.plan import plan_of
from bqdump.retain.prune import prune
from bqdump.retain.survey import survey
from bqdump.retain.sweep import files_of, mark, sweep
from entries import entries, entry
from retain.scene import DAY, LAYOUT, SETTINGS, Scene
from tiers import points

HOUR = 3_600_000
REPLACE = "{table}/{table}_*.{ext}"


class Killed(BaseException):
    """The process ends."""


class Mortal(MemoryStore):
    """Another view of a store, through which only so many writes and deletions are made before the process ends."""

    def __init__(self, store: MemoryStore, writes: int) -> None:
        self.__dict__ = dict(store.__dict__)
        self.left, self.base = writes, store

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def _put(self, *arguments: Any, **options: Any) -> Any:
        self._spend()
        return self.base._put(*arguments, **options)

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        results: list[bool | BqdumpError] = []
        for one in objects:
            self._spend()
            results += await super().delete([one])
        return results


def test_a_dry_run_shows_and_changes_nothing(scene: Scene) -> None:
    scene.run("a", "b", "c")
    before = {name: scene.store.peek(name) for name in scene.names()}
    result = scene.prune(delete=False, keep_last=2)
    assert [(one.run, one.removed, one.reasons) for one in result.runs] == [
        ("c", False, ("published", "last")),
        ("b", False, ("last",)),
        ("a", True, ()),
    ]
    assert (result.deleted, result.files, result.later_files) == (False, 0, 2)
    assert result.later_bytes == sum(len(found[0]) for name in scene.names("x/a/") if (found := scene.store.peek(name)))
    assert {name: scene.store.peek(name) for name in scene.names()} == before


def test_runs_go_with_their_files_and_documents_and_nothing_else_does(scene: Scene) -> None:
    scene.run("a", "b", "c")
    scene.store.put_now("x/README.txt", b"mine")
    scene.store.put_now("other/a/items.csv", b"mine")
    gone = ("x/a/", LAYOUT.run("a").root, entry(scene.store, LAYOUT, "a"))
    rest = [name for name in scene.names() if not name.startswith(gone)]
    result = scene.prune(keep_last=2)
    assert scene.removed(result) == ["a"]
    assert [name for name in scene.names() if name not in (LAYOUT.mark("a").name, LAYOUT.clock)] == rest
    assert asyncio.run(verify(scene.store, SETTINGS, "b")).findings == ()


def test_what_runs_replaced_is_gone_and_their_documents_go(scene: Scene) -> None:
    scene.run("a", "b", "c", path=REPLACE)
    files = [name for name in scene.names() if "_bqdump" not in name]
    shown = scene.prune(delete=False, path=REPLACE)
    result = scene.prune(path=REPLACE)
    assert scene.removed(result) == scene.removed(shown) == ["a", "b"]
    assert (shown.files, result.files) == (0, 0)
    assert [name for name in scene.names() if "_bqdump" not in name] == files
    assert scene.store.names_now() == [name for name in scene.names() if "/a/" not in name and "/b/" not in name]
    assert asyncio.run(verify(scene.store, SETTINGS, "c")).findings == ()


def test_a_file_that_a_kept_run_names_stays(scene: Scene) -> None:
    scene.run("a", "b")
    scene.warehouse.drop("p", "sales", "items")
    scene.run("c", include=("sales",), keep_others=True)
    assert scene.removed(scene.prune()) == ["a", "b"]
    assert [name for name in scene.names() if "/items/" in name] == ["x/b/items/items_000000000000.csv"]
    assert scene.names("x/b/") == ["x/b/items/items_000000000000.csv"]
    assert asyncio.run(verify(scene.store, SETTINGS, "c")).findings == ()
    scene.run("d", include=("sales",), allow=("removed-tables",))
    result = scene.prune()
    assert scene.removed(result) == ["c"]
    assert scene.names("/items/") == []
    assert result.files == 2


def test_the_published_run_and_later_ones_stay(scene: Scene) -> None:
    scene.run("a", "b", "c")
    # As if b and c were complete and not yet published.
    for later in ("b", "c"):
        scene.delete_now(entry(scene.store, LAYOUT, later))
    assert scene.removed(scene.prune()) == []


def test_without_a_published_run_nothing_goes(scene: Scene) -> None:
    scene.run("a", "b")
    scene.delete_now("/log/")
    result = scene.prune()
    assert [one.reasons[0] for one in result.runs] == ["nothing is published"] * 2


@pytest.mark.parametrize("damage", [b"{", b'{"format_version": 9}', b""])
@pytest.mark.parametrize("run", ["a", "c"])
@pytest.mark.parametrize("delete", [False, True])
def test_one_manifest_that_cannot_be_read_stops_everything(scene: Scene, run: str, damage: bytes, delete: bool) -> None:
    scene.run("a", "b", "c")
    scene.store.put_now(LAYOUT.run(run).manifest.name, damage)
    before = scene.names()
    with pytest.raises((DocumentError, UsageError), match=rf"runs/{run}/manifest.json|copy"):
        scene.prune(delete=delete)
    assert scene.names() == before


def test_a_manifest_that_names_files_of_others_stops_everything(scene: Scene) -> None:
    scene.run("a", "b", "c")
    other = scene.store.put_now("x/deep/items.csv", b"not yours")
    found = scene.store.peek(LAYOUT.run("a").manifest.name)
    assert found
    name, generation = re.findall(rb'"name":"(x/a/items[^"]*)".*?"generation":(\d+)', found[0])[0]
    edited = found[0].replace(name, b"x/deep/items.csv").replace(generation, str(other.generation).encode())
    scene.store.put_now(LAYOUT.run("a").manifest.name, edited)
    with pytest.raises(DocumentError, match=r"'x/deep/items.csv' is not a file of run a"):
        scene.prune()
    assert scene.store.peek("x/deep/items.csv")


def test_a_prefix_within_another_keeps_everything(scene: Scene) -> None:
    inner = SETTINGS.target.__class__("gs", "memory", "x/inner/")
    scene.run("a", "b", target=inner)
    scene.run("a", "c", "d")
    inside = scene.names("x/inner/")
    assert scene.removed(scene.prune()) == ["a", "c"]
    assert scene.names("x/inner/") == inside


def test_a_copy_of_an_export_is_refused(scene: Scene) -> None:
    scene.run("a", "b", "c")
    for name in scene.names("x/"):
        found = scene.store.peek(name)
        assert found
        scene.store.put_now(name.replace("x/", "copy/", 1), found[0])
    before = scene.names()
    moved = SETTINGS.target.__class__("gs", "memory", "copy/")
    with pytest.raises(UsageError, match="copied by another tool than `bqdump copy`"):
        scene.prune(target=moved)
    for name in scene.names("x/"):
        found = scene.store.peek(name)
        assert found
        scene.store.put_now(name, found[0])
    with pytest.raises(
        UsageError, match=r"manifest\.json was written again since it was published.*after the next run"
    ):
        scene.prune()
    assert scene.names() == before


def test_a_damaged_manifest_of_the_published_run_is_named_and_not_taken_for_a_copy(scene: Scene) -> None:
    scene.run("a", "b", "c")
    scene.store.put_now(LAYOUT.run("c").manifest.name, b"{")
    with pytest.raises(DocumentError, match=r"runs/c/manifest\.json.*Restore it, or delete the folder"):
        scene.prune()


def test_a_prefix_that_was_handed_over_is_pruned_by_dataset(scene: Scene) -> None:
    scene.run("a", "b")
    for name in (LAYOUT.owner.name, *entries(scene.store, LAYOUT).values()):
        found = scene.store.peek(name)
        assert found
        asyncio.run(scene.store.delete([(name, found[1].generation)]))
    scene.warehouse.put("p", "other", "items", ["1"])
    scene.run("c", "d", dataset="other")
    assert scene.removed(scene.prune(dataset="other")) == ["a", "c"]


def test_objects_in_a_runs_folder_that_are_not_its_own_stay_and_are_named(scene: Scene) -> None:
    scene.run("a", "b")
    scene.store.put_now(f"{LAYOUT.run('a').root}notes.txt", b"mine")
    assert scene.prune().left == (f"{LAYOUT.run('a').root}notes.txt",)
    assert scene.names("/runs/a/") == [f"{LAYOUT.run('a').root}notes.txt"]


@pytest.mark.parametrize("waited", [0, 1])
def test_a_killed_prune_is_finished_by_the_next_one(waited: int) -> None:
    """Killed before each write and each deletion, once: on the night on which runs leave the log, and a day later."""
    expected: list[str] | None = None
    for writes in points(range(200)):
        scene = Scene()
        scene.run("a", "b", "c")
        for _ in range(waited):
            scene.prune_once()
            scene.now += DAY
        try:
            asyncio.run(prune(scene.pruning()._replace(store=Mortal(scene.store, writes))))
            killed = False
        except Killed:
            killed = True
        assert asyncio.run(verify(scene.store, SETTINGS, "c")).findings == ()
        for name in ("a", "b"):
            # A run that has no mark has all of its files.
            if not scene.store.peek(LAYOUT.mark(name).name):
                assert asyncio.run(verify(scene.store, SETTINGS, name)).findings == ()
        for _ in range(2):
            scene.prune_once()
            scene.now += DAY
        names = [re.sub("-[0-9a-f]{8}[.]", ".", name) for name in scene.names()]
        expected = expected or names
        assert names == expected
        assert not scene.names("/a/") + scene.names("/b/")
        if not killed:
            return
    raise AssertionError("it never ended")


def test_a_pruned_run_is_gone_for_readers_and_its_files_stay_for_a_day(scene: Scene) -> None:
    scene.run("a", "b")
    files = scene.names("/a/")
    result = scene.prune_once()
    assert [(one.run, one.state) for one in result.removed] == [("a", "complete")]
    assert (result.files, result.later_files) == (0, 2)
    assert [line.run for line in asyncio.run(list_runs(scene.store, SETTINGS))] == ["b"]
    with pytest.raises(NotFoundError, match="run a: it was pruned"):
        asyncio.run(verify(scene.store, SETTINGS, "a"))
    scene.now += 23 * HOUR
    result = scene.prune_once()
    assert [(one.run, one.removed, one.reasons) for one in result.runs if one.run == "a"] == [
        ("a", False, ("pruned 23 hours ago",))
    ]
    assert scene.names("/a/") == files
    scene.now += HOUR
    result = scene.prune_once()
    assert [(one.run, one.reasons) for one in result.removed] == [("a", ("pruned 24 hours ago",))]
    assert (result.files, scene.names("/a/")) == (2, [])


@pytest.mark.parametrize("hours", [-1, 1])
def test_ages_are_those_of_the_store_whatever_the_clock_of_the_pruner(scene: Scene, hours: int) -> None:
    scene.run("a", "b")
    scene.now += 2 * HOUR
    files = scene.names("/a/")
    for age in (0, 23.5):
        task = scene.pruning()
        scene.now += int(age * HOUR)
        asyncio.run(prune(task._replace(now=scene.now + hours * HOUR)))
        assert scene.names("/a/") == files
    scene.now += HOUR // 2
    asyncio.run(prune(scene.pruning()._replace(now=scene.now + hours * HOUR)))
    assert scene.names("/a/") == []


def test_a_store_without_a_clock_keeps_what_was_pruned(scene: Scene) -> None:
    scene.run("a", "b")
    scene.store.clock = lambda: 0
    for _ in range(2):
        scene.prune_once()
        scene.now += DAY
    assert scene.names("x/a/")


def test_deleting_the_mark_within_the_day_brings_the_run_back(scene: Scene) -> None:
    scene.run("a", "b")
    scene.prune_once()
    scene.delete_now(LAYOUT.mark("a").name)
    assert [line.run for line in asyncio.run(list_runs(scene.store, SETTINGS))] == ["b", "a"]
    assert asyncio.run(verify(scene.store, SETTINGS, "a")).findings == ()


async def publish_slowly(scene: Scene, hours: int) -> str:
    """Run c reuses the files of b. Before it publishes, d is published and b pruned, and this many hours go by."""
    task = scene.task("c", incremental=True)
    plan = await obtain_plan(task)
    assert plan.all_reused
    export = running_export(task, plan)
    await work(export)
    for table in ("items", "sales"):
        scene.warehouse.put("p", "sales", table, ["new"])
    scene.now += HOUR
    await run(scene.task("d"))
    for age in (0, 24):
        # By name, while c is not seen: as if it had been planned a moment later.
        if hours >= age:
            pruning = scene.pruning(incremental=True)
            known = plan_of(await survey(pruning), pruning)
            reasons = {**known.reasons, "a": (), "b": ()} if age == 0 else known.reasons
            known = known._replace(reasons=reasons)
            await mark(pruning, known)
            await sweep(pruning, known, await files_of(pruning, known))
            scene.now += min(hours, 24) * HOUR
    try:
        return (await publish(export, await read_ledger(scene.store, export.layout, plan))).result
    except BqdumpError as error:
        return str(error)


@pytest.mark.parametrize("hours", [0, 19, 21, 25])
def test_a_run_that_reuses_files_of_a_pruned_run_is_published_within_20_hours(scene: Scene, hours: int) -> None:
    scene.run("a", "b", incremental=True)
    ended = asyncio.run(publish_slowly(scene, hours))
    if hours < 20:
        # A later run is published, and this one is in the log.
        assert (ended, "c" in entries(scene.store, LAYOUT)) == ("superseded", True)
        for _ in range(3):
            scene.now += DAY
            scene.prune_once(keep_last=9, incremental=True)
        assert asyncio.run(verify(scene.store, SETTINGS, "c")).findings == ()
    else:
        # Once its files are gone, its publisher finds no more than that a later run is published.
        assert "run b, which was pruned more than 20 hours ago" in ended if hours < 24 else ended == "superseded"
        assert "c" not in entries(scene.store, LAYOUT)


def test_a_run_whose_files_an_unfinished_run_reuses_stays(scene: Scene) -> None:
    scene.run("a", "b", incremental=True)
    scene.abandon("c", incremental=True)
    scene.run("d")
    result = scene.prune_once()
    assert [one.reasons for one in result.runs if one.run == "b"] == [("run c relies on its files",)]
    assert scene.removed(result) == ["a"]


def test_files_of_a_run_pruned_lately_stay_when_one_pruned_before_goes(scene: Scene) -> None:
    """A run that is at work may have taken the later one for the published one."""
    scene.run("a")
    scene.run("b", include=("sales",), keep_others=True)
    scene.run("c")
    scene.prune_once(keep_last=2)
    scene.now += DAY
    scene.prune_once()
    assert scene.names("x/a/") == ["x/a/items/items_000000000000.csv"]
    scene.now += DAY
    scene.prune_once()
    assert scene.names("x/a/") + scene.names("x/b/") == []


def test_at_once_the_files_go_with_their_runs(scene: Scene) -> None:
    scene.run("a", "b", "c")
    scene.prune_once(keep_last=2)
    task = scene.pruning()._replace(at_once=True)
    shown = asyncio.run(prune(task._replace(delete=False)))
    result = asyncio.run(prune(task))
    assert scene.removed(result) == scene.removed(shown) == ["a", "b"]
    assert (result.files, shown.files, result.later_files) == (4, 4, 0)
    assert "no restore, verification, drill or copy" in result.notes[0]
    assert scene.names("/a/") + scene.names("/b/") == []


@pytest.mark.parametrize("planned", [True, False])
def test_at_once_nothing_is_pruned_while_a_run_is_unfinished(scene: Scene, planned: bool) -> None:
    scene.run("a", "b")
    if planned:
        scene.abandon("c")
    else:
        scene.store.put_now(LAYOUT.run("c").planner.name, b'{"execution":"e","task":0}')
    before = scene.names()
    for delete in (False, True):
        with pytest.raises(UsageError, match="run c has not ended, and may rely on files"):
            asyncio.run(prune(scene.pruning()._replace(delete=delete, at_once=True)))
    assert scene.names() == before


def test_at_once_a_run_that_begins_meanwhile_keeps_the_files(scene: Scene) -> None:
    class Beginning(MemoryStore):
        """A planner stores its note as soon as a run has left the log."""

        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
            scene.store.put_now(LAYOUT.run("c").planner.name, b'{"execution":"e","task":0}')
            return await super().write_note(name, data, expect)

    scene.run("a", "b")
    with pytest.raises(UsageError, match="run c has not ended, and may rely on files"):
        asyncio.run(prune(scene.pruning()._replace(store=Beginning(), at_once=True)))
    assert scene.names("x/a/")


def test_of_two_prunes_at_once_only_the_one_that_deletes_a_file_counts_its_bytes(scene: Scene) -> None:
    class Second(MemoryStore):
        """The other prune has deleted the same files a moment before."""

        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
            await scene.store.delete([one for one in objects if "_bqdump/" not in one[0]])
            return await super().delete(objects)

    scene.run("a", "b")
    scene.prune_once()
    scene.now += DAY
    result = asyncio.run(prune(scene.pruning()._replace(store=Second())))
    assert ([run.run for run in result.removed], result.files, result.bytes) == (["a"], 0, 0)
    assert scene.names("x/a/") == []


def test_a_run_that_is_tagged_meanwhile_stays(scene: Scene) -> None:
    class Tagged(MemoryStore):
        """Run a is tagged as soon as all runs have been read."""

        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
            if name == LAYOUT.mark("a").name:
                await change_tags(scene.store, LAYOUT, "a", ["keep"])
            return await super().write_note(name, data, expect)

    scene.run("a", "b")
    pruned = asyncio.run(prune(scene.pruning()._replace(store=Tagged())))
    assert [run.reasons for run in pruned.runs if run.run == "a"] == [("tag keep",)]
    assert [line.run for line in asyncio.run(list_runs(scene.store, SETTINGS))] == ["b", "a"]


def test_a_run_that_has_gone_while_it_was_tagged_has_no_tag(scene: Scene) -> None:
    class Late(MemoryStore):
        """The tag is written when a whole prune has gone by."""

        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
            await prune(scene.pruning())
            return await super().write_note(name, data, expect)

    scene.run("a", "b")
    with pytest.raises(NotFoundError, match="cannot tag run a: it was pruned"):
        asyncio.run(change_tags(Late(), LAYOUT, "a", ["keep"]))
    assert not scene.names("tags/")


def test_tags_keep(scene: Scene) -> None:
    scene.run("a", "b", "c", "d")
    asyncio.run(change_tags(scene.store, LAYOUT, "a", ["keep"]))
    asyncio.run(change_tags(scene.store, LAYOUT, "b", ["audit"]))
    assert scene.removed(scene.prune(delete=False)) == ["b", "c"]
    assert scene.removed(scene.prune(keep_tag=("audit",))) == ["c"]
    asyncio.run(change_tags(scene.store, LAYOUT, "a", remove=["keep"]))
    assert scene.removed(scene.prune()) == ["a", "b"]
    assert scene.names("_bqdump/tags/") == []


def test_an_error_of_the_store_ends_prune_and_the_next_one_continues(scene: Scene) -> None:
    scene.run("a", "b")

    class Failing(MemoryStore):
        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
            return [UnavailableError("delete", name, "not now") for name, _ in objects]

    scene.prune_once()
    scene.now += DAY
    with pytest.raises(UnavailableError):
        asyncio.run(prune(scene.pruning()._replace(store=Failing())))
    result = scene.prune_once()
    assert [(one.run, one.state) for one in result.removed] == [("a", "pruning")]
    assert not scene.names("/a/")


def test_files_of_partitions_that_later_runs_name_stay(scene: Scene) -> None:
    path = "{run}/{table}/day={partition}/{table}_*.{ext}"
    settings: dict[str, Any] = {"path": path, "partitions_min_bytes": 0, "incremental": True}
    rows = ["20260101:a", "20260102:b"]
    scene.warehouse.put("p", "sales", "days", rows, partitioned=True)
    scene.run("a", **settings)
    for name in ("b", "c"):
        scene.warehouse.put("p", "sales", "days", rows := [*rows, f"20260102:{name}"])
        scene.run(name, **settings)
    scene.prune(**settings)
    files = [name for name in scene.names() if name.startswith(("x/a/days", "x/b/days", "x/c/days"))]
    assert files == ["x/a/days/day=20260101/days_000000000000.csv", "x/c/days/day=20260102/days_000000000000.csv"]


@pytest.mark.parametrize("keeping", [{"retention_seconds": 3600}, {"holds": True}])
def test_a_bucket_that_keeps_all_objects_is_refused(scene: Scene, keeping: dict[str, Any]) -> None:
    scene.run("a", "b")
    before, scene.store.bucket = scene.names(), replace(scene.store.bucket, **keeping)
    with pytest.raises(UsageError, match=r"Nothing was deleted\."):
        scene.prune()
    assert scene.names() == before


def test_the_cost_of_deleted_files_is_reported(scene: Scene) -> None:
    scene.run("a", "b")
    scene.store.bucket = replace(scene.store.bucket, soft_delete_seconds=604_800, versions=True)
    assert scene.prune(delete=False).notes == (
        "Soft delete is on: deleted files stay billed for 7 days.",
        "Versioning is on: deleted files stay billed as noncurrent versions.",
    )


def test_files_of_unchanged_tables_stay_when_the_run_that_exported_them_goes(scene: Scene) -> None:
    scene.run("a", "b", "c", incremental=True)
    before = scene.names("x/b/")
    assert before
    assert scene.removed(scene.prune(incremental=True)) == ["a", "b"]
    assert asyncio.run(verify(scene.store, SETTINGS, "c")).findings == ()
    assert scene.names("x/b/") == before
    scene.run("d", incremental=True)
    scene.prune(incremental=True)
    assert asyncio.run(verify(scene.store, SETTINGS, "d")).findings == ()
    scene.run("e")
    scene.prune()
    assert scene.names("x/b/") + scene.names("/runs/b/") == []


def test_a_run_that_replaced_files_is_not_being_published_once_later_runs_keep_theirs(scene: Scene) -> None:
    scene.run("a", path=REPLACE)
    scene.run("b")
    assert scene.removed(scene.prune()) == ["a"]
    assert [*scene.names("x/items/"), *scene.names("/a/")] == []


def test_a_run_that_was_pruned_is_not_published_by_the_next_that_replaces_files(scene: Scene) -> None:
    scene.run("a", path=REPLACE)
    scene.run("b")
    assert scene.removed(scene.prune()) == ["a"]
    scene.delete_now("latest.json")
    shown = list[str]()

    class Watched(MemoryStore):
        """Another view of the store, which knows what latest.json named."""

        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def write(self, name: str, data: bytes, expect: int | None) -> int:
            if name == LAYOUT.latest.name:
                shown.append(decode(data, Latest, name).run)
            return await super().write(name, data, expect)

    scene.now += DAY
    asyncio.run(run(replace(scene.task("c", path=REPLACE), store=Watched())))
    assert set(shown) == {"c"}


def test_a_run_that_stopped_while_it_replaced_files_goes_once_later_runs_keep_theirs() -> None:
    stopped = 0
    for writes in range(200):
        scene = Scene()
        scene.run("a", path=REPLACE)
        scene.now += DAY
        task = scene.task("b", path=REPLACE)
        with suppress(Killed):
            asyncio.run(run(replace(task, store=Mortal(scene.store, writes))))
            break
        announced = asyncio.run(value_of(scene.store, LAYOUT.publishing))
        scene.run("c")
        if announced and announced.run == "b":
            stopped += 1
            assert scene.removed(scene.prune(abandoned_after=1)) == ["a", "b"], writes
            assert [*scene.names("x/items/"), *scene.names("x/sales/")] == [], writes
    assert stopped > 3
