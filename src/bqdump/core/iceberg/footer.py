"""A second footer for a Parquet file: the same metadata with field ids, and with UTC flags where BigQuery lacks them.

Readers use the last footer of a file. So what follows here, appended to the file, makes it a file with ids; its values
stay where they are. BigQuery writes TIMESTAMP without the flag that makes readers see an instant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bqdump.core.formats.parquet_footer import BOOL, I32, MAGIC, Fields, Value, encode_struct
from bqdump.core.formats.types import Column
from bqdump.core.iceberg.columns import Node
from bqdump.core.iceberg.parquet import (
    CONVERTED,
    FIELD_ID,
    LACKING,
    LOGICAL,
    SCHEMA,
    TIMESTAMP,
    columns_of,
    decoded,
    lacks,
)

TIMESTAMP_MICROS = 10


def second_footer(footer: bytes, instants: Collection[str], name: str) -> bytes:
    """What to append to the file; empty if its footer has ids already.

    footer: without its trailer.
    instants: the paths of columns that hold TIMESTAMPs.

    Raises DocumentError.
    """
    metadata = decoded(footer, name)
    try:
        if any(FIELD_ID in element for element in metadata[SCHEMA].value.values):
            return b""
        _number(metadata, instants)
    except LACKING as error:
        raise lacks(name, error) from None
    data = encode_struct(metadata)
    return data + len(data).to_bytes(4, "little") + MAGIC


def _number(metadata: Fields, instants: Collection[str]) -> None:
    """Give each column its id, and TIMESTAMPs their flag."""
    rest = iter(metadata[SCHEMA].value.values)
    next(rest)
    for path, element, number in _walk(columns_of(metadata), rest, ""):
        element[FIELD_ID] = Value(I32, number)
        if path in instants:
            _make_instant(element)


def _walk(nodes: Collection[Node], rest: Iterator[Fields], prefix: str) -> Iterator[tuple[str, Fields, int]]:
    for node in nodes:
        path = f"{prefix}{node.name}"
        yield path, next(rest), node.id
        if node.type == "list":
            # The repeated group between a list and its elements has no id.
            next(rest)
        yield from _walk(node.children, rest, f"{path}.")


def _make_instant(element: Fields) -> None:
    union = element.get(LOGICAL)
    if union and TIMESTAMP in union.value:
        union.value[TIMESTAMP].value[1] = Value(BOOL, value=True)
        element[CONVERTED] = Value(I32, TIMESTAMP_MICROS)


def instants(columns: Collection[Column], prefix: str = "") -> Iterator[str]:
    """The paths of columns, and of members and elements, that hold TIMESTAMPs."""
    for column in columns:
        path = f"{prefix}{column.name}" + (".element" if column.repeated else "")
        if column.type == "TIMESTAMP":
            yield path
        yield from instants(column.fields, f"{path}.")
