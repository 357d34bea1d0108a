"""The frame of every page, and the addresses of the pages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment
from starlette.responses import HTMLResponse

from bqdump.core.times import milliseconds_of, parse_time
from bqdump.pages.templating import environment

TEMPLATES = Path(__file__).parent / "templates"
# The trail of a page one level below the first page.
RUNS = (("Runs", "/"),)


@cache
def templates() -> Environment:
    """The console's templates."""
    made = environment(TEMPLATES)
    made.filters |= {"milliseconds": milliseconds_of, "parse": parse_time, "quoted": repr}
    made.globals |= {"asking": asking, "run_address": run_address, "table_address": table_address}
    return made


def page(
    template: str,
    place: str,
    title: str,
    *,
    trail: Sequence[tuple[str, str]] = RUNS,
    status: int = 200,
    **values: Any,
) -> HTMLResponse:
    """A page. place: the location of the runs. trail: the pages above it, as title and address."""
    made = templates().get_template(template)
    return HTMLResponse(made.render(place=place, title=title, trail=trail, **values), status)


def message(place: str, title: str, text: str, *, trail: Sequence[tuple[str, str]] = RUNS, status: int) -> HTMLResponse:
    """A page with one message."""
    return page("message.html", place, title, trail=trail, status=status, message=text)


def run_address(run: str, *more: str | int) -> str:
    """The page of a run, or one below it."""
    return "/".join(("/runs", *(quote(str(part), safe="") for part in (run, *more))))


def table_address(table: str) -> str:
    """The page with a table's history."""
    return f"/tables/{quote(table, safe='')}"


def run_trail(run: str) -> Sequence[tuple[str, str]]:
    """The trail of a page below a run's."""
    return (*RUNS, (f"Run {run}", run_address(run)))


def asking(**parameters: str | int) -> str:
    """A query string of the parameters that are not empty."""
    return "?" + urlencode({name: value for name, value in parameters.items() if value})


def page_number(text: str, items: int, each: int) -> tuple[int, int]:
    """The requested page and the number of pages; the nearest page where the request is out of range."""
    pages = max(1, -(-items // each))
    number = int(text) if text.isdecimal() and len(text) < 9 else 1
    return min(max(1, number), pages), pages
