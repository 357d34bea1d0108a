"""The manifest of an export that may have been copied to another prefix, whose documents name the original one.

The index of a manifest, made from the manifest. What of it retention reads.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from bqdump.core.documents.codec import RELEASE, RESTORE, decode, decode_moved
from bqdump.core.documents.document import Document
from bqdump.core.documents.fingerprints import bytes_fingerprint, fingerprint, modified, seen, way
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import File, Head, Manifest, TableEntry
from bqdump.core.documents.manifest_index import Contents, Line, attempt_of, earlier_bytes
from bqdump.core.documents.retention import RetainedFiles
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.documents.validation import CHANGED, problem
from bqdump.core.errors import DocumentError, VerificationError
from bqdump.core.retention.pruned import foreign_file
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import recorded_target
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import (
    missing_manifest,
    read_latest,
    read_replacing,
    refuse_pruned,
    refuse_set,
    unpublished,
)
from bqdump.repository.repository import Loaded, read, value_of

NOTHING_DELETED = "Nothing was deleted, because it may name files of other runs."


async def published_run(store: ObjectStore, settings: Settings) -> str:
    """The run that is published there. Raises NotFoundError, and UsageError where a set of datasets is published."""
    latest = await read_latest(store, settings)
    if latest is None:
        await refuse_set(store, settings)
        error = await unpublished(store, settings)
        if replacing := await read_replacing(store, settings):
            error.hint = f"Run {replacing.run} was about to be published. Finish it: {replacing.call}"
        raise error
    return latest.run


async def load_manifest(store: ObjectStore, settings: Settings, run: str) -> Loaded[Manifest]:
    """The manifest of a run, with the names that its files have there. Raises NotFoundError, DocumentError."""
    document = settings.layout.run(run).manifest
    await refuse_pruned(store, settings, "read", run)
    stored = await read(store, document)
    if stored is None:
        await refuse_set(store, settings)
        raise await missing_manifest(store, settings, run)
    manifest = decode_moved(stored.data, Manifest, document.name)
    before, now = recorded_target(manifest.settings).prefix, settings.target.prefix
    if before != now:
        manifest = _moved(manifest, before, now)
        if cause := problem(manifest, document.name):
            raise DocumentError("read", document.name, cause, CHANGED)
    return Loaded(manifest, stored.generation)


def _moved(manifest: Manifest, before: str, now: str) -> Manifest:
    def file(entry: File) -> File:
        return replace(entry, name=f"{now}{entry.name.removeprefix(before)}")

    def files(many: tuple[File, ...]) -> tuple[File, ...]:
        return tuple(map(file, many))

    return replace(
        manifest,
        tables=tuple(replace(table, files=files(table.files)) for table in manifest.tables),
        left=tuple(replace(table, files=files(table.files)) for table in manifest.left),
        found=files(manifest.found),
    )


async def read_retained(store: ObjectStore, name: str) -> RetainedFiles | None:
    """The files that a manifest lists, None if there is none. Raises DocumentError if they cannot be its run's."""
    try:
        manifest = await value_of(store, Document(name, RetainedFiles))
    except DocumentError as error:
        forget = f"Restore it, or delete the folder {name.rpartition('/')[0]}/."
        # One of another release is no damage.
        hint = f"{NOTHING_DELETED} {RELEASE if error.hint == RELEASE else forget}"
        raise DocumentError(error.operation, error.subject, error.cause, hint) from None
    if manifest and (wrong := foreign_file(manifest)):
        raise DocumentError("read", name, wrong, f"It was modified outside bqdump. {NOTHING_DELETED}")
    return manifest


class _Definition(msgspec.Struct):
    schema: msgspec.Raw = msgspec.Raw(b"")


class _Manifest(Head, frozen=True, kw_only=True):
    tables: tuple[msgspec.Raw, ...]


_DEFINITION = msgspec.json.Decoder(_Definition | None)
_ENTRY = msgspec.json.Decoder(TableEntry)


def contents_of(manifest: bytes, name: str) -> Contents:
    """The index of a manifest. Raises DocumentError, naming the object `name`."""
    whole = decode(manifest, _Manifest, name)
    lines: list[Line] = []
    at = 0
    for raw in whole.tables:
        entry = bytes(raw)
        # Each entry follows the one before.
        at = manifest.index(entry, at)
        try:
            lines.append(_line(whole, _ENTRY.decode(entry), at, len(entry)))
        except msgspec.MsgspecError as error:
            raise DocumentError("read", name, f"its table {len(lines) + 1} is not valid ({error})") from None
        at += len(entry)
    return Contents(tables=tuple(lines), **{name: getattr(whole, name) for name in Head.__struct_fields__})


async def read_contents(store: ObjectStore, layout: RunLayout) -> Contents | None:
    """The index of a run's manifest, made anew where it is damaged or missing; None without a manifest.

    Raises DocumentError if both are damaged, or another run's.
    """
    with suppress(DocumentError):
        if (contents := await value_of(store, layout.contents)) and f"/{contents.run}/" in layout.root:
            return contents
    stored = await read(store, layout.manifest)
    return contents_of(stored.data, layout.manifest.name) if stored else None


def _line(manifest: _Manifest, entry: TableEntry, offset: int, length: int) -> Line:
    definition = _DEFINITION.decode(entry.definition)
    schema = bytes(definition.schema) if definition else b""
    settings = manifest.settings | (entry.carried.settings if entry.carried else {})
    tool = (entry.carried or manifest).tool
    made_by = way(entry.route, entry.format, entry.compression, entry.shape, settings, tool)
    rows = entry.planned_rows if entry.rows is None else entry.rows
    return Line(
        entry.table,
        entry.kind,
        entry.route,
        entry.unit,
        rows,
        entry.planned_bytes,
        len(entry.files),
        sum(file.size for file in entry.files),
        entry.created,
        entry.started,
        entry.ended,
        entry.task,
        max(map(attempt_of, entry.jobs), default=0),
        hashlib.blake2b(schema, digest_size=6).hexdigest(),
        offset,
        length,
        entry.read_at,
        entry.why if entry.read_at == "job" else "",
        bytes_fingerprint(entry),
        fingerprint(made_by),
        modified(entry.kind, entry.definition),
        entry.carried,
        earlier_bytes(entry),
        *seen(manifest, entry),
    )


async def problem_of(trusting: ObjectStore, manifest: str) -> str:
    """Why the manifest of this name is not trusted, "" where it is. trusting: see repository.signatures."""
    try:
        await trusting.stat(manifest)
    except VerificationError as error:
        return fill(error.cause, COMMANDS)
    return ""


def lost(layout: Layout, run: str, why: str, entry: str, so: str = NOTHING_DELETED) -> DocumentError:
    """The error about a manifest that must be there. entry: the name of the run's entry in the log."""
    names = layout.run(run)
    forgotten = f"delete the folder {names.root} and {entry}"
    hint = f"{so} {RESTORE}. If the run may be forgotten, {forgotten}."
    return DocumentError("read", names.manifest.name, f"it does not exist, but {why}", hint)
