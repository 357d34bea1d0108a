"""Iceberg metadata of the tables of a run: written before the manifest, which names it.

Each object has a name of its own, with the run and a digest of its content. So any task may write all of them at any
time, and the manifest decides which ones count. Once the run is published, `version-hint.text` names them, too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import Manifest, ManifestFiles, TableEntry
from bqdump.core.documents.run import TablePlan
from bqdump.core.documents.target import IcebergTables, Latest
from bqdump.core.errors import BqdumpError
from bqdump.core.iceberg.table import HINT, hint_of, run_of
from bqdump.core.progress.log_events import LogEvent
from bqdump.export.collected import Collected
from bqdump.export.publish.clear import delete, discard
from bqdump.export.publish.lake import REQUESTS_AT_ONCE, Earlier, Lake, add_field_ids, clear_scratch
from bqdump.export.publish.lake_table import LakeTable
from bqdump.export.task import RunningExport
from bqdump.repository.log import logged_runs
from bqdump.repository.objects import looked_up, read_object, write_object
from bqdump.repository.published import read_base
from bqdump.repository.repository import create, value_of

log = logging.getLogger(__name__)

TABLES_AT_ONCE = 16
# A hint is written again where another run has written it meanwhile; an earlier run does that once at most.
TIMES_SHOWN = 3
# Each time, prune must have deleted more runs.
TIMES_MADE = 3


class Iceberg:
    """Iceberg metadata as publishing takes it along: see `export.task.Extra`."""

    def __init__(self) -> None:
        # The generation of each table's version-hint.text as of some time before, 0 for none.
        self._hints = dict[str, int]()

    async def prepare(self, export: RunningExport, tables: Sequence[TablePlan], collected: Collected) -> None:
        """Give the files that BigQuery wrote field ids."""
        await add_field_ids(export, tables, collected)

    async def describe(self, export: RunningExport, manifest: Manifest, latest: Latest | None) -> Manifest:
        """The manifest with metadata for each table whose files are Parquet.

        Where runs were pruned meanwhile, it is made once more, without them.
        """
        for _ in range(TIMES_MADE):
            earlier = await _earlier(export, latest)
            described = await _with_metadata(Lake(export.store, export.settings.layout, manifest, earlier), self._hints)
            if (
                not earlier.runs
                or earlier.runs.keys() <= (await logged_runs(export.store, export.settings.layout)).keys()
            ):
                break
        return described

    async def drop(self, export: RunningExport, manifest: Manifest, stored: ManifestFiles | None) -> None:
        """Delete the metadata of this run that only a manifest names which is not kept."""
        named = _names([stored]) if stored else set()
        written = [file for entry in manifest.tables for file in entry.iceberg if run_of(file.name) == export.plan.run]
        await discard(export, [(file.name, file.generation) for file in written if file.name not in named])

    async def name(self, export: RunningExport, manifest: ManifestFiles) -> str:
        """Store the name of each table's metadata file, for latest.json."""
        named = {table.table: table.iceberg[-1].name for table in (*manifest.tables, *manifest.left) if table.iceberg}
        if not named:
            return ""
        document = export.layout.iceberg
        await create(export.store, document, IcebergTables(run=export.plan.run, tables=named))
        return document.name

    async def show(self, export: RunningExport, manifest: ManifestFiles) -> None:
        """Make each table's version-hint.text name the metadata of this run.

        The hint is a convenience: latest.json and the manifest have the names.
        """
        try:
            await _show_all(export, manifest, self._hints)
        except BqdumpError as error:
            message = "the export is published, but its version-hint.text files could not be written: %s"
            log.warning(message, error, extra=LogEvent.CLEANUP_FAILED.extra())
        await clear_scratch(export)

    async def withdraw(self, export: RunningExport) -> None:
        """Delete the metadata of a run that is not published, unless its files stay in a folder of their own."""
        if export.plan.replaces:
            await _delete_unnamed(export, None)


async def _with_metadata(lake: Lake, hints: dict[str, int]) -> Manifest:
    manifest = lake.manifest

    async def with_metadata(entry: TableEntry) -> TableEntry:
        if entry.format != "parquet":
            return entry
        table = LakeTable(lake, entry)
        described = await table.with_metadata()
        if described.iceberg != entry.iceberg:
            hints[table.hint] = table.hint_generation
        return described

    return msgspec.structs.replace(
        manifest, tables=tuple(await gathered(with_metadata, manifest.tables, TABLES_AT_ONCE))
    )


async def _earlier(export: RunningExport, latest: Latest | None) -> Earlier:
    """What runs before this one have published of its dataset."""
    if latest and (latest.age >= export.plan.age or not export.same_dataset(latest)):
        return Earlier(None, {})
    manifest = await value_of(export.store, Document(latest.manifest, ManifestFiles)) if latest else None
    tables = (*manifest.tables, *manifest.left) if manifest else ()
    named = {table.table: table.iceberg for table in tables if table.iceberg}
    # Where runs replace files, those of earlier snapshots are gone.
    runs = {} if export.plan.replaces else await logged_runs(export.store, export.settings.layout)
    earlier = {run: time for run, time in runs.items() if (time, run) < export.plan.age}
    if latest is None or latest.replaces:
        # A run that keeps its files, and comes after one that replaces them, looks for those before that one again.
        return Earlier(named, earlier)
    return Earlier(named, earlier, latest.run, latest.over)


async def _show_all(export: RunningExport, manifest: ManifestFiles, seen: Mapping[str, int]) -> None:
    """Write the hints of all tables, and clear those of removed ones. seen: generations as of some time before."""
    named = [table.iceberg[-1].name for table in (*manifest.tables, *manifest.left) if table.iceberg]
    hints = dict(map(hint_of, named))
    for _ in range(TIMES_SHOWN):
        hints, seen = await _show(export, hints, seen), {}
        if not hints:
            break
    if export.plan.replaces:
        await _clear(export, (table.table for table in manifest.removed))
        await _delete_unnamed(export, manifest)


async def _show(export: RunningExport, hints: dict[str, bytes], known: Mapping[str, int]) -> dict[str, bytes]:
    """Write these hints unless a later run is published. Returns those that another run has written meanwhile.

    known: the generations of some. They come first, so nothing that a later run has written is written over.
    """
    again = dict[str, bytes]()

    async def generation(name: str) -> int | None:
        if name in known:
            return known[name]
        stored = await read_object(export.store, name)
        if stored is None:
            return 0
        return None if stored.data == hints[name] else stored.generation

    async def write(name: str) -> None:
        if not await write_object(export.store, name, hints[name], expected[name]):
            again[name] = hints[name]

    seen = await gathered(generation, hints, REQUESTS_AT_ONCE)
    latest = await read_base(export.store, export.settings)
    if latest is None or latest.run != export.plan.run:
        return {}
    expected = {name: expect for name, expect in zip(hints, seen, strict=True) if expect is not None}
    await gathered(write, expected, REQUESTS_AT_ONCE)
    return again


async def _clear(export: RunningExport, tables: Iterable[str]) -> None:
    """Delete the hints of removed tables, whose files were deleted."""
    names = [f"{export.settings.layout.iceberg_table(table)}metadata/{HINT}" for table in tables]
    infos = await looked_up(export.store, names)
    latest = await read_base(export.store, export.settings)
    if latest and latest.run == export.plan.run:
        await delete(export, ((info.name, info.generation) for info in infos if info))


async def _delete_unnamed(export: RunningExport, manifest: ManifestFiles | None) -> None:
    """Delete what this run has written, except what its manifest or that of the published run names.

    Where runs replace files, the folder has the metadata of one run.
    """
    written = [
        info
        async for page in export.store.objects(export.settings.layout.iceberg)
        for info in page
        if run_of(info.name) == export.plan.run
    ]
    latest = await read_base(export.store, export.settings) if written else None
    published = await value_of(export.store, Document(latest.manifest, ManifestFiles)) if latest else None
    named = _names([document for document in (manifest, published) if document])
    await delete(export, ((info.name, info.generation) for info in written if info.name not in named))


def _names(manifests: Sequence[ManifestFiles]) -> set[str]:
    return {
        file.name for document in manifests for table in (*document.tables, *document.left) for file in table.iceberg
    }
