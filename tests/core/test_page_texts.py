"""Numbers as the report and the console show them."""

from __future__ import annotations

import pytest

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
