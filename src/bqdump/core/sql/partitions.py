"""The rows of one partition, as a condition in GoogleSQL."""

from __future__ import annotations

import msgspec

from bqdump.core.sql.statements import condition, identifier, literal, select
from bqdump.core.tables.catalog import Dataset, Shape
from bqdump.core.tables.partitioning import NULL, RANGE, UNPARTITIONED, Partitioning, partitioning_of

# %Y writes the year 1 as "1". https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements
ID_FORMS = {"HOUR": "%E4Y%m%d%H", "DAY": "%E4Y%m%d", "MONTH": "%E4Y%m", "YEAR": "%E4Y"}


def rows_of(partitioning: Partitioning, partition: str) -> str:
    """The condition for the rows of a partition. BigQuery reads, and bills, only this partition.

    Raises ValueError for a partition that the table cannot have, see Partitioning.problem.
    """
    column = identifier(partitioning.column)
    if problem := partitioning.problem(partition):
        raise ValueError(problem)
    if partition == NULL:
        return f"{column} IS NULL"
    if partition == UNPARTITIONED:
        return f"{column} < {partitioning.start} OR {column} >= {partitioning.end}"
    first, beyond = partitioning.bounds(partition)
    return f"{column} >= {first} AND {column} < {beyond}" if beyond else f"{column} >= {first}"


def shape_of_partition(shape: Shape, definition: msgspec.Raw, partition: str) -> Shape:
    """The shape for the rows of one partition of a table: its filter, and the condition for them."""
    partitioning = partitioning_of(definition)
    if not partition or partitioning is None:
        return shape
    rows = rows_of(partitioning, partition)
    # Lines of its own keep the filter apart from the condition.
    where = f"(\n{shape.where}\n) AND ({rows})" if shape.where else rows
    return msgspec.structs.replace(shape, where=where)


def counted_rows(dataset: Dataset, table: str, snapshot: int, definition: msgspec.Raw) -> str:
    """The query for the rows of each partition of a table at a time (ms), by id. It reads one column.

    Streamed rows that have no partition yet count as those of UNPARTITIONED.
    """
    partitioning = partitioning_of(definition)
    if partitioning is None:
        raise ValueError(f"table {table} has no partitions")
    query = select(dataset, table, snapshot, f"{_id_of(partitioning)}, COUNT(*)", condition(definition, ""))
    return f"{query}\nGROUP BY 1"


def _id_of(partitioning: Partitioning) -> str:
    column, none = identifier(partitioning.column), UNPARTITIONED if partitioning.by_arrival else NULL
    if partitioning.unit == RANGE:
        start, end, interval = partitioning.start, partitioning.end, partitioning.interval
        # sqlglot, which the local stack uses, needs the inner parentheses.
        number = f"CAST({start} + DIV(({column} - {start}), {interval}) * {interval} AS STRING)"
        outside = f"WHEN {column} < {start} OR {column} >= {end} THEN {literal(UNPARTITIONED)}"
        return f"CASE WHEN {column} IS NULL THEN {literal(NULL)} {outside} ELSE {number} END"
    form = literal(ID_FORMS[partitioning.unit])
    return f"IFNULL(FORMAT_{partitioning.type}({form}, {column}), {literal(none)})"
