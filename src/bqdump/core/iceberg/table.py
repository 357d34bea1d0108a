"""One run's snapshot of one table: the objects to store, with names of their own.

Adding a run's snapshot to what a metadata file records of a table: with files of its own, or of another run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.errors import DocumentError
from bqdump.core.iceberg.columns import Node, last_id, left_out, name_mapping, schema_fields
from bqdump.core.iceberg.manifests import DataFile, Totals, manifest, manifest_list, totals
from bqdump.core.iceberg.metadata import NAME_MAPPING, RUN, History, age_of, encoded, mark_of
from bqdump.core.times import rfc3339

TIME = "bqdump.snapshot-time"
TOTALS = ("total-data-files", "total-records", "total-files-size")


class Snapshot(NamedTuple):
    """The snapshot of one run.

    time: in milliseconds since 1970 UTC.
    list: the address of its manifest list.
    """

    id: int
    run: str
    time: int
    sequence: int
    list: str
    totals: Totals


def snapshot_id(run: str, place: str, time: int) -> int:
    """A positive number of 63 bits for a run's snapshot."""
    digest = hashlib.sha256(f"{run}\n{time}\n{place}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1 or 1


def schema_of(history: History, columns: Sequence[Node], docs: dict[str, str]) -> dict[str, Any]:
    """The schema of these columns: an earlier one if it is the same."""
    return _schema_of(history, schema_fields(columns, docs))


def with_snapshot(history: History, snapshot: Snapshot, schema: dict[str, Any], columns: Sequence[Node]) -> History:
    """The same with a snapshot whose manifest was written for it. schema: from `schema_of`."""
    parent = snapshot_before(history, snapshot.run, snapshot.time)
    files, rows, bytes_ = map(str, snapshot.totals)
    summary = {
        "operation": "overwrite" if parent else "append",
        "added-data-files": files,
        "added-records": rows,
        "added-files-size": bytes_,
        "total-data-files": files,
        "total-records": rows,
        "total-files-size": bytes_,
        "total-delete-files": "0",
        "total-position-deletes": "0",
        "total-equality-deletes": "0",
        RUN: snapshot.run,
        TIME: rfc3339(snapshot.time),
    }
    if parent:
        summary["deleted-data-files"] = parent["summary"]["total-data-files"]
        summary["deleted-records"] = parent["summary"]["total-records"]
    entry = {
        "sequence-number": snapshot.sequence,
        "snapshot-id": snapshot.id,
        "timestamp-ms": snapshot.time,
        "summary": summary,
        "manifest-list": snapshot.list,
        "schema-id": schema["schema-id"],
    }
    return _with_snapshot(history, entry, parent, schema, name_mapping(columns), last_id(columns))


def with_same_rows(history: History, source: History, of: dict[str, Any], run: str, time: int, place: str) -> History:
    """The same with a snapshot of this run that has the manifest list of another one.

    As it is where the snapshot before has that list: it stands for this run as well.

    source: the metadata that has the other one, which is `of`.
    time: the run's snapshot time (ms).
    place: see `no_history`.
    """
    fields = next(schema["fields"] for schema in source.schemas if schema["schema-id"] == of["schema-id"])
    schema, parent = _schema_of(history, fields), snapshot_before(history, run, time)
    if parent and parent["manifest-list"] == of["manifest-list"]:
        return history
    entry = of | {"schema-id": schema["schema-id"]}
    if mark_of(of) != (run, time):
        summary = {"operation": "overwrite" if parent else "append"}
        summary |= {name: of["summary"][name] for name in TOTALS} | {RUN: run, TIME: rfc3339(time)}
        entry |= {
            "sequence-number": history.last_sequence_number + 1,
            "snapshot-id": snapshot_id(run, place, time),
            "timestamp-ms": time,
            "summary": summary,
        }
    return _with_snapshot(history, entry, parent, schema, source.mapping, source.last_column_id)


def snapshot_before(history: History, run: str, time: int) -> dict[str, Any] | None:
    """The last snapshot before that of a run with this snapshot time (ms)."""
    earlier = [snapshot for snapshot in history.snapshots if age_of(snapshot) < (time, run)]
    return earlier[-1] if earlier else None


def _with_snapshot(
    history: History,
    entry: dict[str, Any],
    parent: dict[str, Any] | None,
    schema: dict[str, Any],
    mapping: list[dict[str, Any]],
    last_column: int,
) -> History:
    """The same with this snapshot. mapping: the names of the columns of its files."""
    entry = {name: value for name, value in entry.items() if name != "parent-snapshot-id"}
    if parent:
        entry["parent-snapshot-id"] = parent["snapshot-id"]
    schemas = [other for other in history.schemas if other["schema-id"] != schema["schema-id"]]
    merged = _merged(mapping, history.mapping if history.snapshots else [])
    return msgspec.structs.replace(
        history,
        last_sequence_number=max(history.last_sequence_number, entry["sequence-number"]),
        last_updated_ms=max(history.last_updated_ms, entry["timestamp-ms"]),
        last_column_id=max(history.last_column_id, last_column),
        schemas=[*schemas, schema],
        properties=history.properties | {NAME_MAPPING: msgspec.json.encode(merged).decode()},
        snapshots=sorted([*history.snapshots, entry], key=age_of),
    )


def _schema_of(history: History, fields: list[dict[str, Any]]) -> dict[str, Any]:
    for schema in history.schemas:
        if schema["fields"] == fields:
            return schema
    number = max((schema["schema-id"] for schema in history.schemas), default=-1) + 1
    return {"type": "struct", "schema-id": number, "fields": fields}


def _merged(known: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Both mappings; where a name has another id now, the id in use."""
    by_name = {field["names"][0]: field for field in before}
    merged = []
    for field in known:
        other = by_name.pop(field["names"][0], {})
        members = _merged(field.get("fields", []), other.get("fields", []))
        merged.append(field | ({"fields": members} if members else {}))
    return merged + list(by_name.values())


METADATA = ".metadata.json"
HINT = "version-hint.text"


class Request(NamedTuple):
    """A snapshot to be made.

    root: what the name of an object is appended to, for its address.
    folder: the object name of the table's folder, with a slash.
    run, time: of the run; the time in milliseconds.
    columns: of a table without files.
    docs: descriptions of columns.
    history: of the table's earlier runs.
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
    parent = snapshot_before(history, request.run, request.time)
    listed = manifest_list(
        request.root + first, len(data), id_, parent["snapshot-id"] if parent else None, number, sums
    )
    second = _name(request, "snap", listed, ".avro")
    snapshot = Snapshot(id_, request.run, request.time, number, request.root + second, sums)
    described = with_snapshot(history, snapshot, schema, columns)
    return Described(((first, data), (second, listed)), described, tuple(left_out(columns)))


def metadata_object(root: str, folder: str, run: str, history: History) -> tuple[str, bytes]:
    """The name and content of a metadata file that this run writes. root, folder: see Request."""
    data = encoded(history, f"{root}{folder}".rstrip("/"))
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
    """The name of a metadata file.

    folder: see Request.
    sequence: of the last snapshot.
    """
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
