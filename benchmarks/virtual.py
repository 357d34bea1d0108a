"""An event loop whose time jumps to the next timer as soon as nothing is ready."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` is virtual seconds since the start."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        """See the base class."""
        return self._skipping.now


class _Skipping(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        """Jump to the end of the timeout, since no events arrive from outside."""
        if timeout is None:
            raise RuntimeError("nothing is ready and no timer runs")
        self.now += max(0.0, timeout)
        return super().select(0)
