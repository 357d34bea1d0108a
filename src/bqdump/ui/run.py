"""The page of a run.

The tables of a run, filtered, sorted and paged by the server, so that 10,000 tables are as quick as 10.

The facts that a manifest records about its run, and the document itself.

Verification of a run's stored files, run on request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from bqdump.check.verify import verify
from bqdump.core.documents.manifest_index import Line
from bqdump.core.errors import NotFoundError
from bqdump.pages.gantt import gantt, own_bars, remarks
from bqdump.pages.summary import chosen, totals, verdict
from bqdump.repository.repository import read
from bqdump.ui.archive import Archive
from bqdump.ui.frame import asking, page, page_number
from bqdump.ui.progress import live_page

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


async def run_page(archive: Archive, request: Request) -> Response:
    """The page of a finished run, or the live page of an unfinished one."""
    run = request.path_params["run"]
    contents = await archive.contents(run)
    if contents is None:
        return await live_page(archive, run)
    return page(
        "run.html",
        archive.place,
        f"Run {run}",
        about=contents,
        verdict=verdict(contents),
        totals=totals(contents),
        chart=gantt(own_bars(contents.tables)),
        listing=listing(contents.tables, Wish.of(request)),
        settings=chosen(contents.settings),
    )


async def manifest_page(archive: Archive, request: Request) -> Response:
    """The facts about the run, and a link to the document."""
    run = request.path_params["run"]
    contents = await archive.finished(run)
    return page(
        "manifest.html",
        archive.place,
        "Manifest",
        trail=archive.place.run_trail(run),
        object=f"{archive.store.url}/{archive.layout(run).manifest}",
        about=contents,
        settings=chosen(contents.settings),
    )


async def manifest_document(archive: Archive, request: Request) -> Response:
    """The manifest as stored."""
    document = archive.layout(request.path_params["run"]).manifest
    stored = await read(archive.store, document)
    if stored is None:
        raise NotFoundError("find", document.name, "it does not exist: the run has not finished")
    return Response(stored.data, media_type="application/json")


SHOWN = 500


async def verify_page(archive: Archive, request: Request) -> Response:
    """The result of verification by listing, as of now."""
    run = request.path_params["run"]
    archive.layout(run)
    found = await verify(archive.store, archive.settings, run)
    place = archive.place
    return page("verification.html", place, "Verification", trail=place.run_trail(run), found=found, most=SHOWN)
