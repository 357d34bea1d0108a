"""The clock of the stand-ins: that of this machine, and what a test has added to it, in all processes of a stack."""

from __future__ import annotations

import mmap
import struct
import time
from datetime import UTC, datetime
from pathlib import Path

_SECONDS = struct.Struct("d")
# Its first bytes are the seconds that were added.
_memory: bytearray | mmap.mmap = bytearray(_SECONDS.size)


def share(path: Path) -> None:
    """Use the clock of the other processes that share this file, which may be deleted then."""
    global _memory
    with path.open("r+b") as file:
        _memory = mmap.mmap(file.fileno(), _SECONDS.size)


def write(path: Path) -> None:
    """Make a file to share, with a clock that is right."""
    path.write_bytes(bytes(_SECONDS.size))


def now_ns() -> int:
    """Nanoseconds since 1970 UTC."""
    return time.time_ns() + int(added() * 1_000_000_000)


def now() -> datetime:
    """The same as a time in UTC."""
    return datetime.fromtimestamp(now_ns() / 1_000_000_000, UTC)


def added() -> float:
    """The seconds that were added."""
    seconds: float = _SECONDS.unpack_from(_memory)[0]
    return seconds


def add(seconds: float) -> None:
    """Add this many seconds to the clock of this machine, instead of those that were added before."""
    _SECONDS.pack_into(_memory, 0, seconds)
