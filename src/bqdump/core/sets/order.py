"""The order in which the tasks of a run work on the datasets of a set.

Each task begins with datasets that no other task begins with, and helps with the others afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from bqdump.core.dealing import largest_first, share_out

MOST_AT_ONCE, LEAST_AT_ONCE = 8, 2


def own_datasets(sizes: Sequence[int], task: int, tasks: int) -> list[int]:
    """The numbers of the datasets that a task begins with, dealt by their tables."""
    return share_out([size + 1 for size in sizes], tasks)[task]


def order_of(sizes: Sequence[int], task: int, tasks: int) -> list[int]:
    """The numbers of all datasets in the order of this task."""
    own = own_datasets(sizes, task, tasks)
    mine = set(own)
    others = [number for number in largest_first(sizes) if number not in mine]
    start = task * len(others) // tasks if tasks else 0
    return own + others[start:] + others[:start]


def at_once(sizes: Sequence[int], task: int, tasks: int) -> int:
    """How many datasets a task works on at once."""
    return max(LEAST_AT_ONCE, min(MOST_AT_ONCE, len(own_datasets(sizes, task, tasks))))
