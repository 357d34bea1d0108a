"""The columns of an Iceberg table: their types, the ids by which readers find them in files, and the name mapping.

A column's id follows from its path alone. So every task and every run gives the same column the same id, whatever else
the table has; a column that is dropped and added again gets its id back.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from bqdump.core.formats.types import Column

# Ids from 2**31 - 201 on belong to metadata columns.
IDS = 2**30
# The widest decimal of Iceberg.
DIGITS = 38


class Node(NamedTuple):
    """A column, a member of a struct, or (named "element") what a list holds.

    type: as Iceberg names it; "struct", "list"; "" for a type that Iceberg lacks.
    id: 0 before it has one.
    """

    name: str
    type: str
    children: tuple[Node, ...] = ()
    id: int = 0


def with_ids(columns: Sequence[Node]) -> tuple[Node, ...]:
    """The columns with an id each. Ids that the file has stay as they are if it has all of them."""
    if all(node.id for node in _nodes(columns)):
        return tuple(columns)
    return _numbered(columns, "", set())


def field_ids(paths: Iterable[str]) -> dict[str, int]:
    """The ids of columns by their paths, such as `order.lines.element.price`, given in the order of the file."""
    taken: set[int] = set()
    return {path: _id_of(path, taken) for path in paths}


def _numbered(nodes: Sequence[Node], prefix: str, taken: set[int]) -> tuple[Node, ...]:
    numbered = []
    for node in nodes:
        path = f"{prefix}{node.name}"
        number = _id_of(path, taken)
        numbered.append(node._replace(id=number, children=_numbered(node.children, f"{path}.", taken)))
    return tuple(numbered)


def _id_of(path: str, taken: set[int]) -> int:
    # BigQuery does not distinguish columns by case.
    number = zlib.crc32(path.lower().encode()) % (IDS - 1) + 1
    while number in taken:
        number = number % (IDS - 1) + 1
    taken.add(number)
    return number


def schema_fields(columns: Sequence[Node], docs: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The fields of an Iceberg schema: all columns whose types Iceberg has. docs: descriptions of columns."""
    fields = []
    for node in columns:
        if fits(node):
            field: dict[str, Any] = {"id": node.id, "name": node.name, "required": False, "type": _type(node)}
            if docs and docs.get(node.name):
                field["doc"] = docs[node.name]
            fields.append(field)
    return fields


def _type(node: Node) -> Any:
    if node.type == "struct":
        return {"type": "struct", "fields": schema_fields(node.children)}
    if node.type == "list":
        (element,) = node.children
        return {"type": "list", "element-id": element.id, "element": _type(element), "element-required": False}
    return node.type


def fits(node: Node) -> bool:
    """Whether Iceberg has its type. A struct without members that fit has none."""
    if node.type == "struct":
        return any(map(fits, node.children))
    if node.type == "list":
        return fits(node.children[0])
    return bool(node.type)


def left_out(columns: Sequence[Node], prefix: str = "") -> list[str]:
    """The paths of what Iceberg has no type for."""
    paths = []
    for node in columns:
        path = f"{prefix}{node.name}"
        if not node.type:
            paths.append(path)
        paths += left_out(node.children, f"{path}.")
    return paths


def name_mapping(columns: Sequence[Node]) -> list[dict[str, Any]]:
    """The ids by name, for files without ids. It has every column of the file, also those that the schema lacks.

    Readers find columns behind a missing one at wrong places, or not at all.
    """
    return [
        {"field-id": node.id, "names": [node.name]} | ({"fields": name_mapping(node.children)} if node.children else {})
        for node in columns
    ]


def last_id(columns: Sequence[Node]) -> int:
    """The highest id."""
    return max((node.id for node in _nodes(columns)), default=0)


def _nodes(columns: Iterable[Node]) -> Iterator[Node]:
    for node in columns:
        yield node
        yield from _nodes(node.children)


# By BigQuery's type: what a table without files gets. JSON, RANGE, INTERVAL and WKT are text.
TYPES = {
    "INT64": "long",
    "FLOAT64": "double",
    "BOOL": "boolean",
    "BYTES": "binary",
    "DATE": "date",
    "TIME": "time",
    "DATETIME": "timestamp",
    "TIMESTAMP": "timestamptz",
}


def nodes_of(columns: Iterable[Column]) -> tuple[Node, ...]:
    """The columns of a table that has no files."""
    nodes = []
    for column in columns:
        node = Node(column.name, _type_of(column), nodes_of(column.fields))
        if column.repeated:
            node = Node(column.name, "list", (node._replace(name="element"),))
        nodes.append(node)
    return tuple(nodes)


def _type_of(column: Column) -> str:
    if column.type == "STRUCT":
        return "struct"
    if column.type in ("NUMERIC", "BIGNUMERIC"):
        digits = [int(number) for number in column.parameters.strip("()").split(",") if number.strip()]
        precision, scale = (*digits, 0)[:2] if digits else DECIMALS[column.type]
        return f"decimal({precision}, {scale})" if precision <= DIGITS else ""
    return TYPES.get(column.type, "string")


DECIMALS = {"NUMERIC": (38, 9), "BIGNUMERIC": (76, 38)}
