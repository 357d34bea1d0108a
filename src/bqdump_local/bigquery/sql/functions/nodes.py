"""Calls of the macros."""

from __future__ import annotations

from sqlglot import exp


def call(name: str, *arguments: exp.Expression) -> exp.Anonymous:
    """A call of a macro."""
    return exp.Anonymous(this=f"bq.{name}", expressions=[argument.copy() for argument in arguments])


def text(value: str) -> exp.Literal:
    """A string."""
    return exp.Literal.string(value)


def number(value: int) -> exp.Literal:
    """A number that is not negative."""
    return exp.Literal.number(value)


def cast(node: exp.Expression, kind: str) -> exp.Expression:
    """A cast to a type of DuckDB, as DuckDB does it."""
    return exp.Cast(this=node.copy(), to=exp.DataType.build(kind, dialect="duckdb"))
