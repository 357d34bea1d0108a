"""Runs over time: which there are, and what changed from one export to another."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from bqdump.core.codec import decode
from bqdump.core.documents import Manifest, Plan, TableEntry, Totals
from bqdump.core.errors import NotFoundError
from bqdump.core.settings import Settings, moment_text
from bqdump.flow.planning import read_latest
from bqdump.ports import ObjectStore

READS_AT_ONCE = 16


class RunLine(msgspec.Struct, frozen=True):
    """One run of a target. `published`: it is the one that readers see."""

    run: str
    state: Literal["complete", "partial", "unfinished"]
    published: bool
    snapshot_time: str
    tables: int
    files: int
    bytes: int


class _Summary(msgspec.Struct, frozen=True):
    """The part of a manifest that a line shows."""

    status: Literal["complete", "partial"]
    snapshot_time: str
    totals: Totals
    format_version: int = 1


class Column(msgspec.Struct, frozen=True):
    """A column as a definition has it."""

    name: str
    type: str
    mode: str = "NULLABLE"


class TableChange(msgspec.Struct, frozen=True):
    """What changed in one table. Numbers are as planned: rows and bytes by BigQuery's metadata."""

    table: str
    change: Literal["added", "removed", "changed"]
    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_changed: tuple[str, ...]


class _Schema(msgspec.Struct):
    fields: list[Column] = []


class _Definition(msgspec.Struct):
    schema: _Schema = msgspec.field(default_factory=_Schema)


async def list_runs(store: ObjectStore, settings: Settings) -> list[RunLine]:
    """All runs of a target, the latest moment first."""
    latest, _ = await read_latest(store, settings)
    slots = asyncio.Semaphore(READS_AT_ONCE)

    async def line(run: str) -> RunLine:
        async with slots:
            return await _line(store, settings, run, published=latest is not None and latest.run == run)

    lines = await asyncio.gather(*map(line, await store.folders(settings.layout.runs)))
    return sorted(lines, key=lambda line: (line.snapshot_time, line.run), reverse=True)


async def _line(store: ObjectStore, settings: Settings, run: str, *, published: bool) -> RunLine:
    layout = settings.layout.run(run)
    try:
        summary = decode((await store.read(layout.manifest)).data, _Summary, layout.manifest)
    except NotFoundError:
        try:
            plan = decode((await store.read(layout.plan)).data, Plan, layout.plan)
        except NotFoundError:
            return RunLine(run, "unfinished", published, "", 0, 0, 0)
        return RunLine(run, "unfinished", published, moment_text(plan.snapshot), plan.tables, 0, 0)
    totals = summary.totals
    return RunLine(run, summary.status, published, summary.snapshot_time, totals.tables, totals.files, totals.bytes)


def compare(before: Manifest, after: Manifest) -> list[TableChange]:
    """What changed from one export to another, by table; tables whose numbers and columns are equal are left out."""
    old = {table.table: table for table in before.tables}
    new = {table.table: table for table in after.tables}
    changes = (_change(name, old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys()))
    return [change for change in changes if change]


def _change(name: str, old: TableEntry | None, new: TableEntry | None) -> TableChange | None:
    was, now = _columns(old), _columns(new)
    change: Literal["added", "removed", "changed"] = "added" if old is None else "removed" if new is None else "changed"
    made = TableChange(
        table=name,
        change=change,
        rows_before=old.planned_rows if old else 0,
        rows_after=new.planned_rows if new else 0,
        bytes_before=old.planned_bytes if old else 0,
        bytes_after=new.planned_bytes if new else 0,
        columns_added=tuple(sorted(now.keys() - was.keys())) if old else (),
        columns_removed=tuple(sorted(was.keys() - now.keys())) if new else (),
        columns_changed=tuple(sorted(column for column in was.keys() & now.keys() if was[column] != now[column])),
    )
    same = (made.rows_before, made.bytes_before) == (made.rows_after, made.bytes_after) and was == now
    return None if same and change == "changed" else made


def _columns(table: TableEntry | None) -> dict[str, Column]:
    definition = msgspec.json.decode(table.definition, type=_Definition | None) if table else None
    return {column.name: column for column in definition.schema.fields} if definition else {}
