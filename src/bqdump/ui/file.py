"""A file's page: its first rows."""

from __future__ import annotations

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.errors import NotFoundError
from bqdump.core.sizes import counted, size_text
from bqdump.pages.elements import Column, code, facts, table, visible
from bqdump.ui.archive import Archive
from bqdump.ui.frame import empty, page, run_address, run_trail
from bqdump.ui.preview import preview
from bqdump.ui.table import elsewhere


async def file_page(archive: Archive, request: Request) -> Response:
    """The first rows of a file that a manifest names; no other object can be looked at."""
    run, name, place = (request.path_params[part] for part in ("run", "table", "place"))
    contents, line = await archive.line(run, name)
    entry = await archive.entry(run, line)
    if place >= len(entry.files):
        raise NotFoundError("find", f"file {place} of table {name!r}", f"it has {counted(len(entry.files), 'file')}")
    file = entry.files[place]
    settings = contents.settings | (entry.carried.settings if entry.carried else {})
    settings |= {"format": entry.format} if entry.format else {}
    info = await archive.store.stat(file.name)
    if info is None:
        raise NotFoundError(
            "show", file.name, "it is no longer there", "A later export has needed fewer files, perhaps."
        )
    shown = await preview(archive.store, info.name, info.size, settings)
    about = [
        ("size", size_text(file.size)),
        ("CRC32C", code(file.crc32c)),
        ("generation", code(str(file.generation))),
        ("Cloud Storage", elsewhere(contents, file.name)),
    ]
    replaced = Markup("")
    if (info.size, info.crc32c) != (file.size, file.crc32c):
        replaced = Markup('<div class="verdict warn"><strong>Replaced.</strong> A later export has written this file '
                          "anew; what is shown is what is there now.</div>")  # fmt: skip
    columns = [Column(visible(column)) for column in shown.columns]
    body = empty("Its first row is longer than what is read for this page." if shown.more else "The file has no rows.")
    if shown.rows and columns:
        body = table("First rows", columns, ([visible(cell) for cell in row] for row in shown.rows))
    said = (
        f"The first {counted(len(shown.rows), 'row')}." if shown.more else f"All of {counted(len(shown.rows), 'row')}."
    )
    return page(
        archive.place, file.name,
        [replaced, facts(about), Markup('<p class="soft small">{}</p>').format(said if shown.rows else ""), body],
        trail=(*run_trail(run), (name, run_address(run, "tables", name))),
    )  # fmt: skip
