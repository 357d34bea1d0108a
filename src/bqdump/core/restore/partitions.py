"""The partitions of a table: statements that fill them range by range, and what their expiration would delete, as text.

A job changes at most 4,000 partitions: https://cloud.google.com/bigquery/quotas#partitioned_tables
Units of partitions: https://cloud.google.com/bigquery/docs/partitioned-tables
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from bqdump.core.formats.types import columns
from bqdump.core.plan.catalog import Dataset
from bqdump.core.plan.ingestion_time import PSEUDO_COLUMN
from bqdump.core.sql.statements import identifier

HOUR_MS = 60 * 60 * 1000
# The longest partition of each unit.
LONGEST_MS = {"HOUR": HOUR_MS, "DAY": 24 * HOUR_MS, "MONTH": 31 * 24 * HOUR_MS, "YEAR": 366 * 24 * HOUR_MS}


class Partitioning(NamedTuple):
    """How a table is partitioned: by `unit` of time, or by RANGE of integers.

    column: "" for the time at which rows arrive. type: of the column, TIMESTAMP for the time of arrival. start, end,
    interval: of a RANGE. expiration: in milliseconds, 0 for none.
    """

    unit: str
    column: str
    type: str
    start: int = 0
    end: int = 0
    interval: int = 1
    expiration: int = 0

    @property
    def ref(self) -> str:
        """The column, quoted."""
        return identifier(self.column or PSEUDO_COLUMN)

    def rows_to_expire(self, dataset: Dataset, table: str) -> str:
        """The query for the number of rows that the expiration may delete now; "" where partitions do not expire.

        It counts a partition from its first instant. Where there are no such rows it reads nothing, and bills nothing.
        """
        if not self.expiration:
            return ""
        kept = max(0, self.expiration - LONGEST_MS[self.unit])
        oldest = f"TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL {kept} MILLISECOND)"
        oldest = oldest if self.type == "TIMESTAMP" else f"{self.type}({oldest})"
        source = ".".join(map(identifier, (dataset.project, dataset.name, table)))
        return f"SELECT COUNT(*) FROM {source} WHERE {self.ref} < {oldest}"  # noqa: S608 (quoted above)


def partitioning_of(create: msgspec.Raw, expire: msgspec.Raw) -> Partitioning | None:
    """The partitioning of a table from the requests that create it and set its expiration; None where it has none."""
    body: dict[str, Any] = msgspec.json.decode(create)
    types = {column.name.lower(): column.type for column in columns(create)}
    if by_time := body.get("timePartitioning"):
        field = by_time.get("field") or ""
        expiration = ((msgspec.json.decode(expire) or {}).get("timePartitioning") or {}).get("expirationMs", 0)
        type_ = types[field.lower()] if field else "TIMESTAMP"
        return Partitioning(by_time.get("type") or "DAY", field, type_, expiration=int(expiration))
    if by_range := body.get("rangePartitioning"):
        numbers = (int(by_range["range"][name]) for name in ("start", "end", "interval"))
        return Partitioning("RANGE", by_range["field"], "INT64", *numbers)
    return None
