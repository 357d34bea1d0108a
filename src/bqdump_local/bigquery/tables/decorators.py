"""Table decorators: `t$PARTITION`, `t@MILLISECONDS`, or both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bqdump_local.bigquery.errors import BigQueryError, invalid
from bqdump_local.bigquery.tables.partition_times import NULL, PARTITION_ID, UNPARTITIONED
from bqdump_local.bigquery.tables.tables import PARTITION_TIME, WEEK_MS, Table, Version
from bqdump_local.bigquery.types import Field, literal, quote

if TYPE_CHECKING:
    from bqdump_local.bigquery.tables.catalog import Catalog

TABLE_ID = re.compile(r"(?P<table>[^$@]+)(?:\$(?P<partition>-?\w+))?(?:@(?P<moment>-?\d+))?")
PARTITION_ID_LENGTH = {"HOUR": 10, "DAY": 8, "MONTH": 6, "YEAR": 4}
# Not a partition: the list of all.
SUMMARY = "__PARTITIONS_SUMMARY__"


@dataclass(frozen=True)
class Source:
    """The source of an extract job: a version of a table, or one of its partitions."""

    table: Table
    version: Version
    condition: str | None

    @property
    def fields(self) -> tuple[Field, ...]:
        """The columns of this version."""
        return self.version.fields

    @property
    def relation(self) -> str:
        """The SQL after FROM."""
        return self.version.name if self.condition is None else f"{self.version.name} WHERE {self.condition}"


def split(table_id: str) -> tuple[str, str | None, int | None]:
    """Table, partition and time of a decorated id."""
    match = TABLE_ID.fullmatch(table_id)
    if match is None:
        raise invalid(f"Invalid table ID or decorator: {table_id}")
    moment = match["moment"]
    return match["table"], match["partition"], None if moment is None else int(moment)


def resolve(catalog: Catalog, reference: dict[str, Any], location: str | None = None) -> Source:
    """The rows of a decorated table reference."""
    table_id, partition, moment = split(reference["tableId"])
    where = f" was not found in location {location}" if location else ""
    try:
        table = catalog.table(reference["projectId"], reference["datasetId"], table_id)
    except BigQueryError as error:
        raise BigQueryError(error.reason, error.message + where) from error
    if location is not None and table.location.casefold() != location.casefold():
        raise BigQueryError("notFound", f"Not found: Dataset {table.project}:{table.dataset}{where}")
    table.require_rows()
    now = catalog.settings.now_ms()
    if moment is None:
        version = table.current
    else:
        if moment <= 0:
            moment = max(now + moment, table.created_ms) if moment else max(now - WEEK_MS, table.created_ms)
        version = table.version_at(moment, now)
    return Source(table, version, None if partition is None else partition_condition(table, partition))


def partition_condition(table: Table, partition: str) -> str:
    """The SQL condition for the rows of one partition."""
    time, ranges = table.properties.get("timePartitioning"), table.properties.get("rangePartitioning")
    if ranges is not None:
        return _range_condition(table, ranges, partition)
    if time is None:
        raise invalid(
            f"Cannot read partition information from a table that is not partitioned: {table.name}${partition}"
        )
    column = quote(time["field"]) if time.get("field") else PARTITION_TIME
    if partition == UNPARTITIONED:
        # That partition contains only streamed rows, which extract jobs do not export.
        return "false"
    if partition == NULL:
        return f"{column} IS NULL"
    if not partition.isdigit() or len(partition) != PARTITION_ID_LENGTH[time["type"]]:
        raise invalid(f"Invalid partition key: {partition} for table {table.name}")
    return f"strftime({column}, {literal(PARTITION_ID[time['type']])}) = {literal(partition)}"


def _range_condition(table: Table, ranges: dict[str, Any], partition: str) -> str:
    column, bounds = quote(ranges["field"]), ranges["range"]
    start, end, interval = int(bounds["start"]), int(bounds["end"]), int(bounds["interval"])
    if partition == NULL:
        return f"{column} IS NULL"
    if partition == UNPARTITIONED:
        return f"({column} < {start} OR {column} >= {end})"
    if (
        not re.fullmatch(r"-?\d+", partition)
        or (int(partition) - start) % interval
        or not start <= int(partition) < end
    ):
        raise invalid(f"Invalid partition key: {partition} for table {table.name}")
    upper = min(int(partition) + interval, end)
    return f"{column} >= {partition} AND {column} < {upper}"
