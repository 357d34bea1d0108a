"""Exports in memory, made by the real flow: runs over time, failed ones, and one that waits for a gate."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import encode
from bqdump.core.documents.manifest import File, Manifest, TableEntry, Totals
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Latest, LogEntry, entry_of
from bqdump.core.errors import TablesFailedError
from bqdump.core.restore.plan import Options
from bqdump.core.restore.result import Restoration
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.times import rfc3339
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.ports.warehouse import ExtractRequest, Job, JobError, QueryRequest
from bqdump.repository.manifests import contents_of
from bqdump.restoration.restore import restore_one
from bqdump.restoration.task import Request
from bqdump.restoration.task import Task as RestoreTask
from bqdump_memory import MemoryDestination, MemoryTable

START = 1_790_000_000_000
NIGHT = 86_400_000
HOSTILE = "<img src=x onerror=alert(1)>&\"'\u202e"


class Warehouse(MemoryDestination):
    """A warehouse whose jobs wait at `gate`; none of them waits while it is None."""

    gate: asyncio.Semaphore | None = None

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        await self._let_through()
        return await super().extract(request)

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse."""
        await self._let_through()
        return await super().query(request)

    async def _let_through(self) -> None:
        if self.gate:
            await self.gate.acquire()


class Scene:
    """The dataset my-project.shop and its exports. Each reading of the clock advances it by some milliseconds."""

    def __init__(self, **settings: Any) -> None:
        self.store = MemoryStore("exports")
        three = {"project": "my-project", "dataset": "shop", "target": Target("gs", "exports")}
        self.settings = Settings(**{**three, "allow_partial": True, "allow": (Risk.SKIPPED,), **settings})
        self.time = START
        self._random = random.Random(1)
        self.warehouse = Warehouse(self.store, self._clock)
        self.warehouse.datasets["my-project", "shop"] = {}

    def _clock(self) -> int:
        self.time += self._random.randrange(1, 400)
        return self.time

    @property
    def tables(self) -> dict[str, MemoryTable]:
        """The tables by name."""
        return self.warehouse.datasets["my-project", "shop"]

    def table(self, name: str, rows: Iterable[str], /, **columns: str) -> None:
        """Set the lines of a table's file, header included; `columns`: names and types, where they matter."""
        self.warehouse.put("my-project", "shop", name, list(rows))
        if columns:
            fields = [{"name": column, "type": type_} for column, type_ in columns.items()]
            definition = msgspec.Raw(msgspec.json.encode({"schema": {"fields": fields}}))
            self.tables[name] = self.tables[name]._replace(definition=definition)

    def other(self, name: str, kind: str, lines: Iterable[str] = ()) -> None:
        """Create an object that is not a table, such as a VIEW."""
        self.warehouse.put("my-project", "shop", name, list(lines), kind=kind)

    async def export(
        self, name: str, *, failing: Mapping[str, str] | None = None, partial: bool = True, tasks: int = 1
    ) -> None:
        """Export everything one night later. failing: the messages with which tables fail."""
        self.time += NIGHT - self.time % NIGHT + NIGHT // 8
        fails = failing or {}
        self.warehouse.failing = lambda table, job: JobError("invalid", fails[table]) if table in fails else None
        settings = msgspec.structs.replace(self.settings, allow_partial=partial)
        with suppress(TablesFailedError):
            await asyncio.gather(
                *(
                    run(Task(self.store, self.warehouse, settings, name, Owner(name, task), tasks))
                    for task in range(tasks)
                )
            )

    async def restore(self, into: str, **options: Any) -> Restoration:
        """Restore the published run into a dataset of this project."""
        request = Request(Options(project="my-project", dataset=into, **options))
        return await restore_one(
            RestoreTask(self.store, self.warehouse, self.settings, request, Owner(f"into-{into}", 0), 1)
        )


def shop(**settings: Any) -> Scene:
    """A small shop with three tables, a view, and a model, which no route can export."""
    scene = Scene(**settings)
    orders(scene, 2000)
    people = (f"{number},Aiko {number}" for number in range(1, 301))
    scene.table("customers", ["id,name", *people], id="INTEGER", name="STRING")
    scene.table("empty", ["id"], id="INTEGER")
    scene.other("orders_by_day", "VIEW", ["day,orders", "2026-01-01,71"])
    scene.other("forecast", "MODEL")
    return scene


def orders(scene: Scene, rows: int) -> None:
    """Set the number of orders."""
    lines = (f"{number},{number % 7},2026-01-{number % 28 + 1:02}" for number in range(1, rows + 1))
    scene.table("orders", ["id,customer,day", *lines], id="INTEGER", customer="INTEGER", day="DATE")


async def nights(scene: Scene, count: int) -> None:
    """Growing exports; one is partial, and one publishes nothing."""
    for night in range(count):
        orders(scene, 2000 + 60 * night)
        failing = {"customers": "Resources exceeded"} if night in (count // 2, count // 3) else {}
        await scene.export(f"nightly-{night:04}", failing=failing, partial=night != count // 3, tasks=2)


async def older(scene: Scene, count: int) -> None:
    """Earlier runs that have a summary only."""
    for night in range(count):
        moment, rows = START - (count - night) * NIGHT, 1000 + 10 * night
        run = f"older-{night:04}"
        name = scene.settings.layout.run(run).manifest.name
        scene.store.put_now(name, b"")
        stored = scene.store.peek(name)
        assert stored
        entry = LogEntry(
            run=run,
            dataset="shop",
            project="my-project",
            status="complete",
            snapshot_time=rfc3339(moment),
            snapshot=moment,
            mode="replace",
            digest="",
            generation=stored[1].generation,
            skipped=0,
            failed=0,
            totals=Totals(3, 3, 20 * rows, rows, 30 * rows),
            rows=rows,
            begun=moment,
            ended=moment + 4000,
        )
        await scene.store.write_note(scene.settings.layout.entry(run, moment).name, encode(entry), 0)


def large_manifest(run_id: str, tables: int, night: int = 0) -> Manifest:
    """The manifest of a large export, made without exporting."""
    chance = random.Random(night)
    moment = START + night * NIGHT
    fields = [{"name": f"column_{number}", "type": "STRING", "mode": "NULLABLE"} for number in range(15)]
    definition = msgspec.Raw(msgspec.json.encode({"id": "my-project:shop.t", "schema": {"fields": fields}}))
    entries = []
    for number in range(tables):
        size, begun = int(10 ** chance.uniform(3, 9)), moment + chance.randrange(600_000)
        name = f"table_{number:05}"
        entries.append(
            TableEntry(
                table=name,
                kind="TABLE",
                route="extract",
                unit=f"{number % 20:05}-{number // 20:05}",
                jobs=(f"bqdump_{run_id}_0123abcd_{number % 20:05}-{number // 20:05}_0",),
                planned_rows=size // 50,
                planned_bytes=size,
                created=begun,
                started=begun + 900,
                ended=begun + 2000 + size // 100_000,
                task=number % 20,
                files=(File(f"{name}/{name}_000000000000.csv", size, "AAAAAA==", night + 1),),
                definition=definition,
            )
        )
    return Manifest(
        run=run_id,
        tool="0.1.0",
        status="complete",
        project="my-project",
        dataset="shop",
        location="US",
        snapshot_time=rfc3339(moment),
        snapshot=moment,
        mode="replace",
        settings={"project": "my-project", "dataset": "shop", "bucket": "exports", "format": "csv"},
        digest="0" * 16,
        totals=Totals(
            tables,
            tables,
            sum(entry.files[0].size for entry in entries),
            sum(entry.planned_rows for entry in entries),
            sum(entry.planned_bytes for entry in entries),
        ),
        tables=tuple(entries),
        skipped=(),
        failed=(),
        left=(),
        found=(),
    )


async def large(scene: Scene, tables: int) -> None:
    """Store one large published export."""
    manifest = large_manifest("large", tables)
    layout, data = scene.settings.layout.run("large"), encode(manifest)
    scene.store.put_now(layout.manifest.name, data)
    contents = contents_of(data, layout.manifest.name)
    scene.store.put_now(layout.contents.name, encode(contents))
    latest = Latest(
        run="large",
        dataset="shop",
        project="my-project",
        snapshot_time=manifest.snapshot_time,
        snapshot=manifest.snapshot,
        status="complete",
        mode="replace",
        manifest=layout.manifest.name,
        manifest_generation=1,
    )
    scene.store.put_now(scene.settings.layout.latest.name, encode(latest))
    stored = scene.store.peek(layout.manifest.name)
    assert stored
    document = scene.settings.layout.entry("large", manifest.snapshot)
    entry = entry_of(contents, stored[0], stored[1].generation)
    await scene.store.write_note(document.name, encode(entry), 0)
