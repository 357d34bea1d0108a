"""Data that is not in a table's files: streamed row changes that are not applied yet, and ingestion times.

Sources: https://cloud.google.com/bigquery/docs/change-data-capture,
https://cloud.google.com/bigquery/docs/querying-partitioned-tables#query_an_ingestion-time_partitioned_table

When BigQuery's row count from planning is exact for the snapshot time, so that the files must match it.

What a table's definition says about columns that are protected and rows that are still streamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.run import Flag, Plan, Receipt, TablePlan
from bqdump.core.risks import Risk
from bqdump.core.sizes import counted
from bqdump.core.tables.catalog import EXTRACTABLE, Table, state_of
from bqdump.core.tables.partitioning import MOST_LOADS, PSEUDO_COLUMN, has_partition_times


class Captured(NamedTuple):
    """Change data capture in a dataset.

    keyed: its tables with a primary key, which CDC requires.
    tables: those of them into which changes are streamed, None where that could not be checked.
    why: the reason.
    """

    keyed: tuple[str, ...] = ()
    tables: frozenset[str] | None = frozenset()
    why: str = ""


def keyed(tables: Iterable[Table]) -> tuple[str, ...]:
    """The tables that have a primary key. Only into these can changes be streamed."""
    return tuple(table.name for table in tables if table.kind == "TABLE" and _has_key(table.definition))


def serves_stale(definition: msgspec.Raw) -> bool:
    """Whether even queries may lack recent changes to a table (`maxStaleness`)."""
    state = state_of(definition)
    return bool(state and state.max_staleness)


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
    state = state_of(definition) if b'"primaryKey"' in bytes(definition) else None
    return bool(state and state.table_constraints and state.table_constraints.primary_key)


# Risks with which a table's files may have fewer rows than BigQuery counts.
FEWER_ROWS = (Risk.ROW_POLICIES, Risk.UNSEEN_ROW_POLICIES, Risk.UNAPPLIED_CHANGES)


def certain_rows(kind: str, rows: int, definition: msgspec.Raw, snapshot: int) -> int | None:
    """The rows of a table at `snapshot` (ms), from a later tables.get; None where that count is not certain.

    It is certain when all of these hold:
    - The table has not been modified since. `lastModifiedTime` is rounded down to ms, so an equal time may be too late.
    - It has no streaming buffer: `numRows` does not count its rows.
    - Its partitions do not expire: expiration is not a modification.
    - No changes are applied later (`maxStaleness`), and its rows are not in Iceberg files.
    Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/tables
    """
    try:
        state = state_of(definition) if kind in EXTRACTABLE else None
        modified = int(state.last_modified_time) if state and state.last_modified_time else snapshot
    except (msgspec.MsgspecError, ValueError):
        return None
    if state is None or state.num_rows is None or state.partitions_expire_ms:
        return None
    if any(item is not None for item in (state.streaming_buffer, state.biglake_configuration, state.max_staleness)):
        return None
    return rows if modified < snapshot else None


def hidden_rows(plan: Plan, receipts: Iterable[Receipt]) -> set[str]:
    """The tables whose files may lack rows because of row access policies or unapplied changes; "" for all tables."""
    hidden = {flag.table for flag in plan.flags if flag.risk in FEWER_ROWS}
    return hidden | {receipt.table for receipt in receipts if not set(FEWER_ROWS).isdisjoint(receipt.risks)}


def expected_rows(plan: Plan, table: TablePlan, hidden: AbstractSet[str] = frozenset()) -> int | None:
    """The rows at the snapshot time, where that count is certain and the export has all of them; else None."""
    if table.shape.where or table.read_at == "job" or not hidden.isdisjoint((table.table, "")):
        return None
    if table.partitions:
        # Its own rows are the sum over the partitions that are known, and cannot show that one is missing.
        return table.rows_at
    return certain_rows(table.kind, table.rows, table.definition, plan.snapshot)


class _Column(msgspec.Struct, rename="camel"):
    name: str
    fields: list[_Column] = []
    policy_tags: dict[str, Any] | None = None
    data_policies: list[Any] | None = None
    data_policy_list: dict[str, Any] | None = None

    def protected(self) -> bool:
        tags, policies = self.policy_tags or {}, self.data_policy_list or {}
        return bool(tags.get("names") or self.data_policies or policies.get("dataPolicies"))


class _Schema(msgspec.Struct):
    fields: list[_Column] = []


class _Buffer(msgspec.Struct, rename="camel"):
    estimated_rows: str | int = 0


class _Guarded(msgspec.Struct, rename="camel"):
    schema: _Schema = msgspec.field(default_factory=_Schema, name="schema")
    streaming_buffer: _Buffer | None = None


_GUARDED = msgspec.json.Decoder(_Guarded | None)


def protected_columns(definition: msgspec.Raw) -> tuple[str, ...]:
    """The columns with policy tags or data policies; a column inside a record by its path."""
    raw = bytes(definition)
    if b'"policyTags"' not in raw and b'"dataPolic' not in raw:
        return ()
    decoded = _GUARDED.decode(raw)
    return tuple(_protected(decoded.schema.fields, "")) if decoded else ()


def _protected(columns: Sequence[_Column], path: str) -> Iterator[str]:
    for column in columns:
        if column.protected():
            yield path + column.name
        yield from _protected(column.fields, f"{path}{column.name}.")


def buffered_rows(definition: msgspec.Raw) -> int | None:
    """About how many rows are in the streaming buffer (BigQuery's lower bound), None without a buffer."""
    raw = bytes(definition)
    decoded = _GUARDED.decode(raw) if b'"streamingBuffer"' in raw else None
    return int(decoded.streaming_buffer.estimated_rows) if decoded and decoded.streaming_buffer else None
