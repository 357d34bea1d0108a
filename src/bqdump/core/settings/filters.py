"""A filter is one expression and cannot leave the parentheses around it: checked by its tokens.

BigQuery refuses what is not an expression; this refuses only what could leave the parentheses.
Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical
"""

from __future__ import annotations

import re

# Strings and quoted names first: their content is not examined. A backslash escapes the next character, in raw strings
# too. An unclosed quote is a token of its own, as is every forbidden character.
TOKENS = re.compile(
    r"""
    (?P<text>'{3}(?:\\.|(?!'{3})[^\\])*'{3}|"{3}(?:\\.|(?!"{3})[^\\])*"{3}
        |'(?!'')(?:\\[^\n]|[^'\\\n])*'|"(?!"")(?:\\[^\n]|[^"\\\n])*"|`(?:\\[^\n]|[^`\\\n])+`)
    |(?P<comment>--|\#|/\*)
    |(?P<open>[(\[{])|(?P<close>[)\]}])
    |(?P<quote>['"`])
    |(?P<wrong>[;@\\\x00-\x08\x0b-\x1f\x7f])
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
PARTNERS = {")": "(", "]": "[", "}": "{"}


def filter_problem(text: str) -> str:
    """Why a filter is invalid; "" if it is valid."""
    opened: list[str] = []
    if not text.strip():
        return "empty filter"
    for token in TOKENS.finditer(text):
        match token.lastgroup:
            case "comment":
                return f"comments are not allowed ({token[0]})"
            case "quote":
                return f"unclosed {token[0]}"
            case "wrong":
                return f"{token[0]!r} is not allowed outside quotes"
            case "open":
                opened.append(token[0])
            case "close":
                if not opened or opened.pop() != PARTNERS[token[0]]:
                    return f"unmatched {token[0]}"
            case _:
                pass
    return f"unclosed {opened[-1]}" if opened else ""
