"""A filter is one expression and stays inside the parentheses that it is put into: checked by its tokens.

BigQuery reads it in the end and refuses what is no expression; here only what could leave its place is refused.
Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical
"""

from __future__ import annotations

import re

# Texts and quoted names first: whatever they hold is not looked at. A backslash takes the next character along, in raw
# texts as well. What is left of a quote that nothing closes is a token of its own, as is everything that may not be.
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
    """Why a filter cannot be taken; "" when it can."""
    opened: list[str] = []
    if not text.strip():
        return "it is empty"
    for token in TOKENS.finditer(text):
        match token.lastgroup:
            case "comment":
                return f"comments are not allowed in it ({token[0]})"
            case "quote":
                return f"nothing closes the {token[0]} in it"
            case "wrong":
                return f"{token[0]!r} is not allowed in it, outside of quotes"
            case "open":
                opened.append(token[0])
            case "close":
                if not opened or opened.pop() != PARTNERS[token[0]]:
                    return f"its {token[0]} closes nothing"
            case _:
                pass
    return f"nothing closes its {opened[-1]}" if opened else ""
