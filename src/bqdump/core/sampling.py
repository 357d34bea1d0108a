"""Rotating samples: each export reads one part of the files, so that N exports read every file once."""

from __future__ import annotations

import hashlib
import re

MOST_PARTS = 1000


def parse_sample(text: str) -> int:
    """The number of parts for a share: "10%" gives 10, "100%" gives 1, "15%" gives 6 (never less than the share).

    Raises ValueError.
    """
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?%", text):
        raise ValueError("expected a share such as 10%")
    thousandths = round(float(text[:-1]) * 1000)
    if not 100_000 // MOST_PARTS <= thousandths <= 100_000:
        raise ValueError("expected a share from 0.1% to 100%")
    return max(1, 100_000 // thousandths)


def chosen(table: str, shard: int, parts: int, number: int) -> bool:
    """Whether the export with this number reads the table's file with this number.

    It depends on the table's name, not on the object's, which may contain the run id. So each file is read once in
    `parts` consecutive exports.
    """
    dealt = int.from_bytes(hashlib.sha256(f"{shard} {table}".encode()).digest()[:8], "big")
    return dealt % parts == number % parts
