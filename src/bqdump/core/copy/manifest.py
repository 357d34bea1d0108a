"""The manifest of a copied run: that of its source, with the names and generations of the copy.

The names of a copied run's files: each run has its own folder, also where the source replaces its files.

A file that an earlier run exported keeps the folder of that run, so that all runs that name it share it in the copy.

What moving files costs: requests, and bytes that leave a location.

What all copies of a run have in common, as one checksum, which distinguishes two runs of one id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from bqdump.core.documents.copying import CopyOf
from bqdump.core.documents.manifest import Carried, File, Manifest, TableEntry
from bqdump.core.documents.manifest_index import settings_of
from bqdump.core.documents.path_template import MAX_OBJECT_NAME_BYTES, Template
from bqdump.core.documents.sets import SetManifest
from bqdump.core.documents.target import Latest
from bqdump.core.errors import UsageError
from bqdump.core.settings.target import Target, record_of

RUN_FOLDER = "{run}/"


class Item(NamedTuple):
    """A file to copy: its name in the source and in the copy, and what it is. sha256: "" where it is not known.

    generation: in the source, as its manifest records it.
    """

    source: str
    target: str
    size: int
    crc32c: str
    sha256: str = ""
    generation: int = 0


def items_of(manifest: Manifest, source: Target, target: Target) -> tuple[Item, ...]:
    """The files of a run. Raises UsageError where a name would be too long."""
    return tuple(
        _item(file, name) for entry in manifest.tables for file, name in _named(manifest, entry, source, target)
    )


def renamed(manifest: Manifest, entry: TableEntry, source: Target, target: Target) -> list[str]:
    """The names that a table's files have in the copy, in their order."""
    return [name for _, name in _named(manifest, entry, source, target)]


def own_path(path: str) -> str:
    """The path template of a copy whose source has this one: with a folder for each run."""
    return path if Template(path).keeps else f"{RUN_FOLDER}{path}"


def copied_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run, or of a table that it carries over, as its copy has them, apart from the place."""
    return settings | {"path": own_path(str(settings["path"]))} if "path" in settings else settings


def _item(file: File, name: str) -> Item:
    return Item(file.name, name, file.size, file.crc32c, file.sha256, file.generation)


def _named(manifest: Manifest, entry: TableEntry, source: Target, target: Target) -> Iterator[tuple[File, str]]:
    files = iter(entry.files)
    parts = [(partition.carried or entry.carried, partition.files) for partition in entry.partitions]
    for carried, count in parts or [(entry.carried, len(entry.files))]:
        maker, keeps = _made_by(manifest, entry, carried)
        for file in islice(files, count):
            below = file.name.removeprefix(source.prefix)
            yield file, _checked(f"{target.prefix}{below if keeps else f'{maker}/{below}'}", entry.table)


def _made_by(manifest: Manifest, entry: TableEntry, carried: Carried | None) -> tuple[str, bool]:
    """The run that exported the files, and whether their names have its id already."""
    settings = manifest.settings | carried.settings if carried else settings_of(manifest, entry)
    return carried.run if carried else manifest.run, Template(str(settings["path"])).keeps


def _checked(name: str, table: str) -> str:
    if (length := len(name.encode())) > MAX_OBJECT_NAME_BYTES:
        cause = f"a file would have a name of {length:,} bytes in the copy, and {MAX_OBJECT_NAME_BYTES:,} are possible"
        raise UsageError("copy", f"table {table[:100]}", cause, "Copy to a shorter prefix.")
    return name


# Settings that are the same for all tables of a copy.
PLACE_SETTINGS = ("bucket", "to", "prefix", "iceberg")


class Here(NamedTuple):
    """A file of the copy: its generation there, and its SHA-256 ("" where its bytes were not read)."""

    generation: int
    sha256: str


def copied_manifest(
    manifest: Manifest, source: Target, target: Target, here: Mapping[str, Here], origin: CopyOf
) -> Manifest:
    """The copy's manifest. here: each file by its name in the copy.

    It has no files of earlier exports (`left`, `found`), which are not the run's, and no Iceberg metadata yet: that of
    the source has the addresses of the source.
    """

    def files(entry: TableEntry) -> tuple[File, ...]:
        names = renamed(manifest, entry, source, target)
        return tuple(
            replace(file, name=name, generation=here[name].generation, sha256=here[name].sha256)
            for file, name in zip(entry.files, names, strict=True)
        )

    tables = (
        replace(
            entry,
            files=files(entry),
            iceberg=(),
            carried=_carried(entry.carried),
            partitions=tuple(replace(part, carried=_carried(part.carried)) for part in entry.partitions),
        )
        for entry in manifest.tables
    )
    place = record_of(target) | {"iceberg": False}
    return replace(
        manifest,
        mode="keep",
        settings=copied_settings(manifest.settings) | place,
        tables=tuple(tables),
        left=(),
        found=(),
        copy_of=origin,
    )


def pointer_to(manifest: Manifest | SetManifest, name: str, generation: int) -> Latest:
    """The copy's pointer to a run; to one of a set, where objects are locked. name, generation: of the manifest."""
    pointer = Latest(
        run=manifest.run,
        dataset=manifest.dataset,
        project=manifest.project,
        snapshot_time=manifest.snapshot_time,
        snapshot=manifest.snapshot,
        status=manifest.status,
        mode="keep",
        manifest=name,
        manifest_generation=generation,
    )
    if isinstance(manifest, SetManifest):
        return replace(pointer, number=manifest.published, locked=True)
    return replace(
        pointer,
        number=manifest.number,
        mode=manifest.mode,
        over=manifest.over,
        carried=manifest.totals.carried,
        oldest_snapshot_time=manifest.oldest_snapshot_time,
    )


def _carried(carried: Carried | None) -> Carried | None:
    """Only the path differs from the manifest's settings: the place is the manifest's."""
    if carried is None:
        return None
    kept = {name: value for name, value in carried.settings.items() if name not in PLACE_SETTINGS}
    return replace(carried, settings=copied_settings(kept))


ENCODER = msgspec.json.Encoder()


def content_of(manifest: Manifest) -> str:
    """A SHA-256 over the run: its dataset and time, and definition, sizes and checksums of each table's files.

    Where the files are does not count, so that a copy of a copy has the content of the export.
    """
    digest = hashlib.sha256()
    digest.update(
        ENCODER.encode((manifest.run, manifest.project, manifest.dataset, manifest.snapshot, manifest.status))
    )
    for entry in manifest.tables:
        files = [(file.size, file.crc32c) for file in entry.files]
        digest.update(ENCODER.encode((entry.table, files)))
        digest.update(hashlib.sha256(entry.definition).digest())
    return digest.hexdigest()


# The bytes of one request for a part of a file, on both sides.
PIECE_BYTES = 8 << 20


class Missing(NamedTuple):
    """A file that the copy lacks. expect: the generation that it replaces, 0 for none."""

    item: Item
    expect: int = 0


class Side(NamedTuple):
    """One side of a copy. location: of the bucket, such as a region; "" for a folder, or where it is not known."""

    target: Target
    location: str


def requests_for(missing: Iterable[Missing], *, rewrites: bool) -> int:
    """About how many requests move these files: reads and writes of parts. rewrites: the service moves the bytes."""
    if rewrites:
        return sum(1 for _ in missing)
    return sum(-(-file.item.size // PIECE_BYTES) + _uploads(file.item.size) for file in missing)


def egress_of(moved: int, source: Side, target: Side) -> int:
    """The bytes, of those moved, that leave the location of the source: all, unless both are known to be in one place.

    A folder may be on a machine in the bucket's own location, which bqdump cannot see.
    """
    if source.target.folder:
        return 0
    services = source.target.scheme, target.target.scheme
    same = services[0] == services[1] and source.location.upper() == target.location.upper() != ""
    return 0 if same else moved


def _uploads(size: int) -> int:
    """The parts of an upload; of several, also a request that begins it, and one that reads what is stored."""
    parts = max(1, -(-size // PIECE_BYTES))
    return parts + (2 if parts > 1 else 0)
