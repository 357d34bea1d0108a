"""Runs over time: which there are, and how they ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

import msgspec

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest_index import Summary, contents_of, summary_of
from bqdump.core.documents.run import Plan
from bqdump.core.documents.validation import CHANGED
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.settings.settings import Settings
from bqdump.core.times import moment_text, parse_moment
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import read_latest

READS_AT_ONCE = 4
# Sorts after every moment.
UNPLANNED = "~"


class RunLine(msgspec.Struct, frozen=True):
    """One run of a target. `published`: it is the one that readers see.

    rows: as exported where that is known, else as BigQuery counted them while planning. begun, ended: the first
    creation and the last end of a job (milliseconds since 1970 UTC), 0 where nothing is known. problem: why nothing
    but the name is known of a run that is `unreadable`. carried: tables that were carried over from earlier runs, of
    which the oldest is as of `oldest_snapshot_time`.
    """

    run: str
    state: Literal["complete", "partial", "unfinished", "unreadable"]
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
    problem: str = ""
    carried: int = 0
    oldest_snapshot_time: str = ""

    @property
    def whole(self) -> bool:
        """Whether it has come to its end, as far as can be read."""
        return self.state in ("complete", "partial")


async def list_runs(store: ObjectStore, settings: Settings) -> list[RunLine]:
    """All runs of a target, the latest moment first; before them those that have no moment yet, or cannot be read."""
    return await read_runs(store, settings, await published_run(store, settings), {})


async def published_run(store: ObjectStore, settings: Settings) -> str:
    """The run that readers see, "" when there is none."""
    latest = await read_latest(store, settings)
    return latest.run if latest else ""


async def read_runs(store: ObjectStore, settings: Settings, published: str, known: dict[str, Summary]) -> list[RunLine]:
    """See list_runs. published: the run that readers see. known: summaries from before; those found are added.

    Runs that have come to their end have left a summary, and one listing brings these; the others are looked at.
    """
    runs = await store.folders(settings.layout.runs)
    known |= await _read_summaries(store, settings)
    slots = asyncio.Semaphore(READS_AT_ONCE)

    async def line(run: str) -> RunLine:
        if run in known:
            return _finished(known[run], published)
        try:
            async with slots:
                found = await _look_at(store, settings, run)
        except DocumentError as error:
            return RunLine(run, "unreadable", run == published, "", 0, 0, 0, problem=str(error))
        if isinstance(found, RunLine):
            return found
        known[run] = found
        return _finished(found, published)

    lines = await asyncio.gather(*map(line, runs))
    return sorted(lines, key=lambda line: (line.snapshot_time or UNPLANNED, line.run), reverse=True)


async def _read_summaries(store: ObjectStore, settings: Settings) -> dict[str, Summary]:
    """The summaries of runs that have come to their end, by run; without any that cannot be read.

    A run's manifest tells the same, or why it cannot be read either.
    """
    summaries = {}
    async for notes in store.notes(settings.layout.history):
        for note in notes:
            with suppress(DocumentError):
                run = note.name.removeprefix(settings.layout.history).removesuffix(".json")
                summaries[run] = _sound(decode(note.data, Summary, note.name), run, note.name)
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
    return _sound(summary_of(contents_of(manifest, layout.manifest)), run, layout.manifest)


def _sound(summary: Summary, run: str, name: str) -> Summary:
    """The same. Raises DocumentError where it is about another run, or its moment is none."""
    if summary.run != run:
        raise DocumentError("read", name, f"it is about run {summary.run[:100]!r}", CHANGED)
    try:
        parse_moment(summary.snapshot_time)
    except ValueError:
        raise DocumentError("read", name, f"its snapshot time is {summary.snapshot_time[:50]!r}", CHANGED) from None
    return summary


def _finished(summary: Summary, published: str) -> RunLine:
    """The line of a run that has left a summary."""
    totals = summary.totals
    return RunLine(
        summary.run, summary.status, summary.run == published, summary.snapshot_time, totals.tables, totals.files,
        totals.bytes, summary.rows, summary.failed, summary.skipped, summary.begun, summary.ended,
        carried=totals.carried, oldest_snapshot_time=summary.oldest_snapshot_time,
    )  # fmt: skip
