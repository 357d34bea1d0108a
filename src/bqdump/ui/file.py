"""The page of a file: its first rows."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.errors import NotFoundError
from bqdump.core.sizes import counted
from bqdump.ui.archive import Archive
from bqdump.ui.frame import page
from bqdump.ui.preview import preview


async def file_page(archive: Archive, request: Request) -> Response:
    """The first rows of a file that a manifest lists; other objects cannot be read here."""
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
        cause = "the object does not exist any more"
        raise NotFoundError("show", file.name, cause, "A later export may have written fewer files.")
    shown = await preview(archive.store, info.name, info.size, settings)
    return page(
        "file.html",
        archive.place,
        file.name,
        trail=(*archive.place.run_trail(run), (name, archive.place.run(run, "tables", name))),
        file=file,
        settings=contents.settings,
        replaced=(info.size, info.crc32c) != (file.size, file.crc32c),
        preview=shown,
    )
