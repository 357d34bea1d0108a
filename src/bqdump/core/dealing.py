"""Dealing work to tasks: largest first, each to the share with the least work."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

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
