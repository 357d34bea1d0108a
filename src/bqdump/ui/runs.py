"""The first page: the published run, and all runs over time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.documents.manifest_index import mixed_times
from bqdump.core.errors import DocumentError, VerificationError
from bqdump.core.restore.drill import Restorable
from bqdump.core.sizes import size_text
from bqdump.core.times import time_text
from bqdump.core.wording import COMMANDS
from bqdump.observe.history import RunLine, with_proof
from bqdump.pages.text import count_text, duration_text
from bqdump.ui.archive import Archive
from bqdump.ui.calendar import calendar
from bqdump.ui.frame import Chart, Point, chart, page, page_number

EACH = 50
CHARTED = 90
# Of the runs that cannot be read completely, this many are explained above the list; the others are counted.
PROBLEMS = 5
TONES = {
    "complete": "good",
    "partial": "bad",
    "failed": "bad",
    "unreadable": "bad",
    "not trusted": "bad",
} | dict.fromkeys(("planning", "copying", "running", "superseded"), "warn")
COLOURS = {state: (css, state) for css, state in (("work", "complete"), ("late", "partial"), ("fell", "failed"))}
OTHER = ("wait", "other states")


async def _proven(archive: Archive, published: str) -> Restorable:
    """What drills have proven of the published run."""
    with suppress(DocumentError):
        if published and (proof := await archive.proof(published)):
            return proof.restorable
    return Restorable()


async def runs_page(archive: Archive, request: Request) -> Response:
    """All runs: result, duration and size of each."""
    (named, unclear), (newest, unknown), drills = await asyncio.gather(
        _read(archive.published()), _read(archive.newest()), archive.drills()
    )
    lines = await archive.with_tags(await archive.runs(named, drills))
    if storage := "storage" in request.query_params:
        lines = await archive.with_storage(lines)
    text = request.query_params.get("q", "").strip()
    found = [line for line in lines if _has(line, text)]
    now, pages = page_number(request.query_params.get("page", ""), len(found), EACH)
    readable = [line for line in lines if line.state != "unreadable"]
    drawn = [*readable[:CHARTED], *(line for line in lines if line.published)] if now == 1 else []
    on_page = {line.run for line in found[(now - 1) * EACH : now * EACH]}
    lines = await archive.judged(lines, {line.run for line in drawn} | on_page)
    shown = [line for line in lines if line.run in on_page]
    published = next((line for line in lines if line.published), None)
    proven = await _proven(archive, named)
    lines = [with_proof(line, proven) if line.run == named else line for line in lines]
    shown = [with_proof(line, proven) if line.run == named else line for line in shown]
    ended = [line for line in shown if _ended(line)]
    locks = await archive.locks([line.run for line in sorted(ended, key=lambda line: not line.published)])
    readable = [line for line in lines if line.state != "unreadable"]
    # The sentence about the published run says why it is not trusted.
    problems = [line for line in lines if line.problem and not (line.published and _is_untrusted(line))]
    charted = readable[:CHARTED][::-1]
    return page(
        "runs.html",
        archive.place,
        f"Runs of {archive.place.dataset}" if archive.place.dataset else "Runs",
        trail=archive.place.above,
        tones=TONES,
        lines=lines,
        storage=storage,
        shown=shown,
        text=text,
        found=len(found),
        days=calendar(charted, datetime.now(UTC).date()),
        now=now,
        pages=pages,
        named=named,
        unclear=unclear,
        published=published,
        older=mixed_times(published.carried, time_text(published.oldest_snapshot_time)) if published else "",
        restorable=proven,
        drills=len(drills),
        proven=proven.text(time.time()),
        newest=newest,
        unknown=unknown,
        planned_last=next((line for line in lines if line.run == newest and not _ended(line)), None),
        problems=problems,
        problems_shown=PROBLEMS,
        unread="cannot be read or trusted" if any(_is_untrusted(line) for line in problems) else "cannot be read",
        locks=locks,
        totals=_totals(readable),
        charted=len(charted),
        drawn=_charts(charted),
        colours=list(dict.fromkeys(COLOURS.get(line.state, OTHER) for line in charted)),
    )


def _has(line: RunLine, text: str) -> bool:
    """Whether the text is part of what the list shows of a run in words. Case does not count."""
    when = time_text(line.snapshot_time) if line.snapshot_time else ""
    words = (line.run, line.state, when, *line.tags, "published" if line.published else "")
    return any(text.casefold() in word.casefold() for word in words)


async def _read(document: Coroutine[Any, Any, str]) -> tuple[str, str]:
    """The run that a document of the target names, or why the document cannot be read: runs are shown regardless."""
    try:
        return await document, ""
    except (DocumentError, VerificationError) as error:
        return "", error.sentence(COMMANDS)


def _ended(line: RunLine) -> bool:
    return line.whole or _is_untrusted(line)


def _is_untrusted(line: RunLine) -> bool:
    return line.state == "not trusted"


def _totals(lines: list[RunLine]) -> list[tuple[str, str]]:
    if not lines:
        return []
    recent = lines[:30]
    complete = sum(line.state == "complete" for line in recent)
    facts = [("runs", count_text(len(lines))), (f"complete, of the last {len(recent)}", count_text(complete))]
    last = next((line for line in lines if line.whole), None)
    if last is None:
        return facts
    return [
        *facts,
        ("last duration", duration_text(last.took) if last.ended else "nothing to export"),
        ("last rows", count_text(last.rows)),
        ("last size", size_text(last.bytes)),
    ]


def _charts(lines: list[RunLine]) -> list[Chart]:
    """Charts over runs, the earliest first."""

    def points(value: Callable[[RunLine], int]) -> list[Point]:
        return [
            Point(
                f"{line.run}, {time_text(line.snapshot_time)[:10]}",
                value(line) if line.whole else None,
                COLOURS.get(line.state, OTHER)[0],
                line.state,
            )
            for line in lines
        ]

    return [
        chart("Duration", points(lambda line: line.took), duration_text),
        chart("Size", points(lambda line: line.bytes), size_text),
        chart("Rows", points(lambda line: line.rows), lambda count: f"{count:,.0f}"),
    ]
