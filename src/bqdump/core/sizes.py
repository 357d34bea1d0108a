"""Numbers for people."""

from __future__ import annotations


def size_text(count: float) -> str:
    """A number of bytes in the unit that reads best (1 KB = 1,000 bytes)."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(count) < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB" if count < 999.5 else f"{count:,.0f} TB"


def counted(count: int, thing: str) -> str:
    """A count with its noun: "1 table", "2,000 tables"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
