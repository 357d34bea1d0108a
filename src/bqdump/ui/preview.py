"""The first rows of a file, from a bounded part of it."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.errors import BqdumpError, UsageError
from bqdump.ports import ObjectStore

ROWS = 50
COLUMNS = 200
# So much of a text file is read, and at most so much of its content is unpacked.
TEXT_BYTES = 128 << 10
UNPACKED_BYTES = 1 << 20
# Avro and Parquet are read from their beginning; Parquet's footer, at the end, says where what is.
HEAD_BYTES = 16 << 20
FOOTER_BYTES = 4 << 20
CELL_CHARACTERS = 200


class Preview(NamedTuple):
    """Rows of cells under their columns; `more`: the file goes on."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    more: bool


async def preview(store: ObjectStore, name: str, size: int, settings: dict[str, Any]) -> Preview:
    """The first rows of an object of so many bytes. Raises BqdumpError for what cannot be shown.

    settings: of its export; format, delimiter and header count.
    """
    format_ = settings.get("format", "csv")
    if format_ in ("csv", "json"):
        data = (await store.read(name, 0, TEXT_BYTES)).data
        text, whole = _text(data, whole=size <= TEXT_BYTES, packed=name.endswith(".gz"), name=name)
        if format_ == "json":
            return _json(text, whole)
        return _csv(text, settings.get("delimiter", ","), whole, header=bool(settings.get("header", True)))
    head = (await store.read(name, 0, HEAD_BYTES)).data
    if format_ == "avro":
        return _avro(head, name)
    footer = head[-FOOTER_BYTES:]
    if size > len(head):
        footer = (await store.read(name, max(0, size - FOOTER_BYTES), FOOTER_BYTES)).data
    return _parquet(head, footer, size, name)


def _text(data: bytes, *, whole: bool, packed: bool, name: str) -> tuple[str, bool]:
    """The text of the first bytes, without a line that is cut off; and whether that is all of it."""
    if packed:
        unpacking = zlib.decompressobj(wbits=31)
        try:
            data = unpacking.decompress(data, UNPACKED_BYTES)
        except zlib.error as error:
            raise BqdumpError("show", name, f"it is not a gzip file ({error})") from None
        whole = whole and unpacking.eof and not unpacking.unused_data
    text = data.decode("utf-8", "replace")
    if not whole and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    return text, whole


def _csv(text: str, delimiter: str, whole: bool, *, header: bool) -> Preview:
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    more = not whole
    try:
        for row in reader:
            if len(rows) > ROWS:
                more = True
                break
            rows.append([_short(cell) for cell in row[:COLUMNS]])
    except csv.Error:
        # A cell longer than this preview; what came before it is shown.
        more = True
    columns = rows.pop(0) if header and rows else []
    width = max((len(row) for row in rows), default=len(columns))
    columns += [f"column {number + 1}" for number in range(len(columns), width)]
    padded = [row + [""] * (len(columns) - len(row)) for row in rows[:ROWS]]
    return Preview(columns, padded, more or len(rows) > ROWS)


def _json(text: str, whole: bool) -> Preview:
    lines = text.split("\n")
    records: list[dict[str, Any]] = []
    more = not whole
    for line in lines:
        if not line.strip():
            continue
        if len(records) == ROWS:
            more = True
            break
        try:
            record = msgspec.json.decode(line)
        except (msgspec.MsgspecError, RecursionError):
            record = {"(not JSON)": line}
        records.append(record if isinstance(record, dict) else {"(value)": record})
    columns = list(dict.fromkeys(key for record in records for key in record))[:COLUMNS]
    return Preview(columns, [[_value(record.get(column)) for column in columns] for record in records], more)


def _avro(head: bytes, name: str) -> Preview:
    return _frame(lambda polars: polars.read_avro(io.BytesIO(head), n_rows=ROWS + 1), name)


def _parquet(head: bytes, footer: bytes, size: int, name: str) -> Preview:
    import tempfile

    # A file of the same size that has only its beginning and its end; the system stores no more than these.
    with tempfile.TemporaryFile() as file:
        file.write(head)
        file.seek(max(0, size - len(footer)))
        file.write(footer)
        file.seek(0)
        return _frame(lambda polars: polars.read_parquet(file, n_rows=ROWS + 1), name)


def _frame(read: Any, name: str) -> Preview:
    try:
        import polars
    except ImportError:
        hint = "Install it: pip install 'bqdump[read]'"
        raise UsageError("show", name, "showing Avro and Parquet files takes polars", hint) from None
    try:
        frame = read(polars)
    except Exception as error:
        cause = f"its first {HEAD_BYTES >> 20} MB do not show whole rows ({type(error).__name__})"
        raise BqdumpError("show", name, cause, "Download it to look at it.") from error
    columns = frame.columns[:COLUMNS]
    rows = [[_value(value) for value in row[:COLUMNS]] for row in frame.head(ROWS).rows()]
    return Preview(columns, rows, frame.height > ROWS)


def _value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _short(value)
    if isinstance(value, bytes):
        return _short(value[:CELL_CHARACTERS].hex(" "))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return _short(msgspec.json.encode(value, enc_hook=str).decode("utf-8", "replace"))
    return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= CELL_CHARACTERS else text[:CELL_CHARACTERS] + "…"
