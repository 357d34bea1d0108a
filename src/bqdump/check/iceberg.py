"""Comparing the Iceberg metadata of a run with what names it: the manifest, and the document that latest.json names."""

from __future__ import annotations

from collections.abc import Mapping

from bqdump.check.findings import Finding, FindingKind
from bqdump.concurrency import gathered
from bqdump.core.documents.manifest import IcebergFile, Manifest
from bqdump.core.documents.target import IcebergTables
from bqdump.core.errors import DocumentError
from bqdump.core.iceberg.table import is_intact
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.ports.store import ObjectInfo, ObjectStore
from bqdump.repository.objects import present, read_object
from bqdump.repository.published import readable_latest
from bqdump.repository.repository import value_of

READS_AT_ONCE = 16


async def compare_metadata(
    store: ObjectStore, settings: Settings, manifest: Manifest, *, copied: bool, reads: bool
) -> list[Finding]:
    """What is missing or was changed of the metadata files, manifest lists and manifests of a run's Iceberg tables.

    copied: generations are those of copies, and are not compared.
    reads: compare the bytes with the digest in each object's name; otherwise only where the generation differs.
    """
    named = [(entry.table, file) for entry in manifest.tables for file in entry.iceberg]
    listed, findings = await _listed(store, settings, manifest)
    moved = {file.name: file for file in listed.rewritten} if listed else {}
    led = [(table, name) for table, name in listed.tables.items() if name in moved] if listed else []
    named += [(table, moved[name]) for table, name in led]
    infos = await present(store, [file.name for _, file in named])

    async def look(file: tuple[str, IcebergFile]) -> list[Finding]:
        return await _compare(store, *file, infos, copied=copied, reads=reads)

    return findings + [finding for of_file in await gathered(look, named, READS_AT_ONCE) for finding in of_file]


async def _listed(
    store: ObjectStore, settings: Settings, manifest: Manifest
) -> tuple[IcebergTables | None, list[Finding]]:
    """The document that leads readers of the published run to each table, and what is wrong with it."""
    document = settings.layout.run(manifest.run).iceberg
    try:
        listed = await value_of(store, document)
    except DocumentError as error:
        return None, [Finding(FindingKind.UNREADABLE, "", document.name, "", error.cause)]
    if listed is None:
        latest = await readable_latest(store, settings)
        if latest and latest.run == manifest.run and latest.iceberg:
            return None, [Finding(FindingKind.MISSING, "", document.name, "the metadata file of each table", "")]
    return listed, []


async def _compare(
    store: ObjectStore, table: str, file: IcebergFile, infos: Mapping[str, ObjectInfo], *, copied: bool, reads: bool
) -> list[Finding]:
    info = infos.get(file.name)
    if info is None:
        return [Finding(FindingKind.MISSING, table, file.name, counted(file.size, "byte"), "")]
    if info.size != file.size:
        return [Finding(FindingKind.SIZE, table, file.name, counted(file.size, "byte"), counted(info.size, "byte"))]
    replaced = not copied and info.generation != file.generation
    if reads or replaced:
        stored = await read_object(store, file.name)
        if stored is None:
            return [Finding(FindingKind.MISSING, table, file.name, counted(file.size, "byte"), "")]
        if not is_intact(file.name, stored.data):
            return [Finding(FindingKind.CHECKSUM, table, file.name, "the digest in its name", "other content")]
    if replaced:
        return [Finding(FindingKind.REPLACED, table, file.name, str(file.generation), str(info.generation))]
    return []
