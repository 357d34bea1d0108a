"""Patterns that choose tables, other objects and datasets, by name or by label.

A name matches as in a shell; case matters, as in BigQuery. `label:KEY`, `label:KEY=VALUE` and `label:KEY!=VALUE` match
by label, the last one also where there is no such label. No name has a colon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from bqdump.core.sizes import counted, named
from bqdump.core.wording import close_name

# Labels in a hint.
NAMED = 5
LABEL = "label:"
# https://cloud.google.com/bigquery/docs/labels-intro#requirements
LABEL_KEY = r"[^\W\dA-Z_][\w-]{0,62}"
LABEL_VALUE = r"[\w-]{0,63}"
LABEL_PATTERN = re.compile(rf"label:(?P<key>{LABEL_KEY})(?:(?P<operator>!?=)(?P<value>{LABEL_VALUE}))?")
# What makes a pattern of a name.
WILDCARDS = frozenset("*?[")

# The labels of objects, by name; objects without labels may be missing.
Labels = Mapping[str, Mapping[str, str]]
NO_LABELS: Labels = {}


class Labelled(msgspec.Struct, frozen=True):
    """The labels in a definition."""

    labels: dict[str, str] | None = None


def labels_in(definition: msgspec.Raw) -> dict[str, str]:
    """The labels in the definition of a table or dataset, which may be JSON null. Raises msgspec.MsgspecError."""
    labelled = msgspec.json.decode(definition, type=Labelled | None)
    return (labelled.labels if labelled else None) or {}


def is_label(pattern: str) -> bool:
    """Whether it matches by label."""
    return pattern.startswith(LABEL)


def is_exact(pattern: str) -> bool:
    """Whether it is the name of one object."""
    return not is_label(pattern) and WILDCARDS.isdisjoint(pattern)


def pattern_problem(pattern: str) -> str:
    """Why nothing can match this pattern; "" where something may."""
    if ":" not in pattern or (LABEL_PATTERN.fullmatch(pattern) and pattern == pattern.lower()):
        return ""
    return (
        f"{pattern!r} is neither a name nor a label: expected label:KEY, label:KEY=VALUE or label:KEY!=VALUE, with "
        "lowercase letters, digits, _ and -"
    )


def together(parts: Iterable[Labels]) -> Labels:
    """The labels of several datasets; where two have an object of one name, those of both."""
    every: dict[str, dict[str, str]] = {}
    for labels in parts:
        for name, own in labels.items():
            every.setdefault(name, {}).update(own)
    return every


def select(names: Iterable[str], include: Sequence[str], exclude: Sequence[str], labels: Labels) -> Iterator[bool]:
    """For each name whether the patterns choose it."""
    included, excluded = _Patterns(include), _Patterns(exclude)
    for name in names:
        own = labels.get(name, {})
        yield (not include or included.match(name, own)) and not excluded.match(name, own)


def matching(pattern: str, names: Iterable[str], labels: Labels) -> list[str]:
    """The names that a pattern matches."""
    one = _Patterns((pattern,))
    return [name for name in names if one.match(name, labels.get(name, {}))]


def label_hint(pattern: str, labels: Labels) -> str:
    """A hint about a label pattern that matches nothing: the most similar of these labels, or some of them."""
    if problem := pattern_problem(pattern):
        return f"{problem[0].upper()}{problem[1:]}."
    there = sorted({f"{LABEL}{key}={value}" for own in labels.values() for key, value in own.items()})
    if close := close_name(pattern, there):
        return f"Did you mean {close!r}?"
    return f"Labels: {named([label.removeprefix(LABEL) for label in there], NAMED)}." if there else "None has a label."


def near_hint(pattern: str, names: Collection[str], labels: Labels) -> str:
    """A hint about a pattern that matches nothing; "" if nothing is similar."""
    if is_label(pattern):
        return label_hint(pattern, labels)
    if len(words := pattern.split()) > 1 and set(names).issuperset(words):
        return f"Separate names by commas: {','.join(words)}."
    if is_exact(pattern) and (begun := sum(name.startswith(pattern) for name in names)) > 1:
        return f"Did you mean '{pattern}*', which matches {counted(begun, 'table')}?"
    close = close_name(pattern, names)
    return f"Did you mean {close!r}?" if close else ""


class _Patterns:
    """Patterns. Thousands of them may be plain names."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._names = frozenset(patterns)
        self._labels = [_by_label(pattern) for pattern in patterns if is_label(pattern)]
        self._others = [pattern for pattern in patterns if not is_label(pattern) and WILDCARDS & set(pattern)]

    def match(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether one of them matches."""
        return (
            name in self._names
            or any(fnmatchcase(name, pattern) for pattern in self._others)
            or any(matches(labels) for matches in self._labels)
        )


def _by_label(pattern: str) -> Callable[[Mapping[str, str]], bool]:
    """The test of a label pattern. One that is none matches nothing."""
    parts = LABEL_PATTERN.fullmatch(pattern)
    if not parts:
        return lambda labels: False
    key, operator, value = parts["key"], parts["operator"], parts["value"]
    if not operator:
        return lambda labels: key in labels
    return lambda labels: (labels.get(key) == value) is (operator == "=")
