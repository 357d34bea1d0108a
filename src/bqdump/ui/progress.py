"""The page of a run under way, and the part of it that changes."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bqdump.core.documents.run import Plan
from bqdump.core.errors import DocumentError
from bqdump.core.plan.parts import by_table
from bqdump.core.progress.events import Looked
from bqdump.core.progress.tally import View
from bqdump.core.sizes import counted, size_text
from bqdump.observe.status import SILENT_SECONDS
from bqdump.pages.elements import (
    NOTHING,
    Column,
    code,
    duration_text,
    heading,
    moment,
    number,
    size,
    table,
    tiles,
)
from bqdump.pages.gantt import bar, gantt
from bqdump.pages.sections import (
    failures_table,
    flags_section,
    settings_section,
    skipped_section,
)
from bqdump.repository.ledger import Ledger, looked, read_claims, read_ledger
from bqdump.repository.published import read_latest
from bqdump.ui.archive import Archive
from bqdump.ui.frame import RUNS, page, run_address

# Says to the script that there is nothing more to wait for.
ENDED = {"bqdump-run": "ended"}
SHOWN = 30


async def live_page(archive: Archive, run: str) -> Response:
    """The page, which asks again for its part that changes."""
    shown = await _progress(archive, run)
    address = run_address(run, "live")
    part = Markup('<div data-live="{}">{}</div><p class="soft small" data-lost hidden>bqdump ui does not answer: '
                  "what is shown may be old.</p>").format(address, shown)  # fmt: skip
    return page(archive.place, f"Run {run}", [part], trail=RUNS, refresh=True)


async def _progress(archive: Archive, run: str) -> Markup:
    """How far a run is, by its plan, claims, receipts and failures."""
    plan = await archive.plan(run)
    if plan is None:
        return Markup('<div class="verdict"><strong>Being planned.</strong> A task lists the dataset.</div>')
    layout = archive.layout(run)
    claims, ledger = await asyncio.gather(read_claims(archive.store, layout), read_ledger(archive.store, layout, plan))
    seen = looked(ledger, claims)
    view = archive.view(plan, seen)
    later = await _later(archive, plan) if view.done + view.failed == view.tables else ""
    chart = gantt([bar(receipt) for receipt in ledger.receipts.values()])
    left = "–" if view.seconds_left is None or not view.running else f"about {duration_text(1000 * view.seconds_left)}"
    parts = [
        _said(plan, ledger, view, later),
        _bar(view),
        tiles(
            (
                ("tables done", f"{view.done:,} of {view.tables:,}"),
                ("being exported", f"{view.running:,}"),
                ("waiting", f"{view.waiting:,}"),
                ("failed", f"{view.failed:,}"),
                (f"of {size_text(view.bytes)} in BigQuery", size_text(view.bytes_done)),
                ("time left", left),
            )
        ),
        failures_table(by_table(seen.failures.values())),
        heading("Where the time goes", "time") + chart if chart else NOTHING,
        _at_work(seen),
        _tasks(view),
        skipped_section(plan.skipped),
        flags_section(plan.flags),
        settings_section(plan.settings),
    ]
    return Markup("\n").join(filter(None, parts))


async def _later(archive: Archive, plan: Plan) -> str:
    """The run of a later moment that readers see, over which this one changes nothing any more; "" for none."""
    with suppress(DocumentError):
        latest = await read_latest(archive.store, archive.settings)
        if latest and latest.age > plan.age:
            return latest.run
    return ""


def _said(plan: Plan, ledger: Ledger, view: View, later: str) -> Markup:
    if later:
        tone, word = "warn", "Superseded."
        told = f"{view.done:,} of {counted(view.tables, 'table')} done; readers see run {later}, of a later moment."
    elif view.done == view.tables:
        tone, word, told = "good", "Being published.", f"{counted(view.tables, 'table')}, all of them done."
    elif view.failed and view.done + view.failed == view.tables:
        tone, word = "bad", "Failed."
        told = f"{counted(view.failed, 'table')} failed, {view.done:,} done; nothing of it is published."
    else:
        tone, word = "bad" if view.failed else "", "Under way."
        told = f"{view.done:,} of {counted(view.tables, 'table')} done."
    last = max((receipt.ended for receipt in ledger.receipts.values()), default=plan.began)
    quiet = time.time() - last / 1000
    hint: Markup | str = ""
    if not later and (word == "Failed." or quiet > SILENT_SECONDS):
        silence = f" For {duration_text(1000 * quiet)} no table has been done." if quiet > SILENT_SECONDS else ""
        hint = Markup("{} To go on with it: {}").format(silence, code(f"bqdump run --run-id {plan.run}"))
    return Markup(
        '<div class="verdict {}"><strong>{}</strong> {}{}</div>'
        '<p class="soft small">The dataset {} as of {} · {} · bqdump {}</p>'
    ).format(
        tone, word, told, hint, code(f"{plan.project}.{plan.dataset}"), moment(plan.snapshot), plan.location, plan.tool
    )


def _bar(view: View) -> Markup:
    """Done, failed and at work as parts of one bar."""
    parts, x = [], 0.0
    for css, count in (("work", view.done), ("fell", view.failed), ("wait", view.running)):
        width = 100 * count / max(1, view.tables)
        parts.append(Markup('<rect class="{}" x="{:.2f}%" width="{:.2f}%" height="100%"/>').format(css, x, width))
        x += width
    share = 100 * view.done // max(1, view.tables)
    return Markup('<svg class="progress" role="img" aria-label="{} % done: {}">{}</svg>').format(
        share, view.sentence(), NOTHING.join(parts)
    )


def _at_work(seen: Looked) -> Markup:
    """The largest tables that somebody works on."""
    open_ = [one for one in seen.started.values() if one.unit not in seen.receipts and one.unit not in seen.failures]
    shown = sorted(open_, key=lambda one: -one.bytes)[:SHOWN]
    rows = [(code(one.table), size(one.bytes), number(one.task)) for one in shown]
    columns = (Column("table"), Column("size in BigQuery", number=True), Column("task", number=True))
    title = "Being exported" if len(open_) == len(shown) else f"Being exported: the {SHOWN} largest"
    return heading(title, "work", len(open_)) + table("Being exported", columns, rows) if rows else NOTHING


def _tasks(view: View) -> Markup:
    """What each task has done and does."""
    shown = sorted(view.tasks, key=lambda task: (-task.running, task.task))[:SHOWN]
    rows = [(f"task {one.task}", number(one.running), number(one.done), size(one.bytes)) for one in shown]
    columns = (Column("task"), Column("being exported", number=True), Column("done", number=True),
               Column("size in BigQuery", number=True))  # fmt: skip
    return heading("Tasks", "tasks", len(view.tasks)) + table("Tasks", columns, rows) if rows else NOTHING


async def live_part(archive: Archive, request: Request) -> Response:
    """The part of a live page that changes; a header says when the run has ended."""
    run = request.path_params["run"]
    if await archive.store.stat(archive.layout(run).manifest) is not None:
        return HTMLResponse("", headers=ENDED)
    return HTMLResponse(await _progress(archive, run))
