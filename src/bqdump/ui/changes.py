"""The changes in a run since an earlier one.

What grew: the tables of a run, by how much they grew since an earlier run, a date, or a time before.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from bqdump.concurrency import gathered
from bqdump.core.documents.changes import TableChange, columns_of, grown, most_first
from bqdump.core.documents.manifest_index import Contents, Line
from bqdump.core.formats.types import Column
from bqdump.core.times import time_text
from bqdump.observe.earlier import chosen
from bqdump.ui.archive import Archive
from bqdump.ui.frame import message, page

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
        if name in read:
            changes.append(read[name])
        elif not (change := _change(name, before, after)).nothing or name in unread:
            changes.append(change)
    return changes, len(unread)


def _change(
    name: str,
    before: Line | None,
    after: Line | None,
    was: Mapping[str, Column] = NO_COLUMNS,
    now: Mapping[str, Column] = NO_COLUMNS,
) -> TableChange:
    return TableChange.of(name, was, now, before.side if before else None, after.side if after else None)


# What one asks most: since the run before, and since a week and a month ago.
SPANS = {"": "the run before", "7d": "7 days", "30d": "30 days"}


async def growth_page(archive: Archive, request: Request) -> Response:
    """What grew in the published run, or in `run`, since the run before, or since `since`."""
    run, since = (request.query_params.get(name, "").strip() for name in ("run", "since"))
    lines = await archive.runs(await archive.published(), ())
    if not run and sum(line.whole for line in lines) < 2:
        first = "There is no earlier run to compare with."
        return message(archive.place, "What grew", first, trail=archive.place.runs, status=200)
    after, before = chosen(lines, run, since)
    tables = grown(await archive.finished(before.run), await archive.finished(after.run))
    return page(
        "growth.html",
        archive.place,
        "What grew",
        after=after,
        before=before,
        given=run,
        since=since,
        spans=SPANS,
        tables=most_first(tables),
        of=len(tables),
        most=SHOWN,
    )
