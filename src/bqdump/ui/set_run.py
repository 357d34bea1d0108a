"""The page of one run of a set: each dataset's part of it, and the progress while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bqdump.concurrency import gathered
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.sizes import counted
from bqdump.observe.history import RunLine
from bqdump.observe.sets import set_status
from bqdump.observe.status import DatasetStatus, Status
from bqdump.pages.summary import Verdict
from bqdump.repository.exports import AT_ONCE
from bqdump.ui.datasets import Collection
from bqdump.ui.frame import dataset_address, page, part
from bqdump.ui.progress import ENDED

OPEN = ("planning", "running")
TONES: Mapping[str, str] = {"published": "good", "complete": "good", "failed": "bad", "partial": "bad",
    "unreadable": "bad", "superseded": "warn", "pruning": "warn"}  # fmt: skip


class Row(NamedTuple):
    """A dataset's part of a run. done: of `tables`. kept: further tables, unchanged or carried over.

    line: its numbers, None where it has no document of the run.
    """

    dataset: str
    address: str
    state: str
    tables: int
    done: int
    line: RunLine | None
    problem: str
    kept: int = 0


async def set_run_page(collection: Collection, request: Request) -> Response:
    """The page. While the run is in progress, the page's script reloads the part that changes."""
    run = request.path_params["run"]
    found = await _progress(collection, run)
    return page("set_run.html", collection.place, f"Run {run}", run=run, **found)


async def set_live_part(collection: Collection, request: Request) -> Response:
    """The part of the page that changes; a header marks the end of the run."""
    found = await _progress(collection, request.path_params["run"])
    if not found["open"]:
        return HTMLResponse("", headers=ENDED)
    return HTMLResponse(part("set_progress.html", collection.place, **found))


async def _progress(collection: Collection, run: str) -> dict[str, Any]:
    """Each dataset's part of the run. Raises NotFoundError where no dataset has one."""
    collection.whole.layout(run)
    status = None
    # A run that was pruned in part has no plan any more; a damaged one is a problem of its dataset only.
    with suppress(NotFoundError, DocumentError):
        status = await set_status((await collection.exports()).sets, run)
    names = [dataset.dataset for dataset in status.datasets] if status else await collection.names()

    async def line(name: str) -> RunLine | None:
        lines = await (await collection.of(name)).runs()
        return next((listed for listed in lines if listed.run == run), None)

    lines = dict(zip(names, await gathered(line, names, AT_ONCE), strict=True))
    rows = [_of_status(run, dataset, lines[dataset.dataset]) for dataset in status.datasets] if status else []
    rows = rows or [_of_line(name, found) for name, found in lines.items() if found]
    if not rows:
        raise NotFoundError("find", f"run {run}", f"{collection.place} has no documents of this run")
    return {
        "open": status is not None and status.state in OPEN,
        "progress": status,
        "verdict": _verdict(status, rows),
        "rows": rows,
        "tones": TONES,
        "problems": [(row.dataset, row.problem) for row in rows if row.problem],
    }


def _of_status(run: str, dataset: DatasetStatus, line: RunLine | None) -> Row:
    address = f"{dataset_address(dataset.dataset)}runs/{run}" if line else dataset_address(dataset.dataset)
    kept = dataset.reused + dataset.carried
    return Row(dataset.dataset, address, dataset.state, dataset.tables, dataset.done, line, dataset.problem, kept)


def _of_line(name: str, line: RunLine) -> Row:
    address = f"{dataset_address(name)}runs/{line.run}"
    return Row(name, address, line.state, line.tables, line.tables if line.whole else 0, line, line.problem)


def _verdict(status: Status | None, rows: list[Row]) -> Verdict:
    """The state of the run in a sentence."""
    failed = sum(row.state == "failed" for row in rows)
    tables = f"{sum(row.done for row in rows):,} of {counted(sum(row.tables for row in rows), 'table')} done"
    kept = sum(row.kept for row in rows)
    tables += f", {kept:,} unchanged or carried over" if kept else ""
    what = f"{counted(len(rows), 'dataset')}, {tables}" + (f"; {counted(failed, 'dataset')} failed." if failed else ".")
    state = status.state if status else "complete" if all(row.state == "complete" for row in rows) else "partial"
    tone = "bad" if failed else TONES.get(state, "")
    return Verdict(tone, f"{state.capitalize()}.", what)
