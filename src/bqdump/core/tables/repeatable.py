"""Filters and masks that give the same result for the same rows, whenever and for whomever they run.

Decided by the filter's tokens, and cautiously: a word before a parenthesis must be a function that is known here.
"""

from __future__ import annotations

import re

from bqdump.core.tables.catalog import Shape

# Words that read something else than the row.
VARYING = ("SELECT", "TABLE", "WITH", "CURRENT_DATE", "CURRENT_DATETIME", "CURRENT_TIME", "CURRENT_TIMESTAMP")
# Words and functions that may precede a parenthesis.
OPERATORS = "ALL AND ANY AS BETWEEN CASE ELSE FROM IN INTERVAL IS LIKE NOT ON OR SOME THEN UNNEST WHEN"
TYPES = "ARRAY BIGNUMERIC BOOL BYTES DATE DATETIME FLOAT64 INT64 JSON NUMERIC RANGE STRING STRUCT TIME TIMESTAMP"
FUNCTIONS = (
    "ABS ARRAY_LENGTH BYTE_LENGTH CAST CEIL CEILING CHAR_LENGTH COALESCE CONCAT CONTAINS_SUBSTR DATE_ADD DATE_DIFF "
    "DATE_SUB DATE_TRUNC DATETIME_ADD DATETIME_DIFF DATETIME_SUB DATETIME_TRUNC DIV ENDS_WITH EXTRACT FARM_FINGERPRINT "
    "FLOOR FROM_BASE64 FROM_HEX GREATEST IF IFNULL IS_INF IS_NAN JSON_QUERY JSON_VALUE LEAST LEFT LENGTH LOWER LPAD "
    "LTRIM MD5 MOD NULLIF PARSE_DATE PARSE_DATETIME PARSE_TIMESTAMP REGEXP_CONTAINS REGEXP_EXTRACT REGEXP_REPLACE "
    "REPLACE REVERSE RIGHT ROUND RPAD RTRIM SAFE_CAST SHA1 SHA256 SHA512 SIGN SPLIT STARTS_WITH STRPOS SUBSTR "
    "SUBSTRING TIMESTAMP_ADD TIMESTAMP_DIFF TIMESTAMP_MICROS TIMESTAMP_MILLIS TIMESTAMP_SECONDS TIMESTAMP_SUB "
    "TIMESTAMP_TRUNC TIME_ADD TIME_DIFF TIME_SUB TIME_TRUNC TO_BASE64 TO_HEX TRIM TRUNC UNIX_DATE UNIX_MICROS "
    "UNIX_MILLIS UNIX_SECONDS UPPER"
)
KNOWN = frozenset(f"{OPERATORS} {TYPES} {FUNCTIONS}".split())
TOKENS = re.compile(
    r"""
    (?P<text>(?:\b(?:[rR]?[bB]?|[bB][rR]))?(?:'{3}(?:\\.|(?!'{3})[^\\])*'{3}|"{3}(?:\\.|(?!"{3})[^\\])*"{3}
        |'(?!'')(?:\\[^\n]|[^'\\\n])*'|"(?!"")(?:\\[^\n]|[^"\\\n])*"))
    |(?P<quoted>`(?:\\[^\n]|[^`\\\n])+`)
    |(?P<word>[^\W\d]\w*)
    |(?P<space>\s+)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


def varying(shape: Shape) -> str:
    """Why the same rows of a table may be exported differently the next time; "" where they cannot."""
    if shape.salts:
        # The salt is in no document, so a new one cannot be noticed.
        return "columns are masked with a salt"
    return f"its filter uses {word}" if (word := _varying_word(shape.where)) else ""


def _varying_word(where: str) -> str:
    """The first word of a filter that may give another result the next time; "" for none."""
    tokens = [token for token in TOKENS.finditer(where) if token.lastgroup != "space"]
    for at, token in enumerate(tokens):
        following = tokens[at + 1][0] if at + 1 < len(tokens) else ""
        if token.lastgroup == "word":
            word = token[0].upper()
            # A name with a dot before it is a member of a STRUCT, or a function of a dataset or namespace.
            preceding = tokens[at - 1][0] if at else ""
            member, query = preceding == ".", word == "FROM" and preceding == "("
            if query or (word in VARYING and not member) or (following == "(" and (member or word not in KNOWN)):
                return token[0]
        elif token.lastgroup == "quoted" and following == "(":
            return token[0]
    return ""
