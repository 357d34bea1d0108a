"""When BigQuery's row count from planning is exact for the snapshot time, so that the files must match it."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from bqdump.core.documents.run import Plan, Receipt, TablePlan
from bqdump.core.risks import Risk
from bqdump.core.tables.catalog import EXTRACTABLE

# Risks with which a table's files may have fewer rows than BigQuery counts.
HIDING = (Risk.ROW_POLICIES, Risk.UNSEEN_ROW_POLICIES, Risk.UNAPPLIED_CHANGES)


class _Partitioning(msgspec.Struct, rename="camel"):
    expiration_ms: str | int | None = None


class _Definition(msgspec.Struct, rename="camel"):
    num_rows: str | int | None = None
    last_modified_time: str | int | None = None
    max_staleness: str | None = None
    biglake_configuration: Any = None
    streaming_buffer: Any = None
    time_partitioning: _Partitioning | None = None


_DEFINITION = msgspec.json.Decoder(_Definition | None)


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
        known = _DEFINITION.decode(definition) if kind in EXTRACTABLE else None
        modified = int(known.last_modified_time) if known and known.last_modified_time else snapshot
    except (msgspec.MsgspecError, ValueError):
        return None
    if known is None or known.num_rows is None:
        return None
    if any(item is not None for item in (known.streaming_buffer, known.biglake_configuration, known.max_staleness)):
        return None
    if known.time_partitioning and known.time_partitioning.expiration_ms:
        return None
    return rows if modified < snapshot else None


def hidden_rows(plan: Plan, receipts: Iterable[Receipt]) -> set[str]:
    """The tables whose files may lack rows because of row access policies or unapplied changes; "" for all tables."""
    hidden = {flag.table for flag in plan.flags if flag.risk in HIDING}
    return hidden | {receipt.table for receipt in receipts if not set(HIDING).isdisjoint(receipt.risks)}


def expected_rows(plan: Plan, table: TablePlan, hidden: AbstractSet[str] = frozenset()) -> int | None:
    """The rows at the snapshot time, where that count is certain and the export has all of them; else None."""
    if table.shape.where or table.read_at == "job" or not hidden.isdisjoint((table.table, "")):
        return None
    if table.partitions:
        # Its own rows are the sum over the partitions that are known, and cannot show that one is missing.
        return table.rows_at
    return certain_rows(table.kind, table.rows, table.definition, plan.snapshot)
