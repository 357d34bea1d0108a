"""Partial responses: the `fields` parameter."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_TOKEN = re.compile(r"[A-Za-z0-9_*.-]+|[(),/]")


def select(resource: dict[str, Any], fields: str) -> dict[str, Any]:
    """The part of a resource that a mask such as `items(name,size),nextPageToken` selects. Raises ValueError."""
    selected: dict[str, Any] = _project(resource, _parse(fields))
    return selected


@lru_cache(maxsize=256)
def _parse(fields: str) -> dict[str, Any]:
    tokens = _TOKEN.findall(fields)
    if "".join(tokens) != fields.replace(" ", ""):
        raise ValueError(f"Invalid field selection {fields}")
    mask, rest = _parse_list(tokens)
    if rest:
        raise ValueError(f"Invalid field selection {fields}")
    return mask


def _parse_list(tokens: list[str]) -> tuple[dict[str, Any], list[str]]:
    """`a/b,c(d,e)` up to a closing bracket, as nested dictionaries; an empty one means everything below."""
    mask: dict[str, Any] = {}
    while tokens and tokens[0] != ")":
        name, *tokens = tokens
        below = mask.setdefault(name, {})
        while len(tokens) > 1 and tokens[0] == "/":
            below = below.setdefault(tokens[1], {})
            tokens = tokens[2:]
        if tokens and tokens[0] == "(":
            inner, tokens = _parse_list(tokens[1:])
            below.update(inner)
            tokens = tokens[1:]
        if tokens and tokens[0] == ",":
            tokens = tokens[1:]
    return mask, tokens


def _project(value: Any, mask: dict[str, Any]) -> Any:
    if not mask:
        return value
    if isinstance(value, list):
        return [_project(item, mask) for item in value]
    if not isinstance(value, dict):
        return value
    picked = {}
    for key, item in value.items():
        if key in mask:
            picked[key] = _project(item, mask[key])
        elif "*" in mask:
            picked[key] = _project(item, mask["*"])
    return picked
