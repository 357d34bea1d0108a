"""The facts that a manifest records about its run, and the document itself."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.errors import NotFoundError
from bqdump.pages.summary import chosen
from bqdump.repository.repository import read
from bqdump.ui.archive import Archive
from bqdump.ui.frame import page


async def manifest_page(archive: Archive, request: Request) -> Response:
    """The facts about the run, and a link to the document."""
    run = request.path_params["run"]
    contents = await archive.finished(run)
    return page(
        "manifest.html",
        archive.place,
        "Manifest",
        trail=archive.place.run_trail(run),
        object=f"{archive.store.url}/{archive.layout(run).manifest}",
        about=contents,
        settings=chosen(contents.settings),
    )


async def manifest_document(archive: Archive, request: Request) -> Response:
    """The manifest as stored."""
    document = archive.layout(request.path_params["run"]).manifest
    stored = await read(archive.store, document)
    if stored is None:
        raise NotFoundError("find", document.name, "it does not exist: the run has not finished")
    return Response(stored.data, media_type="application/json")
