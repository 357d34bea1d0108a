"""Structs whose members have no name: `(1, 2)` and `STRUCT(1, 2)`."""

from __future__ import annotations

from sqlglot import exp


def named(node: exp.Struct | exp.Tuple) -> exp.Expression:
    """A struct for DuckDB. A member without a name is `_field_1`, `_field_2`, …, unless a type or a struct names it."""
    if isinstance(node, exp.Tuple) and not isinstance(node.parent, (exp.Select, exp.Alias, exp.Array)):
        return node
    has_name = [isinstance(item, (exp.PropertyEQ, exp.Column, exp.Alias)) for item in node.expressions]
    if isinstance(node, exp.Struct) and all(has_name):
        return node
    if not any(has_name) and (names := _names_in_first_query(node)):
        members = [exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=item.copy())
                   for name, item in zip(names, node.expressions, strict=True)]  # fmt: skip
        return exp.Struct(expressions=members)
    if not any(has_name) and _named_elsewhere(node):
        return exp.Anonymous(this="ROW", expressions=[item.copy() for item in node.expressions])
    members = [
        item.copy() if has_name[number - 1] and isinstance(node, exp.Struct) else _member(item, number)
        for number, item in enumerate(node.expressions, 1)
    ]
    return exp.Struct(expressions=members)


def _names_in_first_query(node: exp.Expression) -> list[str]:
    """The names of the members of the struct in the same column of the first query of a set operation."""
    item = node.parent if isinstance(node.parent, exp.Alias) else node
    select = item.parent
    union = select.parent if isinstance(select, exp.Select) else None
    if not isinstance(union, exp.SetOperation) or union.expression is not select:
        return []
    place = next(number for number, other in enumerate(select.expressions) if other is item)
    first: exp.Expression = union
    while isinstance(first, exp.SetOperation):
        first = first.this
    columns = first.expressions if isinstance(first, exp.Select) else []
    struct = columns[place].unalias() if place < len(columns) else None
    if not isinstance(struct, exp.Struct) or len(struct.expressions) != len(node.expressions):
        return []
    names = [item.name if isinstance(item, exp.PropertyEQ) else item.alias_or_name for item in struct.expressions]
    return names if all(names) else []


def _member(item: exp.Expression, number: int) -> exp.Expression:
    return exp.PropertyEQ(this=exp.to_identifier(f"_field_{number}", quoted=True), expression=item.copy())


def _named_elsewhere(node: exp.Expression) -> bool:
    """Whether a type, or another struct of the same array, has names for the members."""
    parent = node.parent
    if isinstance(parent, exp.Array):
        siblings = [struct for struct in parent.expressions if isinstance(struct, exp.Struct) and struct is not node]
        if any(isinstance(item, exp.PropertyEQ) for struct in siblings for item in struct.expressions):
            return True
    while isinstance(parent, (exp.Array, exp.Struct, exp.Tuple, exp.Paren, exp.PropertyEQ)):
        parent = parent.parent
    in_row = isinstance(parent, exp.Anonymous) and parent.name.upper() == "ROW"
    return in_row or isinstance(parent, exp.Cast)
