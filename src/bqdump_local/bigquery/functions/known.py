"""The names of BigQuery's functions: no other one reaches DuckDB, which has hundreds more, some of which read files.

https://cloud.google.com/bigquery/docs/reference/standard-sql/functions-all
"""

from __future__ import annotations

import re
from importlib.resources import files

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.tokens import Token, TokenType

from bqdump_local.bigquery.errors import BigQueryError, invalid_query, unsupported

# Functions whose name begins with that of a group: HLL_COUNT.INIT.
GROUPS = ("AEAD", "AI", "HLL_COUNT", "KEYS", "KLL_QUANTILES", "ML", "NET", "OBJ", "VECTOR_INDEX")
# Families with dozens of functions, none of which DuckDB has here.
FAMILIES = ("DETERMINISTIC_", "DLP_", "S2_", "ST_")
NAMES = frozenset(files(__package__).joinpath("names.txt").read_text(encoding="utf-8").split())
WEEKDAYS = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
FOREIGN = {exp.ILike: "ILIKE", exp.SimilarTo: "SIMILAR", exp.Glob: "GLOB", exp.Comprehension: "FOR"}
TABLE_FUNCTIONS = (
    *("APPENDS", "CHANGES", "EXTERNAL_OBJECT_TRANSFORM", "EXTERNAL_QUERY", "GAP_FILL", "RANGE_SESSIONIZE"),
    "VECTOR_SEARCH",
)
OF_TABLES = re.compile(rf"\bFROM\s+((?:AI|ML)\s*\.\s*\w+|{'|'.join(TABLE_FUNCTIONS)})\s*\(", re.IGNORECASE)
# The key in the `meta` of a call that this stand-in has put into a statement.
OWN = "own"
# Functions of others for which sqlglot has a grammar, so that a statement does not show their name.
_FOREIGN = frozenset(Dialect.get_or_raise("bigquery").parser_class.FUNCTION_PARSERS) - NAMES
_BEFORE_A_NAME = {TokenType.DOT, TokenType.INTO, TokenType.TABLE, TokenType.WITH, TokenType.JOIN, TokenType.FROM}


def has(name: str) -> bool:
    """Whether BigQuery has a function of this name."""
    return name.upper() in NAMES or name.upper().startswith(FAMILIES)


def refuse_foreign(tokens: list[Token]) -> None:
    """Refuse what sqlglot takes for GoogleSQL: functions of other databases, and their casts with `::`."""
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        if token.token_type == TokenType.DCOLON:
            raise invalid_query('Syntax error: Unexpected ":"')
        if token.token_type == TokenType.PARAMETER and after is not None and after.token_type == TokenType.PARAMETER:
            raise unsupported("system variables", location="query")
        if token.token_type in (TokenType.L_BRACE, TokenType.MOD):
            raise invalid_query(f'Syntax error: Unexpected "{token.text}"')
        called = after is not None and after.token_type == TokenType.L_PAREN
        if called and token.text.upper() in _FOREIGN and (before is None or before.token_type not in _BEFORE_A_NAME):
            raise not_found(token.text)


def of_tables(node: exp.Table) -> BigQueryError:
    """The error for a table function: none of BigQuery's is here, and DuckDB's read files."""
    function = node.this
    name = (
        function.name
        if isinstance(function, exp.Anonymous)
        else function.sql_name().removeprefix("A_I_").removeprefix("M_L_")
    )
    path = ".".join(part.upper() for part in (node.db, name) if part)
    if path in TABLE_FUNCTIONS or node.db.upper() in GROUPS:
        return unsupported(f"the function {path}", location="query")
    return invalid_query(f"Table-valued function not found: {name}")


def refuse_tables_as_arguments(text: str) -> None:
    """Refuse a statement that calls a table function of BigQuery. What these take is not parsed."""
    if match := OF_TABLES.search(text):
        raise unsupported(f"the function {match[1].upper()}", location="query")


def refuse_unknown(node: exp.Expression) -> None:
    """Refuse a call of a function that BigQuery does not have. Those of a dataset or a group are found elsewhere."""
    if (foreign := FOREIGN.get(type(node))) is not None or (foreign := _foreign_clause(node)):
        raise invalid_query(f"Syntax error: Unexpected keyword {foreign}")
    if isinstance(node, exp.Anonymous):
        if node.meta.get(OWN) or (isinstance(node.this, str) and node.this.startswith("bq.")):
            return
        name = node.name
        if isinstance(node.parent, exp.Dot) and node.parent.expression is node:
            return
    elif isinstance(node.parent, exp.NetFunc) or (isinstance(node, (exp.Week, exp.WeekStart)) and _is_part(node)):
        return
    else:
        name = node.meta.get("bigquery_name", "") if isinstance(node, exp.Func) else ""
    if name and not has(name):
        raise not_found(name)


def _foreign_clause(node: exp.Expression) -> str:
    """The name of a clause that DuckDB has, and BigQuery has not."""
    if isinstance(node, exp.Join):
        words = (node.method, node.kind, node.side)
        return next((word for word in words if word.upper() in ("ANTI", "ASOF", "POSITIONAL", "SEMI")), "")
    if isinstance(node, exp.Select):
        return "USING" if node.args.get("sample") else ""
    return "ON" if isinstance(node, exp.Distinct) and node.args.get("on") else ""


def _is_part(node: exp.Expression) -> bool:
    """Whether WEEK(…) is a part of dates, as in `WEEK(MONDAY)`."""
    return isinstance(node.this, (exp.Column, exp.Var)) and node.this.name.upper() in WEEKDAYS


def not_found(name: str) -> BigQueryError:
    """The error for a function that does not exist."""
    return invalid_query(f"Function not found: {name}")
