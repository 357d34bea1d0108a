"""Record batches as frames of polars."""

from __future__ import annotations

import io
from collections.abc import Sequence

import polars as pl

from bqdump.adapters.arrow_schema import END_OF_STREAM
from bqdump.ports.reader import Batch


def frame(head: bytes, batches: Sequence[Batch]) -> pl.DataFrame:
    """The rows of these batches. head: the schema message, as polars can take it."""
    # Nobody else may hold these bytes: polars would copy them.
    return pl.read_ipc_stream(io.BytesIO(b"".join([head, *(batch.data for batch in batches), END_OF_STREAM])))
