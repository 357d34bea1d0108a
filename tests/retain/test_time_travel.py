"""Whoever reads an Iceberg table as of a run that is kept reads that run's files, whatever has happened since."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import pairwise
from threading import Thread
from typing import Any

import fastavro
import msgspec
import pytest

from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.iceberg.metadata import RUN
from bqdump.core.iceberg.table import HINT, METADATA
from retain.scene import LAYOUT, Scene
from retain.test_iceberg import hinted, interrupted, metadata, tables

LAKE: dict[str, Any] = {"format": "parquet", "iceberg": True, "incremental": True}
TABLES = ("items", "sales")


def manifest(scene: Scene, run: str) -> Manifest:
    found = scene.store.peek(LAYOUT.run(run).manifest.name)
    assert found, run
    return msgspec.json.decode(found[0], type=Manifest)


def entry(scene: Scene, run: str, table: str) -> TableEntry | None:
    return next((one for one in manifest(scene, run).tables if one.table == table), None)


def kept(scene: Scene) -> list[str]:
    """The runs that have their manifest, the earliest first."""
    names = scene.names("/manifest.json")
    return sorted((name.split("/")[-2] for name in names), key=lambda run: manifest(scene, run).snapshot)


def records(scene: Scene, address: str) -> list[dict[str, Any]]:
    found = scene.store.peek(address.removeprefix("gs://memory/"))
    assert found, address
    return [dict(record) for record in fastavro.reader(io.BytesIO(found[0]))]


def files(scene: Scene, snapshot: dict[str, Any]) -> list[str]:
    """The names of the data files of a snapshot."""
    named = [
        file["data_file"]["file_path"].removeprefix("gs://memory/")
        for listed in records(scene, snapshot["manifest-list"])
        for file in records(scene, listed["manifest_path"])
    ]
    assert [name for name in named if not scene.store.peek(name)] == []
    return sorted(named)


def travels(scene: Scene, table: str, name: str = "") -> list[str]:
    """Hold that each run is read as of its time, and that each snapshot stands for one. The runs that are read.

    name: of a metadata file; default: the one that readers find.
    """
    name = name or hinted(scene, table)
    document = metadata(scene, name)
    snapshots = document["snapshots"]
    runs, read = [run for run in kept(scene) if entry(scene, run, table)], set[int]()
    for run in runs:
        of = entry(scene, run, table)
        assert of
        log = [one for one in document["snapshot-log"] if one["timestamp-ms"] <= manifest(scene, run).snapshot]
        (as_of,) = [one for one in snapshots if one["snapshot-id"] == log[-1]["snapshot-id"]]
        assert files(scene, as_of) == sorted(file.name for file in of.files)
        if of.carried is None:
            assert as_of["summary"][RUN] == run
            assert document["refs"][run] == {"snapshot-id": as_of["snapshot-id"], "type": "tag"}
        read.add(as_of["snapshot-id"])
    assert read == {one["snapshot-id"] for one in snapshots}
    lists = [one["manifest-list"] for one in snapshots]
    assert all(one != other for one, other in pairwise(lists))
    assert document["refs"].keys() == {*(one["summary"][RUN] for one in snapshots), "main"}
    return runs


def test_every_run_is_read_as_of_its_time_also_where_a_table_did_not_change(scene: Scene) -> None:
    scene.run("r1", "r2", "r3", **LAKE)
    scene.warehouse.put("p", "sales", "items", ["new"])
    scene.run("r4", "r5", **LAKE)
    for table in TABLES:
        assert travels(scene, table) == ["r1", "r2", "r3", "r4", "r5"]
        assert travels(scene, table, tables(scene, "r5").tables[table])


def test_a_table_that_did_not_change_keeps_its_metadata_however_many_runs_are_kept(scene: Scene) -> None:
    scene.run("r1", "r2", **LAKE)
    before, stored = objects(scene, "r2", "sales"), scene.names("/iceberg/")
    for number in range(3, 9):
        scene.warehouse.put("p", "sales", "items", [f"new {number}"])
        scene.run(f"r{number}", **LAKE)
        assert objects(scene, f"r{number}", "sales") == before
    assert not [name for name in scene.names("/iceberg/sales/") if name not in stored]
    # The run that exported it, and another one that kept it, are pruned: those that are left are read as before.
    scene.prune(keep_last=3)
    assert travels(scene, "sales") == travels(scene, "items") == ["r6", "r7", "r8"]
    assert objects(scene, "r8", "sales") == before
    # Once, without what was pruned.
    scene.run("r9", "r10", **LAKE)
    assert objects(scene, "r9", "sales")[:2] == before[:2]
    assert objects(scene, "r10", "sales") == objects(scene, "r9", "sales")
    assert travels(scene, "items") == travels(scene, "sales") == ["r6", "r7", "r8", "r9", "r10"]


def test_after_a_prune_and_a_change_the_runs_that_are_kept_are_read_as_before(scene: Scene) -> None:
    scene.run("r1", "r2", "r3", "r4", **LAKE)
    scene.prune(keep_last=2)
    for table in TABLES:
        assert travels(scene, table) == ["r3", "r4"]
    scene.warehouse.put("p", "sales", "items", ["new"])
    scene.run("r5", **LAKE)
    for table in TABLES:
        assert travels(scene, table) == ["r3", "r4", "r5"]
    scene.prune(keep_last=1)
    for table in TABLES:
        assert travels(scene, table) == ["r5"]


def test_pruned_snapshots_do_not_come_back_with_the_next_incremental_run(scene: Scene) -> None:
    scene.run("r1", "r2", "r3", **LAKE)
    scene.prune(keep_last=1)
    scene.run("r4", **LAKE)
    for table in TABLES:
        assert travels(scene, table) == ["r3", "r4"]
        assert travels(scene, table, tables(scene, "r4").tables[table])


def test_a_table_that_is_carried_over_is_read_as_of_the_run_that_carries_it(scene: Scene) -> None:
    scene.run("r1", **LAKE)
    for table in TABLES:
        scene.warehouse.put("p", "sales", table, ["new"])
    scene.run("r2", include=("items",), keep_others=True, **LAKE)
    scene.run("r3", **LAKE)
    for table in TABLES:
        assert travels(scene, table) == ["r1", "r2", "r3"]


def test_a_table_that_left_and_came_back_has_the_runs_that_had_it(scene: Scene) -> None:
    scene.run("r1", "r2", **LAKE)
    scene.run("r3", include=("sales",), allow=("removed-tables",), **LAKE)
    assert travels(scene, "items") == ["r1", "r2"]
    scene.run("r4", "r5", **LAKE)
    assert travels(scene, "items") == ["r1", "r2", "r4", "r5"]
    assert travels(scene, "sales") == ["r1", "r2", "r3", "r4", "r5"]


def test_runs_that_keep_their_files_are_found_again_after_one_that_replaces_them(scene: Scene) -> None:
    ways = {"keep": LAKE | {"incremental": False}, "replace": LAKE | {"incremental": False, "path": "{table}/*.{ext}"}}
    for number, way in enumerate(["keep", "replace", "keep", "replace", "keep"], 1):
        scene.run(f"r{number}", **ways[way])
    assert [one["summary"][RUN] for one in metadata(scene, hinted(scene, "items"))["snapshots"]] == [
        "r1",
        "r3",
        "r4",
        "r5",
    ]
    # The files of r2 were replaced by those of r4.
    assert not [name for name in objects(scene, "r2", "items") if scene.store.peek(name)]


def once(end: str, act: Callable[[], object]) -> Callable[[str], None]:
    """Does something at the first name with this end, in an event loop of its own."""
    waiting = [act]

    def at(name: str) -> None:
        if waiting and name.endswith(end):
            thread = Thread(target=waiting.pop())
            thread.start()
            thread.join()

    return at


def test_a_run_that_is_pruned_while_another_one_writes_its_metadata_is_no_snapshot() -> None:
    scene, store = interrupted(**LAKE)
    scene.warehouse.put("p", "sales", "items", ["new"])
    store.before = once(METADATA, lambda: scene.prune(keep_last=1))
    scene.run("r4", **LAKE)
    for table in TABLES:
        assert travels(scene, table) == ["r3", "r4"]


def test_a_run_that_is_published_while_another_one_is_pruned_does_not_list_its_snapshot() -> None:
    scene, store = interrupted(**LAKE)
    store.before_deletion = once("-r1.json", lambda: scene.run("r4", **LAKE))
    scene.prune(keep_last=2)
    for table in TABLES:
        assert travels(scene, table) == ["r2", "r3", "r4"]


def test_a_prune_that_is_killed_at_any_write_leaves_every_kept_run_as_it_is() -> None:
    scene, store = interrupted(**LAKE)
    scene.prune(keep_last=2)
    writes = len(store.writes)
    assert writes > 5
    for last in range(writes):
        scene, store = interrupted(**LAKE)
        store.last = last
        with pytest.raises(ProcessLookupError):
            scene.prune(keep_last=2)
        store.last = 10**9
        if last % 2:
            scene.warehouse.put("p", "sales", "items", ["new"])
        scene.run("r4", **LAKE)
        scene.prune(keep_last=3)
        for table in TABLES:
            assert travels(scene, table) == ["r2", "r3", "r4"]


def objects(scene: Scene, run: str, table: str) -> list[str]:
    of = entry(scene, run, table)
    assert of
    return [one.name for one in of.iceberg]


LOST = pytest.mark.parametrize("lost", ["manifest", "list", "metadata", "all"])


@pytest.mark.parametrize("changes", [False, True], ids=["unchanged", "changed"])
@LOST
def test_lost_metadata_of_the_published_run_is_written_anew_by_the_next_run(
    scene: Scene, caplog: pytest.LogCaptureFixture, lost: str, changes: bool
) -> None:
    scene.run("r1", "r2", "r3", **LAKE)
    names = objects(scene, "r3", "items")
    gone = ["/iceberg/items/"] if lost == "all" else [names[("manifest", "list", "metadata").index(lost)]]
    for name in gone:
        scene.delete_now(name)
    if changes:
        scene.warehouse.put("p", "sales", "items", ["new"])
    scene.run("r4", **LAKE)
    assert travels(scene, "items") == ["r1", "r2", "r3", "r4"]
    assert travels(scene, "sales") == ["r1", "r2", "r3", "r4"]
    warned = [one for one in caplog.records if getattr(one, "event", "") == "iceberg_metadata_lost"]
    assert warned
    assert all("items" in one.getMessage() for one in warned)
    caplog.clear()
    # It goes on as if nothing had been lost.
    scene.run("r5", **LAKE)
    assert travels(scene, "items") == ["r1", "r2", "r3", "r4", "r5"]
    scene.prune(keep_last=2)
    assert travels(scene, "items") == ["r4", "r5"]
    scene.run("r6", **LAKE)
    assert travels(scene, "items") == ["r4", "r5", "r6"]
    assert not [one for one in caplog.records if one.levelname == "WARNING"]
    scene.prune(keep_last=1)
    stay = {*objects(scene, "r6", "items"), hinted(scene, "items")}
    assert {name for name in scene.names("/iceberg/items/") if not name.endswith(HINT)} == stay


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"table-uuid": "a", "snapshots": []}'])
def test_metadata_that_was_written_over_is_written_anew_by_the_next_run(scene: Scene, content: bytes) -> None:
    scene.run("r1", "r2", **LAKE)
    for name in objects(scene, "r2", "items"):
        scene.store.put_now(name, content)
    scene.run("r3", **LAKE)
    assert travels(scene, "items") == ["r1", "r2", "r3"]


def test_what_was_written_anew_for_an_earlier_run_is_deleted_with_that_run(scene: Scene) -> None:
    scene.run("r1", "r2", "r3", **LAKE)
    scene.delete_now("/iceberg/items/")
    scene.run("r4", **LAKE)
    assert [name for name in scene.names("/iceberg/items/") if "-r1-" in name]
    scene.prune(keep_last=3)
    assert not [name for name in scene.names("/iceberg/items/") if "-r1-" in name]
    assert travels(scene, "items") == ["r2", "r3", "r4"]


def test_a_snapshot_whose_files_are_gone_is_named_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.run("r1", **LAKE)
    scene.warehouse.put("p", "sales", "items", ["new"])
    scene.run("r2", **LAKE)
    scene.delete_now("/iceberg/items/")
    scene.delete_now("/r1/items/")
    scene.run("r3", **LAKE)
    messages = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert any("the Iceberg table items has no snapshot of run r1" in message for message in messages)
    caplog.clear()
    scene.run("r4", **LAKE)
    assert not [one for one in caplog.records if one.levelname == "WARNING"]
    assert [one["summary"][RUN] for one in metadata(scene, hinted(scene, "items"))["snapshots"]] == ["r2", "r3"]
