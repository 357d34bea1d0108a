"""Columns that are qualified by the dataset or the project of their table, which DuckDB does not know."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from bqdump_local.bigquery.errors import BigQueryError


def refuse_duplicates(statement: exp.Expression) -> None:
    """Refuse a FROM clause in which two tables have the same name."""
    for select in statement.find_all(exp.Select):
        start = select.args.get("from_")
        tables = [item.this for item in (start, *(select.args.get("joins") or ())) if item is not None]
        aliases = [table.alias_or_name.lower() for table in tables if isinstance(table, (exp.Table, exp.Subquery))]
        if repeated := [name for name in aliases if name and aliases.count(name) > 1]:
            raise BigQueryError(
                "invalidQuery", f"Duplicate table alias {repeated[0]} in the same FROM clause", location="query"
            )


def unqualify(statement: exp.Expression, tables: Sequence[exp.Table], project: str) -> None:
    """Drop dataset and project in front of columns: `d.t.c` becomes `t.c`. tables: those in the statement's FROM."""
    paths = [((table.catalog or project).lower(), table.db.lower(), table.name.lower()) for table in tables if table.db]
    # An alias may be a path in one pair of backquotes.
    aliases = [tuple(table.alias.lower().split(".")) for table in tables if "." in table.alias]
    known = {*paths, *(path[1:] for path in paths), *aliases}
    for node in list(statement.find_all(exp.Column)):
        identifiers = [node.args.get(key) for key in ("catalog", "db", "table", "this")]
        present = [identifier for identifier in identifiers if identifier is not None]
        path = [part for identifier in present for part in _parts(identifier, last=identifier is present[-1])]
        for length in (3, 2):
            if len(path) > length and tuple(part.name.lower() for part in path[:length]) in known:
                node.replace(_column(path[length - 1 :]))
                break


def _parts(identifier: exp.Expression, *, last: bool) -> list[exp.Identifier]:
    if isinstance(identifier, exp.Dot):
        # A column with members of a struct, where there were more parts than a column has.
        return [*_parts(identifier.this, last=True), *_parts(identifier.expression, last=True)]
    if last or not isinstance(identifier, exp.Identifier) or "." not in identifier.name:
        return [identifier] if isinstance(identifier, exp.Identifier) else []
    return [exp.to_identifier(part, quoted=True) for part in identifier.name.split(".")]


def _column(path: list[exp.Identifier]) -> exp.Expression:
    """`t.c` and what follows it, such as a member of a struct."""
    column: exp.Expression = exp.Column(this=path[1].copy(), table=path[0].copy())
    for member in path[2:]:
        column = exp.Dot(this=column, expression=member.copy())
    return column
