"""Numbers over time as bars. Horizontal positions are percentages: a chart fits any width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

HEIGHT = 72
# A few bars stay slim and are placed at the right, where the latest one always is.
SLOTS = 20


class Point(NamedTuple):
    """A number of one run (None: unknown). tone: work, late or fell."""

    label: str
    value: float | None
    tone: str = "work"


class Bar(NamedTuple):
    """A point as drawn, in its slot: x and width in percent, y and height in pixels."""

    tip: str
    tone: str
    slot_x: float
    slot_width: float
    height: float

    @property
    def x(self) -> float:
        """Its left edge."""
        return self.slot_x + self.slot_width * 0.12

    @property
    def width(self) -> float:
        """Its width; some of the slot stays free."""
        return self.slot_width * 0.76

    @property
    def y(self) -> float:
        """Its upper edge."""
        return HEIGHT - self.height


class Chart(NamedTuple):
    """A title, the numbers in a sentence, and the bars, the earliest first."""

    title: str
    sentence: str
    bars: list[Bar]


def chart(title: str, points: Sequence[Point], text: Callable[[float], str], missing: str = "unfinished") -> Chart:
    """A chart of points, the earliest first. missing: what a point without a number is."""
    known = [point.value for point in points if point.value is not None]
    most = max(known, default=0) or 1
    slots = max(SLOTS, len(points))
    drawn = []
    for slot, point in enumerate(points, slots - len(points)):
        shown = text(point.value) if point.value is not None else missing
        height = max(2.0, HEIGHT * point.value / most) if point.value is not None else 5.0
        drawn.append(Bar(f"{point.label}: {shown}", point.tone, 100 * slot / slots, 100 / slots, height))
    sentence = f"latest {text(known[-1])}, max. {text(max(known))}" if known else "no data yet"
    return Chart(title, sentence, drawn)
