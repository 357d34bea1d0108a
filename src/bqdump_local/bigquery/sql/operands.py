"""What BigQuery refuses for the types of operands, and what this stand-in cannot do for types that it stores as text.

The type of an operand is known where it is a literal, a cast, or a column of a table.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from bqdump_local.bigquery.errors import invalid_query, unsupported
from bqdump_local.bigquery.sql import not_a_number
from bqdump_local.bigquery.types import Field

AS_TEXT = {"BIGNUMERIC", "INTERVAL", "RANGE"}
NUMBERS = {"INT64", "FLOAT64", "NUMERIC"}
# Types whose values can be compared with each other, and with no others. A DATE is also a DATETIME.
FAMILIES = ({*NUMBERS, "number"}, {"STRING", "text"}, {"BYTES"}, {"BOOL"}, {"DATE", "DATETIME", "text"},
            {"TIMESTAMP", "text"}, {"TIME", "text"})  # fmt: skip
NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
UNORDERED = {"JSON", "STRUCT", "ARRAY", "GEOGRAPHY"}
COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)
CALCULATED = (
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg, exp.Abs, exp.Sign, exp.Round, exp.Trunc, exp.Ceil, exp.Floor),
    *(exp.Sqrt, exp.Pow, exp.Mod, exp.Greatest, exp.Least, exp.Sum, exp.Avg, exp.SafeDivide, exp.IntDiv),
)


def check(statement: exp.Expression, fields: Sequence[Field]) -> None:
    """Refuse a statement with such operands, and compare NaN as BigQuery does.

    fields: the columns of the tables that the statement reads.
    """
    renamed = {node.alias.lower() for node in statement.find_all(exp.Alias)}
    columns: dict[str, str] = {}
    for field in fields:
        name, kind = field.name.lower(), "ARRAY" if field.mode == "REPEATED" else NAMES.get(field.type, field.type)
        columns[name] = "" if name in renamed or columns.get(name, kind) != kind else kind
    for node in list(statement.walk()):
        # In an UPDATE, `=` assigns.
        if isinstance(node, COMPARED) and not isinstance(node.parent, exp.Update):
            _compare(node, columns)
            if isinstance(node, exp.Binary) and "FLOAT64" in (_kind(node.left, columns), _kind(node.right, columns)):
                not_a_number.compare(node, lambda side: _kind(side, columns))
        elif isinstance(node, CALCULATED):
            _calculate(node, columns)
        elif isinstance(node, (exp.Ordered, exp.Max, exp.Min)):
            _order(node, columns)
            if isinstance(node, exp.Ordered) and _kind(node.this, columns) == "FLOAT64":
                not_a_number.first(node)


def _kind(node: exp.Expression | None, columns: dict[str, str]) -> str:
    """The type of an operand; "" if it is not known."""
    if isinstance(node, exp.Paren):
        return _kind(node.this, columns)
    if isinstance(node, exp.Literal):
        return "text" if node.is_string else "number"
    if isinstance(node, exp.Cast):
        return str(node.to.sql(dialect="bigquery").partition("(")[0].partition("<")[0])
    if isinstance(node, exp.Array):
        return "ARRAY"
    if isinstance(node, exp.ParseJSON):
        return "JSON"
    if isinstance(node, exp.Column):
        return columns.get(node.name.lower(), "")
    return ""


def _compare(node: exp.Expression, columns: dict[str, str]) -> None:
    operands = [node.this, *(node.args.get(key) for key in ("expression", "low", "high")), *node.expressions]
    kinds = [kind for operand in operands if (kind := _kind(operand, columns))]
    for kind in kinds:
        if kind in AS_TEXT:
            raise unsupported(f"comparisons of {kind}", location="query")
    if not isinstance(node, (exp.In, exp.Between)) and any(kind in ("ARRAY", "JSON", "GEOGRAPHY") for kind in kinds):
        raise invalid_query(f"{node.key.upper()} is not defined for arguments of type {', '.join(kinds)}")
    known = {kind for kind in kinds if any(kind in family for family in FAMILIES)}
    if len(known) > 1 and not any(known <= family for family in FAMILIES):
        named = ", ".join({"text": "STRING", "number": "INT64"}.get(kind, kind) for kind in kinds)
        raise invalid_query(f"No matching signature for operator {node.key.upper()} for argument types: {named}")


def _calculate(node: exp.Expression, columns: dict[str, str]) -> None:
    kinds = [_kind(operand, columns) for operand in (node.this, node.args.get("expression"), *node.expressions)]
    # An INTERVAL that is a literal is none of text, unlike one in a column.
    for kind in kinds:
        if kind in AS_TEXT:
            raise unsupported(f"{node.key.upper()} of {kind}", location="query")
    if isinstance(node, exp.Sub) and kinds[0] == kinds[1] and kinds[0] in ("DATE", "DATETIME", "TIMESTAMP"):
        raise unsupported(f"the difference of two values of {kinds[0]}, an INTERVAL", location="query")


def _order(node: exp.Expression, columns: dict[str, str]) -> None:
    kind, name = _kind(node.this, columns), "ORDER BY" if isinstance(node, exp.Ordered) else node.key.upper()
    if kind in AS_TEXT:
        raise unsupported(f"{name} of {kind}", location="query")
    if kind in UNORDERED:
        raise invalid_query(f"{name} does not support expressions of type {kind}")
