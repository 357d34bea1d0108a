"""The tokens of GoogleSQL, as far as names need it: what is a comment, a string, a quoted name, a word.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, cast

Kind = Literal["space", "string", "quoted", "word", "number", "sign"]

_TOKEN = re.compile(
    r"""
    (?P<space> \s+ | (?:\#|--)[^\n]* | /\*(?s:.*?)(?:\*/|\Z) )
  | (?P<string> (?:[rR][bB]?|[bB][rR]?)? (?:
        \"\"\" (?s:(?:\\.|(?!\"\"\").)*) \"\"\" | ''' (?s:(?:\\.|(?!''').)*) '''
      | " (?:\\.|[^"\\\n])* " | ' (?:\\.|[^'\\\n])* ' ) )
  | (?P<quoted> ` (?:\\.|[^`\\\n])+ ` )
  | (?P<word> [^\W\d]\w* )
  | (?P<number> \d\w* )
  | (?P<sign> (?s:.) )
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(?s:(.)))")
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Token(NamedTuple):
    """A piece of text. Comments are spaces. Quotes that are not closed are signs."""

    kind: Kind
    text: str

    @property
    def name(self) -> str:
        """The name that a word, a number or a quoted name stands for."""
        return _unescaped(self.text[1:-1]) if self.kind == "quoted" else self.text

    @property
    def keyword(self) -> str:
        """A word in upper case; "" for anything else."""
        return self.text.upper() if self.kind == "word" else ""


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text; together they are the text."""
    for found in _TOKEN.finditer(text):
        kind = cast("Kind", found.lastgroup)
        yield Token(kind, found[0])


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    if number := found[1] or found[2] or found[3]:
        code = int(number, 16)
        return chr(code) if code < 0x110000 else found[0]
    return chr(int(found[4], 8)) if found[4] else _LETTERS.get(found[5], found[5])
