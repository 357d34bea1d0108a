"""Numbers for people, and from them."""

from __future__ import annotations

import re
from collections.abc import Sequence

UNITS = {"": 1, "B": 1}
UNITS |= {f"{prefix}B": 1000**power for power, prefix in enumerate("KMGTP", 1)}
UNITS |= {f"{prefix}IB": 1024**power for power, prefix in enumerate("KMGTP", 1)}


def parse_size(text: str) -> int:
    """A number of bytes written as 500, 10GB (1 GB = 1000³ bytes) or 1 TiB (1024⁴). Raises ValueError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", text.strip())
    unit = UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise ValueError("expected a size such as 10GB or 1 TiB")
    whole, _, part = match[1].partition(".")
    return int(whole) * unit + (int(part) * unit // 10 ** len(part) if part else 0)


def size_text(count: float) -> str:
    """A number of bytes in the unit that reads best (1 KB = 1,000 bytes)."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(count) < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB" if count < 999.5 else f"{count:,.0f} TB"


def counted(count: int, noun: str, form: str = ",") -> str:
    """A count with its noun: "1 table", "2,000 tables"; "+1 table" in the form "+,"."""
    return f"{count:{form}} {noun}{'' if abs(count) == 1 else 's'}"


def listed(words: Sequence[str], last: str = "or") -> str:
    """Words as a list in a sentence: "csv", "csv or json", "csv, json or avro"."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def named(words: Sequence[str], most: int, noun: str = "", separator: str = ", ") -> str:
    """The first words, `most` at most, and how many more there are: "a, b and 3 more tables", "a; b; and 3 more"."""
    shown, more = separator.join(words[:most]), len(words) - most
    if more <= 0:
        return shown
    rest = counted(more, f"more {noun}") if noun else f"{more:,} more"
    return f"{shown}{' ' if separator == ', ' else separator}and {rest}"


def rows_text(rows: int | None) -> str:
    """A number of rows, "?" where it is not known."""
    return "?" if rows is None else f"{rows:,}"


def kind_text(kind: str) -> str:
    """A kind of object in words: "materialized view" for MATERIALIZED_VIEW."""
    return kind.lower().replace("_", " ")
