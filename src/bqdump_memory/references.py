"""The names in SQL that a MemoryDestination is given. Not a parser: it finds what stands behind FROM, JOIN and CALL."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

from bqdump.core.tables.catalog import Dataset

Name = tuple[str, str, str]
QUOTED = r"`(?:[^`\\]|\\.)+`"
PATH = rf"(?:{QUOTED}(?:\.(?:{QUOTED}|\w+))*|[\w-]+(?:\.(?:{QUOTED}|\w+))+)"
READ = re.compile(rf"\b(?:FROM|JOIN|ON|CALL)\s+({PATH})", re.IGNORECASE)
INTO = re.compile(rf"\s*INSERT\s+(?:INTO\s+)?({PATH})", re.IGNORECASE)
PART = re.compile(rf"{QUOTED}|[\w-]+")
ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|(.))")


def missing(dataset: Dataset, sql: str, known: AbstractSet[Name]) -> str:
    """The first table, view or routine that the SQL names with its dataset and that is not known; "" if none."""
    for path in READ.findall(sql):
        name = _name(path, dataset)
        if name is not None and name not in known:
            return "Table {}:{}.{}".format(*name)
    return ""


def inserted(statement: str) -> tuple[Name, Name] | None:
    """The tables that an INSERT … SELECT writes to and reads; None for another statement."""
    into = INTO.match(statement)
    if into is None:
        return None
    here = Dataset("", "", "")
    sources = [name for path in READ.findall(statement[into.end() :]) if (name := _name(path, here))]
    to = _name(into[1], here)
    return (to, sources[-1]) if to and sources else None


def _name(path: str, dataset: Dataset) -> Name | None:
    """Project, dataset and name of a path; None without a dataset, as of a column or a common table expression."""
    parts = [_plain(part) for part in PART.findall(path)]
    if len(parts) == 1:
        # A complete path in one pair of backticks.
        parts = parts[0].rsplit(".", 2)
    if len(parts) == 2:
        parts.insert(0, dataset.project)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None


def _plain(part: str) -> str:
    return _unescaped(part[1:-1]) if part.startswith("`") else part


def _unescaped(text: str) -> str:
    return ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else match[2], text)
