"""Calls of routines that are written in SQL, which their bodies replace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp

from bqdump_local.bigquery.errors import BigQueryError, unsupported
from bqdump_local.bigquery.functions import known
from bqdump_local.bigquery.sql.parsing import syntax_error

if TYPE_CHECKING:
    from bqdump_local.bigquery.tables.catalog import Catalog

# A body can call other routines, but not itself.
DEEPEST = 16


def inlined(call: exp.Expression, catalog: Catalog, project: str) -> exp.Expression | None:
    """The expression or query (of a table function) that a call of a routine in a dataset stands for.

    None for a function that is not in a dataset. Raises if there is no such routine.
    """
    path, arguments = called(call)
    if len(path) < 2:
        return None
    place = (path[-3] if len(path) > 2 else project, path[-2], path[-1])
    routine = catalog.routines.find(*place)
    if routine is None and len(path) == 2 and path[0].upper() in known.GROUPS:
        raise unsupported(f"the function {'.'.join(path).upper()}", location="query")
    if routine is None:
        raise BigQueryError("invalidQuery", f"Function not found: {'.'.join(path)}", location="query")
    if routine.get("language") != "SQL" or routine["routineType"] not in ("SCALAR_FUNCTION", "TABLE_VALUED_FUNCTION"):
        raise BigQueryError("notImplemented", f"This local stand-in does not run {'.'.join(path)}", location="query")
    names = [argument["name"].lower() for argument in routine.get("arguments", ())]
    if len(names) != len(arguments):
        raise BigQueryError("invalidQuery", f"No matching signature for function {'.'.join(path)}", location="query")
    values = dict(zip(names, arguments, strict=True))

    def filled(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Column) and not node.table and node.name.lower() in values:
            return exp.Paren(this=values[node.name.lower()].copy())
        return node

    return body_of(routine).transform(filled)


def called(call: exp.Expression) -> tuple[list[str], list[exp.Expression]]:
    """The parts of a called function's name, and its arguments. A table has them, too, when it is a function's."""
    if isinstance(call, exp.Table):
        function = call.this
        parts = [part for part in (call.catalog, call.db, _name(function)) if part]
    else:
        function = call.expression if isinstance(call, exp.Dot) else call
        parts = [*_parts(call.this), _name(function)] if isinstance(call, exp.Dot) else [_name(function)]
    arguments = list(function.expressions) if isinstance(function, exp.Anonymous) else []
    return ".".join(parts).split("."), arguments


def _parts(node: exp.Expression) -> list[str]:
    return [*_parts(node.this), node.expression.name] if isinstance(node, exp.Dot) else [node.name]


def _name(function: exp.Expression) -> str:
    return str(function.this.name if isinstance(function.this, exp.Identifier) else function.this)


def calls(statement: exp.Expression) -> Iterator[exp.Expression]:
    """The calls of functions with a dataset in their name."""
    for node in statement.find_all(exp.Dot, exp.Anonymous):
        if (isinstance(node, exp.Dot) and isinstance(node.expression, exp.Anonymous)) or (
            isinstance(node, exp.Anonymous) and "." in _name(node) and not isinstance(node.parent, (exp.Dot, exp.Table))
        ):
            yield node


def with_calls_inlined(statement: exp.Expression, catalog: Catalog, project: str) -> exp.Expression:
    """The statement with the bodies of the SQL functions that it calls."""
    for _ in range(DEEPEST):
        bodies = [(call, body) for call in calls(statement) if (body := inlined(call, catalog, project)) is not None]
        if not bodies:
            return statement
        for call, body in bodies:
            if call is statement:
                statement = exp.Paren(this=body)
            else:
                call.replace(exp.Paren(this=body))
    raise BigQueryError("invalidQuery", "Too many nested function calls", location="query")


def body_of(routine: dict[str, Any]) -> exp.Expression:
    """The expression or query that is the body of a function in SQL."""
    body = routine["definitionBody"]
    try:
        known.refuse_foreign(sqlglot.tokenize(body, read="bigquery"))
        if routine["routineType"] == "TABLE_VALUED_FUNCTION":
            return sqlglot.parse_one(body, read="bigquery")
        return sqlglot.parse_one(f"SELECT {body}", read="bigquery").expressions[0].unalias()
    except sqlglot.errors.SqlglotError as error:
        raise syntax_error(error) from error
