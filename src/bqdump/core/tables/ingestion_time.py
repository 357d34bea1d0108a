"""Ingestion-time partitioned tables: the time of a row's partition is in no column, only in a pseudo-column.

A query can select the pseudo-column under another name, and a read session can select it. The files then have one more
column, of type TIMESTAMP, and `INSERT` of `_PARTITIONTIME` puts each row back into its partition.
Sources: https://cloud.google.com/bigquery/docs/querying-partitioned-tables#query_an_ingestion-time_partitioned_table,
https://cloud.google.com/bigquery/docs/using-dml-with-partitioned-tables. Of read sessions it is not documented; the
connector for Spark does it: https://github.com/GoogleCloudDataproc/spark-bigquery-connector/pull/375
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bqdump.core.formats.types import Column

PSEUDO_COLUMN = "_PARTITIONTIME"
# Files by partition go back into their partitions by one load job each. A table takes 1,500 a day, those that failed
# included: https://cloud.google.com/bigquery/quotas#load_jobs
MOST_LOADS = 1_000
# What it is called in files. BigQuery refuses columns whose names begin with _PARTITION.
COLUMN = "bqdump_partition_time"


class _Partitioning(msgspec.Struct):
    field: str | None = None


class _Definition(msgspec.Struct, rename="camel"):
    time_partitioning: _Partitioning | None = None


_DEFINITION = msgspec.json.Decoder(_Definition | None)


def has_partition_times(definition: msgspec.Raw) -> bool:
    """Whether a table is partitioned by the time at which its rows arrived, not by a column."""
    decoded = _DEFINITION.decode(definition) if b'"timePartitioning"' in bytes(definition) else None
    return bool(decoded and decoded.time_partitioning and not decoded.time_partitioning.field)


def column_name(columns: Iterable[Column]) -> str:
    """The name of the column with the partition times in files of a table with these columns: one that is free."""
    taken = {column.name.lower() for column in columns}
    name = COLUMN
    while name in taken:
        name += "_"
    return name


def partition_times(name: str) -> Column:
    """The column with the partition times. Rows in the streaming buffer have NULL there."""
    return Column(name, "TIMESTAMP")
