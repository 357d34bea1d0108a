"""Data that is not in a table's files: streamed row changes that are not applied yet, and ingestion times.

Sources: https://cloud.google.com/bigquery/docs/change-data-capture,
https://cloud.google.com/bigquery/docs/querying-partitioned-tables#query_an_ingestion-time_partitioned_table
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.run import Flag, TablePlan
from bqdump.core.risks import Risk
from bqdump.core.sizes import counted
from bqdump.core.tables.catalog import EXTRACTABLE, Table
from bqdump.core.tables.ingestion_time import MOST_LOADS, PSEUDO_COLUMN, has_partition_times


class Captured(NamedTuple):
    """Change data capture in a dataset. keyed: its tables with a primary key, which CDC requires.

    tables: those of them into which changes are streamed, None where that could not be checked. why: the reason.
    """

    keyed: tuple[str, ...] = ()
    tables: frozenset[str] | None = frozenset()
    why: str = ""


class _Keys(msgspec.Struct, rename="camel"):
    primary_key: Any = None


class _Definition(msgspec.Struct, rename="camel"):
    table_constraints: _Keys | None = None
    max_staleness: str | None = None


_DEFINITION = msgspec.json.Decoder(_Definition | None)


def keyed(tables: Iterable[Table]) -> tuple[str, ...]:
    """The tables that have a primary key. Only into these can changes be streamed."""
    return tuple(table.name for table in tables if table.kind == "TABLE" and _has_key(table.definition))


def serves_stale(definition: msgspec.Raw) -> bool:
    """Whether even queries may lack recent changes to a table (`maxStaleness`)."""
    decoded = _DEFINITION.decode(definition)
    return bool(decoded and decoded.max_staleness)


def lacking_flags(
    tables: Iterable[TablePlan], captured: Captured, reused: Mapping[str, int] | None = None
) -> Iterator[Flag]:
    """The risks of these tables. captured: the dataset's change data capture.

    reused: of unchanged tables, the number of partitions that an earlier run has exported by themselves.
    """
    tables = list(tables)
    for table in tables:
        by_partition = 0 < len(table.partitions) + (reused or {}).get(table.table, 0) <= MOST_LOADS
        kept = table.kind not in EXTRACTABLE or table.shape.partition_times or by_partition
        if not kept and has_partition_times(table.definition):
            yield Flag(Risk.PSEUDO_COLUMNS, table.table, (PSEUDO_COLUMN,), PSEUDO_COLUMN, allowed=False)
        if captured.tables and table.table in captured.tables and (problem := _unapplied(table)):
            yield Flag(Risk.UNAPPLIED_CHANGES, table.table, (), problem, allowed=False)
    if captured.tables is None:
        detail = f"{counted(len(captured.keyed), 'table')} with a primary key: {captured.why}"
        yield Flag(Risk.UNSEEN_CHANGES, "", (), detail, allowed=False)


def _unapplied(table: TablePlan) -> str:
    """Why the files of a table into which changes are streamed may lack some; "" where they have all of them."""
    if table.route != "query":
        return f"{table.route} route"
    return "its max_staleness lets queries lack them, too" if serves_stale(table.definition) else ""


def _has_key(definition: msgspec.Raw) -> bool:
    decoded = _DEFINITION.decode(definition) if b'"primaryKey"' in bytes(definition) else None
    return bool(decoded and decoded.table_constraints and decoded.table_constraints.primary_key)
