"""What grew: the tables of a run, by how much they grew since an earlier run, a date, or a time before."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.documents.changes import grown, most_first
from bqdump.observe.growth import chosen
from bqdump.ui.archive import Archive
from bqdump.ui.frame import message, page

SHOWN = 500
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
