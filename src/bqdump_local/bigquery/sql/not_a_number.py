"""NaN: DuckDB takes it for the largest number, which is equal to itself.

In BigQuery it is the smallest in an order, and no comparison with it is true.

This is for operands that are known to be FLOAT64: casts, and columns of tables.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

Kind = Callable[[exp.Expression | None], str]


def first(node: exp.Ordered) -> None:
    """Put NaN before all other numbers, next to NULL."""
    query = node.find_ancestor(exp.Query)
    window = node.find_ancestor(exp.Window, exp.Query)
    spec = window.args.get("spec") if isinstance(window, exp.Window) else None
    if isinstance(query, exp.SetOperation) or (isinstance(query, exp.Select) and query.args.get("distinct")):
        return
    if spec is not None and spec.args.get("kind") == "RANGE":
        return
    value = node.this
    rank = exp.Case(
        ifs=[
            exp.If(this=exp.Is(this=value.copy(), expression=exp.Null()), true=exp.Null()),
            exp.If(this=_is_nan(value), true=exp.Literal.number(0)),
        ],
        default=exp.Literal.number(1),
    )
    before = node.copy()
    before.set("this", rank)
    siblings = node.parent.expressions if node.parent is not None else []
    if any(item is node for item in siblings) and node.parent is not None:
        place = next(number for number, item in enumerate(siblings) if item is node)
        node.parent.set("expressions", [*siblings[:place], before, *siblings[place:]])


def compare(node: exp.Expression, kind: Kind) -> None:
    """Make a comparison false where an operand is NaN; `!=` is true."""
    floats = [side for side in (node.left, node.right) if kind(side) == "FLOAT64"]
    conditions = [_is_nan(side) for side in floats]
    either = exp.or_(*conditions) if len(conditions) > 1 else conditions[0]
    known = [exp.Not(this=exp.Is(this=side.copy(), expression=exp.Null())) for side in (node.left, node.right)]
    outcome = exp.Boolean(this=isinstance(node, exp.NEQ))
    node.replace(
        exp.Paren(this=exp.Case(ifs=[exp.If(this=exp.and_(either, *known), true=outcome)], default=node.copy()))
    )


def _is_nan(value: exp.Expression) -> exp.Expression:
    return exp.IsNan(this=value.copy())
