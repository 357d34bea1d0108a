"""One run's snapshot of one table: the objects to store, with names of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from bqdump.core.errors import DocumentError
from bqdump.core.iceberg.columns import Node, left_out
from bqdump.core.iceberg.manifests import DataFile, manifest, manifest_list, totals
from bqdump.core.iceberg.metadata import History, encoded
from bqdump.core.iceberg.snapshots import Snapshot, before, schema_of, snapshot_id, with_snapshot

METADATA = ".metadata.json"
HINT = "version-hint.text"


class Request(NamedTuple):
    """A snapshot to be made.

    root: what the name of an object is appended to, for its address. folder: the object name of the table's folder,
    with a slash. run, time: of the run; the time in milliseconds. columns: of a table without files. docs: descriptions
    of columns. history: of the table's earlier runs.
    """

    root: str
    folder: str
    run: str
    time: int
    files: Sequence[DataFile]
    columns: tuple[Node, ...]
    docs: dict[str, str]
    history: History


class Described(NamedTuple):
    """A manifest and a manifest list to store, in this order, and the history with their snapshot.

    left_out: the paths of columns whose types Iceberg lacks.
    """

    objects: tuple[tuple[str, bytes], ...]
    history: History
    left_out: tuple[str, ...]


def describe(request: Request) -> Described:
    """The snapshot of these files. Raises DocumentError where the files of the table have different columns.

    The same request gives the same objects. Names contain a digest of the content, so different content never has the
    same name.
    """
    history, place = request.history, request.root + request.folder
    columns = _columns(request)
    schema = schema_of(history, columns, request.docs)
    number = history.last_sequence_number + 1
    id_ = snapshot_id(request.run, place, request.time)
    sums = totals(request.files)
    data = manifest(schema, id_, number, request.files)
    first = _name(request, "m0", data, ".avro")
    parent = before(history, request.run, request.time)
    listed = manifest_list(
        request.root + first, len(data), id_, parent["snapshot-id"] if parent else None, number, sums
    )
    second = _name(request, "snap", listed, ".avro")
    snapshot = Snapshot(id_, request.run, request.time, number, request.root + second, sums)
    made = with_snapshot(history, snapshot, schema, columns)
    return Described(((first, data), (second, listed)), made, tuple(left_out(columns)))


def metadata_object(root: str, folder: str, run: str, history: History, until: int) -> tuple[str, bytes]:
    """The name and content of a metadata file that this run writes. root, folder: see Request. until: see History."""
    data = encoded(history, f"{root}{folder}".rstrip("/"), until)
    return metadata_name(folder, history.last_sequence_number, run, data), data


def hint_of(metadata_name: str) -> tuple[str, bytes]:
    """The name and the content of the table's version-hint.text."""
    folder, slash, last = metadata_name.rpartition("/")
    return f"{folder}{slash}{HINT}", last.removesuffix(METADATA).encode()


def name_in_hint(hint: str, content: bytes) -> str:
    """The metadata file that a version-hint.text of this name and content names; "" where it names none of bqdump."""
    version = content.decode(errors="replace")
    name = f"{hint.removesuffix(HINT)}{version}{METADATA}"
    return name if run_of(name) and "/" not in version else ""


def metadata_name(folder: str, sequence: int, run: str, data: bytes) -> str:
    """The name of a metadata file. folder: see Request. sequence: of the last snapshot."""
    return _named(folder, f"{sequence:05d}", run, data, METADATA)


def run_of(name: str) -> str:
    """The run that has written an object of this name; "" for any other object."""
    parts = name.rpartition("/")[2].split(".", 1)[0].split("-")
    return "-".join(parts[1:-1]) if len(parts) > 2 else ""


def is_intact(name: str, data: bytes) -> bool:
    """Whether this is what bqdump has stored in the object of this name."""
    return name.rpartition("/")[2].split(".", 1)[0].rpartition("-")[2] == _digest(data)


def _columns(request: Request) -> tuple[Node, ...]:
    if not request.files:
        return request.columns
    columns = request.files[0].facts.columns
    for file in request.files:
        if file.facts.columns != columns:
            raise DocumentError("describe", file.path, f"its columns differ from those of {request.files[0].path}")
    return columns


def _name(request: Request, kind: str, data: bytes, end: str) -> str:
    return _named(request.folder, kind, request.run, data, end)


def _named(folder: str, kind: str, run: str, data: bytes, end: str) -> str:
    return f"{folder}metadata/{kind}-{run}-{_digest(data)}{end}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
