"""The types of those properties of a table's definition that bqdump computes with; it keeps all others as they are.

Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#resource-table
"""

from __future__ import annotations

from typing import Any

import msgspec


class _TimePartitioning(msgspec.Struct, rename="camel"):
    type: str = "DAY"
    field: str | None = None
    expiration_ms: int | None = None


class _Range(msgspec.Struct):
    start: int
    end: int
    interval: int


class _RangePartitioning(msgspec.Struct):
    field: str
    range: _Range


class _Clustering(msgspec.Struct):
    fields: list[str] = []


class _Properties(msgspec.Struct, rename="camel"):
    expiration_time: int | None = None
    time_partitioning: _TimePartitioning | None = None
    range_partitioning: _RangePartitioning | None = None
    clustering: _Clustering | None = None
    labels: dict[str, str] | None = None
    table_constraints: dict[str, Any] | None = None


# The API has 64-bit integers as strings.
_DECODER = msgspec.json.Decoder(_Properties | None, strict=False)


def check_properties(definition: msgspec.Raw) -> None:
    """Raise msgspec.MsgspecError for a definition in which a property has another type than in BigQuery's API."""
    _DECODER.decode(definition)
