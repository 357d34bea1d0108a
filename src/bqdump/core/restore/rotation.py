"""Which tables a drill restores: all, or some in turn, so that consecutive drills restore every table."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from bqdump.core.errors import UsageError
from bqdump.core.sampling import parse_sample

DRILL = "drill"


class Portion(NamedTuple):
    """How much of an export one drill restores. tables: that many, 0 for all. parts: one in this many, 1 for all."""

    tables: int = 0
    parts: int = 1

    def size(self, total: int) -> int:
        """The number of tables, of `total`; at least one."""
        return min(total, self.tables or max(1, -(-total // self.parts)))


def portion(tables: int | None, sample: str) -> Portion:
    """The portion that is requested. Raises UsageError."""
    if tables is not None and sample:
        raise UsageError(
            DRILL, "", "cannot be used together with {setting:sample}", "Use one of them.", setting="tables"
        )
    if tables is not None and tables < 1:
        raise UsageError(DRILL, str(tables), "expected at least 1 table", setting="tables")
    try:
        return Portion(tables or 0, parse_sample(sample) if sample else 1)
    except ValueError as error:
        raise UsageError(DRILL, repr(sample), str(error), setting="sample") from None


def in_turn(names: Sequence[str], size: int, after: str) -> tuple[str, ...]:
    """`size` of the names: those that follow `after` in alphabetical order, and after the last the first.

    Names that come or go between two drills do not disturb the turn.
    """
    ordered = sorted(names)
    start = bisect_right(ordered, after)
    return tuple([*ordered[start:], *ordered[:start]][:size])
