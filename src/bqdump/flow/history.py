"""Runs over time: which there are, and how they ended."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from bqdump.core.codec import decode
from bqdump.core.contents import Summary, contents_of, summary_of
from bqdump.core.documents import Plan
from bqdump.core.errors import NotFoundError
from bqdump.core.settings import Settings, moment_text
from bqdump.flow.planning import read_latest
from bqdump.ports import ObjectStore

READS_AT_ONCE = 4


class RunLine(msgspec.Struct, frozen=True):
    """One run of a target. `published`: it is the one that readers see.

    rows: as BigQuery counted them while planning. begun, ended: the first creation and the last end of a job
    (milliseconds since 1970 UTC), 0 where nothing is known.
    """

    run: str
    state: Literal["complete", "partial", "unfinished"]
    published: bool
    snapshot_time: str
    tables: int
    files: int
    bytes: int
    rows: int = 0
    failed: int = 0
    skipped: int = 0
    begun: int = 0
    ended: int = 0


async def list_runs(store: ObjectStore, settings: Settings) -> list[RunLine]:
    """All runs of a target, the latest moment first.

    Runs that have come to their end have left a summary, and one listing brings these; the others are looked at.
    """
    latest, _ = await read_latest(store, settings)
    published = latest.run if latest else ""
    runs = await store.folders(settings.layout.runs)
    summaries = await read_summaries(store, settings)
    slots = asyncio.Semaphore(READS_AT_ONCE)

    async def line(run: str) -> RunLine:
        if run in summaries:
            return finished_line(summaries[run], published)
        async with slots:
            return await look_at(store, settings, run, published)

    lines = await asyncio.gather(*map(line, runs))
    return sorted(lines, key=lambda line: (line.snapshot_time, line.run), reverse=True)


async def read_summaries(store: ObjectStore, settings: Settings) -> dict[str, Summary]:
    """The summaries of runs that have come to their end, by run."""
    summaries = {}
    async for notes in store.notes(settings.layout.history):
        for note in notes:
            summary = decode(note.data, Summary, note.name)
            summaries[summary.run] = summary
    return summaries


async def look_at(store: ObjectStore, settings: Settings, run: str, published: str) -> RunLine:
    """A run that has left no summary: its manifest, else its plan, else nothing but its name."""
    layout = settings.layout.run(run)
    try:
        manifest = (await store.read(layout.manifest)).data
    except NotFoundError:
        try:
            plan = decode((await store.read(layout.plan)).data, Plan, layout.plan)
        except NotFoundError:
            return RunLine(run, "unfinished", run == published, "", 0, 0, 0)
        moment = moment_text(plan.snapshot)
        return RunLine(run, "unfinished", run == published, moment, plan.tables, 0, 0, plan.rows)
    return finished_line(summary_of(contents_of(manifest, layout.manifest)), published)


def finished_line(summary: Summary, published: str) -> RunLine:
    """The line of a run that has left a summary."""
    totals = summary.totals
    return RunLine(
        summary.run, summary.status, summary.run == published, summary.snapshot_time, totals.tables, totals.files,
        totals.bytes, totals.planned_rows, summary.failed, summary.skipped, summary.begun, summary.ended,
    )  # fmt: skip
