"""The index of a manifest, made from the manifest."""

from __future__ import annotations

import hashlib

import msgspec

from bqdump.core.documents.codec import decode
from bqdump.core.documents.fingerprints import bytes_fingerprint, fingerprint, modified, seen, way
from bqdump.core.documents.manifest import Head, TableEntry
from bqdump.core.documents.manifest_index import Contents, Line, attempt_of, earlier_bytes
from bqdump.core.errors import DocumentError


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


def _line(manifest: _Manifest, entry: TableEntry, offset: int, length: int) -> Line:
    definition = _DEFINITION.decode(entry.definition)
    schema = bytes(definition.schema) if definition else b""
    settings = manifest.settings | (entry.carried.settings if entry.carried else {})
    tool = (entry.carried or manifest).tool
    made = way(entry.route, entry.format, entry.compression, entry.shape, settings, tool)
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
        bytes_fingerprint((file.size, file.crc32c) for file in entry.files),
        fingerprint(made),
        modified(entry.kind, entry.definition),
        entry.carried,
        earlier_bytes(entry),
        *seen(manifest, entry),
    )
