"""Progress bars. Imported only if standard error is a terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bqdump.core.progress.tally import Slow, TaskView, View, clock_text
from bqdump.core.sizes import counted, size_text

REFRESHES_PER_SECOND = 5
# Lines in addition to those of tasks, including one for input.
OTHER_LINES = 7


class Bars:
    """Progress bars at the bottom of the terminal, redrawn until they are closed and removed."""

    def __init__(self, view: Callable[[], View]) -> None:
        self._view = view
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = Live(self, console=self.console, auto_refresh=False, transient=True, redirect_stdout=False)
        # Live erases as many lines as its last picture had, but looks that up before it writes: with two threads
        # that write, lines of a picture of another height would stay.
        self._writing = threading.RLock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="bars", daemon=True)
        self._live.start()
        self._thread.start()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield picture(self._view(), options.max_width, options.size.height)

    def print(self, line: str) -> None:
        """Print a line above the picture."""
        with self._writing:
            self.console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        """Remove the bars. May be called more than once."""
        self._end.set()
        self._thread.join()
        self._live.stop()

    def _refresh(self) -> None:
        while not self._end.wait(1 / REFRESHES_PER_SECOND):
            with self._writing:
                self._live.refresh()


def picture(view: View, width: int, height: int) -> Table:
    """A run as a few lines of text that fit into width and height."""
    lines = Table.grid(padding=(0, 1))
    lines.add_column(no_wrap=True, width=10, style="bold")
    lines.add_column(no_wrap=True, overflow="ellipsis", width=max(10, width - 11))
    bar = Table.grid(padding=(0, 1))
    bar.add_column(width=max(4, min(40, width - 60)))
    bar.add_column(no_wrap=True, overflow="ellipsis")
    bar.add_row(_bar(view), Text(_first(view)))
    lines.add_row(view.stage, bar)
    if view.tables:
        lines.add_row("", _counts(view))
    for number, slow in enumerate(view.slowest):
        lines.add_row("" if number else "longest", _slow(slow))
    shown = view.tasks[: max(1, height - OTHER_LINES)] if len(view.tasks) > 1 else ()
    for task in shown:
        lines.add_row(f"task {task.task}", _task(task))
    if len(shown) < len(view.tasks) > 1:
        lines.add_row("", f"and {len(view.tasks) - len(shown)} more")
    return lines


def _bar(view: View) -> ProgressBar:
    return ProgressBar(
        total=1.0, completed=view.fraction, pulse=not view.tables, complete_style="green", finished_style="green"
    )


def _first(view: View) -> str:
    if not view.tables:
        return ""
    left = f", about {clock_text(view.seconds_left)} left" if view.seconds_left and view.done < view.tables else ""
    return f"{view.done:,} of {counted(view.tables, view.things)}, {clock_text(view.seconds)}{left}"


def _counts(view: View) -> Text:
    text = Text()
    if view.things == "table":
        text.append(f"{view.running:,} running, {view.waiting:,} waiting, ")
        text.append(f"{view.failed:,} failed", style="bold red" if view.failed else "")
        text.append("; ")
    return text.append(f"{size_text(view.bytes_done)} of {size_text(view.bytes)}, {size_text(view.rate)}/s")


def _slow(slow: Slow) -> Text:
    part = f"{100 * slow.read // slow.bytes:>3} %  " if slow.read else ""
    return Text(f"{clock_text(slow.seconds):>7}  {size_text(slow.bytes):>7}  {part}{slow.table}")


def _task(task: TaskView) -> Text:
    text = Text(f"{counted(task.done, 'table')} done, {task.running:,} running, {size_text(task.bytes)}")
    if task.attempt:
        text.append(f", attempt {task.attempt + 1}", style="yellow")
    if task.state in ("succeeded", "failed"):
        text.append(f", {task.state}", style="green" if task.state == "succeeded" else "bold red")
    return text
