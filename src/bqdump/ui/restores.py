"""What each restore put in place, and what each drill compared and found: all of an export, and a page for one of them.

The console reads documents only, and a restore that has written nothing for minutes may still have jobs at work. So its
page does not say that it has stopped, but how to find out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from bqdump.core.documents.target import Drill
from bqdump.core.errors import NotFoundError
from bqdump.core.restore.listing import ListedRestore
from bqdump.core.restore.result import Restoration
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import milliseconds_of
from bqdump.core.wording import Commands
from bqdump.pages.report import largest_restored, restored_totals
from bqdump.pages.summary import Verdict
from bqdump.pages.text import count_text, duration_text, time_text
from bqdump.repository.repository import value_of
from bqdump.restoration.listing import FoundRestore, find_restore, find_restores, list_restores
from bqdump.restoration.listing import Place as Documents
from bqdump.ui.archive import Archive
from bqdump.ui.frame import page, page_number

EACH = 50
DRILLS, RESTORES = "Drills", "Restores"
Facts = list[tuple[str, str]]
Item = TypeVar("Item", Drill, ListedRestore)


async def drills_page(archive: Archive, request: Request) -> Response:
    """All drills, the newest first."""
    return _all(archive, request, DRILLS, (await archive.drills())[::-1], drill_verdict)


async def restores_page(archive: Archive, request: Request) -> Response:
    """All restores, the newest first."""
    found = await find_restores([_documents(archive)])
    words = Commands(str(archive.place))
    damaged = {restore: error.sentence(words) for restore, error in sorted(found.damaged.items())}
    return _all(archive, request, RESTORES, await _listed(archive, found.restores), restore_verdict, damaged=damaged)


async def drill_page(archive: Archive, request: Request) -> Response:
    """One drill. Raises NotFoundError if none began at this time."""
    began = request.path_params["began"]
    drill = next((drill for drill in await archive.drills() if drill.began == began), None)
    if drill is None:
        raise NotFoundError("find", f"the drill that began at {began}", "there is none", "Its run may be pruned.")
    verdict = drill_verdict(drill)
    return _one(archive, DRILLS, f"Drill of run {drill.run}", drill.run, verdict, _drill_facts(drill), drill=drill)


async def restore_page(archive: Archive, request: Request) -> Response:
    """One restore. Raises NotFoundError if there is none with this id."""
    found = await find_restore(_documents(archive), request.path_params["restore"])
    (restore,) = await _listed(archive, [found])
    result = await value_of(archive.store, found.layout.result) if found.done else None
    title, verdict = f"Restore into {restore.project}.{restore.dataset}", restore_verdict(restore)
    facts, rows = _restore_facts(found, result), largest_restored(result) if result else []
    return _one(archive, RESTORES, title, restore.run, verdict, facts, restore=restore, result=result, rows=rows)


def _all(
    archive: Archive,
    request: Request,
    title: str,
    found: Sequence[Item],
    verdict: Callable[[Item], Verdict],
    **values: Any,
) -> Response:
    now, pages = page_number(request.query_params.get("page", ""), len(found), EACH)
    shown = [(item, verdict(item)) for item in found[(now - 1) * EACH : now * EACH]]
    return page(f"{title.lower()}.html", archive.place, title, shown=shown, now=now, pages=pages, **values)


def _one(archive: Archive, above: str, title: str, run: str, verdict: Verdict, facts: Facts, **values: Any) -> Response:
    place, folder = archive.place, above.lower()
    trail = (*place.runs, (above, f"{place.root}/{folder}"))
    return page(f"{folder[:-1]}.html", place, title, trail=trail, run=run, verdict=verdict, facts=facts, **values)


def drill_verdict(drill: Drill) -> Verdict:
    """What a drill has proven, by what it compared."""
    compared = f"{drill.tables:,} of {counted(drill.of, 'table')} with rows came back with the export's values."
    if not drill.proven:
        return Verdict("bad", "Failed", compared)
    if not drill.tables:
        return Verdict("warn", "Nothing proven", "No table with rows was restored.")
    return Verdict("good" if drill.tables == drill.of else "warn", "Proven", compared)


def restore_verdict(restore: ListedRestore) -> Verdict:
    """What a restore has put in place, by its documents."""
    failed = f", {len(restore.failed):,} failed" if restore.failed else ""
    reached = f"{counted(restore.restored, 'object')} in place{failed}."
    if restore.state == "done":
        return Verdict("good", "Restored", reached)
    return Verdict("bad" if failed else "warn", "Not finished", reached)


def _drill_facts(drill: Drill) -> Facts:
    return [
        ("began", time_text(drill.began)),
        ("ended", f"{time_text(drill.ended)}, after {duration_text(drill.ended - drill.began)}"),
        *([("last table in place", f"after {duration_text(drill.restored - drill.began)}")] if drill.restored else []),
        ("snapshot time of the run", time_text(drill.snapshot)),
        ("restored into", f"{drill.dataset}, which was deleted"),
        ("rows compared", count_text(drill.rows)),
        ("size", size_text(drill.bytes)),
        ("billed", size_text(drill.billed)),
        ("views and routines restored", count_text(drill.objects)),
        ("tables with other values", count_text(drill.different)),
        ("not restored", count_text(drill.failed)),
        ("by", f"bqdump {drill.tool}"),
    ]


def _restore_facts(found: FoundRestore, result: Restoration | None) -> Facts:
    decision = found.decision
    return [
        ("restore", decision.restore),
        ("began", time_text(decision.planned)),
        *([("last document written", time_text(found.changed))] if found.changed else []),
        *([("snapshot time of the run", time_text(milliseconds_of(result.snapshot_time)))] if result else []),
        ("location", decision.target.location),
        *(restored_totals(result) if result else []),
        ("by", f"bqdump {decision.tool}"),
    ]


def _documents(archive: Archive) -> Documents:
    return Documents(archive.store, archive.settings.layout)


async def _listed(archive: Archive, found: Sequence[FoundRestore]) -> list[ListedRestore]:
    """The same as they are listed by their documents alone."""

    async def unknown(_project: str, _since: int) -> set[str]:
        return set()

    return await list_restores(found, unknown, int(time.time() * 1000), archive.settings.abandoned_seconds * 1000)
