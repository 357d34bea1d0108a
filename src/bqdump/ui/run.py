"""A run's page: what it came to."""

from __future__ import annotations

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.documents.manifest_index import Contents
from bqdump.pages.elements import (
    NOTHING,
    heading,
    link,
)
from bqdump.pages.gantt import gantt, own_bars
from bqdump.pages.sections import (
    failed_section,
    flags_section,
    out_of_time_section,
    removed_section,
    settings_section,
    skipped_section,
    totals,
    verdict,
)
from bqdump.ui.archive import Archive
from bqdump.ui.frame import RUNS, page, run_address
from bqdump.ui.listing import Wish, tables_section
from bqdump.ui.progress import live_page


async def run_page(archive: Archive, request: Request) -> Response:
    """The page of a run that is whole, or the live page of one that is not."""
    run = request.path_params["run"]
    contents = await archive.contents(run)
    if contents is None:
        return await live_page(archive, run)
    return page(archive.place, f"Run {run}", _sections(contents, Wish.of(request)), trail=RUNS)


def _sections(contents: Contents, wish: Wish) -> list[Markup]:
    run, chart = contents.run, gantt(own_bars(contents.tables))
    more = [
        ("Changes since the run before", run_address(run, "changes")),
        ("Verify what is stored", run_address(run, "verify")),
        ("Manifest", run_address(run, "manifest")),
    ]
    return [
        verdict(contents),
        totals(contents),
        Markup('<nav class="on-page" aria-label="More of this run">{}</nav>').format(
            NOTHING.join(link(address, name) for name, address in more)
        ),
        heading("Where the time went", "time") + chart if chart else NOTHING,
        failed_section(contents),
        removed_section(contents.removed),
        tables_section(run, contents.tables, wish),
        out_of_time_section(contents.tables),
        skipped_section(contents.skipped),
        flags_section(contents.flags),
        settings_section(contents.settings),
    ]
