"""`CAST(… AS … FORMAT …)`, which sqlglot takes for another function where the type is a date or time.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements
"""

from __future__ import annotations

import re

import sqlglot
from sqlglot import exp
from sqlglot.tokens import Token, TokenType

from bqdump_local.bigquery.errors import unsupported

# A call that stands for a cast while its statement is parsed.
CALL = "_CAST_WITH_FORMAT_"
MAY_HAVE = re.compile(r"\bCAST\b.*\bFORMAT\b", re.IGNORECASE | re.DOTALL)
AT_TIME_ZONE = ["AT", "TIME", "ZONE"]
# The keys in the `meta` of a cast's format that has a time zone.
FORMAT, ZONE = "format", "zone"


def with_calls(text: str) -> str:
    """A script with such a call in place of each cast that has a format."""
    if not MAY_HAVE.search(text):
        return text
    tokens = sqlglot.tokenize(text, read="bigquery")
    edits: list[tuple[int, int, str]] = []
    for place, token in enumerate(tokens[:-1]):
        if token.text.upper() in ("CAST", "SAFE_CAST") and tokens[place + 1].token_type == TokenType.L_PAREN:
            edits += _edits(tokens, place, text)
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _edits(tokens: list[Token], place: int, text: str) -> list[tuple[int, int, str]]:
    """What to change in the text of one cast: nothing if it has no format."""
    depth, kind, format_, zone = 0, None, None, None
    for number, token in enumerate(tokens[place + 1 :], place + 1):
        depth += token.token_type in (TokenType.L_PAREN, TokenType.L_BRACKET)
        depth -= token.token_type in (TokenType.R_PAREN, TokenType.R_BRACKET)
        if not depth:
            break
        if depth == 1 and token.token_type == TokenType.ALIAS:
            kind = token
        elif depth == 1 and kind and token.token_type == TokenType.FORMAT:
            format_ = token
        elif depth == 1 and format_ and [part.text.upper() for part in tokens[number : number + 3]] == AT_TIME_ZONE:
            zone = (token.start, tokens[number + 2].end + 1, ",")
    if kind is None or format_ is None:
        return []
    cast = tokens[place]
    name = text[kind.end + 1 : format_.start].strip()
    called = exp.Literal.string(f"{cast.text.upper()} {name}").sql(dialect="bigquery")
    edits = [(cast.start, cast.end + 1, CALL), (kind.start, format_.end + 1, f", {called}, ")]
    return [*edits, zone] if zone else edits


def with_casts(statement: exp.Expression) -> exp.Expression:
    """A statement with its casts in place of the calls, which changes."""
    for node in reversed([node for node in statement.find_all(exp.Anonymous) if node.name == CALL]):
        node.replace(_cast(node))
    return statement


def _cast(node: exp.Anonymous) -> exp.Expression:
    """The cast that a call stands for."""
    value, called, format_, *rest = node.expressions
    name, _, kind = called.name.partition(" ")
    if not isinstance(format_, exp.Literal) or not all(isinstance(zone, exp.Literal) for zone in rest):
        raise unsupported("CAST with a FORMAT or a time zone that is not a literal", location="query")
    for zone in rest:
        # sqlglot has no place for the zone.
        words = exp.Var(this=f"{format_.sql(dialect='bigquery')} AT TIME ZONE {zone.sql(dialect='bigquery')}")
        words.meta.update({FORMAT: format_.name, ZONE: zone.name})
        format_ = words
    cast = exp.TryCast if name == "SAFE_CAST" else exp.Cast
    converted = cast(this=value, to=exp.DataType.build(kind, dialect="bigquery"), format=format_)
    if name == "SAFE_CAST":
        converted.set("safe", True)
    return converted
