"""The page of a run."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from bqdump.pages.gantt import gantt, own_bars
from bqdump.pages.summary import chosen, totals, verdict
from bqdump.ui.archive import Archive
from bqdump.ui.frame import page
from bqdump.ui.listing import Wish, listing
from bqdump.ui.progress import live_page


async def run_page(archive: Archive, request: Request) -> Response:
    """The page of a finished run, or the live page of an unfinished one."""
    run = request.path_params["run"]
    contents = await archive.contents(run)
    if contents is None:
        return await live_page(archive, run)
    return page(
        "run.html",
        archive.place,
        f"Run {run}",
        about=contents,
        verdict=verdict(contents),
        totals=totals(contents),
        chart=gantt(own_bars(contents.tables)),
        listing=listing(contents.tables, Wish.of(request)),
        settings=chosen(contents.settings),
    )
