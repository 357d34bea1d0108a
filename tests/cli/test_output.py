"""Tables on a terminal: whatever its width, no name, number or time is cut."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import pytest

from bqdump.cli.output import print_table

HEADER = ("", "run", "state", "as of", "tables", "bytes", "proven restorable")
ROWS = [
    ("*", "20261129T155944412Z", "complete", "2026-11-29T15:59:46.545Z", "38", "8.1 MB", "today (5 of 38 tables)"),
    ("", "monday", "running", "2026-11-28T03:00:00.000Z", "1,038", "0 B", ""),
    ("", "空の表", "complete", "2026-11-27T03:00:00.000Z", "7", "13 KB", "never"),
]
WHY = "bucket and dataset are in different locations (in US, in EU)"


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """See io.IOBase."""
        return True


def printed(
    monkeypatch: pytest.MonkeyPatch, columns: int, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]
) -> str:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    print_table(header, rows, right=(4, 5))
    return re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 100, 120, 200])
def test_no_cell_is_cut_at_any_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    text = printed(monkeypatch, columns, HEADER, ROWS)
    assert "…" not in text
    for cell in (cell for row in (HEADER, *ROWS) for cell in row):
        assert cell.split() == [word for word in cell.split() if word in text]
    assert "20261129T155944412Z" in text


def test_a_row_that_does_not_fit_continues_below_in_the_columns_of_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, 80, HEADER, ROWS).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.startswith("    ") for line in lines] == [False, True, False, True, False, False, True]
    assert lines[0].index("state") == lines[2].index("complete")
    assert lines[1].index("proven") == lines[3].index("today")


def test_a_long_text_is_wrapped_within_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, 60, ("what", "table", "why"), [("other-location", "all", WHY)]).splitlines()
    assert lines[0].split() == ["what", "table", "why"]
    assert len(lines) == 3
    assert " ".join(" ".join(lines[1:]).split()) == f"other-location all {WHY}"
