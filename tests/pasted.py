"""The commands in what was printed, as a reader copies them: what is between backticks, or the rest of the line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from bqdump.cli.main import COMMANDS
from docs.shell import in_script, objection

PRINTED = re.compile(
    rf"`(?P<delimited>bqdump [^`]+)`|(?<![`'\"/\w])(?P<rest>bqdump (?:{'|'.join(COMMANDS)})(?![\w-]).*)"
)


def printed(text: str) -> list[list[str]]:
    """Each command, as its words. Raises ValueError for one whose quotes do not match."""
    return [words for line in _lines(text) for found in PRINTED.finditer(line) for words in _words(found)]


def refused(text: str) -> list[tuple[list[str], str]]:
    """The commands that their tool would not take, and why."""
    return [(words, why) for words in printed(text) if (why := objection(words))]


def _words(found: re.Match[str]) -> Iterator[list[str]]:
    command = found["delimited"] or found["rest"].rstrip(".")
    if "…" not in command:
        yield from in_script(re.sub(r" N$", " 3", command))


def _lines(text: str) -> Iterator[str]:
    """The lines that are prose: in JSON, its strings, except for help, whose first line is a usage."""
    if text.startswith("Usage:"):
        return
    for document in [text] if _is_json(text) else text.splitlines():
        if _is_json(document):
            yield from _strings(msgspec.json.decode(document))
        else:
            yield document


def _is_json(text: str) -> bool:
    if not text.startswith(("{", "[")):
        return False
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield from value.splitlines()
        case dict():
            yield from (line for part in value.values() for line in _strings(part))
        case list():
            yield from (line for part in value for line in _strings(part))
