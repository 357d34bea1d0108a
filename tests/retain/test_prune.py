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
from bqdump.core.documents.retention import Tombstone
from bqdump.core.documents.target import Latest
from bqdump.core.errors import BqdumpError, DocumentError, NotFoundError, UnavailableError, UsageError
from bqdump.export.run import run
from bqdump.repository.notes import change_tags
from bqdump.repository.references import refer
from bqdump.repository.repository import value_of
from bqdump.retain.plan import plan_of
from bqdump.retain.prune import prune
from bqdump.retain.survey import survey
from bqdump.retain.tombstones import mark_deleted
from entries import entries, entry
from retain.scene import DAY, LAYOUT, SETTINGS, Scene
from tiers import points

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
    assert (result.deleted, result.files) == (False, 2)
    assert result.bytes == sum(len(found[0]) for name in scene.names("x/a/") if (found := scene.store.peek(name)))
    assert {name: scene.store.peek(name) for name in scene.names()} == before


def test_runs_go_with_their_files_and_documents_and_nothing_else_does(scene: Scene) -> None:
    scene.run("a", "b", "c")
    scene.store.put_now("x/README.txt", b"mine")
    scene.store.put_now("other/a/items.csv", b"mine")
    gone = ("x/a/", LAYOUT.run("a").root, entry(scene.store, LAYOUT, "a"))
    rest = [name for name in scene.names() if not name.startswith(gone)]
    result = scene.prune(keep_last=2)
    assert scene.removed(result) == ["a"]
    assert scene.names() == rest
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
    scene.run("a", "b")
    scene.store.put_now(LAYOUT.run("b").manifest.name, b"{")
    with pytest.raises(DocumentError, match=r"runs/b/manifest\.json.*Restore it, or delete the folder"):
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


def test_a_killed_prune_is_finished_by_the_next_one(scene: Scene) -> None:
    """Killed before each write and each deletion, once."""
    expected: list[str] | None = None
    for writes in points(range(200)):
        scene = Scene()
        scene.run("a", "b", "c")
        task = scene.pruning()
        try:
            asyncio.run(prune(task._replace(store=Mortal(scene.store, writes))))
            killed = False
        except Killed:
            killed = True
        assert asyncio.run(verify(scene.store, SETTINGS, "c")).findings == ()
        for name in ("a", "b"):
            # A manifest that is there, and no tombstone that is decided, means that all files are there.
            found = scene.store.peek(LAYOUT.run(name).tombstone.name)
            decided = found and decode(found[0], Tombstone, LAYOUT.run(name).tombstone.name).decided
            if scene.store.peek(LAYOUT.run(name).manifest.name) and not decided:
                assert asyncio.run(verify(scene.store, SETTINGS, name)).findings == ()
        asyncio.run(prune(task))
        names = [re.sub("-[0-9a-f]{8}[.]", ".", name) for name in scene.names()]
        expected = expected or names
        assert names == expected
        assert not scene.names("/a/") + scene.names("/b/")
        if not killed:
            return
    raise AssertionError("it never ended")


def test_a_killed_prune_that_decided_nothing_is_taken_back_by_one_that_keeps_the_run(scene: Scene) -> None:
    scene.run("a", "b")
    with pytest.raises(Killed):
        asyncio.run(prune(scene.pruning()._replace(store=Mortal(scene.store, 1))))
    assert scene.names("tombstone")
    scene.prune(keep_last=2)
    assert not scene.names("tombstone")
    assert asyncio.run(refer(scene.store, LAYOUT, "a", "new"))


def test_a_run_on_whose_files_another_relies_is_kept_until_that_one_has_ended(scene: Scene) -> None:
    scene.run("a", "b")
    scene.store.put_now(LAYOUT.run("new").planner.name, b'{"execution":"e","task":0}')
    assert asyncio.run(refer(scene.store, LAYOUT, "a", "new"))
    for delete in (False, True):
        result = scene.prune(delete=delete)
        assert [one.reasons for one in result.runs if one.run == "a"] == [("run new relies on its files",)]
    assert not scene.names("tombstone")
    found = scene.store.peek(LAYOUT.run("new").planner.name)
    assert found
    asyncio.run(scene.store.delete([(LAYOUT.run("new").planner.name, found[1].generation)]))
    assert scene.removed(scene.prune()) == ["a"]


def test_one_of_planner_and_prune_always_sees_the_other(scene: Scene) -> None:
    """At every point of a prune, a run that is being planned comes to rely on the files of a run that goes.

    It may as long as the prune has not decided to delete that run, and never again after that.
    """
    answers = set[bool]()
    for writes in range(60):
        scene = Scene()
        scene.run("a", "b")
        scene.store.put_now(LAYOUT.run("new").planner.name, b'{"execution":"e","task":0}')
        task, relies = scene.pruning(), False
        try:
            asyncio.run(prune(task._replace(store=Mortal(scene.store, writes))))
        except Killed:
            decided = is_decided(scene, "a")
            relies = asyncio.run(refer(scene.store, LAYOUT, "a", "new"))
            assert relies == (not decided), writes
            answers.add(relies)
            asyncio.run(prune(task))
            if relies:
                assert asyncio.run(verify(scene.store, SETTINGS, "a")).findings == ()
        else:
            break
    else:
        raise AssertionError("it never ended")
    assert answers == {True, False}


def is_decided(scene: Scene, run: str) -> bool:
    """Whether a prune has decided to delete a run: its tombstone says so, or its manifest has gone."""
    found = scene.store.peek(LAYOUT.run(run).tombstone.name)
    stays = scene.store.peek(LAYOUT.run(run).manifest.name)
    return not stays or bool(found and decode(found[0], Tombstone, "tombstone").decided)


def test_of_two_prunes_the_one_that_withdraws_keeps_the_other_from_deleting(scene: Scene) -> None:
    """Both have proposed; one sees a run that relies on the files, and the other looks after that one has ended."""

    async def check() -> None:
        task = scene.pruning()
        plan = plan_of(await survey(task), task)
        planner = LAYOUT.run("new").planner.name
        scene.store.put_now(planner, b'{"execution":"e","task":0}')
        assert await refer(scene.store, LAYOUT, "a", "new")

        class Meanwhile(MemoryStore):
            """As the second prune, which has found nothing, decides, the first one withdraws."""

            def __init__(self) -> None:
                self.__dict__ = scene.store.__dict__

            async def write(self, name: str, data: bytes, expect: int | None) -> int:
                if name.endswith("tombstone.json") and expect:
                    scene.store.put_now(planner, b'{"execution":"e","task":0}')
                    other = await mark_deleted(task, plan, plan.complete)
                    assert other.reasons["a"] == ("run new relies on its files",)
                return await super().write(name, data, expect)

        found = scene.store.peek(planner)
        assert found
        await scene.store.delete([(planner, found[1].generation)])
        second = await mark_deleted(task._replace(store=Meanwhile()), plan, plan.complete)
        assert (second.deletions, second.reasons["a"]) == ((), ("it is needed again",))

    scene.run("a", "b")
    asyncio.run(check())
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
    result = asyncio.run(prune(scene.pruning()._replace(store=Second())))
    assert ([run.run for run in result.removed], result.files, result.bytes) == (["a"], 0, 0)
    assert scene.names("x/a/") == []


def test_a_run_that_is_tagged_meanwhile_stays(scene: Scene) -> None:
    async def check() -> None:
        task = scene.pruning()
        plan = plan_of(await survey(task), task)
        await change_tags(scene.store, LAYOUT, "a", ["keep"])
        assert (await mark_deleted(task, plan, plan.complete)).reasons["a"] == ("tag keep",)

    scene.run("a", "b")
    asyncio.run(check())
    assert not scene.names("tombstone")


def test_a_dry_run_asks_as_the_prune_does_whether_a_run_was_tagged_meanwhile(scene: Scene) -> None:
    class Tagged(MemoryStore):
        """Run a is tagged as soon as all runs have been read."""

        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def folders(self, prefix: str) -> list[str]:
            found = await super().folders(prefix)
            await change_tags(scene.store, LAYOUT, "a", ["keep"])
            return found

    scene.run("a", "b")
    for delete in (False, True):
        scene.delete_now("tags/")
        pruned = asyncio.run(prune(scene.pruning(delete=delete)._replace(store=Tagged())))
        assert [run.reasons for run in pruned.runs if run.run == "a"] == [("tag keep",)]
    assert scene.names("x/a/")


def test_a_run_that_has_gone_while_it_was_tagged_has_no_tag(scene: Scene) -> None:
    class Late(MemoryStore):
        """The tag is written when a whole prune has gone by."""

        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__

        async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
            await prune(scene.pruning())
            return await super().write_note(name, data, expect)

    scene.run("a", "b")
    with pytest.raises(NotFoundError, match="cannot tag run a: there is none"):
        asyncio.run(change_tags(Late(), LAYOUT, "a", ["keep"]))
    assert not scene.names("tags/")


def test_a_run_that_was_published_while_runs_were_looked_at_keeps_its_files(scene: Scene) -> None:
    """The manifest that named them before is read only when its run, too, is being pruned."""

    class Paused(MemoryStore):
        """Once the runs are listed for the deletion, another one is published, and the one before it pruned."""

        def __init__(self) -> None:
            self.__dict__ = scene.store.__dict__
            self.listings = 0

        async def folders(self, prefix: str) -> list[str]:
            found = await super().folders(prefix)
            if prefix == LAYOUT.runs:
                self.listings += 1
                if self.listings == 2:
                    await asyncio.to_thread(scene.run, "c", include=("sales",), keep_others=True)
                    task = scene.pruning()
                    plan = plan_of(await survey(task), task)
                    assert (await mark_deleted(task, plan, plan.complete)).complete == plan.complete
            return found

    scene.run("a")
    scene.run("b", include=("sales",), keep_others=True)
    pruned = asyncio.run(prune(scene.pruning()._replace(store=Paused())))
    assert scene.removed(pruned) == ["a"]
    assert asyncio.run(verify(scene.store, SETTINGS, "c")).findings == ()
    assert scene.names("x/a/items/")


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

    with pytest.raises(UnavailableError):
        asyncio.run(prune(scene.pruning()._replace(store=Failing())))
    result = scene.prune()
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
