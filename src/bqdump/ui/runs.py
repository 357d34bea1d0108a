"""The first page: runs over time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.documents.manifest import mixed_times
from bqdump.core.errors import DocumentError
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import parse_moment
from bqdump.observe.history import RunLine
from bqdump.pages.elements import (
    NOTHING,
    Cell,
    Column,
    badge,
    code,
    duration,
    duration_text,
    heading,
    link,
    moment,
    number,
    size,
    table,
    tiles,
    visible,
)
from bqdump.ui.archive import Archive
from bqdump.ui.charts import Point, bars
from bqdump.ui.frame import empty, page, page_number, pager, run_address

EACH = 50
CHARTED = 90
# Runs that cannot be read: so many are told of in a sentence.
TOLD = 5
COLUMNS = (
    Column("run"), Column("state"), Column("as of", css="when"), Column("took", number=True),
    Column("tables", number=True), Column("failed", number=True), Column("rows", number=True),
    Column("files", number=True), Column("size", number=True),
)  # fmt: skip
TONES = {"complete": "good", "partial": "bad", "failed": "bad", "unfinished": "warn", "unreadable": "bad"}


async def runs_page(archive: Archive, request: Request) -> Response:
    """All runs: how they ended, how long they took, how much they brought."""
    (published, unclear), (newest, unknown) = await asyncio.gather(_read(archive.published()), _read(archive.newest()))
    lines = await archive.runs(published)
    if not (lines or published or unclear):
        return page(archive.place, "Runs", [empty("There are no runs here yet.",
                    Markup("Start one with {}.").format(code("bqdump run")))])  # fmt: skip
    now, pages = page_number(request.query_params.get("page", ""), len(lines), EACH)
    shown = lines[(now - 1) * EACH : now * EACH]
    # The newest one may be of an early moment, far down in the list.
    asked = [line.run for line in lines if line.state == "unfinished" and (line.run == newest or line in shown)]
    failed = await _failed(archive, asked)
    parts = _above(lines, published, newest, failed, unclear, unknown) if now == 1 else []
    rows = [_row(line, failed) for line in shown]
    return page(
        archive.place, "Runs",
        [*parts, heading("All runs", "all", len(lines)), table("Runs", COLUMNS, rows), pager(now, pages)],
    )  # fmt: skip


def _above(
    lines: list[RunLine], published: str, newest: str, failed: set[str], unclear: str, unknown: str
) -> list[Markup]:
    """What stands above the list. unclear, unknown: why latest.json and newest.json cannot be read."""
    readable = [line for line in lines if not line.problem]
    return [
        _said("bad", "What readers see cannot be told:", unclear) if unclear else _verdict(lines, published),
        _said("bad", "Which run is the newest cannot be told:", unknown)
        if unknown
        else _under_way(lines, newest, failed),
        _problems([line for line in lines if line.problem]),
        *((_totals(readable), _charts(readable)) if readable else ()),
    ]


async def _read(document: Coroutine[Any, Any, str]) -> tuple[str, str]:
    """What a document of the target tells, or why it cannot be read: the runs are shown all the same."""
    try:
        return await document, ""
    except DocumentError as error:
        return "", str(error)


def _said(tone: str, word: Markup | str, told: Markup | str) -> Markup:
    return Markup('<div class="verdict {}"><strong>{}</strong> {}</div>').format(tone, word, told)


def _verdict(lines: list[RunLine], named: str) -> Markup:
    """What readers see. named: the run that latest.json names."""
    published = next((line for line in lines if line.published), None)
    if published is None and named:
        vain = Markup("latest.json names run {}, whose manifest is not here.").format(code(named))
        return _said("bad", "Readers find nothing:", vain)
    if published is None:
        return _said("warn", "Nothing is published.", "No run has come to its end.")
    sees = Markup("Readers see {},").format(link(run_address(published.run), code(published.run)))
    if published.state == "unreadable":
        return _said("bad", sees, "which cannot be read.")
    told = f"{counted(published.tables, 'table')}" + (f", {published.failed} failed" if published.failed else "")
    when = moment(parse_moment(published.snapshot_time))
    older = mixed_times(published.carried, published.oldest_snapshot_time)
    return _said(TONES[published.state], sees,
                 Markup("{} ({}), the dataset as of {}{}.").format(published.state, told, when,
                                                                   f"; {older}" if older else ""))  # fmt: skip


def _under_way(lines: list[RunLine], newest: str, failed: set[str]) -> Markup:
    """That the newest run goes on, or has failed."""
    if not any(line.run == newest and line.state == "unfinished" for line in lines):
        return NOTHING
    tone, word = ("bad", "The newest run has met failures.") if newest in failed else ("", "A run is under way.")
    return _said(tone, word, link(run_address(newest), Markup("How far {} is").format(code(newest))))


def _problems(lines: list[RunLine]) -> Markup:
    """Why runs cannot be read."""
    said = [_said("bad", Markup("Run {}:").format(code(line.run)), visible(line.problem)) for line in lines[:TOLD]]
    if len(lines) > TOLD:
        said.append(_said("bad", f"{counted(len(lines) - TOLD, 'more run')} cannot be read.", "Their pages say why."))
    return NOTHING.join(said)


def _totals(lines: list[RunLine]) -> Markup:
    recent = lines[:30]
    good = sum(line.state == "complete" for line in recent)
    last = next((line for line in lines if line.whole), None)
    facts = [("runs", f"{len(lines):,}"), (f"complete, of the last {len(recent)}", f"{good}")]
    if last:
        facts += [("last took", duration_text(last.ended - last.begun)), ("last rows", f"{last.rows:,}"),
                  ("last size", size_text(last.bytes))]  # fmt: skip
    return tiles(facts)


def _charts(lines: list[RunLine]) -> Markup:
    shown = lines[:CHARTED][::-1]
    tones = {"complete": "work", "partial": "late", "unfinished": "fell"}

    def points(value: str) -> list[Point]:
        return [
            Point(f"{line.run}, {line.snapshot_time[:10]}", None if line.state == "unfinished" else _value(line, value),
                  tones[line.state])
            for line in shown
        ]  # fmt: skip

    drawn = (
        bars("Duration", points("took"), duration_text),
        bars("Size", points("bytes"), size_text),
        bars("Rows", points("rows"), lambda count: f"{count:,.0f}"),
    )
    legend = [("work", "complete")]
    legend += [("late", "partial")] if any(line.state == "partial" for line in shown) else []
    legend += [("fell", "not completed")] if any(line.state == "unfinished" for line in shown) else []
    marks = NOTHING.join(
        Markup('<li><svg aria-hidden="true"><rect class="{}" width="100%" height="100%" rx="2"/></svg>{}</li>').format(
            css, text
        )
        for css, text in legend
    )
    explained = Markup('<ul class="legend">{}</ul>').format(marks) if len(legend) > 1 else NOTHING
    title = f"The last {len(shown)} runs" if len(shown) > 1 else "One run so far"
    return heading(title, "over-time") + Markup('<div class="charts">{}</div>{}').format(NOTHING.join(drawn), explained)


def _value(line: RunLine, name: str) -> float:
    return line.ended - line.begun if name == "took" else line.bytes if name == "bytes" else line.rows


def _row(line: RunLine, failed: set[str]) -> tuple[Cell | Markup | str, ...]:
    state = "failed" if line.run in failed else line.state
    shown = badge(state, TONES[state])
    if line.published:
        shown += Markup(" ") + badge("readers see it")
    done = line.whole
    return (
        link(run_address(line.run), code(line.run)), shown,
        moment(parse_moment(line.snapshot_time)) if line.snapshot_time else "–" if line.problem else "being planned",
        duration(line.ended - line.begun) if line.ended else "–", "–" if line.problem else number(line.tables),
        number(line.failed) if done else "–", "–" if line.problem else number(line.rows),
        number(line.files) if done else "–",
        size(line.bytes) if done else "–",
    )  # fmt: skip


async def _failed(archive: Archive, runs: list[str]) -> set[str]:
    """Which of these runs have met a failure: the first page of a listing for each."""

    async def look(run: str) -> bool:
        async for notes in archive.store.notes(archive.settings.layout.run(run).failures):
            return bool(notes)
        return False

    return {run for run, met in zip(runs, await asyncio.gather(*map(look, runs)), strict=True) if met}
