"""What a snippet reads: the addresses of a table's files, their form, and their columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bqdump.core.documents.manifest import Head, TableEntry
from bqdump.core.documents.manifest_index import settings_of
from bqdump.core.formats.formats import FORMATS
from bqdump.core.formats.types import Column, columns
from bqdump.core.settings.target import Target, recorded_target
from bqdump.core.sql.views import TEXT_FORMATS
from bqdump.core.tables.columns import exported

# More files than that are named by patterns where these are certain; more addresses than that are no snippet.
MOST_FILES, MOST_ADDRESSES = 20, 500
MAGIC = frozenset("*?[")


class Source(NamedTuple):
    """A table's files.

    addresses: of files, or patterns of them (see `patterns`).
    null: the string written for NULL.
    iceberg: the address of the table's Iceberg metadata, "" for none.
    bucket: whether they are in a bucket.
    """

    table: str
    format: str
    codec: str
    route: str
    header: bool
    delimiter: str
    null: str
    columns: tuple[Column, ...]
    addresses: tuple[str, ...]
    patterns: bool
    iceberg: str
    bucket: bool

    def has(self, *types: str) -> bool:
        """Whether there are values of any of these types, nested ones included."""
        return _has(self.columns, types)

    @property
    def hive(self) -> bool:
        """Whether readers would take a folder, such as one of a partition, for a column."""
        return any("=" in address for address in self.addresses)

    @property
    def literal(self) -> bool:
        """Whether an address has a character that would make it a pattern."""
        return not self.patterns and any(MAGIC.intersection(address) for address in self.addresses)


def source_of(head: Head, entry: TableEntry, target: Target) -> Source | None:
    """A table of a run as it is in this target, which may be a copy.

    None for a table without files, or with too many, where no definition has the types of its text, and for places that
    the tools do not read with the credentials that they have.
    Raises msgspec.MsgspecError where the table's definition is not valid.
    """
    settings, names = settings_of(head, entry), [file.name for file in entry.files]
    format_ = entry.format or str(settings.get("format", "csv"))
    # polars reads Avro file by file.
    # Only in a folder of the table's own does a pattern match no file of another table.
    own = "{table}" in str(settings.get("path", "")).split("/")[:-1]
    patterned = own and len(names) > MOST_FILES and format_ != "avro" and not any(map(MAGIC.intersection, names))
    addressed = list(dict.fromkeys(map(_pattern, names))) if patterned else names
    types = exported(columns(entry.definition), entry.shape)
    if not (target.bucket or target.folder):
        return None
    if format_ not in FORMATS or not 0 < len(addressed) <= MOST_ADDRESSES or (format_ in TEXT_FORMATS and not types):
        return None
    root = target.url if target.bucket else str(Path(target.folder).absolute())
    # Iceberg metadata has the addresses of the original place.
    iceberg = entry.iceberg and recorded_target(head.settings).url == target.url
    return Source(
        table=entry.table,
        format=format_,
        codec=entry.compression or str(settings.get("compression", "none")),
        route=entry.route,
        header=bool(settings.get("header", True)),
        delimiter=str(settings.get("delimiter", ",")),
        null=str(settings.get("null_marker", "")) if entry.route == "read" else "",
        columns=types,
        addresses=tuple(f"{root}/{name}" for name in addressed),
        patterns=patterned,
        iceberg=f"{root}/{entry.iceberg[-1].name}" if iceberg else "",
        bucket=bool(target.bucket),
    )


def _has(columns: Sequence[Column], types: Sequence[str]) -> bool:
    return any(column.type in types or _has(column.fields, types) for column in columns)


def _pattern(name: str) -> str:
    """The name with a * for its number, or as it is where the number is not certain."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/{re.sub('[0-9]{12}', '*', last)}" if len(re.findall("[0-9]{12}", last)) == 1 else name
