"""The first page over a set of datasets: what is published, each dataset, and all runs.

The page of one run of a set: each dataset's part of it, and the progress while it runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bqdump.concurrency import gathered
from bqdump.core.documents.sets import DatasetEntry, SetManifest
from bqdump.core.errors import DocumentError, NotFoundError, VerificationError
from bqdump.core.restore.drill import Restorable
from bqdump.core.sizes import counted
from bqdump.core.wording import COMMANDS, fill
from bqdump.observe.history import RunLine
from bqdump.observe.sets import SetRun, runs_together, set_status
from bqdump.observe.status import NOT_TRUSTED, DatasetStatus, Status
from bqdump.pages.report import problems_of
from bqdump.pages.summary import Verdict
from bqdump.repository.exports import AT_ONCE, Exports, SetAt, readable_set
from bqdump.ui.archive import Collection
from bqdump.ui.frame import dataset_address, page, page_number, part
from bqdump.ui.run import ENDED
from bqdump.ui.runs import EACH, TONES


async def datasets_page(collection: Collection, request: Request) -> Response:
    """The published set with each of its datasets, and the runs of all of them."""
    (manifest, problem), exports = await asyncio.gather(_published(collection), collection.exports())
    names = exports.names
    newest, lines = await asyncio.gather(collection.whole.newest(), _lines(collection, names, manifest))
    runs = await runs_together(_unjudged(set_of(exports)), lines)
    about = as_stored(manifest, runs) if manifest else None
    locks = await _locks(collection, about) if about and about.locked else {}
    now, pages = page_number(request.query_params.get("page", ""), len(runs), EACH)
    judged = await _judged(collection, exports, lines, runs[(now - 1) * EACH : now * EACH], about)
    whole = judged[about.run].whole if about and about.run in judged else None
    problem = problem or (whole.problem if whole else "")
    return page(
        "datasets.html",
        collection.place,
        "Datasets",
        trail=(),
        untrusted={about.run: problem} if about and problem else {},
        trusted=not problem and (whole is None or whole.state != NOT_TRUSTED),
        reasons=_reasons(judged.values(), about) if about else {},
        about=about,
        problems=problems_of(about) if about else [],
        addresses={name: dataset_address(name) for name in names},
        names=names,
        left=_left(manifest, names) if manifest else [],
        proven=await _proven(collection, manifest) if manifest else {},
        locked=min(locks.values(), default=0),
        newest=newest if not manifest or (newest != manifest.run and not manifest.locked) else "",
        tones=TONES,
        runs=len(runs),
        shown=[judged[night.whole.run] for night in runs[(now - 1) * EACH : now * EACH]],
        now=now,
        pages=pages,
    )


def set_of(exports: Exports) -> SetAt:
    """The set. Raises NotFoundError where there is none any more."""
    if exports.set_at is None:
        raise NotFoundError("find", "a set of datasets", "it has been deleted")
    return exports.set_at


async def _sets(collection: Collection) -> tuple[SetAt, SetAt | None]:
    """The set; and with a store that trusts keys, the same without. See observe.sets.set_status."""
    exports, trusting = await collection.exports(), collection.trusting
    plain = set_of(exports)
    return (plain._replace(store=trusting), plain) if trusting else (plain, None)


async def _published(collection: Collection) -> tuple[SetManifest | None, str]:
    """The published set, and why its own manifest is not trusted."""
    try:
        return await readable_set(collection.trusting or collection.store, collection.settings), ""
    except VerificationError as error:
        return await readable_set(collection.store, collection.settings), fill(error.cause, COMMANDS)


def _left(manifest: SetManifest, names: Sequence[str]) -> list[str]:
    """The datasets that left the set earlier than with its last run, which names those that it lacks itself."""
    named = {dataset.dataset for dataset in manifest.datasets} | {dataset.dataset for dataset in manifest.removed}
    return [name for name in names if name not in named]


async def _proven(collection: Collection, manifest: SetManifest) -> dict[str, str]:
    """What drills have proven of each dataset's export, and what the newest one found."""

    async def text(dataset: DatasetEntry) -> tuple[str, str]:
        proof = None
        # What cannot be read is said of the export.
        with suppress(DocumentError):
            proof = await (await collection.of(dataset.dataset)).proof(dataset.run) if dataset.run else None
        return dataset.dataset, (proof.restorable if proof else Restorable()).text(time.time())

    return dict(await gathered(text, manifest.datasets, AT_ONCE))


def as_stored(manifest: SetManifest, runs: Sequence[SetRun]) -> SetManifest:
    """The published set with its exports as they are there: with the numbers that an erasure has left.

    Datasets whose exports are no longer there, or cannot be read, count as failed.
    """
    stored = {(part.dataset, part.run): part for run in runs for part in run.parts}

    def entry(member: DatasetEntry) -> DatasetEntry:
        part = stored.get((member.dataset, member.run))
        if part and part.state == "unreadable":
            return replace(member, state="failed", problem=part.problem)
        if part and part.whole and (part.tables, part.files) != (member.tables, member.files):
            return replace(member, tables=part.tables, rows=part.rows, files=part.files, bytes=part.bytes)
        if part or not member.run:
            return member
        problem = " ".join(filter(None, [member.problem, f"Its export by run {member.run} is no longer there."]))
        return replace(
            member, state="failed", run="", snapshot_time="", tables=0, rows=0, files=0, bytes=0, problem=problem
        )

    datasets = tuple(map(entry, manifest.datasets))
    return replace(manifest, datasets=datasets, status=manifest.status if datasets == manifest.datasets else "partial")


async def _locks(collection: Collection, manifest: SetManifest) -> dict[str, int]:
    """Until when the exports of the published set are locked, by dataset."""

    async def until(entry: DatasetEntry) -> tuple[str, int]:
        return entry.dataset, (await (await collection.of(entry.dataset)).locks([entry.run])).get(entry.run, 0)

    return dict(await gathered(until, [entry for entry in manifest.datasets if entry.run], AT_ONCE))


Lines = tuple[str, Sequence[RunLine]]


async def _lines(collection: Collection, names: list[str], published: SetManifest | None) -> list[Lines]:
    """The runs of each dataset. published: the set, whose exports are as their manifests say."""
    shown = {entry.dataset: entry.run for entry in published.datasets} if published else {}

    async def lines(name: str) -> Lines:
        archive = await collection.of(name)
        found = await archive.runs()
        # Where keys are trusted, what is shown is judged with them.
        return name, found if collection.trusting else await archive.judged(found, [shown.get(name, "")])

    return list(await gathered(lines, names, AT_ONCE))


def _unjudged(at: SetAt) -> SetAt:
    """The set as if no key were trusted."""
    return at._replace(settings=replace(at.settings, trust=()))


async def _judged(
    collection: Collection,
    exports: Exports,
    lines: Sequence[Lines],
    nights: Sequence[SetRun],
    about: SetManifest | None,
) -> dict[str, SetRun]:
    """These runs and, where keys are trusted, those that the published set names, by run: which are not trusted."""
    if (trusting := collection.trusting) is None:
        return {night.whole.run: night for night in nights}
    wanted = {night.whole.run for night in nights}
    wanted |= {about.run, *(entry.run for entry in about.datasets)} if about else set()

    async def judged(of_one: Lines) -> Lines:
        name, some = of_one
        return name, await (await collection.of(name)).judged([line for line in some if line.run in wanted], wanted)

    at = set_of(exports)._replace(store=trusting)
    shown = await runs_together(at, await gathered(judged, lines, AT_ONCE))
    return {night.whole.run: night for night in shown}


def _reasons(nights: Iterable[SetRun], about: SetManifest) -> dict[str, str]:
    """Why exports of the published set are not trusted, by dataset."""
    parts = (part for night in nights for part in night.parts)
    why = {(part.dataset, part.run): part.problem for part in parts if part.state == NOT_TRUSTED}
    published = [(entry.dataset, entry.run) for entry in about.datasets]
    return {dataset: why[dataset, run] for dataset, run in published if (dataset, run) in why}


OPEN = ("planning", "running")
SET_TONES: Mapping[str, str] = {"published": "good", "complete": "good", "failed": "bad", "partial": "bad",
    "unreadable": "bad", "not trusted": "bad", "superseded": "warn"}  # fmt: skip


class Row(NamedTuple):
    """A dataset's part of a run.

    done: of `tables`.
    kept: further tables, unchanged or carried over.
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
    progress = await _progress(collection, run)
    return page("set_run.html", collection.place, f"Run {run}", run=run, **progress)


async def set_live_part(collection: Collection, request: Request) -> Response:
    """The part of the page that changes; a header marks the end of the run."""
    progress = await _progress(collection, request.path_params["run"])
    if not progress["open"]:
        return HTMLResponse("", headers=ENDED)
    return HTMLResponse(part("set_progress.html", collection.place, **progress))


async def _progress(collection: Collection, run: str) -> dict[str, Any]:
    """Each dataset's part of the run. Raises NotFoundError where no dataset has one."""
    collection.whole.layout(run)
    status = None
    # A run that was pruned in part has no plan any more; a damaged one is a problem of its dataset only.
    with suppress(NotFoundError, DocumentError, VerificationError):
        at, plain = await _sets(collection)
        status = await set_status(at, run, plain)
    names = [dataset.dataset for dataset in status.datasets] if status else await collection.names()

    async def line(name: str) -> RunLine | None:
        archive = await collection.of(name)
        found = [listed for listed in await archive.runs() if listed.run == run]
        return next(iter(found if status else await archive.judged(found, [run])), None)

    lines = dict(zip(names, await gathered(line, names, AT_ONCE), strict=True))
    rows = [_of_status(run, dataset, lines[dataset.dataset]) for dataset in status.datasets] if status else []
    rows = rows or [_of_line(name, line_) for name, line_ in lines.items() if line_]
    if not rows:
        raise NotFoundError("find", f"run {run}", f"{collection.place} has no documents of this run")
    return {
        "open": status is not None and (status.state in OPEN or _unsigned_yet(status)),
        "progress": status,
        "verdict": _verdict(status, rows),
        "rows": rows,
        "tones": SET_TONES,
        "problems": [(row.dataset, row.problem) for row in rows if row.problem and row.state != NOT_TRUSTED],
        "reasons": {row.dataset: row.problem for row in rows if row.state == NOT_TRUSTED},
    }


def _unsigned_yet(status: Status) -> bool:
    """Whether the run is in progress, and a part of it that has ended is not signed."""
    return status.state == NOT_TRUSTED and any(dataset.state in OPEN for dataset in status.datasets)


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
    states = {row.state for row in rows}
    of_rows = NOT_TRUSTED if NOT_TRUSTED in states else "complete" if states == {"complete"} else "partial"
    state = status.state if status else of_rows
    what = f"Reason: {status.problem}. {what}" if status and status.problem else what
    tone = "bad" if failed else SET_TONES.get(state, "")
    return Verdict(tone, f"{state.capitalize()}.", what)
