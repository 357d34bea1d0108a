"""The statements of a restore, and what BigQuery's refusals mean."""

from __future__ import annotations

from collections.abc import Sequence

from bqdump.core.plan.catalog import Dataset
from bqdump.core.sql.statements import identifier

# https://cloud.google.com/bigquery/docs/error-messages, https://cloud.google.com/bigquery/quotas#partitioned_tables
TOO_MANY_PARTITIONS = ("too many partitions", "exceeded the maximum number of partitions")


def fill(dataset: Dataset, table: str, source: str, columns: Sequence[str], values: Sequence[str]) -> str:
    """The statement that adds all rows of the table `source` to `table`. values: one expression for each column."""
    to, from_ = (".".join(map(identifier, (dataset.project, dataset.name, name))) for name in (table, source))
    names = ", ".join(map(identifier, columns))
    return f"INSERT INTO {to} ({names})\nSELECT {', '.join(values)}\nFROM {from_}"


def too_many_partitions(message: str) -> bool:
    """Whether a job was refused because it would change more partitions than a job may."""
    return any(part in message.lower() for part in TOO_MANY_PARTITIONS)
