"""A table as one run exported it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.documents.manifest import TableEntry
from bqdump.core.documents.manifest_index import Contents
from bqdump.core.errors import DocumentError, VerificationError
from bqdump.pages.gantt import bar
from bqdump.ui.archive import Archive
from bqdump.ui.frame import page, page_number
from bqdump.ui.snippets import Snippet, snippets
from bqdump.ui.snippets.source import source_of

FILES_EACH = 200


class _Field(msgspec.Struct):
    name: str
    type: str
    mode: str = "NULLABLE"
    description: str = ""
    fields: list[_Field] = []


class _Schema(msgspec.Struct):
    fields: list[_Field] = []


class _Definition(msgspec.Struct):
    schema: _Schema = msgspec.field(default_factory=_Schema)
    description: str = ""


async def table_page(archive: Archive, request: Request) -> Response:
    """A table as one run exported it: its files, code that reads them, columns and job."""
    run, name = request.path_params["run"], request.path_params["table"]
    contents, line = await archive.line(run, name)
    entry = await archive.entry(run, line)
    now, pages = page_number(request.query_params.get("page", ""), len(entry.files), FILES_EACH)
    first = (now - 1) * FILES_EACH
    fields, invalid = _fields(entry)
    return page(
        "table.html",
        archive.place,
        name,
        trail=archive.place.run_trail(run),
        untrusted=await archive.untrusted(run),
        contents=contents,
        line=line,
        entry=entry,
        exporter=", ".join([f"task {line.task}", *bar(line).remarks()]),
        files=entry.files[first : first + FILES_EACH],
        first=first,
        now=now,
        pages=pages,
        replaced=await _replaced(archive, contents),
        snippets=_snippets(archive, contents, entry),
        columns=_flat("", fields),
        top_level=len(fields),
        invalid=invalid,
    )


async def _replaced(archive: Archive, contents: Contents) -> bool:
    """Whether a later run has replaced the files."""
    try:
        return contents.replaces and await archive.published() != contents.run
    except (DocumentError, VerificationError):
        return True


def _snippets(archive: Archive, contents: Contents, entry: TableEntry) -> Sequence[Snippet]:
    try:
        source = source_of(contents, entry, archive.settings.target)
    except (msgspec.MsgspecError, RecursionError):
        return ()
    return snippets(source) if source else ()


def _fields(entry: TableEntry) -> tuple[list[_Field], str]:
    """The columns of a table, and why they cannot be read, "" if they can."""
    try:
        definition = msgspec.json.decode(entry.definition, type=_Definition | None)
    except (msgspec.MsgspecError, RecursionError) as error:
        return [], str(error)
    return (definition.schema.fields if definition else []), ""


def _flat(above: str, fields: list[_Field]) -> list[tuple[str, _Field]]:
    """All columns with their paths, nested ones after the column that holds them."""
    rows = []
    for field in fields:
        rows.append((above + field.name, field))
        rows += _flat(f"{above}{field.name}.", field.fields)
    return rows
