"""The changes in a run since an earlier one.

What grew: the tables of a run, by how much they grew since an earlier run, a date, or a time before.

The history of a table: its rows and size in all runs, and when its columns changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from bqdump.concurrency import gathered
from bqdump.core.documents.changes import TableChange, columns_of, grown, most_first, why_missing
from bqdump.core.documents.fingerprints import Side, judge
from bqdump.core.documents.manifest_index import Contents, Line
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.formats.types import Column
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import time_text
from bqdump.core.wording import Commands
from bqdump.observe.earlier import chosen
from bqdump.observe.history import RunLine
from bqdump.pages.text import duration_text
from bqdump.ui.archive import Archive
from bqdump.ui.frame import Chart, Point, chart, message, page, page_number

SHOWN = 500
# Comparing the columns of a table takes two reads.
COMPARED = 100
READS_AT_ONCE = 16
NO_COLUMNS: Mapping[str, Column] = {}


async def changes_page(archive: Archive, request: Request) -> Response:
    """Changes since the previous run, or since the run given as `since`."""
    run, since = request.path_params["run"], request.query_params.get("since", "")
    contents = await archive.finished(run)
    before = since or await _before(archive, contents)
    if not before:
        first = "This is the first finished run: there is no earlier one to compare it with."
        return message(archive.place, "Changes", first, trail=archive.place.run_trail(run), status=200)
    old = await archive.finished(before)
    changes, unread = await _changes(archive, old, contents)
    return page(
        "changes.html",
        archive.place,
        "Changes",
        trail=archive.place.run_trail(run),
        untrusted=await archive.untrusted(run, before),
        run=run,
        before=before,
        changes=changes,
        unclear=sum(change.content == "unclear" for change in changes),
        unread=unread,
        most_changes=SHOWN,
    )


async def _before(archive: Archive, contents: Contents) -> str:
    whole = (line for line in await archive.runs() if line.whole)
    now = (contents.snapshot_time, contents.run)
    return next((line.run for line in whole if (time_text(line.snapshot_time), line.run) < now), "")


async def _changes(archive: Archive, old: Contents, new: Contents) -> tuple[list[TableChange], int]:
    """The changes by table, and the number of tables whose changed columns were not read."""
    was, now = ({line.table: line for line in contents.tables} for contents in (old, new))
    differ = sorted(name for name in was.keys() & now.keys() if was[name].schema != now[name].schema)

    async def columns(name: str) -> TableChange:
        before = await archive.entry(old.run, was[name])
        after = await archive.entry(new.run, now[name])
        return _change(name, was[name], now[name], columns_of(before), columns_of(after))

    read = {change.table: change for change in await gathered(columns, differ[:COMPARED], READS_AT_ONCE)}
    changes, unread = [], set(differ[COMPARED:])
    for name in sorted(was.keys() | now.keys()):
        before, after = was.get(name), now.get(name)
        why = "" if before and after else why_missing(name, new if before else old)
        if name in read:
            changes.append(read[name])
        elif not (change := _change(name, before, after, why=why)).nothing or name in unread:
            changes.append(change)
    return changes, len(unread)


def _change(
    name: str,
    before: Line | None,
    after: Line | None,
    was: Mapping[str, Column] = NO_COLUMNS,
    now: Mapping[str, Column] = NO_COLUMNS,
    why: str = "",
) -> TableChange:
    return TableChange.of(name, was, now, before.side if before else None, after.side if after else None, why)


# What one asks most: since the run before, and since a week and a month ago.
SPANS = {"": "the run before", "7d": "7 days", "30d": "30 days"}


async def growth_page(archive: Archive, request: Request) -> Response:
    """What grew in the published run, or in `run`, since the run before, or since `since`."""
    run, since = (request.query_params.get(name, "").strip() for name in ("run", "since"))
    lines = await archive.runs("" if run else await archive.published(), ())
    if not run and sum(line.whole for line in lines) < 2:
        first = "There is no earlier run to compare with."
        return message(archive.place, "What grew", first, trail=archive.place.runs, status=200)
    after, before = chosen(lines, run, since)
    tables = grown(await archive.finished(before.run), await archive.finished(after.run))
    return page(
        "growth.html",
        archive.place,
        "What grew",
        untrusted=await archive.untrusted(after.run, before.run),
        after=after,
        before=before,
        given=run,
        since=since,
        spans=SPANS,
        tables=most_first(tables),
        of=len(tables),
        most=SHOWN,
    )


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
    runs = await archive.judged(runs, [run.run for run in runs])
    unread: dict[str, str] = {}
    history = await asyncio.gather(*(_line(archive, run.run, name, unread) for run in runs))
    shown = list(zip(runs, history, strict=True))[:RUNS_EACH]
    exported = any(history) or bool(unread)
    if not exported and pages == 1:
        raise NotFoundError("find", f"table {name!r}", f"no run in {archive.place} exported it")
    before = dict(zip((run.run for run in runs), _befores(history), strict=True))
    news = await asyncio.gather(
        *(_news(archive, run.run, line, before[run.run], runs, history, unread) for run, line in shown)
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
        chart("Rows", points(lambda line: line.rows), lambda count: f"{count:,.0f}"),
        chart("Size", points(lambda line: line.size), size_text),
        chart("Duration", points(lambda line: line.ended - line.created), duration_text),
    ]


def _befores(history: list[Line | None]) -> list[int | None]:
    """For each run, the place of the next earlier one that exported the table."""
    later: list[int | None] = []
    earlier = None
    for place in reversed(range(len(history))):
        later.append(earlier)
        if history[place]:
            earlier = place
    return later[::-1]


async def _line(archive: Archive, run: str, name: str, unread: dict[str, str]) -> Line | None:
    """The table in a run. A run that cannot be read is added to `unread`, with the reason."""
    try:
        contents = await archive.contents(run)
    except DocumentError as error:
        unread[run] = error.sentence(Commands(str(archive.place)))
        return None
    return next((line for line in contents.tables if line.table == name), None) if contents else None


async def _news(
    archive: Archive,
    run: str,
    line: Line | None,
    before: int | None,
    runs: list[RunLine],
    history: list[Line | None],
    unread: dict[str, str],
) -> News:
    """What changed in a run since the previous one, or why that is unknown."""
    if why := next((one.problem for one in runs if one.run == run and one.state == "not trusted"), ""):
        return News("not trusted", "bad", why)
    if run in unread:
        return News("unreadable", "bad", unread[run])
    if line is None:
        return News("not exported", "bad")
    old = history[before] if before is not None else None
    if old is None or before is None:
        return News()
    if old.schema == line.schema:
        return News(text=_grown(old, line))
    try:
        was, now = await asyncio.gather(archive.entry(runs[before].run, old), archive.entry(run, line))
        change = TableChange.of(line.table, columns_of(was), columns_of(now), Side(), Side())
    except DocumentError as error:
        return News("columns", "warn", error.sentence(Commands(str(archive.place))))
    return News("columns", "warn", change=change)


def _grown(before: Line, after: Line) -> str:
    if after.rows != before.rows:
        return counted(after.rows - before.rows, "row", "+,").replace("-", "−")
    content, why = judge(before.side, after.side)
    return {"same bytes": "same bytes", "unchanged": "unchanged", "changed": "content changed"}.get(
        content, f"unclear: {why}"
    )
