"""Parses BigQuery's SQL."""

from __future__ import annotations

import logging

import sqlglot
from sqlglot import exp

from bqdump_local.bigquery.errors import BigQueryError

# sqlglot warns about every BigQuery option that DuckDB does not have; those are handled in `sql`.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

ACTIONS = ("ADD", "ALTER", "DROP", "RENAME", "SET")


def invalid_query(message: str) -> BigQueryError:
    """The error for an invalid query."""
    return BigQueryError("invalidQuery", message, location="query")


def parse(text: str) -> list[exp.Expression]:
    """The statements of a script."""
    try:
        parsed = (statement for statement in sqlglot.parse(text, read="bigquery") if statement is not None)
        statements = [_altering(item) if isinstance(item, exp.Command) else item for item in parsed]
    except sqlglot.errors.SqlglotError as error:
        first = str(error).splitlines()[0]
        raise invalid_query(f"Syntax error: {first}") from error
    if not statements:
        raise invalid_query("Syntax error: Unexpected end of statement")
    return statements


def _altering(command: exp.Command) -> exp.Expression:
    """An ALTER TABLE with actions of several kinds, which sqlglot does not parse as one statement."""
    text = f"{command.name} {command.text('expression')}"
    tokens = sqlglot.tokenize(text, read="bigquery")
    first = next((token.start for token in tokens[2:] if token.text.upper() in ACTIONS), None)
    if first is None or [token.text.upper() for token in tokens[:2]] != ["ALTER", "TABLE"]:
        return command
    starts, depth = [first], 0
    for token in tokens:
        depth += token.text in ("(", "<")
        depth -= token.text in (")", ">")
        if token.text == "," and not depth:
            starts.append(token.end + 1)
    ends = [*(start - 1 for start in starts[1:]), len(text)]
    actions = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    statements = [sqlglot.parse_one(f"{text[:first]}{action}", read="bigquery") for action in actions]
    if not all(isinstance(statement, exp.Alter) for statement in statements):
        return command
    statements[0].set("actions", [action for statement in statements for action in statement.args["actions"]])
    return statements[0]
