"""A table through all runs: rows, bytes, and when its columns changed."""

from __future__ import annotations

import asyncio

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.documents.changes import TableChange, columns_of
from bqdump.core.documents.fingerprints import Side, judge
from bqdump.core.documents.manifest_index import Line
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.sizes import size_text
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
    visible,
)
from bqdump.pages.sections import column_changes
from bqdump.ui.archive import Archive
from bqdump.ui.charts import Point, bars
from bqdump.ui.frame import RUNS, empty, page, page_number, pager, run_address

# Each run shown is one read of its index.
RUNS_EACH = 30


async def history_page(archive: Archive, request: Request) -> Response:
    """A table through all runs: rows, bytes, and when its columns changed."""
    name = request.path_params["table"]
    whole = [line for line in await archive.runs() if line.whole]
    now, pages = page_number(request.query_params.get("page", ""), len(whole), RUNS_EACH)
    # One more than is shown: the earliest one shown is compared with it.
    runs = whole[(now - 1) * RUNS_EACH : now * RUNS_EACH + 1]
    unread: dict[str, str] = {}
    found = await asyncio.gather(*(_line(archive, run.run, name, unread) for run in runs))
    shown = list(zip(runs, found, strict=True))[:RUNS_EACH]
    if not any(found) and not unread:
        if pages == 1:
            raise NotFoundError("find", f"table {name!r}", f"no run in {archive.place} has exported it")
        return page(archive.place, name, [empty("None of these runs has exported it."), pager(now, pages)], trail=RUNS)
    before = dict(zip((run.run for run in runs), _befores(found), strict=True))
    changes = await asyncio.gather(
        *(_told(archive, run.run, line, before[run.run], runs, found, unread) for run, line in shown)
    )
    points = [(f"{run.run}, {run.snapshot_time[:10]}", line) for run, line in reversed(shown)]
    return page(
        archive.place, name,
        [
            Markup('<div class="charts">{}{}{}</div>').format(
                bars("Rows", [Point(label, line.rows if line else None, "work" if line else "fell")
                              for label, line in points], lambda count: f"{count:,.0f}"),
                bars("Size", [Point(label, line.size if line else None, "work" if line else "fell")
                                           for label, line in points], size_text),
                bars("Duration", [Point(label, line.ended - line.created if line else None, "work" if line else "fell")
                                  for label, line in points], duration_text),
            ),
            heading("Runs", "runs", len(whole)),
            table("Runs", HISTORY, (_history_row(run, name, line, change)
                                    for (run, line), change in zip(shown, changes, strict=True))),
            pager(now, pages),
        ],
        trail=RUNS,
    )  # fmt: skip


HISTORY = (
    Column("run"), Column("as of", css="when"), Column("rows", number=True), Column("size", number=True),
    Column("files", number=True), Column("time", number=True), Column("what changed", css="wide"),
)  # fmt: skip


def _history_row(run: RunLine, name: str, line: Line | None, change: Markup) -> tuple[Cell | Markup | str, ...]:
    when = moment(parse_moment(run.snapshot_time))
    if line is None:
        return (link(run_address(run.run), code(run.run)), when, "–", "–", "–", "–", change)
    return (link(run_address(run.run, "tables", name), code(run.run)), when, number(line.rows), size(line.size),
            number(line.files), duration(line.ended - line.created), change)  # fmt: skip


def _befores(found: list[Line | None]) -> list[int | None]:
    """For each place the next (earlier) place where the table was exported."""
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
        unread[run] = str(error)
        return None
    return next((line for line in contents.tables if line.table == name), None) if contents else None


async def _told(
    archive: Archive, run: str, line: Line | None, before: int | None, runs: list[RunLine], found: list[Line | None],
    unread: dict[str, str],
) -> Markup:  # fmt: skip
    """What changed in a run since the one before, or why that cannot be told."""
    if run in unread:
        return Markup("{} {}").format(badge("unreadable", "bad"), visible(unread[run]))
    if line is None:
        return badge("not exported", "bad")
    old = found[before] if before is not None else None
    if old is None or before is None:
        return NOTHING
    if old.schema == line.schema:
        return Markup('<span class="soft">{}</span>').format(_grown(old, line))
    try:
        was, now = await asyncio.gather(archive.entry(runs[before].run, old), archive.entry(run, line))
        change = TableChange.of(line.table, columns_of(was), columns_of(now), Side(), Side())
    except DocumentError as error:
        return Markup("{} {}").format(badge("columns", "warn"), visible(str(error)))
    columns = column_changes(change) or "descriptions or details of columns"
    return Markup("{} {}").format(badge("columns", "warn"), columns)


def _grown(before: Line, after: Line) -> str:
    if after.rows != before.rows:
        return f"{after.rows - before.rows:+,} rows".replace("-", "−")
    content, why = judge(before.side, after.side)
    return {"same bytes": "same bytes", "changed": "content changed"}.get(content, f"unclear: {why}")
