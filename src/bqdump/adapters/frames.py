"""Record batches as polars frames."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import polars as pl

from bqdump.adapters.arrow_schema import END_OF_STREAM
from bqdump.ports.reader import Batch

# Polars works chunk by chunk: many small chunks take longer than copying them into one.
MOST_CHUNKS = 2


def frame(head: bytes, batches: Sequence[Batch], renamed: Mapping[str, str]) -> pl.DataFrame:
    """The rows of these batches. head: the schema message, with types that polars supports. renamed: see FileShape."""
    # Polars copies bytes that have another reference.
    made = pl.read_ipc_stream(io.BytesIO(b"".join([head, *(batch.data for batch in batches), END_OF_STREAM])))
    made = made.rename(renamed) if renamed else made
    return made.rechunk() if len(batches) > MOST_CHUNKS else made
