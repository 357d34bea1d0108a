"""Numbers over time as bars. Places are percentages: a chart fits any width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from bqdump.pages.elements import NOTHING, visible

HEIGHT = 72
# Few bars stay slim and stand at the right, where the latest always is.
SLOTS = 20


class Point(NamedTuple):
    """A bar: what it is of, how much (None: nothing is known), and its tone: work, late or fell."""

    label: str
    value: float | None
    tone: str = "work"


def bars(title: str, points: Sequence[Point], text: Callable[[float], str]) -> Markup:
    """A chart of points, the earliest first."""
    known = [point.value for point in points if point.value is not None]
    most = max(known, default=0) or 1
    slots = max(SLOTS, len(points))
    marks = NOTHING.join(
        _mark(point, 100 * (slots - len(points) + place) / slots, 100 / slots, most, text)
        for place, point in enumerate(points)
    )
    told = f"{text(known[-1])}, at most {text(max(known))}" if known else "nothing is known yet"
    return Markup(
        '<figure class="chart"><figcaption><span>{}</span> <span class="soft small">{}</span></figcaption>'
        '<svg height="{}" role="img" aria-label="{}: {}">{}<line x1="0" x2="100%" y1="{}" y2="{}"/></svg></figure>'
    ).format(title, told, HEIGHT + 1, title, told, marks, HEIGHT + 0.5, HEIGHT + 0.5)


def _mark(point: Point, x: float, slot: float, most: float, text: Callable[[float], str]) -> Markup:
    known = point.value is not None
    height = max(2.0, HEIGHT * (point.value or 0) / most) if known else 5.0
    tip = f"{visible(point.label)}: {text(point.value) if point.value is not None else 'not completed'}"
    return Markup(
        '<g><title>{}</title><rect class="slot" x="{:.3f}%" y="0" width="{:.3f}%" height="{}"/>'
        '<rect class="{}" x="{:.3f}%" y="{:.1f}" width="{:.3f}%" height="{:.1f}" rx="1"/></g>'
    ).format(tip, x, slot, HEIGHT, point.tone, x + slot * 0.12, HEIGHT - height, slot * 0.76, height)
