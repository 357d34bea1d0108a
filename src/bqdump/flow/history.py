"""Runs over time: which there are, and how they ended."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from bqdump.core.codec import decode
from bqdump.core.documents import Plan, Totals
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
