"""Structs that a statement writes to a column: BigQuery matches their members by position, DuckDB by name."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from bqdump_local.bigquery.functions.known import OWN
from bqdump_local.bigquery.types import Field, quote


def match(statement: exp.Expression, fields: Sequence[Field]) -> None:
    """Give the structs in an INSERT, UPDATE or MERGE the members' names of their columns in a table."""
    known = {field.name.lower(): field for field in fields if "RECORD" in (field.type, field.element.type)}
    if not known:
        return
    for inserted in statement.find_all(exp.Insert):
        _match_insert(inserted, known)
    for updated in statement.find_all(exp.Update):
        for item in updated.expressions:
            if isinstance(item, exp.EQ) and (field := known.get(item.this.name.lower())):
                _wrap(item.expression, field)


def _match_insert(inserted: exp.Insert, known: dict[str, Field]) -> None:
    columns = inserted.this.expressions if isinstance(inserted.this, (exp.Schema, exp.Tuple)) else ()
    targets = [known.get(column.name.lower()) for column in columns]
    if not any(targets):
        return
    if isinstance(inserted.expression, (exp.Values, exp.Tuple)):
        rows = inserted.expression.expressions if isinstance(inserted.expression, exp.Values) else [inserted.expression]
        for row in rows:
            for cell, field in zip(row.expressions, targets, strict=False):
                if field is not None:
                    _wrap(cell, field)
    elif isinstance(inserted.expression, exp.Query):
        names = [f"_{number}" for number in range(1, len(targets) + 1)]
        alias = exp.TableAlias(this=exp.to_identifier("given"), columns=[exp.to_identifier(name) for name in names])
        replaced = [
            exp.alias_(exp.Var(this=_matched(name, field)), name)
            for name, field in zip(names, targets, strict=True)
            if field is not None
        ]
        subquery = exp.Subquery(this=inserted.expression.copy(), alias=alias)
        inserted.set("expression", exp.Select(expressions=[exp.Star(replace=replaced)]).from_(subquery))


def _wrap(value: exp.Expression, field: Field) -> None:
    """Replace a value by one that is evaluated once, however many members it has."""
    if isinstance(value, (exp.Null, exp.Var)) or (isinstance(value, exp.Column) and value.name.upper() == "DEFAULT"):
        return
    inner = value.this if isinstance(value, exp.Paren) and isinstance(value.this, exp.Tuple) else value
    listed = _call("list_value", inner.copy())
    mapped = _call("list_transform", listed, exp.Var(this=f"lambda given: {_matched('given', field)}"))
    value.replace(_call("list_extract", mapped, exp.Literal.number(1)))


def _call(name: str, *arguments: exp.Expression) -> exp.Anonymous:
    call = exp.Anonymous(this=name, expressions=list(arguments))
    call.meta[OWN] = True
    return call


def _matched(ref: str, field: Field, depth: int = 0) -> str:
    """The value with the members' names of the field."""
    if field.mode == "REPEATED":
        item = f"item{depth}"
        inner = _matched(item, field.element, depth + 1)
        return ref if inner == item else f"list_transform({ref}, lambda {item}: {inner})"
    if field.type != "RECORD":
        return ref
    members = ", ".join(
        f"{quote(member.name)} := {_matched(f'struct_extract_at({ref}, {number})', member, depth)}"
        for number, member in enumerate(field.fields, 1)
    )
    return f"CASE WHEN {ref} IS NULL THEN NULL ELSE struct_pack({members}) END"
