"""Numbers as the report and the console show them."""

from __future__ import annotations

import pytest

from bqdump.pages.gantt import Bar, gantt
from bqdump.pages.text import growth_text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (1000, 1500, "+50 %"),
        (1000, 20, "−98 %"),
        (1000, 999, "−0.1 %"),
        (1000, 1004, "+0.4 %"),
        (1_000_000, 999_999, ""),
        (0, 5, ""),
        (5, 0, ""),
    ],
)
def test_a_change_in_percent_is_never_zero(before: int, after: int, text: str) -> None:
    assert growth_text(before, after) == text


@pytest.mark.parametrize(("waited", "names"), [(0, ["running"]), (1, ["pending in BigQuery", "running"])])
def test_a_timeline_explains_the_colours_that_it_has(waited: int, names: list[str]) -> None:
    chart = gantt([Bar("orders", 0, 0, 0, 0, waited, 1000)])
    assert chart
    assert [meaning for _, meaning in chart.legend] == names


@pytest.mark.parametrize(
    ("took", "times"),
    [
        (80, ["0", "20 ms", "40 ms", "60 ms", "80 ms"]),
        (1000, ["0", "250 ms", "500 ms", "750 ms", "1000 ms"]),
        (2000, ["0", "0.5 s", "1.0 s", "1.5 s", "2.0 s"]),
    ],
)
def test_the_axis_of_a_timeline_has_a_different_time_at_each_quarter(took: int, times: list[str]) -> None:
    chart = gantt([Bar("orders", 0, 0, 1, 0, 0, took)])
    assert chart
    assert chart.times == times
