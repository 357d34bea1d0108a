"""The history of a table: its rows and size in all runs, and when its columns changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.documents.changes import TableChange, columns_of
from bqdump.core.documents.fingerprints import Side, judge
from bqdump.core.documents.manifest_index import Line
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.sizes import size_text
from bqdump.core.times import time_text
from bqdump.core.wording import COMMANDS
from bqdump.observe.history import RunLine
from bqdump.pages.text import duration_text
from bqdump.ui.archive import Archive
from bqdump.ui.frame import Chart, Point, chart, page, page_number

# Each run takes one read of its index.
RUNS_EACH = 30


class News(NamedTuple):
    """What changed in a table: a badge with its tone, and a text or the changed columns."""

    badge: str = ""
    tone: str = ""
    text: str = ""
    change: TableChange | None = None


class Row(NamedTuple):
    """The table in one run, None where the run did not export it."""

    run: str
    snapshot_time: str
    line: Line | None
    news: News


async def history_page(archive: Archive, request: Request) -> Response:
    """A table in all runs: its rows and size, and when its columns changed."""
    name = request.path_params["table"]
    whole = [line for line in await archive.runs() if line.whole]
    now, pages = page_number(request.query_params.get("page", ""), len(whole), RUNS_EACH)
    # One more than is shown: the earliest one shown is compared with it.
    runs = whole[(now - 1) * RUNS_EACH : now * RUNS_EACH + 1]
    unread: dict[str, str] = {}
    found = await asyncio.gather(*(_line(archive, run.run, name, unread) for run in runs))
    shown = list(zip(runs, found, strict=True))[:RUNS_EACH]
    exported = any(found) or bool(unread)
    if not exported and pages == 1:
        raise NotFoundError("find", f"table {name!r}", f"no run in {archive.place} exported it")
    before = dict(zip((run.run for run in runs), _befores(found), strict=True))
    news = await asyncio.gather(
        *(_news(archive, run.run, line, before[run.run], runs, found, unread) for run, line in shown)
    )
    rows = [Row(run.run, time_text(run.snapshot_time), line, new) for (run, line), new in zip(shown, news, strict=True)]
    return page(
        "history.html",
        archive.place,
        name,
        name=name,
        rows=rows if exported else [],
        drawn=_charts(rows),
        total=len(whole),
        now=now,
        pages=pages,
    )


def _charts(rows: list[Row]) -> list[Chart]:
    def points(value: Callable[[Line], int]) -> list[Point]:
        return [
            Point(f"{row.run}, {row.snapshot_time[:10]}", value(row.line))
            if row.line
            else Point(f"{row.run}, {row.snapshot_time[:10]}", None, "fell")
            for row in reversed(rows)
        ]

    return [
        chart("Rows", points(lambda line: line.rows), lambda count: f"{count:,.0f}", "not exported"),
        chart("Size", points(lambda line: line.size), size_text, "not exported"),
        chart("Duration", points(lambda line: line.ended - line.created), duration_text, "not exported"),
    ]


def _befores(found: list[Line | None]) -> list[int | None]:
    """For each run, the place of the next earlier one that exported the table."""
    later: list[int | None] = []
    earlier = None
    for place in reversed(range(len(found))):
        later.append(earlier)
        if found[place]:
            earlier = place
    return later[::-1]


async def _line(archive: Archive, run: str, name: str, unread: dict[str, str]) -> Line | None:
    """The table in a run. A run that cannot be read is added to `unread`, with the reason."""
    try:
        contents = await archive.contents(run)
    except DocumentError as error:
        unread[run] = error.sentence(COMMANDS)
        return None
    return next((line for line in contents.tables if line.table == name), None) if contents else None


async def _news(
    archive: Archive,
    run: str,
    line: Line | None,
    before: int | None,
    runs: list[RunLine],
    found: list[Line | None],
    unread: dict[str, str],
) -> News:
    """What changed in a run since the previous one, or why that is unknown."""
    if run in unread:
        return News("unreadable", "bad", unread[run])
    if line is None:
        return News("not exported", "bad")
    old = found[before] if before is not None else None
    if old is None or before is None:
        return News()
    if old.schema == line.schema:
        return News(text=_grown(old, line))
    try:
        was, now = await asyncio.gather(archive.entry(runs[before].run, old), archive.entry(run, line))
        change = TableChange.of(line.table, columns_of(was), columns_of(now), Side(), Side())
    except DocumentError as error:
        return News("columns", "warn", error.sentence(COMMANDS))
    return News("columns", "warn", change=change)


def _grown(before: Line, after: Line) -> str:
    if after.rows != before.rows:
        return f"{after.rows - before.rows:+,} rows".replace("-", "−")
    content, why = judge(before.side, after.side)
    return {"same bytes": "same bytes", "unchanged": "unchanged", "changed": "content changed"}.get(
        content, f"unclear: {why}"
    )
