"""Reading an export's files back: decode every byte, count the rows, and compare them with the manifest."""

from __future__ import annotations

from collections.abc import Awaitable, Container, Iterator
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
from bqdump.core.sizes import counted
from bqdump.core.tables.columns import exported
from bqdump.file_content import FileContent, OtherFileError, read_file
from bqdump.ports.data_reader import DataFile, DataReader, Digest
from bqdump.ports.store import ObjectStore

FILES_AT_ONCE = 4


class ReadOptions(NamedTuple):
    """How to read files back: the library, and N to read one Nth of the files (1: all). texts: see DataReader."""

    reader: DataReader
    parts: int = 1
    checksums: bool = False
    texts: bool = False


class Back(NamedTuple):
    """The result of options. digests: by object name, for files that could be decoded."""

    findings: list[Finding]
    digests: dict[str, Digest]
    files: int
    bytes: int
    rows: int


async def read_back(
    store: ObjectStore, manifest: Manifest, options: ReadOptions, lost: Container[str], tell: Listener = ignore
) -> Back:
    """Read the files sampled for this export, except those known to be `lost` or changed."""

    async def look(sample: tuple[TableEntry, File]) -> Digest | OtherFileError:
        entry, file = sample
        try:
            return await digest_file(store, data_file(manifest, entry, file), entry, file, options, tell)
        except OtherFileError as error:
            return error
        finally:
            tell(Checked(1, 0))

    sampled = [(entry, file) for entry, file in turn(manifest, options) if file.name not in lost]
    tell(Checking("reading", len(sampled), sum(file.size for _, file in sampled)))
    digests = await gathered(look, sampled, FILES_AT_ONCE)
    findings: list[Finding] = []
    whole: dict[str, Digest] = {}
    files = size = 0
    for (entry, file), digest in zip(sampled, digests, strict=True):
        findings += _file_findings(entry, file, digest)
        replaced = isinstance(digest, OtherFileError) and digest.replaced
        files, size = files + (not replaced), size + file.size * (not replaced)
        if isinstance(digest, Digest) and not digest.unreadable:
            whole[file.name] = digest
    for entry in manifest.tables:
        findings += _table_findings(entry, whole)
    return Back(findings, whole, files, size, sum(digest.rows for digest in whole.values()))


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


async def digest_file(
    store: ObjectStore, described: DataFile, entry: TableEntry, file: File, options: ReadOptions, tell: Listener
) -> Digest:
    """The result of reading a file. Raises OtherFileError."""

    def digest(content: FileContent) -> Awaitable[Digest]:
        return options.reader.digest(described, content, checksums=options.checksums, texts=options.texts)

    return await read_file(store, file, digest, table=entry.table, tell=tell)


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
        null_marker=settings.get("null_marker", "") if entry.route == "read" else "",
        alike=altered_types(format_, entry.route),
    )


def _file_findings(entry: TableEntry, file: File, digest: Digest | OtherFileError) -> list[Finding]:
    if isinstance(digest, OtherFileError):
        if digest.replaced:
            found = "another, or none, by now"
            return [Finding(FindingKind.REPLACED, entry.table, file.name, str(file.generation), found)]
        return [Finding(FindingKind.CHECKSUM, entry.table, file.name, digest.expected, f"{digest.found}, as read")]
    if digest.unreadable:
        return [Finding(FindingKind.UNREADABLE, entry.table, file.name, "", digest.unreadable)]
    findings = [
        Finding(FindingKind.SCHEMA, entry.table, file.name, "", difference) for difference in digest.differences
    ]
    if file.rows not in (None, digest.rows):
        found, read = counted(file.rows, "row"), counted(digest.rows, "row")
        findings.append(Finding(FindingKind.ROWS, entry.table, file.name, found, read))
    return findings


def _table_findings(entry: TableEntry, digests: dict[str, Digest]) -> list[Finding]:
    """Compare the rows in a table that was read completely with the expected number, if one is known."""
    expected = entry.expected_rows if entry.rows is None else entry.rows
    if expected is None or any(file.name not in digests for file in entry.files):
        return []
    rows = sum(digests[file.name].rows for file in entry.files)
    if rows == expected:
        return []
    return [Finding(FindingKind.ROWS, entry.table, "", counted(expected, "row"), counted(rows, "row"))]
