"""Comparing the values of two exports: the files of both are read, and the checksums of their columns compared.

The changes from one run of a set to another, dataset by dataset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from heapq import nlargest
from types import MappingProxyType
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.check.read_back import FILES_AT_ONCE, ReadOptions, data_file, digest_file
from bqdump.core.documents.changes import TableChange, compare, compare_all, way_of
from bqdump.core.documents.fingerprints import by_arrival
from bqdump.core.documents.manifest import File, Manifest, TableEntry
from bqdump.core.documents.units import files_by_partition
from bqdump.core.formats.formats import altered_types
from bqdump.core.formats.types import columns as columns_of
from bqdump.core.progress.events import Checked, Checking, Listener, ignore
from bqdump.core.settings.settings import Settings
from bqdump.core.sql.checksums import Leaf, chunks, leaves
from bqdump.core.tables.columns import exported
from bqdump.ports.data_reader import DataReader, Digest
from bqdump.ports.store import ObjectStore
from bqdump.repository.exports import ExportAt, SetAt, published_set
from bqdump.repository.published import missing_run, read_if_complete


class Sums(NamedTuple):
    """The content of a table's files: rows; for each column the number of values and the sum of their hashes; the sums
    over rows.

    masked: columns without sums.
    unreadable: why the files cannot be decoded, else "".
    placed: where only the partition of a file tells when its rows arrived, the rows and sums of each.
    """

    format: str
    rows: int
    columns: dict[Leaf, tuple[int, int]]
    across: tuple[int, ...]
    masked: tuple[str, ...]
    unreadable: str
    placed: Mapping[str, tuple[int, ...]] = MappingProxyType({})


async def compare_values(
    store: ObjectStore, before: Manifest, after: Manifest, reader: DataReader, tell: Listener = ignore
) -> list[TableChange]:
    """Changes from one export to another, by the values of all columns. Unchanged tables are omitted.

    Files of tables with the same bytes in both exports are not read. Raises OtherFileError for another one that is not
    as its manifest records it.
    """
    changes = compare_all(before, after)
    old, new = ({entry.table: entry for entry in manifest.tables} for manifest in (before, after))
    unproven = [change.table for change in changes if change.content not in ("", "same bytes")]
    compared = [(before, old[name]) for name in unproven] + [(after, new[name]) for name in unproven]
    files = [file for _, entry in compared for file in entry.files]
    reader.check_room(sum(nlargest(FILES_AT_ONCE, (file.size for file in files))))
    tell(Checking("reading", len(files), sum(file.size for file in files)))
    slots = asyncio.Semaphore(FILES_AT_ONCE)

    async def sums(manifest: Manifest, entry: TableEntry) -> Sums:
        alike = way_of(before, old[entry.table]) == way_of(after, new[entry.table])
        # What one of them writes alike counts as one value in both.
        same = _alike(before, old[entry.table]) | _alike(after, new[entry.table])

        async def digest(file: File) -> Digest:
            async with slots:
                described = data_file(manifest, entry, file)._replace(alike=same)
                options = ReadOptions(reader, checksums=True, texts=alike)
                digested = await digest_file(store, described, entry, file, options, tell)
            tell(Checked(1, 0))
            return digested

        return _sums(manifest, entry, await asyncio.gather(*map(digest, entry.files)))

    digested = await asyncio.gather(*(sums(manifest, entry) for manifest, entry in compared))
    pairs = dict(zip(unproven, zip(digested[: len(unproven)], digested[len(unproven) :], strict=True), strict=True))

    def by_values(change: TableChange) -> TableChange:
        name = change.table
        if name not in pairs:
            return change
        return _with_values(change, *pairs[name], alike=way_of(before, old[name]) == way_of(after, new[name]))

    return [change for change in map(by_values, changes) if not change.nothing]


def _alike(manifest: Manifest, entry: TableEntry) -> frozenset[str]:
    return altered_types(entry.format or str(manifest.settings["format"]), entry.route)


def _sums(manifest: Manifest, entry: TableEntry, digests: Sequence[Digest]) -> Sums:
    format_ = entry.format or manifest.settings["format"]
    held = exported(columns_of(entry.definition), entry.shape)
    masked = tuple(column.name for column in held if not column.type)
    all_leaves, columns, across, place = leaves(held), {}, [], 0
    wrong = (digest.unreadable or "; ".join(digest.differences) for digest in digests)
    if unreadable := next(filter(None, wrong), ""):
        return Sums(format_, 0, {}, (), masked, unreadable)

    def total(at: int) -> int:
        return sum(digest.sums[at] for digest in digests)

    for some in chunks(all_leaves):
        for leaf in some:
            columns[leaf] = total(place), total(place + 1)
            place += 2
        across.append(total(place))
        place += 1
    rows = sum(digest.rows for digest in digests)
    return Sums(format_, rows, columns, tuple(across), masked, "", _placed(entry, digests))


def _placed(entry: TableEntry, digests: Sequence[Digest]) -> dict[str, tuple[int, ...]]:
    """The rows and sums of each partition that has rows; nothing where a column tells the partition of a row."""
    if not by_arrival(entry):
        return {}
    of_file = dict(zip(entry.files, digests, strict=True))
    sums = {part.id: [of_file[file] for file in files] for part, files in files_by_partition(entry)}
    return {
        id_: tuple(map(sum, zip(*((digest.rows, *digest.sums) for digest in some), strict=True)))
        for id_, some in sums.items()
        if any(digest.rows for digest in some)
    }


def _with_values(change: TableChange, before: Sums, after: Sums, *, alike: bool) -> TableChange:
    """The change, based on values. alike: both exports wrote the files in the same way."""
    if before.unreadable or after.unreadable:
        return replace(change, why=f"its files cannot be decoded ({before.unreadable or after.unreadable})")
    was, now = ({(leaf.name, leaf.type, leaf.repeated): leaf for leaf in side.columns} for side in (before, after))
    common = [key for key in was if key in now]
    names = tuple(key[0] for key in common if not _equal(before, after, was[key], now[key]))
    by_number = [key[0] for key in common if not _by_value(before, after, was[key], alike=alike)]
    by_number += sorted({*before.masked, *after.masked})
    moved = False
    if not by_number and list(was) == list(now):
        moved = not names and before.rows == after.rows and before.across != after.across
    why = "values have moved to other rows" if moved else ""
    if not (names or moved) and before.placed and after.placed and before.placed != after.placed:
        moved, why = True, "rows have moved to other partitions"
    same = not names and not moved and before.rows == after.rows
    if by_number:
        why = f"not compared by value: {', '.join(by_number)}"
    numbers = (before.rows, change.bytes_before) == (after.rows, change.bytes_after)
    return replace(
        change,
        change="unclear" if same and by_number and numbers and not change.columns() else "changed",
        rows_before=before.rows,
        rows_after=after.rows,
        content=("unclear" if by_number else "same values") if same else "changed",
        why=why,
        values_changed=names,
    )


def _by_value(before: Sums, after: Sums, leaf: Leaf, *, alike: bool) -> bool:
    if alike and leaf.as_text(before.format):
        return True
    return leaf.by_value(before.format) and leaf.by_value(after.format)


def _equal(before: Sums, after: Sums, was: Leaf, now: Leaf) -> bool:
    column, other = before.columns[was], after.columns[now]
    if was.by_value(before.format) != now.by_value(after.format):
        return column[0] == other[0]
    return column == other


Compare = Callable[[ObjectStore, Settings, Manifest, Manifest], Awaitable[Sequence[TableChange]]]


async def compare_set(at: SetAt, before: str, after: str, compare_both: Compare) -> list[TableChange]:
    """The changes from one run to another (default: what is published). Tables have their dataset's name.

    compare_both: the changes of a dataset that both runs have exported. Raises NotFoundError for a run of no dataset.
    """
    changes: list[TableChange] = []
    missing = {before, after} - {""}
    published = {entry.dataset: entry.run for entry in (await published_set(at)).datasets}
    for name in at.names:
        export = at.export(name)
        old = await _manifest(export, before)
        new = await _manifest(export, after or published.get(name, ""))
        missing -= {before if old else None, after if new else None}
        compared = await compare_both(at.store, export.settings, old, new) if old and new else _one_sided(old, new)
        changes += [replace(change, table=f"{name}.{change.table}") for change in compared]
    for run in (before, after):
        if run in missing:
            raise missing_run(run, at.settings)
    return changes


async def _manifest(export: ExportAt, run: str) -> Manifest | None:
    return await read_if_complete(export.store, export.settings, run) if run else None


def _one_sided(old: Manifest | None, new: Manifest | None) -> list[TableChange]:
    """All tables of a dataset that only one of the runs has exported."""
    if not (manifest := old or new):
        return []
    nothing = replace(manifest, tables=(), failed=(), skipped=())
    why = f"only run {manifest.run} has exported dataset {manifest.dataset}"
    return [replace(change, why=why) for change in compare(old or nothing, new or nothing)]
