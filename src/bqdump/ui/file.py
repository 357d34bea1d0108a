"""The page of a file: its first rows.

The first rows of a file, from a bounded part of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import importlib.util
import io
import sys
import tempfile
import zlib
from asyncio.subprocess import DEVNULL, PIPE
from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.documents.manifest import File
from bqdump.core.errors import BqdumpError, NotFoundError, UsageError, install_hint
from bqdump.core.sizes import counted
from bqdump.file_content import FileContent, read_file, read_part
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import was_copied
from bqdump.ui import decode
from bqdump.ui.archive import Archive
from bqdump.ui.decode import COLUMNS, ROWS, Preview, shortened, value_text
from bqdump.ui.frame import page

GZIP = b"\x1f\x8b"
# The part of a text file that is read, and the limit of its decompressed content.
TEXT_BYTES = 128 << 10
UNPACKED_BYTES = 1 << 20
# Avro and Parquet are read from the beginning; a Parquet file also at its end, where the footer is.
HEAD_BYTES = 16 << 20
FOOTER_BYTES = 4 << 20
# The time limit for decoding these.
SECONDS = 30.0


async def preview(store: ObjectStore, file: File, settings: dict[str, Any], table: str = "") -> tuple[Preview, bool]:
    """The first rows of a file, and whether its checksums were compared. Raises BqdumpError if it cannot be shown.

    Of a file that is larger than what is read for that, only the generation is known to be the recorded one.
    settings: those of its export; format, delimiter and header are used.
    """
    format_ = settings.get("format", "csv")
    most = TEXT_BYTES if format_ in ("csv", "json") else HEAD_BYTES
    compared = file.size <= most
    if compared:
        data = await read_file(store, file, _joined, table=table)
    else:
        data = await read_part(store, file, 0, most, table=table)
    if format_ in ("csv", "json"):
        # A path does not have to end with {ext}; no text begins with these bytes.
        packed = file.name.endswith(".gz") or data.startswith(GZIP)
        text, complete = _text(data, complete=compared, packed=packed, name=file.name)
        if format_ == "json":
            return _json(text, complete), compared
        delimiter = settings.get("delimiter")
        if not isinstance(delimiter, str) or len(delimiter) != 1:
            delimiter = ","
        return _csv(text, delimiter, complete, header=bool(settings.get("header", True))), compared
    footer = b""
    if format_ == "parquet" and not compared:
        footer = await read_part(store, file, max(0, file.size - FOOTER_BYTES), FOOTER_BYTES, table=table)
    return await _decoded(format_, data, footer, file.size, file.name), compared


async def _joined(content: FileContent) -> bytes:
    return b"".join([piece async for piece in content])


def _text(data: bytes, *, complete: bool, packed: bool, name: str) -> tuple[str, bool]:
    """The text of the first bytes, without a truncated last line, and whether it is complete."""
    if packed and data:
        unpacking = zlib.decompressobj(wbits=31)
        try:
            data = unpacking.decompress(data, UNPACKED_BYTES)
        except zlib.error as error:
            raise BqdumpError("show", name, f"it is not a gzip file ({error})") from None
        complete = complete and unpacking.eof and not unpacking.unused_data
    text = data.decode("utf-8", "replace")
    if not complete and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    return text, complete


def _csv(text: str, delimiter: str, complete: bool, *, header: bool) -> Preview:
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    more = not complete
    try:
        for row in reader:
            if len(rows) > ROWS:
                more = True
                break
            rows.append([shortened(cell) for cell in row[:COLUMNS]])
    except csv.Error:
        # A cell exceeds the limit of the csv module; the rows before it are shown.
        more = True
    columns = rows.pop(0) if header and rows else []
    width = max((len(row) for row in rows), default=len(columns))
    columns += [f"column {number + 1}" for number in range(len(columns), width)]
    padded = [row + [""] * (len(columns) - len(row)) for row in rows[:ROWS]]
    return Preview(columns, padded, more or len(rows) > ROWS)


def _json(text: str, complete: bool) -> Preview:
    lines = text.split("\n")
    records: list[dict[str, Any]] = []
    more = not complete
    # A first line that is longer than the part read is shown truncated.
    unclear = "(not JSON)" if complete or len(lines) > 1 else "(truncated)"
    for line in lines:
        if not line.strip():
            continue
        if len(records) == ROWS:
            more = True
            break
        try:
            record = msgspec.json.decode(line)
        except (msgspec.MsgspecError, RecursionError):
            record = {unclear: line}
        records.append(record if isinstance(record, dict) else {"(value)": record})
    columns = list(dict.fromkeys(key for record in records for key in record))[:COLUMNS]
    return Preview(columns, [[value_text(record.get(column)) for column in columns] for record in records], more)


async def _decoded(format_: str, head: bytes, footer: bytes, size: int, name: str) -> Preview:
    """The first rows of an Avro or Parquet file, from these parts of it."""
    if importlib.util.find_spec("polars") is None:
        raise UsageError("show", name, "showing Avro and Parquet files needs polars", install_hint("read"))
    # A sparse file of the same size with the beginning and the end filled in.
    with tempfile.NamedTemporaryFile() as file:
        file.write(head)
        if footer:
            file.seek(max(0, size - len(footer)))
            file.write(footer)
        file.flush()
        # -P: the working directory may be a copy of a bucket, so no module is imported from there.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", decode.__name__, format_, file.name, stdout=PIPE, stderr=DEVNULL
        )
        try:
            printed, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        except BaseException as error:
            # It may have ended just now.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            if not isinstance(error, TimeoutError):
                raise
            printed = b""
    try:
        return msgspec.json.decode(printed, type=Preview)
    except msgspec.DecodeError:
        cause = f"no complete row found in its first {HEAD_BYTES >> 20} MiB"
        raise BqdumpError("show", name, cause, "Download the file to inspect it.") from None


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
    found = file
    if not archive.settings.trust and await was_copied(archive.store, archive.settings, contents.settings):
        found = replace(file, generation=0)
    shown, compared = await preview(archive.store, found, settings, name)
    return page(
        "file.html",
        archive.place,
        file.name,
        trail=(*archive.place.run_trail(run), (name, archive.place.run(run, "tables", name))),
        untrusted=await archive.untrusted(run),
        file=file,
        settings=contents.settings,
        compared=compared,
        preview=shown,
    )
