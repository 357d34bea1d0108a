"""Columns in statements: types with parameters, NOT NULL, DEFAULT, COLLATE, OPTIONS, and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from bqdump_local.bigquery.sql.parsing import invalid_query
from bqdump_local.bigquery.statements import options
from bqdump_local.bigquery.tables.types import CANONICAL, STORED, Field, parse_field

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bqdump_local.bigquery.sql.translation import Translation

SYNONYMS = {"DECIMAL": "NUMERIC", "BIGDECIMAL": "BIGNUMERIC", "TEXT": "STRING"}
LONG = {"STRING", "BYTES"}
DECIMALS = {"NUMERIC", "BIGNUMERIC"}


def defined(schema: exp.Expression | None, translation: Translation) -> tuple[Field, ...]:
    """The columns that a statement defines; none without a list of columns."""
    if not isinstance(schema, exp.Schema):
        return ()
    return tuple(column(item, translation) for item in schema.expressions if isinstance(item, exp.ColumnDef))


def column(node: exp.ColumnDef, translation: Translation) -> Field:
    """One column."""
    return parse_field(_column(node, translation))


def typed(name: str, kind: exp.DataType) -> Field:
    """A column of a type, without constraints."""
    return parse_field({"name": name, **_type(kind, None)})


def _column(node: exp.Expression, translation: Translation | None, position: int = 0) -> dict[str, Any]:
    if isinstance(node, exp.DataType):
        return {"name": f"_field_{position}", **_type(node, translation)}
    kind = node.args.get("kind")
    if not isinstance(kind, exp.DataType):
        raise invalid_query(f"Syntax error: the column {node.name} has no type")
    raw: dict[str, Any] = {"name": node.name, **_type(kind, translation)}
    for constraint in node.args.get("constraints") or ():
        match constraint.args.get("kind"):
            case exp.NotNullColumnConstraint() as found if not found.args.get("allow_null"):
                raw["mode"] = "REQUIRED"
            case exp.DefaultColumnConstraint() as found:
                raw["defaultValueExpression"] = found.this.sql(dialect="bigquery")
            case exp.CollateColumnConstraint() as found:
                raw["collation"] = found.this.name
            case exp.Properties() as found if translation is not None:
                set_here = options.properties(found.expressions, options.COLUMN, translation)
                raw |= {key: value for key, value in set_here.items() if value is not None}
    return raw


def _type(kind: exp.DataType, translation: Translation | None) -> dict[str, Any]:
    if kind.this == exp.DataType.Type.ARRAY:
        return {**_type(kind.expressions[0], translation), "mode": "REPEATED"}
    if kind.this == exp.DataType.Type.STRUCT:
        return {
            "type": "RECORD",
            "fields": [_column(expression, translation, n) for n, expression in enumerate(kind.expressions, 1)],
        }
    text = kind.sql(dialect="bigquery").upper()
    base = text.partition("<")[0].partition("(")[0].strip()
    base = SYNONYMS.get(base, CANONICAL.get(base, base))
    if base not in STORED:
        raise invalid_query(f"Type not found: {text}")
    made: dict[str, Any] = {"type": base}
    numbers = [item.name for item in kind.expressions if isinstance(item, exp.DataTypeParam)]
    if base in LONG and numbers:
        made["maxLength"] = numbers[0]
    if base in DECIMALS and numbers:
        made |= dict(zip(("precision", "scale"), numbers, strict=False))
    if base == "RANGE" and kind.expressions:
        made["rangeElementType"] = {"type": kind.expressions[0].sql(dialect="bigquery")}
    return made


def keys(schema: exp.Expression | None, translation: Translation) -> dict[str, Any]:
    """The `tableConstraints` that a list of columns declares."""
    if not isinstance(schema, exp.Schema):
        return {}
    columns = [item for item in schema.expressions if isinstance(item, exp.ColumnDef)]
    primary = [item.name for item in columns if item.find(exp.PrimaryKeyColumnConstraint)]
    return constraints([item for item in schema.expressions if item not in columns], translation, primary)


def constraints(
    declared: Iterable[exp.Expression], translation: Translation, primary: Sequence[str] = ()
) -> dict[str, Any]:
    """The `tableConstraints` for PRIMARY KEY and FOREIGN KEY clauses. primary: the key that columns declare."""
    found, foreign = list(primary), []
    for item in declared:
        name = item.name if isinstance(item, exp.Constraint) else ""
        for inner in item.expressions if isinstance(item, exp.Constraint) else [item]:
            if isinstance(inner, exp.PrimaryKey):
                found = [column.name for column in inner.expressions]
            elif isinstance(inner, exp.ForeignKey):
                foreign.append({**({"name": name} if name else {}), **_foreign(inner, translation)})
    made: dict[str, Any] = {"primaryKey": {"columns": found}} if found else {}
    return {**made, "foreignKeys": foreign} if foreign else made


def _foreign(key: exp.ForeignKey, translation: Translation) -> dict[str, Any]:
    target = key.args["reference"].this
    project, dataset, table = translation.reference(target.this)
    pairs = zip(key.expressions, target.expressions, strict=True)
    return {
        "referencedTable": {"projectId": project, "datasetId": dataset, "tableId": table},
        "columnReferences": [{"referencingColumn": a.name, "referencedColumn": b.name} for a, b in pairs],
    }
