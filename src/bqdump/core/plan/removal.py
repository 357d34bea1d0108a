"""What the next export lacks of the published one: tables, and partitions of tables. Each leaves by name.

A table that loses a label can also lose what a section by that label kept out of the export: refused unless allowed.

Excluded tables and mass removal are refused unless allowed. A table that the plan does not remove is carried over.
Partitions that have expired are ordinary. If more than half of a table's partitions were dropped otherwise, the run is
refused unless that is allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from bqdump.core.documents.manifest import PartitionEntry
from bqdump.core.documents.run import Flag, Plan, Skipped, TablePlan
from bqdump.core.documents.unchanged import PartitionReason, RemovalReason, Removed, RemovedPartitions
from bqdump.core.plan.readings import Published, PublishedTable
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, named
from bqdump.core.tables.catalog import state_of
from bqdump.core.tables.partitioning import partitioning_of
from bqdump.core.tables.patterns import Labels, is_label, matching, select

NAMED = 5
# What the settings leave out: refused unless allowed.
EXCLUDED = ("excluded", "relabelled")
WHY: dict[RemovalReason, str] = {
    "excluded": "excluded by the patterns",
    "relabelled": "its labels have changed",
    "dropped": "dropped from the dataset",
    "dataset-empty": "the dataset is empty",
    "skipped": "not exported any more",
}


def leaving(
    published: Published, exported: Collection[str], listed: Labels, settings: Settings
) -> tuple[tuple[Removed, ...], tuple[str, ...]]:
    """The tables of the published export that the next one would remove, and those that it carries over.

    exported: what the next one exports.
    listed: what the dataset has, with its labels. Of what it has no more, the published labels count.
    """
    gone, patterns = published.without(exported), (settings.include, settings.exclude)
    removed, kept = [], []
    now = select(gone, *patterns, {**published.labels, **listed})
    before = select(gone, *patterns, published.labels)
    for entry, chosen, was_chosen in zip(gone.values(), now, before, strict=True):
        if not chosen and settings.keep_others:
            kept.append(entry.table)
            continue
        reason: RemovalReason = "dropped" if listed else "dataset-empty"
        if entry.table in listed:
            reason = "skipped"
        excluded: RemovalReason = "relabelled" if was_chosen else "excluded"
        removed.append(published.removed(entry, reason if chosen else excluded))
    return tuple(sorted(removed, key=lambda table: table.table)), tuple(sorted(kept))


def is_mass(removed: Iterable[Removed], published: Published) -> bool:
    """Whether more than half of the published tables would go without being excluded."""
    unasked = sum(table.reason not in EXCLUDED for table in removed)
    return 2 * unasked > len(published.without(()))


def removal_flags(plan: Plan, published: Published) -> Iterator[Flag]:
    """A flag for each table, and for each table of partitions, that a plan removes from the published export.

    Refused where a table was excluded, where more than half of the tables would go, or more than half of the partitions
    of one before they expired.
    """
    reasons = {item.table: item.reason for item in plan.skipped}
    mass = is_mass(plan.removed, published)
    for table in plan.removed:
        risk = Risk.REMOVED_TABLES if mass or table.reason in EXCLUDED else Risk.DROPPED_TABLES
        detail = reasons.get(table.table) if table.reason == "skipped" else None
        yield Flag(risk, table.table, (), detail or table.reason.replace("-", " "), allowed=False)
    counts = {entry.table: len(entry.partitions) for entry in published.tables}
    for parts in plan.removed_partitions:
        most = parts.reason == "dropped" and 2 * len(parts.partitions) > counts.get(parts.table, 0)
        risk = Risk.REMOVED_PARTITIONS if most else Risk.DROPPED_PARTITIONS
        yield Flag(risk, parts.table, (), f"{_named(parts)}: {parts.reason}", allowed=False)


def lost_sections(
    published: Published, exported: Collection[str], listed: Labels, settings: Settings
) -> Iterator[Flag]:
    """A flag for each table that a restricting section by label applied to when it was published, and does not now.

    exported: the tables of the next export.
    listed: the labels that they have now.
    """
    for section in settings.tables:
        if is_label(section.name) and section.restricts:
            before = set(matching(section.name, published.labels, published.labels)).intersection(exported)
            for table in sorted(before.difference(matching(section.name, before, listed))):
                yield Flag(Risk.LOST_SECTIONS, table, (), f'[tables."{section.name}"]', allowed=False)


def why_removed(removed: Removed, reasons: Mapping[str, str]) -> str:
    """Why it is removed, in words. reasons: why tables of the dataset are not exported."""
    return reasons.get(removed.table, WHY["skipped"]) if removed.reason == "skipped" else WHY[removed.reason]


def removal_sentence(removed: Removed | RemovedPartitions, skipped: Iterable[Skipped] = ()) -> str:
    """The removal in words. skipped: what the plan does not export."""
    if isinstance(removed, RemovedPartitions):
        count, what = counted(len(removed.partitions), "partition"), "them"
        gone = f"{removed.table}: {count} removed from the published export ({removed.reason}: {_named(removed)}); "
    else:
        why, what = why_removed(removed, {item.table: item.reason for item in skipped}), "it"
        gone = f"{removed.table} is removed from the published export ({why}): "
    rows = what if removed.rows is None else counted(removed.rows, "row")
    return f"{gone}run {removed.run} has {rows} as of {removed.snapshot_text}"


def leaving_partitions(published: Published, plan: Plan, tables: Iterable[TablePlan]) -> tuple[RemovedPartitions, ...]:
    """What the next export lacks of tables that both export by partition. tables: those of the plan."""
    unchanged = {same.table: same.partitions for same in plan.reused_partitions}
    published_tables = {entry.table: entry for entry in published.tables if entry.partitions}
    removed: list[RemovedPartitions] = []
    for table in tables:
        if table.partitions and table.table in published_tables:
            exported = {piece.partition for piece in table.partitions}.union(unchanged.get(table.table, ()))
            removed += _leaving(published, published_tables[table.table], table, exported, plan.snapshot)
    return tuple(removed)


def _named(removed: RemovedPartitions) -> str:
    return named(removed.partitions, NAMED)


def _leaving(
    published: Published, entry: PublishedTable, table: TablePlan, exported: set[str], now: int
) -> Iterator[RemovedPartitions]:
    gone = {partition.id: partition for partition in entry.partitions if partition.id not in exported}
    expired = _expired(table.definition, gone, now)
    of = entry.carried or published
    reasons: tuple[tuple[PartitionReason, set[str]], ...] = (("expired", expired), ("dropped", gone.keys() - expired))
    for reason, some in reasons:
        if some:
            rows = [gone[id_].planned_rows if gone[id_].rows is None else gone[id_].rows for id_ in some]
            total = sum(count for count in rows if count is not None)
            yield RemovedPartitions(table.table, reason, tuple(sorted(some)), of.run, of.snapshot_time, total)


def _expired(definition: msgspec.Raw, gone: Mapping[str, PartitionEntry], now: int) -> set[str]:
    """Those of the partitions that are old enough to have expired."""
    state, partitioning = state_of(definition), partitioning_of(definition)
    lifetime = state.partitions_expire_ms if state else 0
    if not lifetime or not partitioning:
        return set()
    return {id_ for id_ in gone if (since := partitioning.begins_ms(id_)) is not None and since + lifetime <= now}
