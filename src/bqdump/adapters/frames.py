"""Record batches as frames of polars."""

from __future__ import annotations

import io
from collections.abc import Sequence

import polars as pl

from bqdump.adapters.arrow_schema import END_OF_STREAM
from bqdump.ports.reader import Batch

# polars works chunk by chunk: many small ones take longer than one into which they are copied.
MOST_CHUNKS = 2


def frame(head: bytes, batches: Sequence[Batch]) -> pl.DataFrame:
    """The rows of these batches. head: the schema message, as polars can take it."""
    # Nobody else may hold these bytes: polars would copy them.
    made = pl.read_ipc_stream(io.BytesIO(b"".join([head, *(batch.data for batch in batches), END_OF_STREAM])))
    return made.rechunk() if len(batches) > MOST_CHUNKS else made
