"""What a copy costs, before it begins: requests to both sides, and bytes that leave the location."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bqdump.core.copy.plan import Missing
from bqdump.core.settings.target import BUCKET, Target

# The bytes of one request for a part of a file, on both sides.
PIECE_BYTES = 8 << 20


class Side(NamedTuple):
    """One side of a copy. location: of the bucket, "" for a folder, or where it is not known."""

    target: Target
    location: str


def requests_for(missing: Iterable[Missing], *, rewrites: bool) -> int:
    """About how many requests move these files: reads and writes of parts. rewrites: the service moves the bytes."""
    if rewrites:
        return sum(1 for _ in missing)
    return sum(_pieces(file.item.size) + _uploads(file.item.size) for file in missing)


def egress_of(moved: int, source: Side, target: Side) -> int:
    """The bytes, of those moved, that leave the location of the source: all, unless both are known to be in one place.

    A folder may be on a machine in the bucket's own location, which bqdump cannot see.
    """
    if source.target.scheme != BUCKET:
        return 0
    same = target.target.scheme == BUCKET and source.location.upper() == target.location.upper() != ""
    return 0 if same else moved


def _pieces(size: int) -> int:
    return -(-size // PIECE_BYTES)


def _uploads(size: int) -> int:
    """The parts of an upload, one request that begins it if there are several, and one that reads what is stored."""
    parts = max(1, _pieces(size))
    return parts + (parts > 1) + 1
