"""The frame of every page."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment
from starlette.responses import HTMLResponse

from bqdump.core.sizes import size_text
from bqdump.core.times import milliseconds_of, parse_time
from bqdump.pages.templating import environment
from bqdump.ui.place import Place, Trail

TEMPLATES = Path(__file__).parent / "templates"


@cache
def templates() -> Environment:
    """The console's templates."""
    made = environment(TEMPLATES)
    made.filters |= {"milliseconds": milliseconds_of, "parse": parse_time, "quoted": repr}
    made.filters |= {"signed": lambda number: f"{number:+,}".replace("-", "−"), "signed_size": _signed_size}
    made.globals |= {"asking": asking}
    return made


def _signed_size(size: int) -> str:
    return f"{'−' if size < 0 else '+'}{size_text(abs(size))}"


def page(
    template: str,
    place: Place,
    title: str,
    *,
    trail: Trail | None = None,
    status: int = 200,
    **values: Any,
) -> HTMLResponse:
    """A page. place: of the runs. trail: the pages above it, as title and address; by default, the first page."""
    above = place.runs if trail is None else trail
    return HTMLResponse(part(template, place, title=title, trail=above, **values), status)


def part(template: str, place: Place, **values: Any) -> str:
    """A page, or a part of one, as markup."""
    made = templates().get_template(template)
    return made.render(place=place, run_address=place.run, table_address=place.table, **values)


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
