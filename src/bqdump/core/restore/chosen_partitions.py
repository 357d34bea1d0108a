"""Some partitions of a table: their files, where the files are by partition; else the condition for their rows.

By that condition a query fills the table from what was loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from bqdump.core.documents.manifest import TableEntry
from bqdump.core.documents.units import files_by_partition
from bqdump.core.errors import UsageError
from bqdump.core.restore.columns import restored_columns
from bqdump.core.restore.names import RANGE, PartitionRange, partition_range
from bqdump.core.restore.plan import PLAN, Load, Options
from bqdump.core.sizes import counted, listed, named
from bqdump.core.sql.partitions import rows_of
from bqdump.core.sql.statements import identifier
from bqdump.core.tables.partitioning import MOST_LOADS, NULL, UNPARTITIONED, Partitioning, partitioning_of

NOT_BY_PARTITION = "only some of its partitions are restored, and its files are not by partition"
SOME = 3
SETTING = "partitions"
# Each is put in place by a copy job of its own, of which a table takes 1,500 a day.
MOST = MOST_LOADS


class ChosenPartitions(NamedTuple):
    """The partitions of a table that are restored.

    entry: the table as if it had been exported with these alone.
    where: the condition for their rows, with {column} for that of the partitions; "" if the files are by partition.
    """

    entry: TableEntry
    ranges: tuple[PartitionRange, ...]
    partitioning: Partitioning
    where: str = ""

    @property
    def ids(self) -> list[str]:
        """The ids of these partitions; where the files are not by partition, those that may exist."""
        if not self.where:
            return [partition.id for partition in self.entry.partitions]
        ids = [
            id_ for some in self.ranges for id_ in islice(self.partitioning.between(some.first, some.last), MOST + 1)
        ]
        return list(dict.fromkeys(ids))

    @property
    def named(self) -> tuple[str, ...]:
        """The partitions as a result names them."""
        return tuple(map(str, self.ranges)) if self.where else tuple(self.ids)

    @property
    def words(self) -> str:
        """The same in words."""
        return f"partitions {named(list(map(str, self.ranges)), SOME, 'range')}"

    def condition(self, load: Load) -> str:
        """Which rows of a scratch table are theirs, "" for all."""
        return self.where.replace("{column}", load.value_of(self.partitioning.column)) if self.where else ""


def chosen_partitions(entry: TableEntry, options: Options) -> ChosenPartitions | None:
    """The partitions of a table that the options choose; None for all.

    Raises UsageError for one that the export lacks, and for a table without partitions.
    """
    if not options.partitions:
        return None
    partitioning = partitioning_of(entry.definition)
    if partitioning is None:
        raise _refused(entry.table, "it is not partitioned", "Restore the complete table with {setting:include}.")
    named_so = [chosen for chosen in map(partition_range, options.partitions) if chosen.table == entry.table]
    ranges = tuple(_checked(entry.table, chosen, partitioning) for chosen in named_so)
    if entry.partitions:
        return _by_files(entry, ranges, partitioning)
    columns = {column.name for column in restored_columns(entry).columns} - set(entry.shape.masks)
    if entry.shape.partition_times if partitioning.by_arrival else partitioning.column in columns:
        where = " OR ".join(f"({_within(partitioning, chosen)})" for chosen in ranges)
        unknown = msgspec.structs.replace(entry, rows=None, expected_rows=None)
        return ChosenPartitions(unknown, ranges, partitioning, where)
    cause = "its files are not by partition, and have no column that says in which partition a row is"
    raise _refused(entry.table, cause, "Restore the complete table with {setting:include}.")


def _refused(table: str, cause: str, hint: str) -> UsageError:
    return UsageError(PLAN, f"table {table}", cause, hint, setting=SETTING)


def _checked(table: str, chosen: PartitionRange, partitioning: Partitioning) -> PartitionRange:
    """The range with its ids as BigQuery writes them.

    Raises UsageError for ids that are not those of a partition, or not in their order.
    """
    single = chosen.first == chosen.last
    for id_ in (chosen.first, chosen.last):
        problem = partitioning.problem(id_)
        if not problem and not single and id_ in (NULL, UNPARTITIONED):
            problem = f"{id_} is in no range"
        if problem:
            hint = (
                "Ids are as in BigQuery: 2026013107 (hour), 20260131 (day), 202601 (month), 2026 (year), or the first "
            )
            raise _refused(table, problem, f"{hint}number of a range; {NULL} has the rows without a value.")
    if not single and partitioning.order(chosen.first) > partitioning.order(chosen.last):
        raise _refused(table, f"{chosen} ends before it begins", f"Write {chosen.last}{RANGE}{chosen.first}.")
    return PartitionRange(table, partitioning.written(chosen.first), partitioning.written(chosen.last))


def _by_files(entry: TableEntry, ranges: Sequence[PartitionRange], partitioning: Partitioning) -> ChosenPartitions:
    """The files of these partitions. Raises UsageError for a range without one that the export has."""
    exported = [partition.id for partition in entry.partitions]
    kept: set[str] = set()
    for chosen in ranges:
        matching = {id_ for id_ in exported if _is_in(partitioning, id_, chosen)}
        if not matching:
            raise _refused(
                entry.table, f"the export has no partition {chosen}", _nearest(exported, chosen, partitioning)
            )
        kept |= matching
    some = [(partition, files) for partition, files in files_by_partition(entry) if partition.id in kept]
    counts = [partition.rows for partition, _ in some]
    narrowed = msgspec.structs.replace(
        entry,
        files=tuple(file for _, files in some for file in files),
        partitions=tuple(partition for partition, _ in some),
        rows=None if None in counts else sum(count or 0 for count in counts),
        expected_rows=None,
        planned_rows=sum(partition.planned_rows for partition, _ in some),
        planned_bytes=sum(partition.planned_bytes for partition, _ in some),
    )
    return ChosenPartitions(narrowed, tuple(ranges), partitioning)


def _is_in(partitioning: Partitioning, id_: str, chosen: PartitionRange) -> bool:
    if id_ in (NULL, UNPARTITIONED) or chosen.first in (NULL, UNPARTITIONED):
        return id_ == chosen.first
    order = partitioning.order
    return order(chosen.first) <= order(id_) <= order(chosen.last)


def _nearest(exported: Sequence[str], chosen: PartitionRange, partitioning: Partitioning) -> str:
    """The partitions around one that the export lacks, in words."""
    known = sorted((id_ for id_ in exported if id_ not in (NULL, UNPARTITIONED)), key=partitioning.order)
    if chosen.first in (NULL, UNPARTITIONED) or not known:
        return f"It has {named(list(exported), SOME, 'partition')}."
    before = [id_ for id_ in known if partitioning.order(id_) < partitioning.order(chosen.first)][-1:]
    after = [id_ for id_ in known if partitioning.order(id_) > partitioning.order(chosen.last)][:1]
    return f"The nearest are {listed([*before, *after], 'and')}; it has {counted(len(exported), 'partition')}."


def _within(partitioning: Partitioning, chosen: PartitionRange) -> str:
    """The condition for the rows of a range of partitions, with {column} for the value of their column."""
    column, quoted = "{column}", identifier(partitioning.column)
    if chosen.first == chosen.last:
        return rows_of(partitioning, chosen.first).replace(quoted, column)
    first, _ = partitioning.bounds(chosen.first)
    _, beyond = partitioning.bounds(chosen.last)
    return f"{column} >= {first} AND {column} < {beyond}" if beyond else f"{column} >= {first}"


def refuse_parts(table: str, parts: Sequence[str], chosen: ChosenPartitions, definition: msgspec.Raw, now: int) -> None:
    """Raise UsageError for partitions that an existing table would delete at once, and for those that no job writes."""
    if outside := [id_ for id_ in parts if id_ in (NULL, UNPARTITIONED)]:
        cause = f"BigQuery writes to no partition {outside[0]} of a table that exists"
        raise _refused(table, cause, "Restore it into a table of its own with {setting:as_}.")
    if len(parts) > MOST:
        cause = f"more than {MOST:,} partitions would be put in place, of which each takes a job"
        if chosen.where:
            cause = f"{chosen.words} may be more than {MOST:,}, as the files do not say which of them have rows"
        raise _refused(table, cause, "Restore fewer at a time, or the complete table.")
    partitioning = partitioning_of(definition)
    by_time = (msgspec.json.decode(definition) or {}).get("timePartitioning") or {}
    kept = int(by_time.get("expirationMs") or 0)
    begins = [(id_, partitioning.begins_ms(id_) if partitioning else None) for id_ in parts if kept]
    if expired := [id_ for id_, since in begins if since is not None and since + kept <= now]:
        keeps = f"the table there keeps partitions for {counted(kept // 86_400_000, 'day')}"
        cause = f"{keeps}, so {named(expired, SOME)} would expire"
        hint = "Restore into another table with {setting:as_}, or change the partition expiration of this one first."
        raise _refused(table, cause, hint)
