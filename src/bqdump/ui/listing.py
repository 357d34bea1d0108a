"""The tables of a run: filtered, sorted and cut into pages here, so that ten thousand are as quick as ten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup
from starlette.requests import Request

from bqdump.core.documents.manifest_index import Line
from bqdump.core.sizes import size_text
from bqdump.pages.elements import Cell, Column, code, duration, heading, link, number, size, table
from bqdump.pages.gantt import remarks
from bqdump.ui.frame import asking, empty, page_number, pager, run_address

EACH = 100


class Sorting(NamedTuple):
    """A column, and what its rows are sorted by."""

    column: Column
    by: Callable[[Line], Any]


def _rate(line: Line) -> float:
    took = line.ended - line.created
    return 1000 * line.size / took if took > 0 else 0.0


SORTINGS = {
    "table": Sorting(Column("table"), lambda line: line.table.casefold()),
    "rows": Sorting(Column("rows", number=True), lambda line: line.rows),
    "size": Sorting(Column("size", number=True), lambda line: line.size),
    "files": Sorting(Column("files", number=True), lambda line: line.files),
    "time": Sorting(Column("time", number=True), lambda line: line.ended - line.created),
    "rate": Sorting(Column("rate", number=True), _rate),
    "task": Sorting(Column("task", number=True), lambda line: line.task),
    "remarks": Sorting(Column("remarks", css="wide"), remarks),
}


class Wish(NamedTuple):
    """What of the tables is to be seen, from the address; what makes no sense there is as if it were not given."""

    text: str
    sort: str
    down: bool
    page: str

    @classmethod
    def of(cls, request: Request) -> Wish:
        """The wish of a request: `q` text in the name, `sort` a column (with - downwards), `page` from 1."""
        asked = request.query_params
        sort = asked.get("sort", "-size")
        name = sort.removeprefix("-")
        if name not in SORTINGS:
            sort, name = "-size", "size"
        return cls(asked.get("q", "").strip()[:300], name, sort.startswith("-"), asked.get("page", ""))

    @property
    def order(self) -> str:
        """The order as an address has it."""
        return f"-{self.sort}" if self.down else self.sort


def tables_section(run: str, lines: Sequence[Line], wish: Wish) -> Markup:
    """The tables that are wished for, the filter, and the way to the other pages."""
    wanted = wish.text.casefold()
    found = [line for line in lines if wanted in line.table.casefold()] if wanted else list(lines)
    found.sort(key=SORTINGS[wish.sort].by, reverse=wish.down)
    now, pages = page_number(wish.page, len(found), EACH)
    shown = found[(now - 1) * EACH : now * EACH]
    count = Markup('<p class="soft small" role="status">{} of {} tables</p>').format(
        f"{len(found):,}", f"{len(lines):,}"
    )
    body = empty(f"No table has {wish.text!r} in its name." if wanted else "The run has exported no table.")
    if shown:
        columns = [sorting.column for sorting in SORTINGS.values()]
        body = table(
            "Tables", columns, (_row(run, line) for line in shown), heads=(_head(name, wish) for name in SORTINGS)
        )
    form = Markup(
        '<form class="tools" method="get" data-region="listing"><label for="q" class="out">Filter by name</label>'
        '<input type="search" id="q" name="q" value="{}" placeholder="Filter by name" autocomplete="off">'
        '<input type="hidden" name="sort" value="{}"><button class="button">Filter</button></form>'
    ).format(wish.text, wish.order)
    return (
        heading("Tables", "tables", len(lines))
        + form
        + Markup('<div id="listing">{}{}{}</div>').format(
            count if wanted else "", body, pager(now, pages, q=wish.text, sort=wish.order)
        )
    )


def _head(name: str, wish: Wish) -> Markup:
    column = SORTINGS[name].column
    here = name == wish.sort
    # A first click sorts numbers from the largest on, names from A on; the next one turns round.
    down = not wish.down if here else column.number or name == "remarks"
    order = Markup(' aria-sort="{}"').format("descending" if wish.down else "ascending") if here else ""
    return Markup('<th scope="col"{}{}><a href="{}">{}</a></th>').format(
        Markup(' class="n"') if column.number else "", order,
        asking(q=wish.text, sort=f"-{name}" if down else name), name,
    )  # fmt: skip


def _row(run: str, line: Line) -> tuple[Cell | Markup | str, ...]:
    return (
        link(run_address(run, "tables", line.table), code(line.table)), number(line.rows), size(line.size),
        number(line.files), duration(line.ended - line.created), f"{size_text(_rate(line))}/s", number(line.task),
        remarks(line),
    )  # fmt: skip
