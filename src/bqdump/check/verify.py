"""Verifying an export: compare the stored files with the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.check.compare_with_source import Source, compare, questions
from bqdump.check.findings import Finding, FindingKind, ReadBack, SourceCompared, Verified
from bqdump.check.read_back import ReadOptions, check_room, read_back
from bqdump.core.documents.manifest import File, Manifest
from bqdump.core.documents.path_template import split_shard
from bqdump.core.errors import VerificationError
from bqdump.core.plan.names import pattern_of
from bqdump.core.progress.events import Checked, Checking, Listener, ignore
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.core.times import rfc3339, time_in, time_of
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import Hidden, ObjectInfo, ObjectStore
from bqdump.repository.complete_runs import uncover_documents
from bqdump.repository.objects import (
    common_prefix,
    hidden_in,
    looked_up,
    names_of_signatures,
    present,
    recorded_in,
    uncover_files,
    with_checksums,
)
from bqdump.repository.published import read_manifest, read_replacing, refuse_pruned, was_copied


async def verify(
    store: ObjectStore,
    settings: Settings,
    run: str = "",
    reading: ReadOptions | None = None,
    source: Source | None = None,
    tell: Listener = ignore,
) -> Verified:
    """Compare every file of a run (default: the published run) with its manifest.

    From a listing: size, CRC32C and generation of each file, missing files; extra files that match the run's tables;
    size and generation of Iceberg metadata. For a copy of an export (see Verified), size and CRC32C only. With
    `reading`: also the bytes of the sampled files, and of all Iceberg metadata.
    With a `source` (requires a `reading` with checksums): also BigQuery's data at the snapshot time.
    `tell` is called with the progress.
    Raises NotFoundError if the run does not exist, nothing is published, or the run is pruned meanwhile, DocumentError
    for a damaged manifest.
    """
    compared = await compare_files(store, settings, await read_manifest(store, settings, run), tell)
    manifest, copied = compared.manifest, compared.copied
    findings = await _what_hides(store, compared.findings)
    if until := manifest.copy_of.locked_until if manifest.copy_of else 0:
        tables, layout = {file.name: table.table for table in manifest.tables for file in table.files}, settings.layout
        names = layout.run(manifest.run)
        own = (names.manifest, layout.entry(manifest.run, manifest.snapshot), layout.copies, layout.owner)
        documents = [*(document.name for document in own), *await names_of_signatures(store, names)]
        findings += await compare_locks(store, until, tables | dict.fromkeys(documents, ""))
        findings += [*_forged(compared.hidden, tables), *await hidden_documents(store, settings)]
    if any(entry.iceberg for entry in manifest.tables):
        # Imported where there are Iceberg tables only.
        from bqdump.check.iceberg import compare_metadata

        findings += await compare_metadata(store, settings, manifest, copied=copied, reads=reading is not None)
    read = with_source = None
    if reading:
        # Fails before BigQuery bills anything.
        check_room(manifest, reading)
    prepared = await questions(source, manifest) if source else None
    if reading:
        sound = (FindingKind.LOCK, FindingKind.HIDDEN)
        wrong = {finding.file for finding in findings if finding.kind not in sound}
        back = await read_back(store, manifest, reading, wrong, tell)
        findings += back.findings
        read = ReadBack(back.files, back.bytes, back.rows, reading.parts)
        if source and prepared:
            differences = await compare(source, prepared, back.digests)
            findings += differences.findings
            with_source = SourceCompared(differences.tables, differences.bytes_billed, differences.not_compared)
    totals = manifest.totals
    verified = Verified(
        run=manifest.run,
        snapshot_time=time_of(manifest.snapshot),
        tables=totals.tables,
        files=totals.files,
        bytes=totals.bytes,
        findings=tuple(findings),
        read=read,
        source=with_source,
        copied=copied,
        carried=totals.carried,
        oldest_snapshot_time=time_in(manifest.oldest_snapshot_time),
    )
    return await _explained(store, settings, manifest, verified) if findings else verified


async def _explained(store: ObjectStore, settings: Settings, manifest: Manifest, verified: Verified) -> Verified:
    """The same findings, with the run that has begun to replace the files. Raises NotFoundError for a pruned run."""
    await refuse_pruned(store, settings, "verify", manifest.run, was_read=True)
    by = await read_replacing(store, settings)
    if by is None or by.published != manifest.run:
        return verified
    return replace(verified, replaced_by=by.run, finish=fill(by.call, COMMANDS))


async def hidden_documents(store: ObjectStore, settings: Settings) -> list[Finding]:
    """Documents of a place of locked copies that were hidden or replaced."""
    return _forged(await uncover_documents(store, settings), {})


def _forged(hidden: Mapping[str, Hidden], tables: Mapping[str, str]) -> list[Finding]:
    """What was put over objects of locked copies, or hides them. tables: by the names of their files."""
    return [
        Finding(FindingKind.HIDDEN, tables.get(name, ""), name, "the locked version, which was read", version.text)
        for name, version in hidden.items()
    ]


async def _what_hides(store: ObjectStore, findings: Sequence[Finding]) -> list[Finding]:
    """The same findings; what is missing, and can be brought back, says how."""
    names = [finding.file for finding in findings if finding.kind == FindingKind.MISSING]
    hidden = await hidden_in(store, common_prefix(names)) if names else {}
    return [
        replace(finding, found=hidden[finding.file].text)
        if finding.kind == FindingKind.MISSING and finding.file in hidden
        else finding
        for finding in findings
    ]


class FilesCompared(NamedTuple):
    """A manifest, and how its files differ from it. copied: see Verified; then it has the generations of the copies.

    hidden: files of a locked copy that others were put over, or hide. From now on, the store reads what is locked.
    """

    manifest: Manifest
    findings: list[Finding]
    copied: bool
    hidden: dict[str, Hidden]


async def compare_files(
    store: ObjectStore, settings: Settings, manifest: Manifest, tell: Listener = ignore
) -> FilesCompared:
    """Compare the stored files with the manifest, by a listing. See verify."""
    stored, hidden, findings = await _list(store, manifest, tell)
    copied = await _is_copy(store, settings, manifest, stored)
    if copied:
        _refuse_unproven(settings, manifest)
        manifest = _adopt(manifest, stored)
    findings += [
        finding
        for table in manifest.tables
        for file in table.files
        for finding in _compare(table.table, file, stored.get(file.name))
    ]
    return FilesCompared(manifest, findings, copied, hidden)


async def _list(
    store: ObjectStore, manifest: Manifest, tell: Listener
) -> tuple[dict[str, ObjectInfo], dict[str, Hidden], list[Finding]]:
    """The stored objects that the manifest lists, what hid some of them, and extra files that match its tables."""
    named = {file.name for table in manifest.tables for file in table.files}
    spare = {file.name for table in manifest.left for file in table.files}
    patterns = {
        pattern_of(manifest, table, id_): table.table
        for table in manifest.tables
        for id_ in ("", *(partition.id for partition in table.partitions))
    }
    stored: dict[str, ObjectInfo] = {}
    findings: list[Finding] = []
    tell(Checking("listing", len(named), 0))
    async for page in store.objects(common_prefix([*named, *(pattern.partition("*")[0] for pattern in patterns)])):
        tell(Checked(sum(info.name in named for info in page), 0))
        for info in page:
            if info.name in named:
                stored[info.name] = info
            elif info.name not in spare and (split := split_shard(info.name, patterns)):
                findings.append(
                    Finding(FindingKind.EXTRA, patterns[split[0]], info.name, "", counted(info.size, "byte"))
                )
    files = [file for table in manifest.tables for file in table.files]
    hidden = await uncover_files(store, manifest, files, stored)
    checked = await with_checksums(store, stored, recorded_in(files))
    checked |= {info.name: info for info in await looked_up(store, hidden) if info}
    return checked, hidden, findings


async def _is_copy(
    store: ObjectStore, settings: Settings, manifest: Manifest, stored: Mapping[str, ObjectInfo]
) -> bool:
    """Whether the complete export was copied here: then no file has its recorded generation.

    A single file that was rewritten is not a copy.
    """
    files = (file for table in manifest.tables for file in table.files)
    if not stored or any(file.name in stored and stored[file.name].generation == file.generation for file in files):
        return False
    return await was_copied(store, settings, manifest.settings)


def _refuse_unproven(settings: Settings, manifest: Manifest) -> None:
    """Raise VerificationError where signatures count: they say nothing of files that other tools have written."""
    if settings.trust:
        cause = (
            "all of its files were written again, as if copied by another tool: no signature covers what they contain"
        )
        hint = "Use the export itself, or a copy that was made with {setting:sign}."
        raise VerificationError("trust", f"run {manifest.run}", cause, hint)


def _adopt(manifest: Manifest, stored: Mapping[str, ObjectInfo]) -> Manifest:
    """The manifest with the generations of the objects stored here."""

    def as_here(file: File) -> File:
        return replace(file, generation=stored[file.name].generation) if file.name in stored else file

    tables = (replace(table, files=tuple(map(as_here, table.files))) for table in manifest.tables)
    return replace(manifest, tables=tuple(tables))


def _compare(table: str, file: File, info: ObjectInfo | None) -> list[Finding]:
    if info is None:
        return [Finding(FindingKind.MISSING, table, file.name, counted(file.size, "byte"), "")]
    if info.size != file.size:
        return [Finding(FindingKind.SIZE, table, file.name, counted(file.size, "byte"), counted(info.size, "byte"))]
    if info.crc32c != file.crc32c:
        return [Finding(FindingKind.CHECKSUM, table, file.name, file.crc32c, info.crc32c)]
    if info.generation != file.generation:
        return [Finding(FindingKind.REPLACED, table, file.name, str(file.generation), str(info.generation))]
    return []


async def compare_locks(store: ObjectStore, until: int, tables: Mapping[str, str]) -> list[Finding]:
    """Objects of a locked copy that are locked for a shorter time than their run. tables: by the names of objects."""
    expected, findings = f"locked until {rfc3339(until)}", list[Finding]()
    for name, info in sorted((await present(store, tables)).items()):
        if info.locked_until < until:
            actual = f"until {rfc3339(info.locked_until)}" if info.locked_until else "not locked"
            findings.append(Finding(FindingKind.LOCK, tables[name], name, expected, actual))
    return findings
