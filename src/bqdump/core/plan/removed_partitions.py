"""Partitions of the published export that the next one does not have: each leaves by name.

Partitions that have expired are ordinary. If more than half of a table's partitions were dropped otherwise, the run is
refused unless that is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from bqdump.core.documents.manifest import PartitionEntry
from bqdump.core.documents.removed import PartitionReason, RemovedPartitions
from bqdump.core.documents.run import Flag, TablePlan
from bqdump.core.documents.unchanged import ReusedPartitions
from bqdump.core.plan.published import Had, Published
from bqdump.core.risks import Risk
from bqdump.core.sizes import counted, named
from bqdump.core.tables.partitioning import partitioning_of

NAMED = 5


class _Partitioning(msgspec.Struct, rename="camel"):
    expiration_ms: str | int | None = None


class _Definition(msgspec.Struct, rename="camel"):
    time_partitioning: _Partitioning | None = None


_DEFINITION = msgspec.json.Decoder(_Definition | None)


def leaving_partitions(
    published: Published, planned: Iterable[TablePlan], reused: Iterable[ReusedPartitions], now: int
) -> tuple[RemovedPartitions, ...]:
    """What the next export lacks of tables that both export by partition. now: the snapshot time in ms.

    planned: the tables of the plan. reused: their partitions that are not exported again.
    """
    unchanged = {same.table: same.partitions for same in reused}
    had = {before.table: before for before in published.tables if before.partitions}
    found: list[RemovedPartitions] = []
    for table in planned:
        if table.partitions and table.table in had:
            there = {piece.partition for piece in table.partitions}.union(unchanged.get(table.table, ()))
            found += _leaving(published, had[table.table], table, there, now)
    return tuple(found)


def partition_flags(removed: Iterable[RemovedPartitions], published: Published) -> Iterator[Flag]:
    """A flag for each table: refused if more than half of its partitions were dropped before they expired."""
    had = {before.table: len(before.partitions) for before in published.tables}
    for table in removed:
        mass = table.reason == "dropped" and 2 * len(table.partitions) > had.get(table.table, 0)
        risk = Risk.REMOVED_PARTITIONS if mass else Risk.DROPPED_PARTITIONS
        yield Flag(risk, table.table, (), f"{_named(table)}: {table.reason}", allowed=False)


def partitions_sentence(removed: RemovedPartitions) -> str:
    """The removal in words."""
    had = "them" if removed.rows is None else counted(removed.rows, "row")
    count = counted(len(removed.partitions), "partition")
    return (
        f"{removed.table}: {count} removed from the published export ({removed.reason}: {_named(removed)}); "
        f"run {removed.run} has {had} as of {removed.snapshot_text}"
    )


def _named(removed: RemovedPartitions) -> str:
    return named(removed.partitions, NAMED)


def _leaving(
    published: Published, had: Had, table: TablePlan, there: set[str], now: int
) -> Iterator[RemovedPartitions]:
    gone = {partition.id: partition for partition in had.partitions if partition.id not in there}
    expired = _expired(table.definition, gone, now)
    of = had.carried or published
    reasons: tuple[tuple[PartitionReason, set[str]], ...] = (("expired", expired), ("dropped", gone.keys() - expired))
    for reason, some in reasons:
        if some:
            rows = [gone[id_].planned_rows if gone[id_].rows is None else gone[id_].rows for id_ in some]
            total = sum(count for count in rows if count is not None)
            yield RemovedPartitions(table.table, reason, tuple(sorted(some)), of.run, of.snapshot_time, total)


def _expired(definition: msgspec.Raw, gone: Mapping[str, PartitionEntry], now: int) -> set[str]:
    """Those of the partitions that are old enough to have expired."""
    decoded = _DEFINITION.decode(definition)
    of = decoded.time_partitioning if decoded else None
    partitioning = partitioning_of(definition)
    if not of or not of.expiration_ms or not partitioning:
        return set()
    lifetime = int(of.expiration_ms)
    return {id_ for id_ in gone if (since := partitioning.begins_ms(id_)) is not None and since + lifetime <= now}
