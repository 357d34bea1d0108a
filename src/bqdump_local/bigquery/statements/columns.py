"""Columns in statements: types with parameters, NOT NULL, DEFAULT, COLLATE, OPTIONS, and keys."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from bqdump_local.bigquery.sql.column_types import kind_of, type_of, unnamed
from bqdump_local.bigquery.statements import options
from bqdump_local.bigquery.types import Field, parse_field

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bqdump_local.bigquery.sql.translation import Translation


def defined(schema: exp.Expression | None, translation: Translation) -> tuple[Field, ...]:
    """The columns that a statement defines; none without a list of columns."""
    if not isinstance(schema, exp.Schema):
        return ()
    return tuple(column(item, translation) for item in schema.expressions if isinstance(item, exp.ColumnDef))


def column(node: exp.ColumnDef, translation: Translation) -> Field:
    """One column."""
    return parse_field(_resource(node, 0, translation))


def _resource(node: exp.Expression, position: int, translation: Translation) -> dict[str, Any]:
    member = partial(_resource, translation=translation)
    if isinstance(node, exp.DataType):
        return unnamed(node, position, member)
    resource: dict[str, Any] = {"name": node.name, **type_of(kind_of(node), member)}
    for constraint in node.args.get("constraints") or ():
        match constraint.args.get("kind"):
            case exp.NotNullColumnConstraint() as kind if not kind.args.get("allow_null"):
                resource["mode"] = "REQUIRED"
            case exp.DefaultColumnConstraint() as default:
                resource["defaultValueExpression"] = default.this.sql(dialect="bigquery")
            case exp.CollateColumnConstraint() as collation:
                resource["collation"] = collation.this.name
            case exp.Properties() as set_here:
                values = options.properties(set_here.expressions, options.COLUMN, translation)
                resource |= {key: value for key, value in values.items() if value is not None}
    return resource


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
    key, foreign = list(primary), []
    for item in declared:
        name = item.name if isinstance(item, exp.Constraint) else ""
        for inner in item.expressions if isinstance(item, exp.Constraint) else [item]:
            if isinstance(inner, exp.PrimaryKey):
                key = [column.name for column in inner.expressions]
            elif isinstance(inner, exp.ForeignKey):
                foreign.append({**({"name": name} if name else {}), **_foreign(inner, translation)})
    declared_keys: dict[str, Any] = {"primaryKey": {"columns": key}} if key else {}
    return {**declared_keys, "foreignKeys": foreign} if foreign else declared_keys


def _foreign(key: exp.ForeignKey, translation: Translation) -> dict[str, Any]:
    target = key.args["reference"].this
    project, dataset, table = translation.reference(target.this)
    pairs = zip(key.expressions, target.expressions, strict=True)
    return {
        "referencedTable": {"projectId": project, "datasetId": dataset, "tableId": table},
        "columnReferences": [{"referencingColumn": a.name, "referencedColumn": b.name} for a, b in pairs],
    }
