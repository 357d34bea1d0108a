"""An Avro file as small Parquet files. Polars decodes a few blocks at a time, so that memory stays bounded."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars

from bqdump.core.errors import DocumentError
from bqdump.core.formats.avro_blocks import (
    BLOCK_HEAD_BYTES,
    LARGEST_HEADER_BYTES,
    SYNC_BYTES,
    Header,
    check_sync,
    header_bytes,
    read_block,
    read_header,
)

BATCH_BYTES = 16 << 20
# Decimals of more digits stay bytes.
MOST_DIGITS = 38


def parquet_batches(path: Path, name: str) -> Iterator[Path]:
    """The file's rows as Parquet files next to it, one at a time; each is removed before the next one is made.

    Raises ValueError if the file cannot be decoded.
    """
    batch = path.with_suffix(".parquet")
    try:
        for container in _containers(path, name):
            _decoded(container).write_parquet(batch, compression="uncompressed")
            yield batch
    except DocumentError as error:
        raise ValueError(error.cause) from None
    finally:
        batch.unlink(missing_ok=True)


def _decoded(container: bytes) -> polars.DataFrame:
    try:
        return polars.read_avro(io.BytesIO(container))
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        raise ValueError(f"a block cannot be decoded ({str(error).partition(chr(10))[0]})") from None


def _containers(path: Path, name: str) -> Iterator[bytes]:
    """Avro files of a few blocks each; one without blocks for a file without blocks."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = _header(file.read(1 << 20), file, size, name)
        head = header_bytes(header._replace(metadata=_simplified(header.metadata)))
        at, blocks, gathered = header.length, [head], 0
        while at < size:
            file.seek(at)
            block = read_block(file.read(BLOCK_HEAD_BYTES), 0, size - at, name)
            if block is None:
                raise DocumentError("read the Avro blocks of", name, "it ends within a block")
            file.seek(at)
            blocks.append(file.read(block.length))
            check_sync(blocks[-1][-SYNC_BYTES:], header, name)
            at, gathered = at + block.length, gathered + block.length
            if gathered >= BATCH_BYTES:
                yield b"".join(blocks)
                blocks, gathered = [head], 0
        if gathered:
            yield b"".join(blocks)
        if size == header.length:
            # Polars would expect a compressed block.
            plain = {**_simplified(header.metadata), "avro.codec": b"null"}
            yield header_bytes(header._replace(metadata=plain))


def _header(data: bytes, file: Any, size: int, name: str) -> Header:
    while (header := read_header(data, name)) is None:
        if len(data) >= min(size, LARGEST_HEADER_BYTES):
            raise DocumentError("read the Avro blocks of", name, "it ends within its header")
        data += file.read(len(data))
    return header


def _simplified(metadata: dict[str, bytes]) -> dict[str, bytes]:
    try:
        schema = _without_long_decimals(json.loads(metadata["avro.schema"]))
    except (KeyError, ValueError) as error:
        raise ValueError(f"its schema cannot be read ({error})") from None
    return {**metadata, "avro.schema": json.dumps(schema).encode()}


def _without_long_decimals(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_long_decimals(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("logicalType") == "decimal" and schema.get("precision", 0) > MOST_DIGITS:
        return schema["type"]
    inner = {key: _without_long_decimals(schema[key]) for key in ("type", "items", "fields") if key in schema}
    return {**schema, **inner}
