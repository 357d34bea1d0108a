"""Verification of a run's stored files, run on request."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from bqdump.check.verify import verify
from bqdump.ui.archive import Archive
from bqdump.ui.frame import page

SHOWN = 500


async def verify_page(archive: Archive, request: Request) -> Response:
    """The result of verification by listing, as of now."""
    run = request.path_params["run"]
    archive.layout(run)
    found = await verify(archive.store, archive.settings, run)
    place = archive.place
    return page("verification.html", place, "Verification", trail=place.run_trail(run), found=found, most=SHOWN)
