"""Pages below a run: what changed since the run before, what verification finds, the manifest."""

from __future__ import annotations

import asyncio

import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.changes import TableChange, columns_of
from bqdump.core.contents import Contents, Line
from bqdump.core.errors import NotFoundError
from bqdump.core.sizes import counted, size_text
from bqdump.flow.verify import verify
from bqdump.pages.elements import NOTHING, Column, badge, code, facts, heading, link, moment, table, tiles, visible
from bqdump.pages.findings import changes_section, failed_section, settings_section, skipped_section
from bqdump.ui.archive import Archive
from bqdump.ui.frame import page, run_address
from bqdump.ui.run import trail

SHOWN = 500
# Telling which columns changed takes two reads for each table.
COMPARED = 100
READS_AT_ONCE = 16


async def changes_page(archive: Archive, request: Request) -> Response:
    """What changed since the run before, or since the run that `since` names."""
    run, since = request.path_params["run"], request.query_params.get("since", "")
    contents = await archive.whole(run)
    before = since or await _before(archive, contents)
    if not before:
        return page(archive.place, "Changes", [Markup('<div class="empty"><p>{}</p></div>').format(
                    "This is the first run that was completed here.")], trail=trail(run))  # fmt: skip
    old = await archive.whole(before)
    changes, unread = await _changes(archive, old, contents)
    hint = NOTHING
    if unread:
        hint = Markup('<p class="soft small">{} have other columns; {} tells of the columns of all.</p>').format(
            counted(unread, "more table"), code(f"bqdump diff {before} {run}")
        )
    shown = changes_section(changes, SHOWN, Markup("run {}").format(link(run_address(before), code(before))))
    return page(archive.place, "Changes", [hint, shown], trail=trail(run))


async def _before(archive: Archive, contents: Contents) -> str:
    whole = (line for line in await archive.runs() if line.state != "unfinished")
    return next(
        (line.run for line in whole if (line.snapshot_time, line.run) < (contents.snapshot_time, contents.run)), ""
    )


async def _changes(archive: Archive, old: Contents, new: Contents) -> tuple[list[TableChange], int]:
    """The changes by table, and of how many tables the changed columns were not read."""
    was, now = ({line.table: line for line in contents.tables} for contents in (old, new))
    slots = asyncio.Semaphore(READS_AT_ONCE)
    differ = sorted(name for name in was.keys() & now.keys() if was[name].schema != now[name].schema)

    async def columns(name: str) -> TableChange:
        async with slots:
            before = await archive.entry(old.run, was[name])
            after = await archive.entry(new.run, now[name])
        made = TableChange.of(name, columns_of(before.definition), columns_of(after.definition))
        return msgspec.structs.replace(made, **_numbers(was[name], now[name]))

    told = {change.table: change for change in await asyncio.gather(*map(columns, differ[:COMPARED]))}
    changes = []
    for name in sorted(was.keys() | now.keys()):
        before, after = was.get(name), now.get(name)
        if name in told:
            changes.append(told[name])
        elif before is None or after is None or _size(before) != _size(after) or before.schema != after.schema:
            word = "added" if before is None else "removed" if after is None else "changed"
            made = TableChange.of(name, {}, {}, change=word)  # type: ignore[arg-type]
            changes.append(msgspec.structs.replace(made, **_numbers(before, after)))
    return changes, len(differ[COMPARED:])


def _size(line: Line) -> tuple[int, int]:
    return line.rows, line.bytes


def _numbers(before: Line | None, after: Line | None) -> dict[str, int]:
    return {
        "rows_before": before.rows if before else 0,
        "rows_after": after.rows if after else 0,
        "bytes_before": before.bytes if before else 0,
        "bytes_after": after.bytes if after else 0,
    }


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
        said = Markup('<div class="verdict good"><strong>Every file is there</strong> with the size, CRC32C and '
                      "generation that the manifest says: {}, {}.</div>").format(
                          counted(found.files, "file"), size_text(found.bytes))  # fmt: skip
    rows = [
        (code(finding.file), badge(finding.kind.value, "bad"), code(finding.table), visible(finding.expected),
         visible(finding.found))
        for finding in found.findings[:SHOWN]
    ]  # fmt: skip
    columns = (Column("file"), Column("finding"), Column("table"), Column("the manifest says"), Column("found"))
    shown = heading("Findings", "findings", len(found.findings)) + table("Findings", columns, rows) if rows else NOTHING
    note = Markup('<p class="soft small">By listing, as {} does. In replace mode a later run replaces the files of an '
                  "earlier one.</p>").format(code("bqdump verify"))  # fmt: skip
    return page(archive.place, "Verification", [said, note, shown], trail=trail(run))


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
            failed_section(contents), skipped_section(contents.skipped), settings_section(contents.settings),
        ],
        trail=trail(run),
    )  # fmt: skip


async def manifest_document(archive: Archive, request: Request) -> Response:
    """The manifest as it is stored."""
    name = archive.layout(request.path_params["run"]).manifest
    try:
        stored = await archive.store.read(name)
    except NotFoundError:
        raise NotFoundError("find", name, "there is none: the run has not been completed") from None
    return Response(stored.data, media_type="application/json")
