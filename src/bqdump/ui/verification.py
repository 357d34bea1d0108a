"""What verification finds, now."""

from __future__ import annotations

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from bqdump.check.verify import verify
from bqdump.core.sizes import counted, size_text
from bqdump.pages.elements import NOTHING, Column, badge, code, heading, table, visible
from bqdump.ui.archive import Archive
from bqdump.ui.frame import page, run_trail

SHOWN = 500


async def verify_page(archive: Archive, request: Request) -> Response:
    """What verification by listing finds, now."""
    run = request.path_params["run"]
    archive.layout(run)
    found = await verify(archive.store, archive.settings, run)
    if found.findings:
        said = Markup('<div class="verdict bad"><strong>{}.</strong> {} of {} were looked at.</div>').format(
            f"{counted(len(found.findings), 'difference')}", size_text(found.bytes), counted(found.files, "file")
        )
    else:
        what = "size and CRC32C" if found.copied else "size, CRC32C and generation"
        said = Markup(
            '<div class="verdict good"><strong>Every file is there</strong> with the {} of the manifest: {}, {}.</div>'
        ).format(what, counted(found.files, "file"), size_text(found.bytes))
    if found.copied:
        said += Markup("<p>A copy of the export: its files have other generations, which were not compared.</p>")
    rows = [
        (code(finding.file), badge(finding.kind.value, "bad"), code(finding.table), visible(finding.expected),
         visible(finding.found))
        for finding in found.findings[:SHOWN]
    ]  # fmt: skip
    columns = (Column("file"), Column("finding"), Column("table"), Column("the manifest says"), Column("found"))
    shown = heading("Findings", "findings", len(found.findings)) + table("Findings", columns, rows) if rows else NOTHING
    note = Markup('<p class="soft small">By listing, as {} does. In replace mode a later run replaces the files of an '
                  "earlier one.</p>").format(code("bqdump verify"))  # fmt: skip
    return page(archive.place, "Verification", [said, note, shown], trail=run_trail(run))
