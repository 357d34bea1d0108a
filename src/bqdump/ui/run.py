"""The page of a run.

The tables of a run, filtered, sorted and paged by the server, so that 10,000 tables are as quick as 10.

The facts that a manifest records about its run, and the document itself.

Verification of a run's stored files, run on request.

The page of an unfinished run, and the part of it that changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bqdump.check.verify import verify
from bqdump.core.documents.manifest_index import Line
from bqdump.core.documents.run import Plan
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.progress.tally import View
from bqdump.core.settings.file import resume_command
from bqdump.core.sizes import counted
from bqdump.observe.status import SILENT_SECONDS
from bqdump.pages.gantt import Drawn, bar, gantt, own_bars, remarks
from bqdump.pages.summary import chosen, totals, verdict
from bqdump.pages.text import duration_text
from bqdump.pool.tables import Ledger, read_ledger
from bqdump.repository.published import read_latest, refuse_lost
from bqdump.repository.repository import exists, read
from bqdump.ui.archive import Archive
from bqdump.ui.frame import asking, page, page_number, part

# The header by which the page's script stops asking and loads the finished run's page.
ENDED = {"bqdump-run": "ended"}
ITEMS_SHOWN = 30


class State(NamedTuple):
    """The state of an unfinished run in a sentence. resume: what to read before the command, "" to show none."""

    tone: str
    word: str
    sentence: str
    resume: str = ""


async def live_page(archive: Archive, run: str) -> Response:
    """The page, whose script reloads the part that changes."""
    return page("live.html", archive.place, f"Run {run}", run=run, **await _progress(archive, run))


async def live_part(archive: Archive, request: Request) -> Response:
    """The part of a live page that changes; a header marks the end of the run."""
    run = request.path_params["run"]
    if await exists(archive.store, archive.layout(run).manifest):
        return HTMLResponse("", headers=ENDED)
    return HTMLResponse(part("progress.html", archive.place, **await _progress(archive, run)))


async def _progress(archive: Archive, run: str) -> dict[str, Any]:
    """The progress of a run, from its plan, claims, receipts and failures."""
    plan = await archive.plan(run)
    if plan is None:
        await refuse_lost(archive.store, archive.settings, run)
        return {"plan": None, "copying": await exists(archive.store, archive.layout(run).copying)}
    ledger = await read_ledger(archive.store, archive.layout(run), plan)
    view = archive.view(plan, ledger)
    later = ""
    if view.done + view.failed == view.tables:
        await refuse_lost(archive.store, archive.settings, run)
        later = await _later(archive, plan)
    return {
        "plan": plan,
        "view": view,
        "state": _state(plan, ledger, view, later),
        "bar": _bar(view),
        "failed": ledger.failed,
        "chart": gantt([bar(receipt) for receipt in ledger.receipts]),
        "running": sorted(ledger.running, key=lambda unit: -unit.bytes),
        "tasks": sorted(view.tasks, key=lambda task: (-task.running, task.task)),
        "most": ITEMS_SHOWN,
        "settings": chosen(plan.settings),
        "command": resume_command(plan.run, plan.settings),
    }


async def _later(archive: Archive, plan: Plan) -> str:
    """The published run, if its snapshot time is later, so that this run can never be published; else ""."""
    with suppress(DocumentError):
        latest = await read_latest(archive.store, archive.settings)
        if latest and latest.age > plan.age:
            return latest.run
    return ""


def _state(plan: Plan, ledger: Ledger, view: View, later: str) -> State:
    done = f"{view.done:,} of {counted(view.tables, 'table')} done"
    if later:
        return State("warn", "Superseded.", f"{done}; run {later}, with a later snapshot time, is published.")
    quiet = time.time() - (ledger.last_done or plan.began) / 1000
    silence = f"No table has finished for {duration_text(1000 * quiet)}. " if quiet > SILENT_SECONDS else ""
    resume = f"{silence}To resume:" if silence else ""
    if view.done == view.tables:
        return State("good", "Publishing.", f"{done}.", resume)
    if view.failed and view.done + view.failed == view.tables:
        detail = f"{counted(view.failed, 'table')} failed, {view.done:,} done; nothing was published."
        return State("bad", "Failed.", detail, f"{silence}Fix the cause, then resume with:")
    return State("bad" if view.failed else "", "Running.", f"{done}.", resume)


def _bar(view: View) -> list[Drawn]:
    """Done, failed and running tables as parts of one bar."""
    parts, x = [], 0.0
    for css, count in (("work", view.done), ("fell", view.failed), ("wait", view.running)):
        width = 100 * count / max(1, view.tables)
        parts.append(Drawn(css, x, width))
        x += width
    return parts


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
    """The heading of a column.

    order: how the rows are sorted by it, "" if they are not.
    address: sorts by it.
    """

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
    matching = [line for line in lines if part in line.table.casefold()] if part else list(lines)
    matching.sort(key=SORTINGS[wish.sort], reverse=wish.down)
    now, pages = page_number(wish.page, len(matching), EACH)
    shown = matching[(now - 1) * EACH : now * EACH]
    return Listing(wish, [_head(name, wish) for name in SORTINGS], shown, len(matching), now, pages)


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
    result = verdict(contents)
    if why := (await archive.untrusted(run)).get(run):
        result = result._replace(tone="bad", word="Not trusted", sentence=f"Reason: {why}. {result.sentence}")
    return page(
        "run.html",
        archive.place,
        f"Run {run}",
        about=contents,
        locked=(await archive.locks([run])).get(run, 0),
        verdict=result,
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
        untrusted=await archive.untrusted(run),
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
    verified = await verify(archive.store, archive.settings, run)
    return page(
        "verification.html",
        archive.place,
        "Verification",
        trail=archive.place.run_trail(run),
        untrusted=await archive.untrusted(run),
        found=verified,
        most=SHOWN,
    )
