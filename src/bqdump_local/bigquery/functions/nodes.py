"""Calls of the macros."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

MACRO = "bq."


def call(name: str, *arguments: exp.Expression) -> exp.Anonymous:
    """A call of a macro.

    DuckDB chooses among overloads by types, and knows none of an aggregate: it becomes the parameter of a lambda.
    So does the call of a macro, as DuckDB would repeat it wherever the outer macro names its parameter.
    """
    values = [argument.copy() for argument in arguments]
    if not any(_aggregates(value) or _calls(value) for value in values):
        return _function(f"{MACRO}{name}", *values)
    # Some functions take constants only.
    variable = [value for value in values if not _constant(value)]
    row = exp.var("given")
    members = iter([_function("struct_extract", row.copy(), number(place)) for place in range(1, len(variable) + 1)])
    body = _function(f"{MACRO}{name}", *(value if _constant(value) else next(members) for value in values))
    function = exp.Lambda(this=body, expressions=[exp.to_identifier(row.name)])
    mapped = _function("list_transform", _function("list_value", _function("row", *variable)), function)
    return _function("list_extract", mapped, number(1))


def _function(name: str, *arguments: exp.Expression) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _aggregates(value: exp.Expression) -> bool:
    """Whether a value is made of aggregates or window functions of its own query."""
    return any(isinstance(node, (exp.AggFunc, exp.Window)) for node in _of_query(value))


def _constant(value: exp.Expression) -> bool:
    return not (_calls(value) or _aggregates(value) or value.find(exp.Column, exp.Query, exp.Parameter))


def _calls(value: exp.Expression) -> bool:
    """Whether a value is made of macros."""
    return any(isinstance(node, exp.Anonymous) and node.name.startswith(MACRO) for node in _of_query(value))


def _of_query(value: exp.Expression) -> Iterator[exp.Expression]:
    """The parts of a value that are in its own query."""
    yield from value.walk(prune=lambda node: isinstance(node, exp.Query))


def text(value: str) -> exp.Literal:
    """A string."""
    return exp.Literal.string(value)


def number(value: int) -> exp.Literal:
    """A number that is not negative."""
    return exp.Literal.number(value)


def cast(node: exp.Expression, kind: str) -> exp.Expression:
    """A cast to a type of DuckDB, as DuckDB does it."""
    return exp.Cast(this=node.copy(), to=exp.DataType.build(kind, dialect="duckdb"))
