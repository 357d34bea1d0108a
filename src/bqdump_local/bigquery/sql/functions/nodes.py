"""Calls of the macros."""

from __future__ import annotations

from sqlglot import exp


def call(name: str, *arguments: exp.Expression) -> exp.Anonymous:
    """A call of a macro.

    DuckDB chooses among overloads by types, and knows none of an aggregate: it becomes the parameter of a lambda.
    """
    values = [argument.copy() for argument in arguments]
    if not any(_aggregates(value) for value in values):
        return _function(f"bq.{name}", *values)
    given = [value for value in values if not isinstance(value, exp.Literal)]
    row = exp.var("aggregates")
    members = iter([_function("struct_extract", row.copy(), number(place)) for place in range(1, len(given) + 1)])
    body = _function(f"bq.{name}", *(value if isinstance(value, exp.Literal) else next(members) for value in values))
    function = exp.Lambda(this=body, expressions=[exp.to_identifier(row.name)])
    mapped = _function("list_transform", _function("list_value", _function("row", *given)), function)
    return _function("list_extract", mapped, number(1))


def _function(name: str, *arguments: exp.Expression) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _aggregates(value: exp.Expression) -> bool:
    """Whether a value is made of aggregates or window functions of its own query."""
    of_query = value.walk(prune=lambda node: isinstance(node, exp.Query))
    return any(isinstance(node, (exp.AggFunc, exp.Window)) for node in of_query)


def text(value: str) -> exp.Literal:
    """A string."""
    return exp.Literal.string(value)


def number(value: int) -> exp.Literal:
    """A number that is not negative."""
    return exp.Literal.number(value)


def cast(node: exp.Expression, kind: str) -> exp.Expression:
    """A cast to a type of DuckDB, as DuckDB does it."""
    return exp.Cast(this=node.copy(), to=exp.DataType.build(kind, dialect="duckdb"))
