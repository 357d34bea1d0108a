"""The page of an unfinished run, and the part of it that changes."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bqdump.core.documents.run import Plan
from bqdump.core.errors import DocumentError
from bqdump.core.progress.tally import View
from bqdump.core.settings.file import resume_command
from bqdump.core.sizes import counted
from bqdump.observe.status import SILENT_SECONDS
from bqdump.pages.gantt import Drawn, bar, gantt
from bqdump.pages.summary import chosen
from bqdump.pages.text import duration_text
from bqdump.repository.ledger import Ledger, read_ledger
from bqdump.repository.published import read_latest
from bqdump.repository.repository import exists
from bqdump.ui.archive import Archive
from bqdump.ui.frame import page, part

# The header by which the page's script stops asking and loads the finished run's page.
ENDED = {"bqdump-run": "ended"}
SHOWN = 30


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
        return {"plan": None}
    ledger = await read_ledger(archive.store, archive.layout(run), plan)
    view = archive.view(plan, ledger)
    later = await _later(archive, plan) if view.done + view.failed == view.tables else ""
    return {
        "plan": plan,
        "view": view,
        "state": _state(plan, ledger, view, later),
        "bar": _bar(view),
        "failed": ledger.failed,
        "chart": gantt([bar(receipt) for receipt in ledger.receipts]),
        "running": sorted(ledger.running, key=lambda unit: -unit.bytes),
        "tasks": sorted(view.tasks, key=lambda task: (-task.running, task.task)),
        "most": SHOWN,
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
