"""The batches of a stream, handed out to one file after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from bqdump.core.errors import UnavailableError
from bqdump.ports.reader import Batch


class Feed:
    """A stream. taken: bytes of Arrow that the present file got; broken: what ended the stream before its last row.

    stop: set when another stream of the table has failed.
    """

    def __init__(self, batches: Iterator[Batch], stop: threading.Event) -> None:
        self._batches, self._stop = batches, stop
        self._next: Batch | None = None
        self.broken: UnavailableError | None = None
        self.taken = 0

    def more(self) -> bool:
        """Whether there are rows left. Waits for them."""
        if self._next is None:
            try:
                self._next = next(self._batches, None)
            except UnavailableError as error:
                self.broken = error
                raise
        return self._next is not None

    def until(self, full: Callable[[], bool]) -> Iterator[Batch]:
        """Batches until the file is full; at least one, where there is one."""
        self.taken = 0
        while self.more() and not (self.taken and full()):
            if self._stop.is_set():
                self.broken = UnavailableError("read", "a stream", "another one of the same table has failed")
                raise self.broken
            batch, self._next = self._next, None
            assert batch is not None  # noqa: S101 (more() has just said so)
            self.taken += len(batch.data)
            yield batch
