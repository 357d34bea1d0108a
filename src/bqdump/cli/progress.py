"""Progress, on standard error: bars on a terminal, one log line per minute elsewhere, nothing with --quiet."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from bqdump.cli.streams import tell
from bqdump.core.progress.events import Event, Stage
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.progress.tally import Progress, View

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0


class Shown(Protocol):
    """What shows progress."""

    @property
    def print(self) -> Callable[[str], None] | None:
        """Prints a line while progress is shown; None: print as usual."""

    def close(self) -> None:
        """Show nothing more. May be called more than once."""


class Follower:
    """Collects events and shows progress until it is closed. Thread-safe."""

    def __init__(self, show: Callable[[Callable[[], View]], Shown], stage: Stage) -> None:
        self._lock = threading.Lock()
        self._progress = Progress(stage)
        self.shown = show(self.view)

    def hear(self, event: Event) -> None:
        """Take in an event."""
        with self._lock:
            self._progress.take(event, time.monotonic())

    def view(self) -> View:
        """The current progress."""
        with self._lock:
            return self._progress.view(time.monotonic())


class Nothing:
    """Shows nothing."""

    print: None = None

    def __init__(self, view: Callable[[], View]) -> None:
        pass

    def close(self) -> None:
        """See Shown."""


def log_line(view: View) -> None:
    """Log all numbers, for machines too."""
    progress = LogEvent.RUN_PROGRESS.extra(progress=view.numbers())
    log.info("progress: %s", view.sentence(), extra=progress)


def error_line(view: View) -> None:
    """A line on standard error."""
    tell(f"progress: {view.sentence()}")


class Lines:
    """A line per minute, to the log or to `say`."""

    print: None = None

    def __init__(
        self, view: Callable[[], View], say: Callable[[View], None] = log_line, every: float = EVERY_SECONDS
    ) -> None:
        self._view, self._say, self._every = view, say, every
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """See Shown."""
        self._end.set()
        self._thread.join()

    def _tell(self) -> None:
        while not self._end.wait(self._every):
            self._say(self._view())


def draws() -> bool:
    """Whether bars can be drawn on standard error."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


@contextmanager
def following(
    *,
    quiet: bool = False,
    bars: bool = True,
    lines: Callable[[Callable[[], View]], Shown] = Lines,
    stage: Stage = "planning",
) -> Iterator[Follower]:
    """A follower for as long as the `with` block.

    lines: what is shown where no bars are drawn.
    stage: the first.
    """
    if quiet:
        follower = Follower(Nothing, stage)
    elif bars and draws():
        from bqdump.cli.bars import Bars

        follower = Follower(Bars, stage)
    else:
        follower = Follower(lines, stage)
    try:
        yield follower
    finally:
        follower.shown.close()
