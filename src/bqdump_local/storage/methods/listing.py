"""Listings: pages of sorted object names, with prefixes up to a delimiter."""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from bqdump_local.storage.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE = 1000


@dataclass(slots=True)
class Page:
    """One page: names, prefixes, and the token of the next page."""

    names: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    token: str | None = None


def page_size(query: Mapping[str, str]) -> int:
    """`maxResults`, with the service's maximum."""
    text = query.get("maxResults", str(PAGE))
    if not text.isdigit():
        raise invalid(f"Invalid value for maxResults: {text}")
    return min(int(text), PAGE) or PAGE


def list_page(names: Sequence[str], query: Mapping[str, str]) -> Page:
    """The page of the sorted names that a request selects."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    start, end = query.get("startOffset", ""), query.get("endOffset", "")
    glob = _glob(query["matchGlob"]) if query.get("matchGlob") else None
    with_folders = query.get("includeTrailingDelimiter", "").lower() == "true"
    size, page, last = page_size(query), Page(), ""
    position = bisect_left(names, max(prefix, start))
    if token := query.get("pageToken"):
        position = max(position, _resume(names, token))
    while position < len(names):
        name = names[position]
        if not name.startswith(prefix) or (end and name >= end):
            break
        if glob and not glob.fullmatch(name):
            position += 1
            continue
        folded = _fold(name, prefix, delimiter)
        if len(page.names) + len(page.prefixes) == size:
            page.token = last
            break
        if folded is None:
            page.names.append(name)
            position, last = position + 1, _token("name", name)
        else:
            page.prefixes.append(folded)
            if with_folders and name == folded:
                page.names.append(name)
            position, last = _after(names, folded, position), _token("fold", folded)
    return page


def _fold(name: str, prefix: str, delimiter: str) -> str | None:
    if not delimiter:
        return None
    cut = name.find(delimiter, len(prefix))
    return None if cut < 0 else name[: cut + len(delimiter)]


def _after(names: Sequence[str], prefix: str, low: int = 0) -> int:
    """The position after the last name that starts with a prefix."""
    return bisect_right(names, prefix, low, key=lambda name: name[: len(prefix)])


def _token(kind: str, text: str) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{text}".encode()).decode()


def _resume(names: Sequence[str], token: str) -> int:
    try:
        kind, _, text = base64.urlsafe_b64decode(token).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise invalid(f"Invalid page token: {token}") from error
    if kind not in {"name", "fold"}:
        raise invalid(f"Invalid page token: {token}")
    return bisect_right(names, text) if kind == "name" else _after(names, text)


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    """`*` matches within a folder, `**` across folders, `**/` any folders or none; others as in a shell."""
    out, position, depth = [], 0, 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            twice = pattern.startswith("*", position)
            position += twice
            folders = twice and pattern.startswith("/", position)
            position += folders
            out.append("(?:.*/)?" if folders else ".*" if twice else "[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[" and (close := pattern.find("]", position + 1)) > 0:
            inner = pattern[position:close].replace("\\", "\\\\").replace("[", "\\[")
            out.append("[" + ("^" + inner[1:] if inner.startswith("!") else inner) + "]")
            position = close + 1
        elif character == "{":
            out.append("(?:")
            depth += 1
        elif character == "}" and depth:
            out.append(")")
            depth -= 1
        elif character == "," and depth:
            out.append("|")
        elif character == "\\" and position < len(pattern):
            out.append(re.escape(pattern[position]))
            position += 1
        else:
            out.append(re.escape(character))
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error as error:
        raise invalid(f"Invalid glob pattern: {pattern}") from error
