"""Which files a rotating sample reads: over as many exports as it has parts, every file once."""

from __future__ import annotations

import hashlib
import re

MOST_PARTS = 1000


def parse_sample(text: str) -> int:
    """In how many parts files are dealt: "10%" gives 10, "100%" gives 1, "15%" gives 6, as less is never read.

    Raises ValueError.
    """
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?%", text):
        raise ValueError("a share such as 10% is wanted")
    thousandths = round(float(text[:-1]) * 1000)
    if not 100_000 // MOST_PARTS <= thousandths <= 100_000:
        raise ValueError("a share from 0.1% to 100% is wanted")
    return max(1, 100_000 // thousandths)


def chosen(table: str, shard: int, parts: int, number: int) -> bool:
    """Whether the file of this number of a table is read in the export with this number.

    By the table's name and not by the object's, which may tell the run; so each file has its turn once in `parts`
    exports that follow each other.
    """
    dealt = int.from_bytes(hashlib.sha256(f"{shard} {table}".encode()).digest()[:8], "big")
    return dealt % parts == number % parts
