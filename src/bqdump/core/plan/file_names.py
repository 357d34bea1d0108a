"""The names that a target can store: folders have limits that buckets do not have."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

from bqdump.core.documents.path_template import shard_name
from bqdump.core.errors import UsageError

# File numbers have a fixed width of 12 digits.
LONGEST_NUMBER = 10**12 - 1
PLAN = "plan the export"
WINDOWS_MARKS = '<>:"|?*\\'
WINDOWS_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"
}


class NameRules(NamedTuple):
    """How a store compares and limits names; the defaults are those of a bucket.

    part_bytes, path_bytes: how long a name between two slashes, and a complete name, may be in bytes (0: any length).
    utf16: lengths are in UTF-16 units instead. windows: names that Windows reserves cannot exist.
    """

    ignores_case: bool = False
    ignores_form: bool = False
    part_bytes: int = 0
    path_bytes: int = 0
    utf16: bool = False
    windows: bool = False

    def alike(self, name: str) -> str:
        """The same string for all names that the store treats as equal."""
        if self.ignores_case:
            name = unicodedata.normalize("NFC", name).casefold() if self.ignores_form else name.casefold()
        # Case folding can decompose characters.
        return unicodedata.normalize("NFC", name) if self.ignores_form else name

    def length(self, name: str) -> int:
        """The length that counts for the limits."""
        return len(name.encode("utf-16-le")) // 2 if self.utf16 else len(name.encode())


def refuse_names(patterns: Iterable[tuple[str, str]], rules: NameRules, url: str) -> None:
    """Raise UsageError where files or folders of two tables would have one name, or a name is too long.

    patterns: tables, each with a pattern of its files.
    """
    seen: dict[str, tuple[str, str]] = {}
    for table, pattern in patterns:
        name = shard_name(pattern, LONGEST_NUMBER)
        if rules.windows and (wrong := refused_by_windows(name)):
            cause = f"its file {_short(name)} cannot exist on Windows: {wrong}"
            hint = "Leave the table out with {setting:exclude}, change {setting:path}, or export to a bucket."
            raise UsageError("plan the export", f"table {table}", cause, hint)
        if wrong := _too_long(name, rules):
            cause = f"its file {_short(name)} {wrong} in {url}"
            shorter = "Shorten {setting:path} or {setting:prefix}"
            hint = f"{shorter}, leave the table out with {{setting:exclude}}, or export to a bucket."
            raise UsageError("plan the export", f"table {table}", cause, hint)
        for path in accumulate(pattern.split("/"), lambda folder, part: f"{folder}/{part}"):
            known, other = seen.setdefault(rules.alike(path), (path, table))
            if known != path:
                cause = f"{url} cannot store both {known} and {path}: its file system ignores {_ignored(rules)}"
                hint = "Leave one of them out with {setting:exclude}, or export to a bucket or to another disk."
                raise UsageError("plan the export", f"tables {other} and {table}", cause, hint)


def refused_by_windows(name: str) -> str:
    """Why Windows can have no file of this name, which has slashes between its parts; "" where it can.

    Source: https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
    """
    for part in name.rstrip("/").split("/"):
        if found := next((mark for mark in part if mark in WINDOWS_MARKS or mark < " "), ""):
            return f"{_short(part)} contains {found!r}"
        if part.endswith((".", " ")):
            return f"{_short(part)!r} ends with a {'dot' if part.endswith('.') else 'space'}"
        # Whatever extensions follow.
        if part.partition(".")[0].rstrip(" ").upper() in WINDOWS_DEVICES:
            return f"{_short(part)} is the name of a device"
    return ""


def _too_long(name: str, rules: NameRules) -> str:
    longest = max(map(rules.length, name.split("/")))
    unit = "UTF-16 units" if rules.utf16 else "bytes"
    if rules.part_bytes and longest > rules.part_bytes:
        return f"has a part of {longest} {unit}, and the file system allows {rules.part_bytes}"
    if rules.path_bytes and rules.length(name) > rules.path_bytes:
        return f"has {rules.length(name)} {unit}, and the system allows {rules.path_bytes}"
    return ""


def _ignored(rules: NameRules) -> str:
    both = (("case", rules.ignores_case), ("the Unicode form of letters", rules.ignores_form))
    return " and ".join(what for what, ignored in both if ignored)


def _short(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:60]}…"
