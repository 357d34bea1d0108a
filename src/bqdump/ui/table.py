"""A table: as one run has it, and through all runs."""

from __future__ import annotations

import asyncio

import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.changes import TableChange, columns_of
from bqdump.core.contents import Contents, Line
from bqdump.core.documents import TableEntry
from bqdump.core.errors import NotFoundError
from bqdump.core.settings import parse_moment
from bqdump.core.sizes import size_text
from bqdump.flow.history import RunLine
from bqdump.pages.elements import (
    NOTHING,
    Cell,
    Column,
    badge,
    code,
    duration,
    duration_text,
    facts,
    heading,
    link,
    moment,
    number,
    size,
    table,
    tiles,
    visible,
)
from bqdump.pages.findings import column_changes
from bqdump.pages.gantt import bar
from bqdump.pages.links import job_address, object_address
from bqdump.ui.archive import Archive
from bqdump.ui.charts import Point, bars
from bqdump.ui.frame import empty, page, page_number, pager, run_address, table_address
from bqdump.ui.run import RUNS, trail

# Each run shown is one read of its index.
RUNS_EACH = 30
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
        trail=trail(run),
    )  # fmt: skip


def _about(contents: Contents, line: Line, entry: TableEntry) -> list[tuple[str, Markup | str]]:
    """How the table was exported."""
    jobs = Markup(", ").join(
        link(job_address(contents.settings, contents.location, job), code(job)) for job in entry.jobs
    )
    moment_ = moment(contents.snapshot)
    if line.moment == "job":
        moment_ = Markup("{}, when its job ran").format(moment(line.started))
    about: list[tuple[str, Markup | str]] = [
        ("exported by", ", ".join([f"task {line.task}", *bar(line).remarks()])),
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
    definition = msgspec.json.decode(entry.definition, type=_Definition | None)
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


async def history_page(archive: Archive, request: Request) -> Response:
    """A table through all runs: rows, bytes, and when its columns changed."""
    name = request.path_params["table"]
    whole = [line for line in await archive.runs() if line.state != "unfinished"]
    now, pages = page_number(request.query_params.get("page", ""), len(whole), RUNS_EACH)
    # One more than is shown: the earliest one shown is compared with it.
    runs = whole[(now - 1) * RUNS_EACH : now * RUNS_EACH + 1]
    found = await asyncio.gather(*(_line(archive, run.run, name) for run in runs))
    shown = list(zip(runs, found, strict=True))[:RUNS_EACH]
    if not any(found):
        if pages == 1:
            raise NotFoundError("find", f"table {name!r}", f"no run in {archive.place} has exported it")
        return page(archive.place, name, [empty("None of these runs has exported it."), pager(now, pages)], trail=RUNS)
    before = dict(zip((run.run for run in runs), _befores(found), strict=True))
    changes = await asyncio.gather(
        *(_change(archive, run.run, line, before[run.run], runs, found) for run, line in shown)
    )
    points = [(f"{run.run}, {run.snapshot_time[:10]}", line) for run, line in reversed(shown)]
    return page(
        archive.place, name,
        [
            Markup('<div class="charts">{}{}{}</div>').format(
                bars("Rows", [Point(label, line.rows if line else None, "work" if line else "fell")
                              for label, line in points], lambda count: f"{count:,.0f}"),
                bars("Size", [Point(label, line.size if line else None, "work" if line else "fell")
                                           for label, line in points], size_text),
                bars("Duration", [Point(label, line.ended - line.created if line else None, "work" if line else "fell")
                                  for label, line in points], duration_text),
            ),
            heading("Runs", "runs", len(whole)),
            table("Runs", HISTORY, (_history_row(run, name, line, change)
                                    for (run, line), change in zip(shown, changes, strict=True))),
            pager(now, pages),
        ],
        trail=RUNS,
    )  # fmt: skip


HISTORY = (
    Column("run"), Column("as of", css="when"), Column("rows", number=True), Column("size", number=True),
    Column("files", number=True), Column("time", number=True), Column("what changed", css="wide"),
)  # fmt: skip


def _history_row(run: RunLine, name: str, line: Line | None, change: Markup) -> tuple[Cell | Markup | str, ...]:
    when = moment(parse_moment(run.snapshot_time))
    if line is None:
        return (link(run_address(run.run), code(run.run)), when, "–", "–", "–", "–", change)
    return (link(run_address(run.run, "tables", name), code(run.run)), when, number(line.rows), size(line.size),
            number(line.files), duration(line.ended - line.created), change)  # fmt: skip


def _befores(found: list[Line | None]) -> list[int | None]:
    """For each place the next (earlier) place where the table was exported."""
    later: list[int | None] = []
    earlier = None
    for place in reversed(range(len(found))):
        later.append(earlier)
        if found[place]:
            earlier = place
    return later[::-1]


async def _line(archive: Archive, run: str, name: str) -> Line | None:
    contents = await archive.contents(run)
    return next((line for line in contents.tables if line.table == name), None) if contents else None


async def _change(
    archive: Archive, run: str, line: Line | None, before: int | None, runs: list[RunLine], found: list[Line | None]
) -> Markup:
    if line is None:
        return badge("not exported", "bad")
    old = found[before] if before is not None else None
    if old is None or before is None:
        return NOTHING
    if old.schema == line.schema:
        return Markup('<span class="soft">{}</span>').format(_grown(old.rows, line.rows))
    was, now = await asyncio.gather(archive.entry(runs[before].run, old), archive.entry(run, line))
    change = TableChange.of(line.table, columns_of(was.definition), columns_of(now.definition))
    columns = column_changes(change) or "descriptions or details of columns"
    return Markup("{} {}").format(badge("columns", "warn"), columns)


def _grown(before: int, after: int) -> str:
    return f"{after - before:+,} rows" if after != before else ""
