"""Iceberg metadata is published with its run, all or nothing, and always names files that exist."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.target import IcebergTables, Latest
from bqdump.core.errors import BqdumpError, DeniedError, UsageError
from bqdump.core.iceberg.metadata import RUN
from bqdump.core.iceberg.table import HINT, run_of
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.publish.iceberg import Iceberg
from bqdump.export.run import run
from bqdump.ports.warehouse import JobError
from bqdump.repository.published import read_latest
from bqdump.repository.repository import value_of
from export.overlap import Overlap, in_a_loop, published
from logged import logged

REPLACING = Settings(project="p", dataset="d", target=Target("gs", "memory", "x/"), format="parquet", iceberg=True)
KEEPING = msgspec.structs.replace(REPLACING, path="{run}/{table}_*.{ext}")
BOTH = pytest.mark.parametrize("settings", [REPLACING, KEEPING], ids=["replace", "keep"])
FOLDER = "x/_bqdump/iceberg/"


class IcebergExport(Overlap):
    """Two tables, and their Iceberg metadata."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, shard_rows=2)
        self.put("a", "1", "2", "3")
        self.put("b", "4")

    async def metadata(self, table: str, run: str = "") -> dict[str, Any]:
        """The metadata of a table that a manifest names, as JSON."""
        (entry,) = [entry for entry in (await self.manifest(run)).tables if entry.table == table]
        return dict(msgspec.json.decode(self.data(entry.iceberg[-1].name)))

    def data(self, name: str) -> bytes:
        found = self.store.peek(name)
        assert found, name
        return found[0]

    def hinted(self, table: str) -> dict[str, Any]:
        """The metadata that version-hint.text names."""
        folder = f"{FOLDER}{table}/metadata/"
        return dict(msgspec.json.decode(self.data(f"{folder}{self.data(folder + HINT).decode()}.metadata.json")))

    def named_exist(self, metadata: dict[str, Any]) -> bool:
        """Whether every manifest list of a metadata file exists."""
        lists = [snapshot["manifest-list"].removeprefix("gs://memory/") for snapshot in metadata["snapshots"]]
        return set(lists) <= set(self.store.names_now())

    def stored(self) -> set[str]:
        """All metadata, without hints."""
        return {name for name in self.store.names_now() if name.startswith(FOLDER) and not name.endswith(HINT)}

    async def named(self, *runs: str) -> set[str]:
        """What the manifests of these runs name."""
        manifests = [await self.manifest(run) for run in runs]
        return {file.name for one in manifests for entry in one.tables for file in entry.iceberg}

    async def latest(self) -> tuple[Latest, IcebergTables | None]:
        """The published run, and the document on its Iceberg tables."""
        latest = await read_latest(self.store, self.settings)
        assert latest
        tables = await value_of(self.store, self.settings.layout.run(latest.run).iceberg)
        return latest, tables


def runs_of(metadata: dict[str, Any]) -> list[str]:
    return [snapshot["summary"][RUN] for snapshot in metadata["snapshots"]]


@BOTH
async def test_each_table_has_exact_counts_and_a_hint(settings: Settings) -> None:
    world = IcebergExport(settings)
    await run(world.task("r1"))
    metadata = await world.metadata("a")
    assert metadata == world.hinted("a")
    assert metadata["location"] == "gs://memory/x/_bqdump/iceberg/a"
    (snapshot,) = metadata["snapshots"]
    summary = snapshot["summary"]
    assert (summary["total-records"], summary["total-data-files"], summary["operation"]) == ("3", "2", "append")
    assert snapshot["timestamp-ms"] == (await world.manifest()).snapshot
    assert world.stored() == await world.named("r1")


async def test_runs_that_keep_their_files_are_snapshots() -> None:
    world = IcebergExport(KEEPING)
    for name in ("r1", "r2", "r3"):
        await run(world.task(name))
    metadata = await world.metadata("a")
    assert runs_of(metadata) == ["r1", "r2", "r3"]
    assert metadata["refs"]["r2"]["snapshot-id"] == metadata["snapshots"][1]["snapshot-id"]
    assert world.named_exist(metadata)
    assert world.hinted("a") == metadata
    # What an earlier run has published stays readable as it was.
    assert runs_of(await world.metadata("a", "r1")) == ["r1"]


async def test_a_run_that_is_not_in_the_log_is_no_snapshot() -> None:
    world = IcebergExport(KEEPING)
    for name in ("r1", "r2"):
        await run(world.task(name))
    (name,) = [name for name in world.store.names_now() if name.endswith("-r1.json") and "/log/" in name]
    found = await world.store.stat(name)
    assert found
    await world.store.delete([(found.name, found.generation)])
    await run(world.task("r3"))
    assert runs_of(await world.metadata("a")) == ["r2", "r3"]


async def test_where_runs_replace_files_only_the_last_is_a_snapshot_and_nothing_else_stays() -> None:
    world = IcebergExport(REPLACING)
    for name in ("r1", "r2"):
        await run(world.task(name))
    metadata = await world.metadata("a")
    assert (runs_of(metadata), metadata["last-sequence-number"]) == (["r2"], 2)
    assert world.stored() == await world.named("r2")


@BOTH
async def test_two_tasks_that_publish_leave_one_set_of_metadata(settings: Settings) -> None:
    world = IcebergExport(settings)
    task, plan = await world.planned("r1")
    await asyncio.gather(*(published(task, plan) for _ in range(3)))
    await published(task, plan)
    assert world.stored() == await world.named("r1")


@BOTH
def test_a_task_that_lost_the_manifest_deletes_what_it_wrote(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        world = IcebergExport(settings)
        earlier = await world.planned("r1")
        later = await world.planned("r2")
        # The run before is published while one task of this run is about to write its manifest.
        write, first = world.store.write, True

        async def delayed(name: str, data: bytes, expect: int | None) -> int:
            nonlocal first
            if first and name.endswith("r2/manifest.json"):
                first = False
                await published(*earlier)
                await published(*later)
            return await write(name, data, expect)

        monkeypatch.setattr(world.store, "write", delayed)
        await published(*later)
        kept = ("r1", "r2") if settings is KEEPING else ("r2",)
        assert world.stored() == await world.named(*kept)
        assert (await world.manifest()).run == "r2"

    in_a_loop(check)


def test_a_run_that_was_published_while_the_next_one_was_about_to_write_its_manifest_is_a_snapshot_of_the_one_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def check() -> None:
        world = IcebergExport(KEEPING)
        earlier, later = await world.planned("r1"), await world.planned("r2")
        write, first = world.store.write, True

        async def delayed(name: str, data: bytes, expect: int | None) -> int:
            nonlocal first
            if first and name.endswith("r2/manifest.json"):
                first = False
                await published(*earlier)
            return await write(name, data, expect)

        monkeypatch.setattr(world.store, "write", delayed)
        await published(*later)
        assert runs_of(await world.metadata("a")) == ["r2"]
        await run(world.task("r3"))
        assert runs_of(await world.metadata("a")) == ["r1", "r2", "r3"]
        assert world.hinted("a") == await world.metadata("a")

    in_a_loop(check)


@BOTH
async def test_a_run_that_comes_too_late_changes_nothing(settings: Settings) -> None:
    world = IcebergExport(settings)
    late = await world.planned("r1")
    await run(world.task("r2"))
    before = world.hinted("a")
    await published(*late)
    assert world.hinted("a") == before == await world.metadata("a")
    assert runs_of(before) == ["r2"]
    named = {file for file in world.stored() if run_of(file) == "r1"}
    assert bool(named) == (settings is KEEPING)


@BOTH
async def test_a_table_that_is_carried_over_keeps_its_metadata(
    settings: Settings,
) -> None:
    world = IcebergExport(settings)
    await run(world.task("r1"))
    before = (await world.manifest()).tables[1].iceberg
    await run(world.task("r2", include=("a",), keep_others=True))
    now = (await world.manifest()).tables[1].iceberg
    assert now == before
    assert runs_of(await world.metadata("b")) == ["r1"]
    assert world.named_exist(await world.metadata("b"))
    assert world.hinted("b") == await world.metadata("b")
    assert world.stored() == await world.named(*(("r1", "r2") if settings is KEEPING else ("r2",)))


async def test_a_removed_table_stays_readable_in_its_own_folder_and_comes_back_with_its_history() -> None:
    world = IcebergExport(KEEPING)
    await run(world.task("r1"))
    await run(world.task("r2", include=("a",), allow=(Risk.REMOVED_TABLES,)))
    assert runs_of(world.hinted("b")) == ["r1"]
    assert world.named_exist(world.hinted("b"))
    await run(world.task("r3"))
    assert runs_of(await world.metadata("b")) == ["r1", "r3"]


async def test_a_removed_table_leaves_nothing_where_files_are_replaced() -> None:
    world = IcebergExport(REPLACING)
    await run(world.task("r1"))
    await run(world.task("r2", include=("a",), allow=(Risk.REMOVED_TABLES,)))
    assert not [name for name in world.store.names_now() if name.startswith(f"{FOLDER}b/")]


async def test_a_table_whose_export_failed_keeps_the_metadata_of_the_files_that_stay() -> None:
    world = IcebergExport(msgspec.structs.replace(REPLACING, allow_partial=True))
    await run(world.task("r1"))
    before = {entry.table: entry.iceberg for entry in (await world.manifest()).tables}
    world.warehouse.failing = lambda table, job: JobError("notFound", "it is gone") if table == "b" else None
    await run(world.task("r2"))
    manifest = await world.manifest()
    assert [table.iceberg for table in manifest.left] == [before["b"]]
    assert {file.name for file in before["b"]} <= world.stored()
    assert runs_of(world.hinted("b")) == ["r1"]


async def test_without_the_setting_there_is_no_metadata() -> None:
    world = IcebergExport(msgspec.structs.replace(KEEPING, iceberg=False))
    await run(world.task("r1"))
    assert not world.stored()
    # A table gets metadata when it is first exported with it.
    await run(world.task("r2", iceberg=True))
    assert runs_of(await world.metadata("a")) == ["r2"]


async def test_a_wide_bignumeric_is_refused_by_name_before_anything_starts() -> None:
    world = IcebergExport(REPLACING)
    fields = [
        {"name": "fits", "type": "BIGNUMERIC", "precision": "38", "scale": "10"},
        {"name": "wide", "type": "BIGNUMERIC"},
    ]
    table = world.warehouse.datasets["p", "d"]["a"]
    world.warehouse.datasets["p", "d"]["a"] = table._replace(
        definition=msgspec.Raw(msgspec.json.encode({"schema": {"fields": fields}}))
    )
    with pytest.raises(UsageError, match=r"a: wide BIGNUMERIC\)\. Use the read route"):
        await run(world.task("r1"))
    assert not world.warehouse.extracted


def test_a_late_hint_of_an_earlier_run_is_not_written_over_that_of_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        world = IcebergExport(KEEPING)
        earlier, later = await world.planned("r1"), await world.planned("r2")
        write, first = world.store.write, True

        async def delayed(name: str, data: bytes, expect: int | None) -> int:
            nonlocal first
            if first and name.endswith(f"a/metadata/{HINT}"):
                first = False
                await published(*later)
            return await write(name, data, expect)

        monkeypatch.setattr(world.store, "write", delayed)
        await published(*earlier)
        assert runs_of(world.hinted("a")) == ["r1", "r2"]

    in_a_loop(check)


@BOTH
async def test_a_table_that_did_not_change_has_no_other_snapshot_and_one_without_metadata_is_exported_anew(
    settings: Settings,
) -> None:
    world = IcebergExport(msgspec.structs.replace(settings, incremental=True))
    await run(world.task("r0", iceberg=False))
    for name in ("r1", "r2", "r3"):
        await run(world.task(name))
    world.warehouse.put("p", "d", "b", ["5"])
    await run(world.task("r4"))
    manifest = await world.manifest()
    carried = {entry.table: entry.carried.run if entry.carried else "" for entry in manifest.tables}
    assert carried["a"] in ("r1", "r2")
    assert carried["b"] == ""
    # Without the setting, r0 wrote files that are no Iceberg table.
    first = ["r1", "r2"] if settings is KEEPING and carried["a"] == "r2" else [carried["a"]]
    assert runs_of(await world.metadata("a")) == first
    assert runs_of(await world.metadata("b")) == ([*first, "r4"] if settings is KEEPING else ["r4"])
    assert world.named_exist(await world.metadata("a"))


@BOTH
async def test_latest_json_names_the_metadata_file_of_each_table(settings: Settings) -> None:
    world = IcebergExport(settings)
    for name in ("r1", "r2"):
        await run(world.task(name))
        latest, tables = await world.latest()
        entries = (await world.manifest()).tables
        assert latest.iceberg == f"x/_bqdump/runs/{name}/iceberg.json"
        assert tables
        assert tables.tables == {entry.table: entry.iceberg[-1].name for entry in entries}


async def test_latest_json_names_the_metadata_of_a_failed_table_whose_files_stay() -> None:
    world = IcebergExport(REPLACING)
    await run(world.task("r1"))
    _, before = await world.latest()
    world.warehouse.failing = lambda table, job: JobError("invalid", "no") if table == "b" else None
    await run(world.task("r2", allow_partial=True))
    _, now = await world.latest()
    assert before
    assert now
    assert now.tables["b"] == before.tables["b"]
    assert now.tables["a"] != before.tables["a"]


async def test_latest_json_of_an_export_without_iceberg_tables_names_none() -> None:
    world = IcebergExport(msgspec.structs.replace(REPLACING, iceberg=False))
    await run(world.task("r1"))
    latest, tables = await world.latest()
    assert (latest.iceberg, tables) == ("", None)


def test_metadata_of_the_second_of_two_publishers_stays_where_it_cannot_be_deleted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore("memory")
    name = f"{FOLDER}a/metadata/00001-one-0123456789ab.metadata.json"
    generation = store.put_now(name, b"{}")
    lost: Any = SimpleNamespace(tables=[SimpleNamespace(iceberg=[SimpleNamespace(name=name, generation=generation)])])

    async def denied(objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        return [DeniedError("delete", name, "no") for name, _ in objects]

    monkeypatch.setattr(store, "delete", denied)
    export: Any = SimpleNamespace(store=store, plan=SimpleNamespace(run="one", replaces=False))
    asyncio.run(Iceberg().drop(export, lost, None))
    assert store.names_now() == [name]
    assert len(logged(caplog, LogEvent.CLEANUP_FAILED)) == 1
    export.plan.replaces = True
    with pytest.raises(DeniedError):
        asyncio.run(Iceberg().drop(export, lost, None))
