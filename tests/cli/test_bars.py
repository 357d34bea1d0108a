"""The picture of a run: it fits into the terminal and says what it should."""

from __future__ import annotations

import io
import itertools

import pytest
from msgspec.structs import replace
from rich.console import Console

from bqdump.cli import bars
from bqdump.cli.bars import picture
from bqdump.core.progress.tally import Slow, TaskView, View
from integration.terminal import screen

GB = 1_000_000_000
VIEW = View(
    run="nightly", stage="exporting", tables=1_038, done=12, running=5, failed=1, bytes=4 * GB, bytes_done=GB,
    fraction=0.25, seconds=10.0, rate=GB / 10, seconds_left=30.0,
    slowest=(Slow("orders", 2 * GB, 0, 75.0), Slow("x" * 300, 1, 1, 2.0)),
    tasks=tuple(
        TaskView(task, task, 1, GB, int(task == 1), "failed" if task == 1 else "running") for task in range(40)
    ),
)  # fmt: skip


def drawn(view: View, width: int = 100, height: int = 60) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    with console.capture() as captured:
        console.print(picture(view, width, height))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_it_shows_progress_rate_time_left_and_the_slowest_table() -> None:
    text = "\n".join(drawn(VIEW))
    for output in (
        "exporting", "12 of 1,038 tables, 0:10, about 0:30 left", "5 running, 1,020 waiting, 1 failed", "1 GB of 4 GB",
        "100 MB/s", "longest       1:15     2 GB  orders", "task 0     0 tables done, 1 running, 1 GB",
        "task 1     1 table done, 1 running, 1 GB, attempt 2, failed",
    ):  # fmt: skip
        assert output in text


def test_a_table_that_is_being_read_shows_its_share_of_rows() -> None:
    text = "\n".join(drawn(replace(VIEW, slowest=(Slow("orders", 2 * GB, 0, 75.0, GB // 2),))))
    assert "longest       1:15     2 GB   25 %  orders" in text


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
@pytest.mark.parametrize("height", [10, 24, 60])
def test_it_fits_into_any_terminal(width: int, height: int) -> None:
    lines = drawn(VIEW, width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) < height


def test_tasks_that_do_not_fit_are_counted() -> None:
    lines = drawn(VIEW, height=20)
    assert sum(line.startswith("task ") for line in lines) == 13
    assert lines[-1].strip() == "and 27 more"


def test_a_task_alone_needs_no_line_of_its_own() -> None:
    assert not any(line.startswith("task") for line in drawn(replace(VIEW, tasks=VIEW.tasks[:1])))


def test_before_the_plan_there_is_one_line() -> None:
    empty = replace(VIEW, stage="planning", tables=0, done=0, running=0, slowest=(), tasks=())
    assert len(drawn(empty)) == 1
    assert drawn(empty)[0].startswith("planning")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_printed_while_the_picture_changes_its_height_leave_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bars, "REFRESHES_PER_SECOND", 10_000)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    heights = itertools.cycle(range(4))
    shown = bars.Bars(lambda: replace(VIEW, tasks=(), slowest=VIEW.slowest[:1] * next(heights)))
    lines = [f"line {number}" for number in range(300)]
    for line in lines:
        shown.print(line)
    shown.close()
    left, cursor = screen(terminal.getvalue())
    assert [line for line in left if line] == lines
    assert cursor
