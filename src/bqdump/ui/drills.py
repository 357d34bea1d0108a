"""What each drill restored, compared and found: all drills of an export, and a page for one of them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.documents.target import Drill
from bqdump.core.errors import NotFoundError
from bqdump.core.sizes import counted, size_text
from bqdump.pages.summary import Verdict
from bqdump.pages.text import count_text, duration_text, time_text
from bqdump.ui.archive import Archive
from bqdump.ui.frame import page, page_number

EACH = 50


async def drills_page(archive: Archive, request: Request) -> Response:
    """All drills, the newest first."""
    drills = (await archive.drills())[::-1]
    now, pages = page_number(request.query_params.get("page", ""), len(drills), EACH)
    shown = [(drill, verdict(drill)) for drill in drills[(now - 1) * EACH : now * EACH]]
    return page(
        "drills.html",
        archive.place,
        "Drills",
        trail=archive.place.runs,
        drills=shown,
        of=len(drills),
        now=now,
        pages=pages,
    )


async def drill_page(archive: Archive, request: Request) -> Response:
    """One drill. Raises NotFoundError if none began at this time."""
    began = request.path_params["began"]
    drill = next((drill for drill in await archive.drills() if drill.began == began), None)
    if drill is None:
        raise NotFoundError("find", f"the drill that began at {began}", "there is none", "Its run may be pruned.")
    place = archive.place
    trail = (*place.runs, ("Drills", f"{place.root}/drills"))
    title = f"Drill of run {drill.run}"
    return page("drill.html", place, title, trail=trail, drill=drill, verdict=verdict(drill), facts=_facts(drill))


def verdict(drill: Drill) -> Verdict:
    """What a drill has proven, by what it compared."""
    compared = f"{drill.tables:,} of {counted(drill.of, 'table')} with rows came back with the export's values."
    if not drill.proven:
        return Verdict("bad", "Failed", compared)
    if not drill.tables:
        return Verdict("warn", "Nothing proven", "No table with rows was restored.")
    return Verdict("good" if drill.tables == drill.of else "warn", "Proven", compared)


def _facts(drill: Drill) -> list[tuple[str, str]]:
    return [
        ("began", time_text(drill.began)),
        ("ended", f"{time_text(drill.ended)}, after {duration_text(drill.ended - drill.began)}"),
        *([("last table in place", f"after {duration_text(drill.restored - drill.began)}")] if drill.restored else []),
        ("snapshot time of the run", time_text(drill.snapshot)),
        ("restored into", f"{drill.dataset}, which was deleted"),
        ("rows compared", count_text(drill.rows)),
        ("size", size_text(drill.bytes)),
        ("billed", size_text(drill.billed)),
        ("views and routines restored", count_text(drill.objects)),
        ("tables with other values", count_text(drill.different)),
        ("not restored", count_text(drill.failed)),
        ("by", f"bqdump {drill.tool}"),
    ]
