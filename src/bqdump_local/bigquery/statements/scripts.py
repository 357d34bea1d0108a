"""Temporary tables of a script: they are in a hidden dataset of their own, which is deleted after the last statement.

Source: https://cloud.google.com/bigquery/docs/multi-statement-queries#temporary_tables
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from bqdump_local.bigquery.sql.translation import Translation


@contextmanager
def temporary_tables(statements: Sequence[exp.Expression], translation: Translation) -> Iterator[None]:
    """Give the temporary tables of several statements a dataset, and delete it in the end.

    A statement alone keeps its TEMP, which is then refused: no later statement could read the table.
    """
    names = {name for statement in statements if (name := _temporary(statement))} if len(statements) > 1 else set()
    if not names:
        yield
        return
    catalog, project, dataset = translation.catalog, translation.project, f"_script{secrets.token_hex(16)}"
    catalog.create_dataset(project, dataset, {"location": translation.location})
    try:
        for statement in statements:
            _move(statement, names, project, dataset)
        yield
    finally:
        catalog.delete_dataset(project, dataset, contents=True)


def _temporary(statement: exp.Expression) -> str | None:
    """The name of the temporary table that a statement creates."""
    if not isinstance(statement, exp.Create) or statement.kind != "TABLE":
        return None
    target = statement.this.find(exp.Table)
    if target is None or target.db or statement.find(exp.TemporaryProperty) is None:
        return None
    return str(target.name)


def _move(statement: exp.Expression, names: set[str], project: str, dataset: str) -> None:
    """Let all names of temporary tables in a statement mean the tables of this dataset."""
    if _temporary(statement):
        for marked in list(statement.find_all(exp.TemporaryProperty)):
            marked.pop()
    own = {named.alias for named in statement.find_all(exp.CTE)}
    for table in statement.find_all(exp.Table):
        if not table.db and table.name in names - own:
            table.set("db", exp.to_identifier(dataset, quoted=True))
            table.set("catalog", exp.to_identifier(project, quoted=True))
