"""What the statements of a job read."""

from __future__ import annotations

from dataclasses import dataclass, field

from bqdump_local.bigquery.tables.tables import Table
from bqdump_local.bigquery.types import Field


@dataclass
class Reads:
    """What the statements of a job read, also through views and table functions.

    tables: all tables, views among them.
    fields: the columns of stored tables.
    metadata: reads INFORMATION_SCHEMA.
    """

    tables: list[Table] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    metadata: bool = False
