"""The frame of every page.

Where the runs of an export are: in words, and as the addresses of their pages.

Numbers over time as bars. Horizontal positions are percentages: a chart fits any width.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from jinja2 import Environment
from starlette.responses import HTMLResponse

from bqdump.core.restore.drill import ago
from bqdump.core.sizes import size_text
from bqdump.core.times import milliseconds_of
from bqdump.pages.templating import environment

Trail = Sequence[tuple[str, str]]
NONE: Mapping[str, str] = {}


class Place(NamedTuple):
    """The location of some runs, in words.

    dataset: one of several that the console shows; its pages are below that dataset's address.
    several: this is the place of all of them.
    """

    text: str
    dataset: str = ""
    several: bool = False

    def __str__(self) -> str:
        """The location."""
        return self.text

    @property
    def root(self) -> str:
        """What the addresses of all pages begin with."""
        return dataset_address(self.dataset).rstrip("/") if self.dataset else ""

    @property
    def above(self) -> Trail:
        """The trail of the first page: the pages above it, as title and address."""
        return (("Datasets", "/"),) if self.dataset else ()

    @property
    def runs(self) -> Trail:
        """The trail of a page one level below the first page."""
        return (*self.above, (self.dataset or ("Datasets" if self.several else "Runs"), f"{self.root}/"))

    def run_trail(self, run: str) -> Trail:
        """The trail of a page below a run's."""
        return (*self.runs, (f"Run {run}", self.run(run)))

    def run(self, run: str, *more: str | int) -> str:
        """The address of a run's page, or of one below it."""
        return "/".join((f"{self.root}/runs", *(quote(str(part), safe="") for part in (run, *more))))

    def table(self, table: str) -> str:
        """The address of the page with a table's history."""
        return f"{self.root}/tables/{quote(table, safe='')}"


def dataset_address(dataset: str) -> str:
    """The address of the first page of one of several datasets."""
    return f"/datasets/{quote(dataset, safe='')}/"


TEMPLATES = Path(__file__).parent / "templates"


@cache
def templates() -> Environment:
    """The console's templates."""
    jinja = environment(TEMPLATES)
    jinja.filters |= {"milliseconds": milliseconds_of, "quoted": repr, "age": _age}
    jinja.filters |= {"signed": lambda number: f"{number:+,}".replace("-", "−"), "signed_size": _signed_size}
    jinja.globals |= {"asking": asking}
    return jinja


def _age(milliseconds: int) -> str:
    """How long ago a time was, as of this page."""
    return ago(time.time() - milliseconds / 1000)


def _signed_size(size: int) -> str:
    return f"{'−' if size < 0 else '+'}{size_text(abs(size))}"


def page(
    template: str,
    place: Place,
    title: str,
    *,
    trail: Trail | None = None,
    status: int = 200,
    untrusted: Mapping[str, str] = NONE,
    **values: Any,
) -> HTMLResponse:
    """A page.

    place: of the runs.
    trail: the pages above it, as title and address; by default, the first page.
    untrusted: the runs shown that are not trusted, and why.
    """
    above = place.runs if trail is None else trail
    return HTMLResponse(part(template, place, title=title, trail=above, untrusted=untrusted, **values), status)


def part(template: str, place: Place, **values: Any) -> str:
    """A page, or a part of one, as markup."""
    markup = templates().get_template(template)
    return markup.render(place=place, run_address=place.run, table_address=place.table, **values)


def message(place: Place, title: str, text: str, *, trail: Trail | None = None, status: int) -> HTMLResponse:
    """A page with one message."""
    return page("message.html", place, title, trail=trail, status=status, message=text)


def asking(**parameters: str | int) -> str:
    """A query string of the parameters that are not empty."""
    return "?" + urlencode({name: value for name, value in parameters.items() if value})


def page_number(text: str, items: int, each: int) -> tuple[int, int]:
    """The requested page and the number of pages; the nearest page where the request is out of range."""
    pages = max(1, -(-items // each))
    number = int(text) if text.isdecimal() and len(text) < 9 else 1
    return min(max(1, number), pages), pages


HEIGHT = 72
# A few bars stay slim and are placed at the right, where the latest one always is.
SLOTS = 20


class Point(NamedTuple):
    """A number of one run (None: unknown, since the run is in `state`). tone: work, late, fell or wait."""

    label: str
    value: float | None
    tone: str = "work"
    state: str = "not exported"


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


def chart(title: str, points: Sequence[Point], text: Callable[[float], str]) -> Chart:
    """A chart of points, the earliest first."""
    known = [point.value for point in points if point.value is not None]
    most = max(known, default=0) or 1
    slots = max(SLOTS, len(points))
    drawn = []
    for slot, point in enumerate(points, slots - len(points)):
        shown = text(point.value) if point.value is not None else point.state
        height = max(2.0, HEIGHT * point.value / most) if point.value is not None else 5.0
        drawn.append(Bar(f"{point.label}: {shown}", point.tone, 100 * slot / slots, 100 / slots, height))
    sentence = f"latest {text(known[-1])}, max. {text(max(known))}" if known else "no data yet"
    return Chart(title, sentence, drawn)
