"""Types of columns in statements, as the API has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from bqdump_local.bigquery.errors import invalid_query
from bqdump_local.bigquery.types import CANONICAL, STORED, Field, parse_field

# The resource of a member of a STRUCT, which is at this position.
Member = Callable[[exp.Expression, int], dict[str, Any]]
SYNONYMS = {"DECIMAL": "NUMERIC", "BIGDECIMAL": "BIGNUMERIC", "TEXT": "STRING"}
LONG = {"STRING", "BYTES"}
DECIMALS = {"NUMERIC", "BIGNUMERIC"}


def typed(name: str, kind: exp.DataType) -> Field:
    """A column of a type, without constraints."""
    return parse_field({"name": name, **type_of(kind, _member)})


def type_of(kind: exp.DataType, member: Member) -> dict[str, Any]:
    """What the resource of a column of this type has besides its name. member: makes the members of a STRUCT."""
    if kind.this == exp.DataType.Type.ARRAY:
        return {**type_of(kind.expressions[0], member), "mode": "REPEATED"}
    if kind.this == exp.DataType.Type.STRUCT:
        return {"type": "RECORD", "fields": [member(node, number) for number, node in enumerate(kind.expressions, 1)]}
    text = kind.sql(dialect="bigquery").upper()
    base = text.partition("<")[0].partition("(")[0].strip()
    base = SYNONYMS.get(base, CANONICAL.get(base, base))
    if base not in STORED:
        raise invalid_query(f"Type not found: {text}")
    resource: dict[str, Any] = {"type": base}
    numbers = [item.name for item in kind.expressions if isinstance(item, exp.DataTypeParam)]
    if base in LONG and numbers:
        resource["maxLength"] = numbers[0]
    if base in DECIMALS and numbers:
        resource |= dict(zip(("precision", "scale"), numbers, strict=False))
    if base == "RANGE" and kind.expressions:
        resource["rangeElementType"] = {"type": kind.expressions[0].sql(dialect="bigquery")}
    return resource


def kind_of(node: exp.Expression) -> exp.DataType:
    """The type of a column or member that is defined."""
    kind = node.args.get("kind")
    if not isinstance(kind, exp.DataType):
        raise invalid_query(f"Syntax error: the column {node.name} has no type")
    return kind


def unnamed(kind: exp.DataType, position: int, member: Member) -> dict[str, Any]:
    """The resource of a member of which only the type is written."""
    return {"name": f"_field_{position}", **type_of(kind, member)}


def _member(node: exp.Expression, position: int) -> dict[str, Any]:
    if isinstance(node, exp.DataType):
        return unnamed(node, position, _member)
    return {"name": node.name, **type_of(kind_of(node), _member)}
