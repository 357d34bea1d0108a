"""Iceberg metadata of copied tables, with the addresses of the copy: written before the manifest, which names it.

The files are those of the source, byte by byte, so they have the field ids that the export gave them.
"""

from __future__ import annotations

from functools import partial

import msgspec

from bqdump.concurrency import gathered
from bqdump.copying.survey import Surveyed, Task
from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import Manifest, ManifestFiles, TableEntry
from bqdump.core.documents.target import IcebergTables
from bqdump.core.iceberg.table import hint_of
from bqdump.export.publish.lake import REQUESTS_AT_ONCE, Earlier, Lake
from bqdump.export.publish.lake_table import LakeTable
from bqdump.ports.store import Stored
from bqdump.repository.log import logged_runs
from bqdump.repository.objects import read_object, write_object
from bqdump.repository.published import readable_latest
from bqdump.repository.repository import create, swap, value_of

TABLES_AT_ONCE = 16
# Each time, prune must have deleted more runs.
TIMES_MADE = 3
# Each time, somebody else must have written a hint meanwhile.
TIMES_SHOWN = 5


async def with_iceberg(task: Task, surveyed: Surveyed, manifest: Manifest) -> Manifest:
    """The manifest with metadata, which is stored, for each table that is an Iceberg table in the source.

    Where runs of the copy were pruned meanwhile, it is made once more, without them.
    """
    place = task.target
    of_iceberg = {entry.table for entry in surveyed.manifest.tables if entry.iceberg}
    for _ in range(TIMES_MADE):
        earlier = await _earlier(task, manifest)
        lake = Lake(place.store, place.layout, manifest, earlier)

        async def with_metadata(entry: TableEntry, lake: Lake = lake) -> TableEntry:
            return await LakeTable(lake, entry).with_metadata() if entry.table in of_iceberg else entry

        tables = tuple(await gathered(with_metadata, manifest.tables, TABLES_AT_ONCE))
        if earlier.runs.keys() <= (await logged_runs(place.store, place.layout)).keys():
            break
    return msgspec.structs.replace(manifest, tables=tables, settings=manifest.settings | {"iceberg": True})


def without_iceberg(manifest: Manifest) -> Manifest:
    """The manifest as it was before it was given to `with_iceberg`."""
    tables = tuple(msgspec.structs.replace(entry, iceberg=()) for entry in manifest.tables)
    return msgspec.structs.replace(manifest, tables=tables, settings=manifest.settings | {"iceberg": False})


async def _earlier(task: Task, manifest: Manifest) -> Earlier:
    """What copies of runs before this one have published."""
    store, layout, age = task.target.store, task.target.layout, (manifest.snapshot, manifest.run)
    latest = await readable_latest(store, task.target.settings)
    if latest and latest.age >= age:
        return Earlier(None, {})
    known = await value_of(store, Document(latest.manifest, ManifestFiles)) if latest else None
    named = {table.table: table.iceberg for table in known.tables if table.iceberg} if known else {}
    runs = {run: at for run, at in (await logged_runs(store, layout)).items() if (at, run) < age}
    # Runs are copied in any order: the one before in the source was not always there.
    return Earlier(named, runs, latest.run if latest else "")


async def rename_metadata(task: Task, manifest: Manifest) -> None:
    """Where iceberg.json is there, make it name what the manifest names by now."""
    named = _named(manifest)

    async def step(now: IcebergTables | None) -> IcebergTables | None:
        return None if now is None or now.tables == named else msgspec.structs.replace(now, tables=named)

    await swap(task.target.store, task.target.layout.run(manifest.run).iceberg, step)


def _named(manifest: Manifest) -> dict[str, str]:
    return {entry.table: entry.iceberg[-1].name for entry in manifest.tables if entry.iceberg}


async def name_metadata(task: Task, manifest: Manifest) -> str:
    """Store the metadata file of each table, for latest.json; the name of the document."""
    named = _named(manifest)
    document = task.target.layout.run(manifest.run).iceberg
    await create(task.target.store, document, IcebergTables(run=manifest.run, tables=named))
    return document.name


async def show_metadata(task: Task, manifest: Manifest) -> None:
    """Make each table's version-hint.text name the metadata of this run, as long as it is the published one.

    That is what iceberg.json names: where prune has taken snapshots out, it has written metadata anew. The generations
    come first, so nothing that a prune or a later run writes meanwhile is written over.
    """
    store, layout = task.target.store, task.target.layout
    names = [hint_of(entry.iceberg[-1].name)[0] for entry in manifest.tables if entry.iceberg]
    for _ in range(TIMES_SHOWN):
        stored = dict(zip(names, await gathered(partial(read_object, store), names, REQUESTS_AT_ONCE), strict=True))
        latest = await readable_latest(store, task.target.settings)
        named = await value_of(store, layout.run(manifest.run).iceberg)
        if latest is None or latest.run != manifest.run or named is None:
            return
        hints = dict(hint_of(name) for name in named.tables.values() if name)

        async def show(name: str, hints: dict[str, bytes] = hints, stored: dict[str, Stored | None] = stored) -> bool:
            now, data = stored[name], hints.get(name)
            if data is None or (now and now.data == data):
                return True
            return bool(await write_object(store, name, data, now.generation if now else 0))

        if all(await gathered(show, names, REQUESTS_AT_ONCE)):
            return
