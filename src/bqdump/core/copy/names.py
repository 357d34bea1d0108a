"""The names of a copied run's files: each run has its own folder, also where the source replaces its files.

A file that an earlier run exported keeps the folder of that run, so that all runs that name it share it in the copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from bqdump.core.documents.manifest import Carried, File, Manifest, TableEntry
from bqdump.core.documents.origin import settings_of
from bqdump.core.documents.path_template import MAX_OBJECT_NAME_BYTES, Template
from bqdump.core.errors import UsageError
from bqdump.core.settings.target import Target

RUN_FOLDER = "{run}/"


class Item(NamedTuple):
    """A file to copy: its name in the source and in the copy, and what it is. sha256: "" where it is not known."""

    source: str
    target: str
    size: int
    crc32c: str
    sha256: str = ""


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
    return Item(file.name, name, file.size, file.crc32c, file.sha256)


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
