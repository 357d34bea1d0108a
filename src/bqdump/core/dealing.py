"""Dealing work to tasks: largest first, each to the share with the least work; and dividing limits among them.

Rotating samples: each export reads one part of the files, so that N exports read every file once.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Sequence

from msgspec import Struct

from bqdump.core.errors import UsageError

# The cost of a job in addition to its bytes, as bytes: shares of many small tables get equal numbers of them.
JOB_WEIGHT = 64 << 20


def largest_first(weights: Sequence[int]) -> list[int]:
    """The indices of `weights`, that of the largest first."""
    return sorted(range(len(weights)), key=lambda index: (-weights[index], index))


def share_out(weights: Sequence[int], shares: int) -> list[list[int]]:
    """Indices of `weights`, dealt into shares: largest first, each to the lightest share (LPT).

    No share weighs more than 4/3 of the optimum. Equal input gives equal output.
    """
    dealt: list[list[int]] = [[] for _ in range(shares)]
    heap = [(0, 0, share) for share in range(shares)]
    for index in largest_first(weights):
        weight, count, share = heap[0]
        dealt[share].append(index)
        heapq.heapreplace(heap, (weight + weights[index], count + 1, share))
    return dealt


class Sharing(Struct, frozen=True):
    """So many tasks share so many units, and the limits of a service. None can see how many others are alive."""

    tasks: int
    units: int

    @property
    def busy(self) -> int:
        """How many tasks may have something in flight at once: no more than there are units."""
        return max(1, min(self.tasks, self.units))

    def sharers(self, limit: float) -> int:
        """By how many a limit is divided. Units that all fit into it need no division, whoever takes them."""
        return 1 if self.units <= limit else self.busy

    def part(self, limit: int) -> int:
        """A task's part of a limit."""
        return max(1, limit // self.sharers(limit))


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


def parts_to_read(share: str, *, source: bool, hint: str = "") -> int:
    """The number of parts of the files, of which one is read; 0 where none is. source: compare with BigQuery.

    Raises UsageError. hint: how to write the share.
    """
    try:
        parts = parse_sample(share) if share else int(source)
    except ValueError as error:
        raise UsageError("verify", repr(share), str(error), hint, setting="read") from None
    if source and parts > 1:
        cause = "{setting:source} compares complete tables, so it reads every file"
        raise UsageError("verify", repr(share), cause, "Leave out {setting:read}.", setting="read")
    return parts


def chosen(table: str, shard: int, parts: int, number: int) -> bool:
    """Whether the export with this number reads the table's file with this number.

    It depends on the table's name, not on the object's, which may contain the run id. So each file is read once in
    `parts` consecutive exports.
    """
    dealt = int.from_bytes(hashlib.sha256(f"{shard} {table}".encode()).digest()[:8], "big")
    return dealt % parts == number % parts
