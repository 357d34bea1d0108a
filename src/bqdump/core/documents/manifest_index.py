"""The index of a manifest, and the summary of a run. Both are made from the manifest.

A manifest has the definition of every table and the name of every file: 1 KB or more for each table. The index has a
line of numbers for each table, with the place of its entry in the manifest. The summary is one note for a run.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bqdump.core.documents.codec import decode
from bqdump.core.documents.fields import FORMAT_VERSION, Count, ReadAt, Time
from bqdump.core.documents.fingerprints import Side, bytes_fingerprint, fingerprint, modified, way
from bqdump.core.documents.layout import LARGEST
from bqdump.core.documents.manifest import Carried, Head, TableEntry, Totals
from bqdump.core.documents.origin import earlier_bytes
from bqdump.core.documents.unmodified import Seen, seen
from bqdump.core.errors import DocumentError

# A place within a manifest, in bytes.
Place = Annotated[int, Meta(ge=0, le=LARGEST)]


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A table of an export. `rows` as exported where that is known, else as planned; `bytes` as planned.

    size: of the files. schema: a fingerprint of its columns. offset, length: the place of its entry in the manifest,
    in bytes. why: why it was not read at the snapshot time, where read_at is "job". content, made, modified, look,
    steady, at, empty: see `fingerprints.Side`. carried: set where an earlier run exported it. earlier: bytes of files
    that earlier runs exported.
    """

    table: str
    kind: str
    route: str
    unit: str
    rows: Count
    bytes: Count
    files: Count
    size: Count
    created: Time
    started: Time
    ended: Time
    task: Count
    attempt: Count
    schema: str
    offset: Place
    length: Place
    read_at: ReadAt = "snapshot"
    why: str = ""
    content: str = ""
    made: str = ""
    modified: Time = 0
    carried: Carried | None = None
    earlier: Count = 0
    look: str = ""
    steady: bool = False
    at: Time = 0
    empty: bool = False

    @property
    def side(self) -> Side:
        """Its values for a comparison with the same table of another export."""
        known = Seen(self.look, self.steady, self.at, self.empty)
        return Side(self.rows, self.bytes, self.content, self.made, self.modified, *known)


class Contents(Head, frozen=True, kw_only=True):
    """A manifest without definitions and files."""

    tables: tuple[Line, ...]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a few numbers. rows: the sum over its tables.

    begun, ended: the first creation and the last end of its own jobs (ms), 0 without jobs.
    """

    format_version: int = FORMAT_VERSION
    run: str
    status: Literal["complete", "partial"]
    snapshot_time: str
    totals: Totals
    rows: Count
    skipped: Count
    failed: Count
    begun: Time
    ended: Time
    oldest_snapshot_time: str = ""


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


def summary_of(contents: Contents) -> Summary:
    """The summary of a run."""
    own = [line for line in contents.tables if line.carried is None]
    return Summary(
        run=contents.run,
        status=contents.status,
        snapshot_time=contents.snapshot_time,
        totals=contents.totals,
        rows=sum(line.rows for line in contents.tables),
        skipped=len(contents.skipped),
        failed=len(contents.failed),
        begun=min((line.created for line in own), default=0),
        ended=max((line.ended for line in own), default=0),
        oldest_snapshot_time=contents.oldest_snapshot_time,
    )


def is_job(name: str) -> bool:
    """Whether this is the id of one of bqdump's jobs, and not a read session."""
    return name.startswith("bqdump_")


def attempt_of(job: str) -> int:
    """The attempt of a job, from 0: the last part of its id."""
    number = job.rpartition("_")[2]
    return int(number) if is_job(job) and number.isdecimal() and len(number) <= 3 else 0


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
