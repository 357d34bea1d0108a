"""Runs over time: which there are, and how they ended."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from bqdump.core.codec import decode
from bqdump.core.contents import Summary, contents_of, summary_of
from bqdump.core.documents import Plan
from bqdump.core.errors import NotFoundError
from bqdump.core.moments import moment_text
from bqdump.core.settings import Settings
from bqdump.flow.planning import read_latest
from bqdump.ports.store import ObjectStore

READS_AT_ONCE = 4
# Sorts after every moment.
UNPLANNED = "~"


class RunLine(msgspec.Struct, frozen=True):
    """One run of a target. `published`: it is the one that readers see.

    rows: as exported where that is known, else as BigQuery counted them while planning. begun, ended: the first
    creation and the last end of a job (milliseconds since 1970 UTC), 0 where nothing is known.
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


async def list_runs(store: ObjectStore, settings: Settings, known: dict[str, Summary] | None = None) -> list[RunLine]:
    """All runs of a target, the latest moment first; before them those that have no moment yet.

    Runs that have come to their end have left a summary, and one listing brings these; the others are looked at.
    known: summaries that are known from before; those found are added.
    """
    latest, _ = await read_latest(store, settings)
    published = latest.run if latest else ""
    runs = await store.folders(settings.layout.runs)
    summaries = {} if known is None else known
    summaries |= await read_summaries(store, settings)
    slots = asyncio.Semaphore(READS_AT_ONCE)

    async def line(run: str) -> RunLine:
        if run in summaries:
            return finished_line(summaries[run], published)
        async with slots:
            found = await _look_at(store, settings, run)
        if isinstance(found, RunLine):
            return found
        summaries[run] = found
        return finished_line(found, published)

    lines = await asyncio.gather(*map(line, runs))
    return sorted(lines, key=lambda line: (line.snapshot_time or UNPLANNED, line.run), reverse=True)


async def read_summaries(store: ObjectStore, settings: Settings) -> dict[str, Summary]:
    """The summaries of runs that have come to their end, by run."""
    summaries = {}
    async for notes in store.notes(settings.layout.history):
        for note in notes:
            summary = decode(note.data, Summary, note.name)
            summaries[summary.run] = summary
    return summaries


async def _look_at(store: ObjectStore, settings: Settings, run: str) -> Summary | RunLine:
    """A run that has left no summary: by its manifest, else its plan, else nothing but its name."""
    layout = settings.layout.run(run)
    try:
        manifest = (await store.read(layout.manifest)).data
    except NotFoundError:
        try:
            plan = decode((await store.read(layout.plan)).data, Plan, layout.plan)
        except NotFoundError:
            return RunLine(run, "unfinished", False, "", 0, 0, 0)
        return RunLine(run, "unfinished", False, moment_text(plan.snapshot), plan.tables, 0, 0, plan.rows)
    return summary_of(contents_of(manifest, layout.manifest))


def finished_line(summary: Summary, published: str) -> RunLine:
    """The line of a run that has left a summary."""
    totals = summary.totals
    return RunLine(
        summary.run, summary.status, summary.run == published, summary.snapshot_time, totals.tables, totals.files,
        totals.bytes, summary.rows, summary.failed, summary.skipped, summary.begun, summary.ended,
    )  # fmt: skip
