"""The tables of a run, filtered, sorted and paged by the server, so that 10,000 tables are as quick as 10."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from starlette.requests import Request

from bqdump.core.documents.manifest_index import Line
from bqdump.pages.gantt import remarks
from bqdump.ui.frame import asking, page_number

EACH = 100


def _rate(line: Line) -> float:
    """Bytes per second, 0 where no time passed."""
    took = line.ended - line.created
    return 1000 * line.size / took if took > 0 else 0.0


# The columns, and the values that their rows are sorted by.
SORTINGS: dict[str, Callable[[Line], Any]] = {
    "table": lambda line: line.table.casefold(),
    "rows": lambda line: line.rows,
    "size": lambda line: line.size,
    "files": lambda line: line.files,
    "time": lambda line: line.ended - line.created,
    "rate": _rate,
    "task": lambda line: line.task,
    "remarks": remarks,
}
TEXTS = ("table", "remarks")


class Wish(NamedTuple):
    """The tables that a request asks for; invalid parameters are ignored."""

    text: str
    sort: str
    down: bool
    page: str

    @classmethod
    def of(cls, request: Request) -> Wish:
        """`q`: text in the name; `sort`: a column, descending with a leading -; `page`: from 1."""
        query = request.query_params
        sort = query.get("sort", "-size")
        name = sort.removeprefix("-")
        if name not in SORTINGS:
            sort, name = "-size", "size"
        return cls(query.get("q", "").strip()[:300], name, sort.startswith("-"), query.get("page", ""))

    @property
    def order(self) -> str:
        """The order as an address has it."""
        return f"-{self.sort}" if self.down else self.sort


class Head(NamedTuple):
    """The heading of a column. order: how the rows are sorted by it, "" if they are not. address: sorts by it."""

    name: str
    number: bool
    order: str
    address: str


class Listing(NamedTuple):
    """One page of a run's tables. found: the number of tables on all pages."""

    wish: Wish
    heads: list[Head]
    shown: Sequence[Line]
    found: int
    page: int
    pages: int


def listing(lines: Sequence[Line], wish: Wish) -> Listing:
    """The requested tables."""
    part = wish.text.casefold()
    found = [line for line in lines if part in line.table.casefold()] if part else list(lines)
    found.sort(key=SORTINGS[wish.sort], reverse=wish.down)
    now, pages = page_number(wish.page, len(found), EACH)
    shown = found[(now - 1) * EACH : now * EACH]
    return Listing(wish, [_head(name, wish) for name in SORTINGS], shown, len(found), now, pages)


def _head(name: str, wish: Wish) -> Head:
    here, number = name == wish.sort, name not in TEXTS
    # The first click sorts numbers and remarks descending and names ascending; the next one reverses the order.
    down = not wish.down if here else name != "table"
    order = ("descending" if wish.down else "ascending") if here else ""
    return Head(name, number, order, asking(q=wish.text, sort=f"-{name}" if down else name))
