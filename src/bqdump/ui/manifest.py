"""What the manifest says of a run as a whole, and the document itself."""

from __future__ import annotations

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.errors import NotFoundError
from bqdump.pages.elements import code, facts, link, moment, tiles
from bqdump.pages.sections import failed_section, removed_section, settings_section, skipped_section
from bqdump.ui.archive import Archive
from bqdump.ui.frame import page, run_address, run_trail


async def manifest_page(archive: Archive, request: Request) -> Response:
    """What the manifest says of the run as a whole, and the way to the document itself."""
    run = request.path_params["run"]
    contents = await archive.whole(run)
    name = archive.layout(run).manifest
    totals = contents.totals
    about = [
        ("object", code(f"{archive.store.url}/{name}")), ("status", contents.status), ("mode", contents.mode),
        ("dataset", code(f"{contents.project}.{contents.dataset}")), ("location", contents.location),
        ("as of", moment(contents.snapshot)), ("made by", f"bqdump {contents.tool}"),
    ]  # fmt: skip
    return page(
        archive.place, "Manifest",
        [
            facts(about),
            tiles((("tables", f"{totals.tables:,}"), ("files", f"{totals.files:,}"), ("bytes", f"{totals.bytes:,}"),
                   ("planned rows", f"{totals.planned_rows:,}"), ("planned bytes", f"{totals.planned_bytes:,}"))),
            Markup("<p>{}</p>").format(link(run_address(run, "manifest.json"), "The document itself, as JSON")),
            failed_section(contents), removed_section(contents.removed), skipped_section(contents.skipped),
            settings_section(contents.settings),
        ],
        trail=run_trail(run),
    )  # fmt: skip


async def manifest_document(archive: Archive, request: Request) -> Response:
    """The manifest as it is stored."""
    name = archive.layout(request.path_params["run"]).manifest
    try:
        stored = await archive.store.read(name)
    except NotFoundError:
        raise NotFoundError("find", name, "there is none: the run has not been completed") from None
    return Response(stored.data, media_type="application/json")
