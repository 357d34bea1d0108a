"""Tables and partitions that have expired.

A table is deleted when its time has come. A partition is deleted as soon as its start is older than the expiration of
partitions, also if rows are written to it later.
Source: https://cloud.google.com/bigquery/docs/managing-partitioned-tables#partition-expiration
"""

from __future__ import annotations

from typing import Any

from bqdump_local.bigquery.tables.tables import PARTITION_TIME, Table
from bqdump_local.bigquery.types import literal, quote


def is_expired(table: Table, now_ms: int) -> bool:
    """Whether the table's expiration time has passed."""
    expires = table.properties.get("expirationTime")
    return expires is not None and int(expires) <= now_ms


def expired_rows(properties: dict[str, Any], now_ms: int) -> str:
    """The SQL condition for the rows of expired partitions; "" for a table whose partitions do not expire."""
    time = properties.get("timePartitioning") or {}
    if not time.get("expirationMs"):
        return ""
    column = quote(time["field"]) if time.get("field") else PARTITION_TIME
    start = f"epoch_ms(date_trunc({literal(time['type'].lower())}, {column}::TIMESTAMP))"
    return f"coalesce({start} + {int(time['expirationMs'])} <= {now_ms}, false)"
