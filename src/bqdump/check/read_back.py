"""Reading an export's files back: decode every byte, count the rows, and compare them with the manifest."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Container, Iterator
from heapq import nlargest
from typing import NamedTuple

from bqdump.check.findings import Finding, FindingKind
from bqdump.concurrency import gathered
from bqdump.core.dealing import chosen
from bqdump.core.documents.manifest import File, Manifest, TableEntry
from bqdump.core.documents.manifest_index import settings_of
from bqdump.core.formats.formats import altered_types
from bqdump.core.formats.types import columns
from bqdump.core.progress.events import Checked, Checking, Listener, ignore
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.tables.columns import exported
from bqdump.ports.data_reader import DataFile, DataReader, Digest
from bqdump.ports.store import ObjectStore
from bqdump.repository.objects import read_part

FILES_AT_ONCE = 4
PIECE_BYTES = 8 << 20
# Reads that must all fail the checksum before the stored file counts as different.
TIMES_READ = 3

log = logging.getLogger(__name__)


class ReadOptions(NamedTuple):
    """How to read files back: the library, and N to read one Nth of the files (1: all)."""

    reader: DataReader
    parts: int = 1
    checksums: bool = False


class Back(NamedTuple):
    """The result of options. digests: by object name, for files that could be decoded."""

    findings: list[Finding]
    digests: dict[str, Digest]
    files: int
    bytes: int
    rows: int


class _ReplacedError(Exception):
    """The generation of the file differs from the manifest."""


async def read_back(
    store: ObjectStore, manifest: Manifest, options: ReadOptions, lost: Container[str], tell: Listener = ignore
) -> Back:
    """Read the files sampled for this export, except those known to be `lost` or changed."""

    async def digest_of(sample: tuple[TableEntry, File]) -> Digest | None:
        try:
            return await _digest(store, manifest, *sample, options, tell)
        except _ReplacedError:
            return None
        finally:
            tell(Checked(1, 0))

    sampled = [(entry, file) for entry, file in turn(manifest, options) if file.name not in lost]
    tell(Checking("reading", len(sampled), sum(file.size for _, file in sampled)))
    digests = await gathered(digest_of, sampled, FILES_AT_ONCE)
    findings: list[Finding] = []
    whole: dict[str, Digest] = {}
    for (entry, file), digest in zip(sampled, digests, strict=True):
        of_file = _file_findings(entry, file, digest)
        findings += of_file
        if digest and not any(finding.kind in (FindingKind.CHECKSUM, FindingKind.UNREADABLE) for finding in of_file):
            whole[file.name] = digest
    for entry in manifest.tables:
        findings += _table_findings(entry, whole)
    read = [digest for digest in digests if digest]
    return Back(findings, whole, len(read), sum(digest.size for digest in read), sum(d.rows for d in whole.values()))


def turn(manifest: Manifest, options: ReadOptions) -> Iterator[tuple[TableEntry, File]]:
    """The files sampled for this export, at least one if it has any."""
    sampled = False
    for entry in manifest.tables:
        for shard, file in enumerate(entry.files):
            if chosen(entry.table, shard, options.parts, manifest.number):
                sampled = True
                yield entry, file
    if not sampled and (every := [(entry, file) for entry in manifest.tables for file in entry.files]):
        yield every[manifest.number % len(every)]


def check_room(manifest: Manifest, options: ReadOptions) -> None:
    """Raise UsageError if the files read concurrently do not fit on this machine."""
    options.reader.check_room(sum(nlargest(FILES_AT_ONCE, (file.size for _, file in turn(manifest, options)))))


async def _digest(
    store: ObjectStore, manifest: Manifest, entry: TableEntry, file: File, options: ReadOptions, tell: Listener
) -> Digest:
    """The result of reading a file. Cloud Storage sends no checksum for a part, so a file that does not match its
    checksum is read again: the bytes may have been corrupted in transit."""
    described = data_file(manifest, entry, file)
    for tell_bytes in (tell, *[ignore] * (TIMES_READ - 1)):
        content = _pieces(store, file, tell_bytes)
        digest = await options.reader.digest(described, content, checksums=options.checksums)
        if digest.crc32c == file.crc32c:
            break
        message = "%s: the bytes read do not match the checksum"
        log.warning(message, file.name, extra=LogEvent.CHECKSUM_DIFFERS.extra())
    return digest


def data_file(manifest: Manifest, entry: TableEntry, file: File) -> DataFile:
    """How a file was written."""
    settings = settings_of(manifest, entry)
    format_ = entry.format or settings["format"]
    return DataFile(
        name=file.name,
        format=format_,
        codec=entry.compression or settings["compression"],
        header=settings["header"],
        delimiter=settings["delimiter"],
        columns=exported(columns(entry.definition), entry.shape),
        crc32c=file.crc32c,
        null_marker=settings.get("null_marker", "") if entry.route == "read" else "",
        alike=altered_types(format_, entry.route),
        sha256=file.sha256,
    )


async def _pieces(store: ObjectStore, file: File, tell: Listener) -> AsyncIterator[bytes]:
    for start in range(0, file.size, PIECE_BYTES):
        data = await read_part(store, file.name, file.generation, start, min(PIECE_BYTES, file.size - start))
        if data is None:
            raise _ReplacedError
        tell(Checked(0, len(data)))
        yield data


def _file_findings(entry: TableEntry, file: File, digest: Digest | None) -> list[Finding]:
    if digest is None:
        return [Finding(FindingKind.REPLACED, entry.table, file.name, str(file.generation), "another, or none, by now")]
    if digest.crc32c != file.crc32c:
        return [Finding(FindingKind.CHECKSUM, entry.table, file.name, file.crc32c, f"{digest.crc32c}, as read")]
    if digest.sha256 != file.sha256:
        return [Finding(FindingKind.CHECKSUM, entry.table, file.name, f"SHA-256 {file.sha256}", digest.sha256)]
    if digest.unreadable:
        return [Finding(FindingKind.UNREADABLE, entry.table, file.name, "", digest.unreadable)]
    findings = [
        Finding(FindingKind.SCHEMA, entry.table, file.name, "", difference) for difference in digest.differences
    ]
    if file.rows not in (None, digest.rows):
        findings.append(Finding(FindingKind.ROWS, entry.table, file.name, f"{file.rows} rows", f"{digest.rows} rows"))
    return findings


def _table_findings(entry: TableEntry, digests: dict[str, Digest]) -> list[Finding]:
    """Compare the rows in a table that was read completely with the expected number, if one is known."""
    expected = entry.expected_rows if entry.rows is None else entry.rows
    if expected is None or any(file.name not in digests for file in entry.files):
        return []
    rows = sum(digests[file.name].rows for file in entry.files)
    return [] if rows == expected else [Finding(FindingKind.ROWS, entry.table, "", f"{expected} rows", f"{rows} rows")]
