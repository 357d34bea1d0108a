"""Parses BigQuery's SQL."""

from __future__ import annotations

import logging
import re

import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from bqdump_local.bigquery.errors import BigQueryError, invalid_query, unsupported
from bqdump_local.bigquery.functions import cast_formats, known

# sqlglot warns about every BigQuery option that DuckDB does not have; those are handled in `sql`.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

# sqlglot loads a dialect with its first statement, and finds it before it is complete: another thread would then parse
# without BigQuery's grammar.
for _name in ("bigquery", "duckdb"):
    Dialect.get_or_raise(_name)

# The key in the `meta` of an action for the options that it sets for a column.
COLUMN_OPTIONS = "column_options"
SETS_OPTIONS = re.compile(
    r"\s*ALTER\s+COLUMN\s+(?:IF\s+EXISTS\s+)?(?P<name>`[^`]+`|\w+)\s+SET\s+(?P<options>OPTIONS\s*\(.*\))\s*",
    re.IGNORECASE | re.DOTALL,
)
UNNEST_IN_PARENTHESES = re.compile(r"\(\s*UNNEST\s*\(", re.IGNORECASE)
# Statements of GoogleSQL that this stand-in does not run.
MISSING = re.compile(
    r"\s*((?:CREATE\s+(?:OR\s+REPLACE\s+)?|ALTER\s+|DROP\s+)"
    r"(?:ASSIGNMENT|BI_CAPACITY|CAPACITY|CONNECTION|DATA_POLICY|MODEL|ORGANIZATION|PROJECT|RESERVATION)"
    r"|ASSERT|BEGIN(?:\s+TRANSACTION)?|BREAK|CALL|CASE|COMMIT|CONTINUE|DECLARE|EXECUTE\s+IMMEDIATE|EXPORT\s+MODEL|FOR|GRANT"
    r"|IF|ITERATE|LEAVE|LOAD\s+DATA|LOOP|RAISE|REPEAT|RETURN|REVOKE|ROLLBACK|SET|UNDROP\s+SCHEMA|WHILE)\b(?!\s*\()",
    re.IGNORECASE,
)
ACTIONS = ("ADD", "ALTER", "DROP", "RENAME", "SET")


def syntax_error(error: sqlglot.errors.SqlglotError) -> BigQueryError:
    """The error for what sqlglot does not parse."""
    problem = error.errors[0] if isinstance(error, sqlglot.errors.ParseError) and error.errors else {}
    return invalid_query(
        f'Syntax error: Unexpected "{problem.get("highlight")}" at [{problem.get("line")}:{problem.get("col")}]'
    )


def parse(text: str) -> list[exp.Expression]:
    """The statements of a script."""
    try:
        known.refuse_foreign(sqlglot.tokenize(text, read="bigquery"))
        trees = sqlglot.parse(cast_formats.with_calls(text), read="bigquery")
        parsed = (cast_formats.with_casts(statement) for statement in trees if statement is not None)
        statements = [_altering(item) if isinstance(item, exp.Command) else item for item in parsed]
    except RecursionError as error:
        raise invalid_query("The query is nested too deeply.") from error
    except sqlglot.errors.SqlglotError as error:
        # sqlglot does not parse a join in parentheses that begins with an array.
        if (joined := UNNEST_IN_PARENTHESES.sub("(SELECT * FROM UNNEST(", text)) != text:
            return parse(joined)
        for part in text.split(";"):
            refuse_missing(part)
        known.refuse_tables_as_arguments(text)
        raise syntax_error(error) from error
    if not statements:
        raise invalid_query("Syntax error: Unexpected end of statement")
    # Before the first one runs.
    for statement in statements:
        if isinstance(statement, exp.Delete) and not statement.this:
            # Without FROM, sqlglot takes it for a list of tables.
            statement.set("this", (statement.args.get("tables") or [None])[0])
            statement.set("tables", None)
        if isinstance(statement, exp.Create) and isinstance(statement.this, exp.UserDefinedFunction):
            raise unsupported("functions of a script, such as CREATE TEMP FUNCTION", location="query")
        if isinstance(statement, (exp.Update, exp.Delete)) and statement.args.get("where") is None:
            raise invalid_query(f"{statement.key.upper()} must have a WHERE clause")
        if not isinstance(statement, (exp.Query, exp.DML)):
            refuse_missing(statement.sql(dialect="bigquery", comments=False))
        if isinstance(statement, (exp.Column, exp.Alias)):
            raise invalid_query(f"Syntax error: Unexpected identifier {statement.sql(dialect='bigquery')[:80]}")
    return statements


def refuse_missing(statement: str) -> None:
    """Refuse a statement that BigQuery has, and this stand-in has not."""
    if match := MISSING.match(statement):
        raise unsupported(f"the statement {' '.join(match[1].upper().split())}", location="query")


def _altering(command: exp.Command) -> exp.Expression:
    """An ALTER TABLE with actions of several kinds, which sqlglot does not parse as one statement."""
    text = f"{command.name} {command.text('expression')}"
    tokens = sqlglot.tokenize(text, read="bigquery")
    words = [token.text.upper() for token in tokens[:3]]
    if words[:2] == ["ALTER", "SCHEMA"]:
        return _altering_schema(text)
    if words == ["ALTER", "MATERIALIZED", "VIEW"]:
        return parse(re.sub(r"(?i)^\s*ALTER\s+MATERIALIZED\s+VIEW", "ALTER VIEW", text))[0]
    first = next((token.start for token in tokens[2:] if token.text.upper() in ACTIONS), None)
    if first is None or words[0] != "ALTER" or words[1] not in ("TABLE", "VIEW"):
        return command
    starts, depth = [first], 0
    for token in tokens:
        depth += token.text in ("(", "<")
        depth -= token.text in (")", ">")
        if token.text == "," and not depth:
            starts.append(token.end + 1)
    ends = [*(start - 1 for start in starts[1:]), len(text)]
    actions = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    statements = [_action(text[:first], action) for action in actions]
    if not all(isinstance(statement, exp.Alter) for statement in statements):
        return command
    statements[0].set("actions", [action for statement in statements for action in statement.args["actions"]])
    return statements[0]


def _action(start: str, action: str) -> exp.Expression:
    """One action of an ALTER statement, as a statement."""
    if (match := SETS_OPTIONS.fullmatch(action)) is None:
        return sqlglot.parse_one(f"{start}{action}", read="bigquery")
    # sqlglot knows the options of a column only where it is defined.
    added = f"ALTER TABLE t ADD COLUMN {match['name']} STRING {match['options']}"
    column = sqlglot.parse_one(added, read="bigquery").args["actions"][0]
    altered = exp.AlterColumn(this=column.this)
    listed = column.find(exp.Properties)
    altered.meta[COLUMN_OPTIONS] = list(listed.expressions) if listed else []
    statement = sqlglot.parse_one(f"{start}SET OPTIONS()", read="bigquery")
    statement.set("actions", [altered])
    return statement


def _altering_schema(text: str) -> exp.Expression:
    """ALTER SCHEMA, which sqlglot does not parse, as an ALTER statement of that kind."""
    statement = sqlglot.parse_one(re.sub(r"(?i)^\s*ALTER\s+SCHEMA", "ALTER TABLE", text), read="bigquery")
    if isinstance(statement, exp.Alter):
        statement.set("kind", "SCHEMA")
    return statement


def in_parentheses(text: str) -> tuple[str, str]:
    """What is between the first parenthesis and the one that closes it, and the rest."""
    depth, start = 0, text.index("(")
    for token in sqlglot.tokenize(text, read="bigquery"):
        depth += (token.text == "(") - (token.text == ")")
        if token.text == ")" and not depth:
            return text[start + 1 : token.start], text[token.end + 1 :]
    raise invalid_query("Syntax error: Expected )")


def split_list(text: str) -> list[str]:
    """The items of a list that is separated by commas."""
    starts, depth = [0], 0
    for token in sqlglot.tokenize(text, read="bigquery"):
        depth += (token.text in ("(", "<")) - (token.text in (")", ">"))
        if token.text == "," and not depth:
            starts.append(token.end + 1)
    ends = [*(start - 1 for start in starts[1:]), len(text)]
    return [item for start, end in zip(starts, ends, strict=True) if (item := text[start:end]).strip()]
