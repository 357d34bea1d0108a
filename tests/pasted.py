"""The commands in what was printed, as a reader copies them: what is between backticks, or the rest of the line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

from bqdump.cli.main import COMMANDS
from bqdump.core.settings.settings import BY_NAME
from docs.shell import in_script, objection

PRINTED = re.compile(
    rf"`(?P<delimited>bqdump [^`]+)`|(?<![`'\"/\w])(?P<rest>bqdump (?:{'|'.join(COMMANDS)})(?![\w-]).*)"
)


def printed(text: str) -> list[list[str]]:
    """Each command, as its words. Raises ValueError for one whose quotes do not match."""
    return [words for line in _lines(text) for found in PRINTED.finditer(line) for words in _words(found)]


def refused(text: str) -> list[tuple[list[str], str]]:
    """The commands that their tool would not take, and why."""
    return [(words, why) for words in printed(text) if (why := objection(words) or _of_values(words))]


def _of_values(words: list[str]) -> str:
    """Which setting does not take its value; "" if all do. What is in capitals is for the reader to fill in."""
    for flag, value in pairwise(words if words[0] == "bqdump" else ()):
        setting = BY_NAME.get(flag.removeprefix("--").replace("-", "_")) if flag.startswith("--") else None
        if setting and not setting.switch and not re.search(r"[A-Z]{2}", value):
            try:
                setting.parse(value)
            except ValueError as error:
                return f"{flag} {value}: {error}"
    return ""


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
