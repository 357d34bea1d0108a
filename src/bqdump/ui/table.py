"""A table as one run has exported it."""

from __future__ import annotations

import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.documents.manifest import TableEntry
from bqdump.core.documents.manifest_index import Contents, Line
from bqdump.core.sizes import size_text
from bqdump.pages.elements import (
    NOTHING,
    Cell,
    Column,
    code,
    duration_text,
    facts,
    heading,
    link,
    moment,
    size,
    table,
    tiles,
    visible,
)
from bqdump.pages.gantt import bar
from bqdump.pages.links import job_address, object_address
from bqdump.ui.archive import Archive
from bqdump.ui.frame import empty, page, page_number, pager, run_address, run_trail, table_address

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
    """A table as one run has exported it: its files, its columns, its job."""
    run, name = request.path_params["run"], request.path_params["table"]
    contents, line = await archive.line(run, name)
    entry = await archive.entry(run, line)
    now, pages = page_number(request.query_params.get("page", ""), len(entry.files), FILES_EACH)
    return page(
        archive.place, name,
        [
            tiles(
                (
                    ("rows", f"{line.rows:,}"),
                    ("size of the files", size_text(line.size)),
                    ("files", f"{line.files:,}"),
                    ("time", duration_text(line.ended - line.created)),
                )
            ),
            Markup('<nav class="on-page" aria-label="More of this table">{}</nav>').format(
                link(table_address(name), "This table through all runs")),
            facts(_about(contents, line, entry)),
            _files(contents, entry, now), pager(now, pages),
            _columns(entry),
        ],
        trail=run_trail(run),
    )  # fmt: skip


def _about(contents: Contents, line: Line, entry: TableEntry) -> list[tuple[str, Markup | str]]:
    """How the table was exported."""
    jobs = Markup(", ").join(
        link(job_address(contents.settings, contents.location, job), code(job)) for job in entry.jobs
    )
    moment_ = moment(entry.carried.snapshot if entry.carried else contents.snapshot)
    if line.moment == "job":
        moment_ = Markup("{}, when its job ran").format(moment(line.started))
    about: list[tuple[str, Markup | str]] = [
        ("exported by", _exporter(line)),
        ("as of", moment_),
        ("kind", line.kind.lower().replace("_", " ")),
        ("route", f"{line.route}: {visible(entry.why)}" if entry.why else line.route),
        ("job", jobs),
        ("in BigQuery", f"{entry.planned_rows:,} rows, {size_text(line.bytes)} when it was planned"),
    ]
    if entry.rows is not None and entry.expected_rows is not None:
        about.append(("rows compared", f"{entry.rows:,} exported, {entry.expected_rows:,} at the snapshot time"))
    if entry.billed is not None:
        about.append(("billed", size_text(entry.billed)))
    return about


def _exporter(line: Line) -> Markup | str:
    if line.carried:
        return Markup("run {}, and carried over").format(link(run_address(line.carried.run), code(line.carried.run)))
    return ", ".join([f"task {line.task}", *bar(line).remarks()])


def _files(contents: Contents, entry: TableEntry, now: int) -> Markup:
    if not entry.files:
        return heading("Files", "files", 0) + empty("The table has no files.")
    first = (now - 1) * FILES_EACH
    rows = [
        (link(run_address(contents.run, "tables", entry.table, "files", str(place)), code(file.name)), size(file.size),
         Cell(code(file.crc32c)), Cell(code(str(file.generation))),
         elsewhere(contents, file.name))
        for place, file in enumerate(entry.files[first : first + FILES_EACH], first)
    ]  # fmt: skip
    columns = (Column("preview of"), Column("size", number=True), Column("CRC32C", css="line"),
               Column("generation", css="line"), Column("Cloud Storage"))  # fmt: skip
    return heading("Files", "files", len(entry.files)) + table("Files", columns, rows)


def elsewhere(contents: Contents, name: str) -> Markup | str:
    """The way to a file's page in Google's console, where it has one."""
    address = object_address(contents.settings, name)
    return link(address, "open", f"{name} in Cloud Storage") if address else "–"


def _columns(entry: TableEntry) -> Markup:
    try:
        definition = msgspec.json.decode(entry.definition, type=_Definition | None)
    except (msgspec.MsgspecError, RecursionError) as error:
        return heading("Columns", "columns") + empty(f"The manifest's definition is none of BigQuery's ({error}).")
    if definition is None or not definition.schema.fields:
        return NOTHING
    rows = [
        (code(path), field.type, field.mode.lower(), visible(field.description))
        for path, field in _flat("", definition.schema.fields)
    ]
    columns = (Column("column"), Column("type"), Column("mode"), Column("description", css="wide"))
    return heading("Columns", "columns", len(definition.schema.fields)) + table("Columns", columns, rows)


def _flat(above: str, fields: list[_Field]) -> list[tuple[str, _Field]]:
    made = []
    for field in fields:
        made.append((above + field.name, field))
        made += _flat(f"{above}{field.name}.", field.fields)
    return made
