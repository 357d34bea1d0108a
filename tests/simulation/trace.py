"""What has happened in a schedule, for the reader of a failure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator


class Trace:
    """The last lines of a schedule, or (`length` None) all of them."""

    def __init__(self, time: Callable[[], float], length: int | None = 60) -> None:
        self._time = time
        self._lines: deque[tuple[float, str, str, str, str]] = deque(maxlen=length)

    def add(self, who: str, operation: str, subject: str, result: str) -> None:
        """Note one step."""
        self._lines.append((self._time(), who, operation, subject, result))

    def __iter__(self) -> Iterator[str]:
        """The lines, oldest first."""
        for time, who, operation, subject, result in self._lines:
            yield f"{time:9.3f} {who:12} {operation:9} {subject} {result}".rstrip()
