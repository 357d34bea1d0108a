"""Counting rows in files that record them: Parquet footers and Avro block heads, by range reads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from bqdump.concurrency import gathered
from bqdump.core.errors import DocumentError
from bqdump.core.formats import avro_blocks, parquet_footer
from bqdump.file_content import file_of, read_part
from bqdump.ports.store import ObjectInfo, ObjectStore

AT_ONCE = 24
# Avro files are read block after block. Of a file that would take more requests the rows stay unknown; nor does a
# run of many files take more than this many requests for counting.
AVRO_REQUESTS_A_FILE = 64
AVRO_REQUESTS_A_RUN = 20_000
# After this many failed reads a file counts as damaged.
TIMES_READ = 3
FIRST_WINDOW, SMALL_WINDOW, LARGE_WINDOW = 64 << 10, 4 << 10, 1 << 20


async def count_rows(store: ObjectStore, format_: str, files: Sequence[ObjectInfo]) -> dict[str, int | None]:
    """Rows by file name, None where counting is too expensive (CSV, JSON, Avro files of very many blocks).

    Parquet takes one request a file, two where the footer is large; Avro at most AVRO_REQUESTS_A_FILE.
    Raises DocumentError for a damaged file, OtherFileError for one that goes or is replaced meanwhile.
    """
    if format_ not in ("avro", "parquet"):
        return {file.name: None for file in files}
    requests = max(1, min(AVRO_REQUESTS_A_FILE, AVRO_REQUESTS_A_RUN // max(1, len(files))))

    async def counted_rows(file: ObjectInfo) -> int | None:
        for _ in range(TIMES_READ - 1):
            # A part comes without a checksum: what was changed on the way once is not damaged where it is stored.
            with suppress(DocumentError):
                return await _rows(_Reader(store, file), format_, requests)
        return await _rows(_Reader(store, file), format_, requests)

    counts = await gathered(counted_rows, files, AT_ONCE)
    return {file.name: count for file, count in zip(files, counts, strict=True)}


async def _rows(reader: _Reader, format_: str, requests: int) -> int | None:
    return await (_parquet_rows(reader) if format_ == "parquet" else _avro_rows(reader, requests))


class _Reader:
    """Parts of one file, all of the generation that is to be counted."""

    def __init__(self, store: ObjectStore, file: ObjectInfo) -> None:
        self._store, self.file, self.requests = store, file, 0

    async def part(self, start: int, length: int) -> bytes:
        length = min(length, self.file.size - start)
        if length <= 0:
            return b""
        self.requests += 1
        data = await read_part(self._store, file_of(self.file), start, length)
        if len(data) != length:
            raise DocumentError("count the rows of", self.file.name, f"{length} bytes at {start} cannot be read")
        return data


async def _parquet_rows(reader: _Reader) -> int:
    return parquet_footer.num_rows(await _footer(reader), reader.file.name)


async def read_footer(store: ObjectStore, file: ObjectInfo) -> bytes:
    """The footer of a Parquet file, without its trailer. See count_rows."""
    for _ in range(TIMES_READ - 1):
        with suppress(DocumentError):
            return await _footer(_Reader(store, file))
    return await _footer(_Reader(store, file))


async def _footer(reader: _Reader) -> bytes:
    name, size = reader.file.name, reader.file.size
    tail = await reader.part(max(0, size - parquet_footer.TAIL_BYTES), parquet_footer.TAIL_BYTES)
    trailer = parquet_footer.TRAILER_BYTES
    length = parquet_footer.footer_bytes(tail[-trailer:], size, name)
    if length + trailer <= len(tail):
        return tail[-trailer - length : -trailer]
    return await reader.part(size - trailer - length, length)


async def _avro_rows(reader: _Reader, requests: int) -> int | None:
    name, size = reader.file.name, reader.file.size
    data, start = await reader.part(0, FIRST_WINDOW), 0
    while (header := avro_blocks.read_header(data, name)) is None:
        if len(data) >= min(size, avro_blocks.LARGEST_HEADER_BYTES):
            raise DocumentError("read the Avro blocks of", name, "it ends within its header")
        data += await reader.part(len(data), 3 * len(data))
    # Each block's head is read along with the marker that ends what comes before it.
    marker, rows, at, last = avro_blocks.SYNC_BYTES, 0, header.length - avro_blocks.SYNC_BYTES, 0
    while True:
        here, block = at - start, None
        if here + marker <= len(data):
            avro_blocks.check_sync(data[here : here + marker], header, name)
            if at + marker == size:
                return rows
            block = avro_blocks.read_block(data, here + marker, size - at - marker, name)
        if block is not None:
            rows += block.rows
            last = block.head + block.size
            at += marker + last
        elif reader.requests < requests:
            # Blocks close together are read in large windows; of those far apart only the heads.
            data, start = await reader.part(at, LARGE_WINDOW if last < LARGE_WINDOW // 2 else SMALL_WINDOW), at
        else:
            return None
