"""Writes plain data as YAML without a dependency."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

# Strings that need no quotes. Words that YAML 1.1 reads as another type than a string are excluded.
_PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z][a-z0-9./_-]*")
_CAMEL_CASE = re.compile(r"[a-z]+(?:[A-Z][a-z]+)+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def to_yaml(value: Any) -> str:
    """A document of dictionaries, lists, strings, numbers and booleans, in block style."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _entry(f"{key if _CAMEL_CASE.fullmatch(key) else _scalar(key)}:", inner, "  ")
    elif isinstance(value, list) and value:
        for inner in value:
            first, *rest = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(key: str, inner: Any, indent: str) -> Iterator[str]:
    if isinstance(inner, dict | list) and inner:
        yield key
        yield from ((indent if isinstance(inner, dict) else "") + line for line in _lines(inner))
    else:
        yield f"{key} {_scalar(inner)}"


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    if _PLAIN.fullmatch(value):
        return str(value)
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(char: str) -> str:
    return _ESCAPES.get(char) or (char if " " <= char <= "~" else f"\\U{ord(char):08x}")
