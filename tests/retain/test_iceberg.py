"""A prune takes the snapshots of the runs that it deletes out of the Iceberg metadata that readers find."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.target import Erasing, IcebergTables
from bqdump.core.errors import BqdumpError
from bqdump.core.iceberg.metadata import RUN
from bqdump.core.iceberg.table import HINT, METADATA, run_of
from bqdump.repository.notes import change_tags
from bqdump.retain.erase import erase
from bqdump.retain.rewrite import Task as Erasure
from retain.scene import KEEP, LAYOUT, SETTINGS, Scene
from tiers import points

LAKE: dict[str, Any] = {"format": "parquet", "iceberg": True}


def tables(scene: Scene, run: str) -> IcebergTables:
    found = scene.store.peek(LAYOUT.run(run).iceberg.name)
    assert found
    return decode(found[0], IcebergTables, LAYOUT.run(run).iceberg.name)


def hinted(scene: Scene, table: str) -> str:
    """The metadata file that version-hint.text names, "" without one."""
    folder = f"{LAYOUT.iceberg_table(table)}metadata/"
    found = scene.store.peek(folder + HINT)
    return f"{folder}{found[0].decode()}{METADATA}" if found else ""


def metadata(scene: Scene, name: str) -> dict[str, Any]:
    found = scene.store.peek(name)
    assert found, name
    return dict(msgspec.json.decode(found[0]))


def runs(scene: Scene, name: str) -> list[str]:
    """The runs whose snapshots a metadata file lists. Everything else in it is about these, and their files exist."""
    document = metadata(scene, name)
    snapshots = document["snapshots"]
    ids = [one["snapshot-id"] for one in snapshots]
    assert document["current-snapshot-id"] == ids[-1]
    assert [one["snapshot-id"] for one in document["snapshot-log"]] == ids
    assert document["refs"].pop("main") == {"snapshot-id": ids[-1], "type": "branch"}
    assert {ref["snapshot-id"] for ref in document["refs"].values()} == {*ids}
    assert {one["schema-id"] for one in snapshots} == {one["schema-id"] for one in document["schemas"]}
    assert document["current-schema-id"] == snapshots[-1]["schema-id"]
    for one in snapshots:
        assert scene.store.peek(one["manifest-list"].removeprefix("gs://memory/"))
    return [one["summary"][RUN] for one in snapshots]


def test_what_readers_find_lists_only_snapshots_that_can_be_read(scene: Scene) -> None:
    scene.run("r1", "r2", "r3", "r4", **LAKE)
    before = tables(scene, "r4")
    assert runs(scene, before.tables["sales"]) == ["r1", "r2", "r3", "r4"]
    scene.prune(keep_last=2)
    now = tables(scene, "r4")
    for table in ("items", "sales"):
        assert runs(scene, now.tables[table]) == ["r3", "r4"]
        assert hinted(scene, table) == now.tables[table]
        # The manifest names it, so it stays, and whoever has read it reads on.
        assert len(metadata(scene, before.tables[table])["snapshots"]) == 4
    assert {file.name for file in now.rewritten} == {*now.tables.values()}


def test_the_next_run_goes_on_where_the_prune_has_left_the_table(scene: Scene) -> None:
    scene.run("r1", "r2", **LAKE)
    scene.prune()
    scene.run("r3", **LAKE)
    assert runs(scene, tables(scene, "r3").tables["sales"]) == ["r2", "r3"]
    assert hinted(scene, "sales") == tables(scene, "r3").tables["sales"]


def test_rewritten_metadata_is_deleted_with_its_run(scene: Scene) -> None:
    for run in ("r2", "r3", "r4"):
        scene.run(*([] if scene.names() else ["r1"]), run, **LAKE)
        scene.prune()
    of_r4 = {*tables(scene, "r4").tables.values(), *(file.name for file in tables(scene, "r4").rewritten)}
    left = {name for name in scene.names("/_bqdump/iceberg/") if not name.endswith(HINT)}
    assert all("-r4-" in name for name in left)
    assert of_r4 <= left
    # A manifest, a manifest list and the metadata of each table, and what this prune has written.
    assert len(left) == 2 * 4


@pytest.mark.parametrize("content", [b"{", None], ids=["damaged", "missing"])
def test_without_the_list_of_iceberg_tables_runs_are_pruned_and_readers_still_find_the_published_snapshot(
    scene: Scene, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    scene.run("r1", "r2", **LAKE)
    listed, before = LAYOUT.run("r2").iceberg.name, hinted(scene, "sales")
    scene.delete_now(listed)
    if content is not None:
        scene.store.put_now(listed, content)
    assert [one.run for one in scene.prune().removed] == ["r1"]
    assert scene.names("/r1/") == []
    assert hinted(scene, "sales") == before
    (warning,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert warning.startswith(f"the snapshots of pruned runs stay in the Iceberg metadata: cannot read {listed}: ")


@pytest.mark.parametrize("content", [b"{", b'{"run": "r2", "tables": {}}'], ids=["damaged", "another run's"])
def test_a_run_whose_list_of_iceberg_tables_is_damaged_is_pruned(scene: Scene, content: bytes) -> None:
    scene.run("r1", "r2", **LAKE)
    listed = LAYOUT.run("r1").iceberg.name
    scene.delete_now(listed)
    scene.store.put_now(listed, content)
    assert [one.run for one in scene.prune().removed] == ["r1"]
    assert scene.names("/r1/") == []


@pytest.mark.parametrize("key", ["manifest-list", "summary", "snapshot-id"])
def test_damaged_metadata_ends_neither_a_prune_nor_an_export(scene: Scene, key: str) -> None:
    scene.run("r1", "r2", **LAKE)
    name = tables(scene, "r2").tables["sales"]
    damaged = metadata(scene, name)
    del damaged["snapshots"][0][key]
    scene.delete_now(name)
    scene.store.put_now(name, msgspec.json.encode(damaged))
    scene.prune()
    scene.run("r3", **LAKE)
    # The damaged metadata was the only one of r2, so its snapshot is described anew.
    assert runs(scene, tables(scene, "r3").tables["sales"]) == ["r2", "r3"]
    assert runs(scene, tables(scene, "r3").tables["items"]) == ["r2", "r3"]


def test_lost_metadata_of_one_table_is_named_and_leaves_the_others_to_be_pruned(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.run("r1", "r2", **LAKE)
    lost = tables(scene, "r2").tables["sales"]
    scene.delete_now(lost)
    assert [one.run for one in scene.prune().removed] == ["r1"]
    assert f"the metadata of sales: cannot read {lost}: it does not exist." in caplog.text
    assert runs(scene, tables(scene, "r2").tables["items"]) == ["r2"]


def test_an_unchanged_table_has_the_snapshot_of_the_run_that_is_kept(scene: Scene) -> None:
    scene.run("r1", "r2", "r3", incremental=True, **LAKE)
    scene.warehouse.put("p", "sales", "items", ["new"])
    scene.run("r4", incremental=True, **LAKE)
    scene.prune()
    # The published run names the files of sales that the first ones have exported, and their manifest list.
    (snapshot,) = metadata(scene, tables(scene, "r4").tables["sales"])["snapshots"]
    assert run_of(snapshot["manifest-list"]) in ("r1", "r2")
    assert runs(scene, tables(scene, "r4").tables["sales"]) == [run_of(snapshot["manifest-list"])]
    assert runs(scene, tables(scene, "r4").tables["items"]) == ["r4"]


def test_a_table_that_left_the_export_keeps_its_hint_as_long_as_a_snapshot_is_left(scene: Scene) -> None:
    scene.run("r1", "r2", "r3", **LAKE)
    scene.run("r4", include=("sales",), allow=("removed-tables",), **LAKE)
    asyncio.run(change_tags(scene.store, LAYOUT, "r1", ["keep"]))
    last = hinted(scene, "items")
    assert runs(scene, last) == ["r1", "r2", "r3"]
    scene.prune(keep_last=1)
    assert runs(scene, hinted(scene, "items")) == ["r1"]
    assert scene.store.peek(last) is None
    scene.run("r5", "r6", include=("sales",), allow=("removed-tables",), **LAKE)
    scene.delete_now("/tags/")
    scene.prune(keep_last=1)
    assert hinted(scene, "items") == ""
    assert scene.names("/iceberg/items/") == []


class Interrupted(MemoryStore):
    """A store that does something else before a write or a deletion, and may fail after it."""

    def __init__(self) -> None:
        super().__init__(page=100)
        self.writes: list[str] = []
        self.before: Callable[[str], None] = lambda name: None
        self.before_deletion: Callable[[str], None] = lambda name: None
        self.last = 10**9

    async def write(self, name: str, data: bytes, expect: int | None = None) -> int:
        """See ObjectStore."""
        self.before(name)
        if len(self.writes) >= self.last:
            raise ProcessLookupError
        self.writes.append(name)
        return await super().write(name, data, expect)

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """See ObjectStore."""
        for name, _ in objects:
            self.before_deletion(name)
        if len(self.writes) >= self.last:
            raise ProcessLookupError
        return await super().delete(objects)


def interrupted(**settings: Any) -> tuple[Scene, Interrupted]:
    store = Interrupted()
    scene = Scene(store)
    scene.run("r1", "r2", "r3", **(LAKE | settings))
    store.writes.clear()
    return scene, store


def test_a_prune_that_is_killed_at_any_write_is_finished_by_the_next_one() -> None:
    scene, store = interrupted()
    scene.prune()
    writes = len(store.writes)
    assert writes > 5
    for last in points(range(writes)):
        scene, store = interrupted()
        store.last = last
        with pytest.raises(ProcessLookupError):
            scene.prune()
        store.last = 10**9
        for name in tables(scene, "r3").tables.values():
            assert metadata(scene, name)["snapshots"]
        scene.prune()
        for table in ("items", "sales"):
            assert runs(scene, hinted(scene, table)) == runs(scene, tables(scene, "r3").tables[table]) == ["r3"]


@pytest.mark.parametrize("path", [KEEP, "{table}/{table}_*.{ext}"], ids=["keep", "replace"])
def test_metadata_of_a_run_that_was_killed_before_its_manifest_is_deleted_with_the_run(path: str) -> None:
    store = Interrupted()
    scene = Scene(store)
    scene.run("r1", path=path, **LAKE)

    def kill(name: str) -> None:
        if name.endswith("/r2/manifest.json"):
            raise ProcessLookupError

    store.before = kill
    with pytest.raises(ProcessLookupError):
        scene.run("r2", path=path, **LAKE)
    store.before = lambda name: None
    assert [name for name in scene.names("/iceberg/") if "-r2-" in name]
    scene.run("r3", path=path, **LAKE)
    result = scene.prune(keep_last=5, abandoned_after=3600, path=path)
    assert "r2" in [one.run for one in result.removed]
    assert not [name for name in scene.names("/iceberg/") if "-r2-" in name]
    assert runs(scene, tables(scene, "r3").tables["sales"]) == (["r1", "r3"] if path == KEEP else ["r3"])


def test_metadata_that_another_prune_has_named_meanwhile_stays_named() -> None:
    scene, store = interrupted()
    before = tables(scene, "r3")
    listed, newer = LAYOUT.run("r3").iceberg.name, "x/_bqdump/iceberg/sales/metadata/newer.metadata.json"

    def overtake(name: str) -> None:
        if name == listed:
            store.before = lambda name: None
            moved = msgspec.structs.replace(before, tables=before.tables | {"sales": newer})
            store.put_now(listed, msgspec.json.encode(moved))

    store.before = overtake
    scene.prune()
    assert tables(scene, "r3").tables["sales"] == newer
    assert runs(scene, tables(scene, "r3").tables["items"]) == ["r3"]


def test_a_run_that_is_published_meanwhile_keeps_its_hints() -> None:
    scene, store = interrupted()

    def publish(name: str) -> None:
        if name.endswith(METADATA):
            store.before = lambda name: None
            scene.warehouse.put("p", "sales", "sales", ["new"])
            # In an event loop of its own, while the prune waits for its write.
            thread = Thread(target=lambda: scene.run("r4", **LAKE))
            thread.start()
            thread.join()

    store.before = publish
    scene.prune()
    assert hinted(scene, "sales") == tables(scene, "r4").tables["sales"]
    assert "-r4-" in hinted(scene, "sales")


@pytest.mark.parametrize("before", [False, True], ids=["all", "older"])
def test_an_erased_table_has_no_snapshot_of_the_runs_that_had_it(scene: Scene, before: bool) -> None:
    scene.run("r1", "r2", "r3", **LAKE)
    until = 0
    if before:
        found = scene.store.peek(LAYOUT.run("r3").manifest.name)
        assert found
        until = msgspec.json.decode(found[0])["snapshot"]
    erasing = Erasing("sales", scene.now + 5000, "dana", "why", until)
    asyncio.run(erase(Erasure(scene.store, msgspec.structs.replace(SETTINGS, **LAKE), erasing, delete=True)))
    if before:
        assert runs(scene, hinted(scene, "sales")) == ["r3"]
    else:
        assert hinted(scene, "sales") == ""
        assert scene.names("iceberg/sales/") == []
        assert [*tables(scene, "r3").tables] == ["items"]
    assert runs(scene, hinted(scene, "items")) == ["r1", "r2", "r3"]
    scene.run("r4", **LAKE)
    assert runs(scene, hinted(scene, "sales")) == (["r3", "r4"] if before else ["r4"])
