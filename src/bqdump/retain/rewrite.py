"""The manifests of kept runs, written anew without a table, and everything that is made from them."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import Erased, Manifest
from bqdump.core.documents.manifest_index import summary_of
from bqdump.core.documents.project import DatasetEntry, Project
from bqdump.core.documents.target import Erasing, IcebergTables, Latest
from bqdump.core.errors import UsageError
from bqdump.core.retention.erased import concerns, without_table
from bqdump.core.settings.settings import Settings
from bqdump.ports.signer import Signer
from bqdump.ports.store import ObjectStore
from bqdump.repository.manifests import contents_of
from bqdump.repository.objects import write_object
from bqdump.repository.repository import delete, exists, load, overwrite, swap, value_of
from bqdump.repository.repository import replace as store_over


class Task(NamedTuple):
    """One erasure of a table from the runs of one export.

    erasing: what is requested, from now on. signer: signs the manifests that are written anew.
    delete: False only shows.
    """

    store: ObjectStore
    settings: Settings
    erasing: Erasing
    signer: Signer | None = None
    delete: bool = False


async def rewrite(task: Task, run: str) -> None:
    """Write the manifest of a run without the table, and what is made from it. Nothing where the run is gone."""
    store, names, erasing = task.store, task.settings.layout.run(run), task.erasing
    note = Erased(erasing.table, erasing.at, erasing.by, erasing.reason)
    while stored := await load(store, names.manifest):
        manifest = stored.value
        if concerns(manifest, erasing) or note not in manifest.erased:
            # Its index has places in it, so it goes first.
            await _delete(store, names.contents.name)
            manifest = without_table(manifest, note)
            if not await store_over(store, names.manifest, manifest, stored.generation):
                continue
        await point_again(task)
        await _follow(task, run, manifest)
        return


async def _follow(task: Task, run: str, manifest: Manifest) -> None:
    """Write anew what is made from the manifest of a run."""
    # Imported where a page is rendered only.
    from bqdump.pages.report import render_report

    store, names = task.store, task.settings.layout.run(run)
    data = (await store.read(names.manifest.name)).data
    contents = contents_of(data, names.manifest.name)
    await overwrite(store, names.contents, contents)
    await overwrite(store, task.settings.layout.summary(run), summary_of(contents))
    if page := await store.stat(names.report):
        await write_object(store, names.report, render_report(manifest, None), page.generation)
    if task.signer and await exists(store, names.signature):
        from bqdump.repository.signatures import sign_manifest

        await sign_manifest(store, task.settings.target, names, task.signer)
    if manifest.settings.get("iceberg"):
        folder = task.settings.layout.iceberg_table(task.erasing.table)

        async def step(now: IcebergTables | None) -> IcebergTables | None:
            if now is None:
                return None
            tables = {table: name for table, name in now.tables.items() if table != task.erasing.table}
            rewritten = tuple(file for file in now.rewritten if not file.name.startswith(folder))
            made = replace(now, tables=tables, rewritten=rewritten)
            return None if made == now else made

        await swap(store, names.iceberg, step)


async def point_again(task: Task) -> None:
    """Let latest.json name the manifest of the published run as it is now: this erasure has written it anew."""
    store, layout = task.store, task.settings.layout

    async def step(now: Latest | None) -> Latest | None:
        stored = await load(store, Document(now.manifest, Manifest)) if now and now.erasing == task.erasing else None
        if now is None or stored is None or stored.generation == now.manifest_generation:
            return None
        if not any(note.at == task.erasing.at for note in stored.value.erased):
            return None
        carried, oldest = stored.value.totals.carried, stored.value.oldest_snapshot_time
        return replace(now, manifest_generation=stored.generation, carried=carried, oldest_snapshot_time=oldest)

    await swap(store, layout.latest, step)


async def _delete(store: ObjectStore, name: str) -> None:
    if info := await store.stat(name):
        await delete(store, [(info.name, info.generation)])


async def refuse_unfinished_set(store: ObjectStore, settings: Settings, table: str) -> None:
    """Raise UsageError while a run of a set has not ended: it would name manifests as they were."""
    newest, project = await value_of(store, settings.layout.newest), await value_of(store, settings.layout.project)
    if newest and project and newest.run != project.run:
        hint = "Let it end, finish it, or start another one."
        raise UsageError("erase", f"table {table}", f"run {newest.run} of the set has not ended", hint)


async def point_set_again(store: ObjectStore, settings: Settings) -> None:
    """Let the document of a set name the manifests of its datasets as erasures have left them."""

    async def entry_now(entry: DatasetEntry) -> DatasetEntry:
        stored = await load(store, Document(entry.manifest, Manifest)) if entry.manifest else None
        if stored is None or not stored.value.erased:
            return entry
        totals, of = stored.value.totals, stored.generation
        sums = {"tables": totals.tables, "rows": totals.rows, "files": totals.files, "bytes": totals.bytes}
        return replace(entry, manifest_generation=of, **sums)

    async def step(now: Project | None) -> Project | None:
        if now is None:
            return None
        made = replace(now, datasets=tuple([await entry_now(entry) for entry in now.datasets]))
        return None if made == now else made

    await swap(store, settings.layout.project, step)
