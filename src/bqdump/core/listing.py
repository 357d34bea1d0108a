"""What a run holds: its tables, what rebuilds the dataset around them, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.manifest_index import snapshot_of
from bqdump.core.errors import UsageError
from bqdump.core.plan.selection import unmatched
from bqdump.core.restore.chosen import object_labels, object_names
from bqdump.core.restore.plan import INDEX, POLICY, TABLE
from bqdump.core.results import Result, public, rows_of
from bqdump.core.tables.patterns import Labels, select
from bqdump.core.times import time_of

MODEL, DEFINITION, DATASET = "MODEL", "DEFINITION", "DATASET"
REMOVED = {
    "excluded": "excluded since",
    "relabelled": "its labels have changed since",
    "dropped": "dropped since",
    "dataset-empty": "the dataset was empty",
    "skipped": "skipped since",
}


@public
class ListedTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table with rows in a run, in a set with its dataset (`sales.orders`).

    rows: exported rows, else BigQuery's number at the snapshot time, None where neither is known.
    bytes, files: of its files.
    snapshot_time: the time that its rows are as of.
    carried_from: the earlier run that exported it, "" for this run.
    differs: how it differs from the table in BigQuery, such as "columns are masked", "" where it does not.
    """

    table: str
    kind: str
    route: str
    rows: int | None
    bytes: int
    files: int
    format: str
    snapshot_time: datetime
    partitions: int = 0
    carried_from: str = ""
    differs: str = ""


@public
class ListedObject(msgspec.Struct, frozen=True):
    """A view, routine, row access policy or other object whose definition a run holds. table: of a policy or index."""

    name: str
    kind: str
    table: str = ""


@public
class LeftOut(msgspec.Struct, frozen=True):
    """What a run does not hold, and why."""

    name: str
    kind: str
    reason: str


@public
class ListedDataset(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset of a set: the run of its export that is listed, "" for none, and its numbers."""

    dataset: str
    run: str
    location: str = ""
    snapshot_time: datetime | None = None
    tables: int = 0
    objects: int = 0
    rows: int = 0
    bytes: int = 0
    note: str = ""


@public
class Listing(Result, frozen=True, kw_only=True):
    """What a run holds, as far as patterns choose it.

    rows: exported rows, of tables for which they are known.
    bytes: of the files.
    replaced: later runs have replaced its files, so only its manifest is left.
    datasets: of a set, each of its datasets; `dataset` is "*" then.
    """

    run: str
    state: Literal["complete", "partial"]
    snapshot_time: datetime
    project: str
    dataset: str
    location: str
    tables: tuple[ListedTable, ...]
    objects: tuple[ListedObject, ...]
    left_out: tuple[LeftOut, ...]
    rows: int
    bytes: int
    replaced: bool = False
    datasets: tuple[ListedDataset, ...] = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """The tables as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`."""
        return rows_of(self.tables)


class Patterns(msgspec.Struct, frozen=True):
    """Patterns of names, as for a restore. No include: all."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


EVERYTHING = Patterns()


def listed_names(manifest: Manifest) -> list[str]:
    """The names that patterns choose from, sorted."""
    return sorted({*object_names(manifest), *manifest.definitions.models, *(table.table for table in manifest.removed)})


def refuse_unmatched(names: Sequence[str], patterns: Patterns, labels: Labels) -> None:
    """Raise UsageError for a pattern that matches none of these objects. labels: theirs."""
    for setting, some in (("include", patterns.include), ("exclude", patterns.exclude)):
        for pattern, guess in unmatched(list(names), some, labels):
            cause, hint = f"matches no object of the run{guess}", "{call:ls} lists all."
            raise UsageError("list", repr(pattern), cause, hint, setting=setting)


def listing_of(manifest: Manifest, patterns: Patterns = EVERYTHING, *, replaced: bool = False) -> Listing:
    """What a run holds. A pattern that matches nothing is not refused here: another dataset may have its objects."""
    names = listed_names(manifest)
    chosen = dict(zip(names, select(names, patterns.include, patterns.exclude, object_labels(manifest)), strict=True))
    tables = [_table(manifest, entry) for entry in manifest.tables if chosen[entry.table]]
    objects = sorted(_objects(manifest, chosen), key=lambda object_: (object_.kind, object_.table, object_.name))
    return Listing(
        run=manifest.run,
        state=manifest.status,
        snapshot_time=time_of(manifest.snapshot),
        project=manifest.project,
        dataset=manifest.dataset,
        location=manifest.location,
        tables=tuple(sorted(tables, key=lambda listed: listed.table)),
        objects=tuple(objects),
        left_out=tuple(_left_out(manifest, patterns, chosen)),
        rows=sum(table.rows or 0 for table in tables),
        bytes=sum(table.bytes for table in tables),
        replaced=replaced,
    )


def _table(manifest: Manifest, entry: TableEntry) -> ListedTable:
    return ListedTable(
        table=entry.table,
        kind=entry.kind,
        route=entry.route,
        rows=entry.rows if entry.rows is not None else entry.expected_rows,
        bytes=sum(file.size for file in entry.files),
        files=len(entry.files),
        format=entry.format,
        snapshot_time=time_of(snapshot_of(manifest, entry)),
        partitions=len(entry.partitions),
        carried_from=entry.carried.run if entry.carried else "",
        differs="; ".join(filter(None, (entry.shape.words, entry.why if entry.read_at == "job" else ""))),
    )


def _objects(manifest: Manifest, chosen: dict[str, bool]) -> Iterator[ListedObject]:
    definitions = manifest.definitions
    yield from (ListedObject(object_.name, object_.kind) for object_ in definitions.objects if chosen[object_.name])
    yield from (ListedObject(routine.name, routine.kind) for routine in definitions.routines if chosen[routine.name])
    yield from (
        ListedObject(policy.name, POLICY, policy.table) for policy in definitions.policies if chosen.get(policy.table)
    )
    yield from (
        ListedObject(index.name, INDEX, index.table) for index in definitions.indexes if chosen.get(index.table)
    )


def _left_out(manifest: Manifest, patterns: Patterns, chosen: dict[str, bool]) -> Iterator[LeftOut]:
    held = {table.table for table in manifest.tables} | {object_.name for object_ in manifest.definitions.objects}
    for table in manifest.skipped:
        if chosen[table.table] and table.table not in held:
            yield LeftOut(table.table, table.kind, table.reason)
    for failure in manifest.failed:
        if chosen[failure.table]:
            yield LeftOut(failure.table, TABLE, f"its export failed: {failure.message}")
    for removed in manifest.removed:
        if chosen[removed.table]:
            yield LeftOut(removed.table, TABLE, f"run {removed.run} has it; {REMOVED[removed.reason]}")
    for model in manifest.definitions.models:
        if chosen[model]:
            yield LeftOut(model, MODEL, "models are not exported")
    if patterns == EVERYTHING:
        for unread in manifest.definitions.unread:
            yield LeftOut(unread.what, DEFINITION, unread.reason)
