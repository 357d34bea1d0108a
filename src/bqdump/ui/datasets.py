"""The first page over a set of datasets: what is published, each dataset, and all runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from bqdump.concurrency import gathered
from bqdump.core.documents.project import DatasetEntry, Project
from bqdump.observe.history import RunLine
from bqdump.observe.set_runs import SetRun, runs_together
from bqdump.pages.project import problems_of
from bqdump.repository.exports import AT_ONCE
from bqdump.repository.projects import read_project
from bqdump.ui.collection import Collection
from bqdump.ui.frame import page, page_number
from bqdump.ui.place import dataset_address
from bqdump.ui.runs import EACH, TONES


async def datasets_page(collection: Collection, request: Request) -> Response:
    """The published set with each of its datasets, and the runs of all of them."""
    project, names = await asyncio.gather(read_project(collection.store, collection.settings), collection.names())
    newest, runs = await asyncio.gather(
        collection.whole.newest(), _runs(collection, names, project.run if project else "")
    )
    about = as_stored(project, runs) if project else None
    now, pages = page_number(request.query_params.get("page", ""), len(runs), EACH)
    return page(
        "datasets.html",
        collection.place,
        "Datasets",
        trail=(),
        about=about,
        problems=problems_of(about) if about else [],
        addresses={name: dataset_address(name) for name in names},
        names=names,
        left=_left(project, names) if project else [],
        newest=newest if not project or newest != project.run else "",
        tones=TONES,
        runs=len(runs),
        shown=runs[(now - 1) * EACH : now * EACH],
        now=now,
        pages=pages,
    )


def _left(project: Project, names: Sequence[str]) -> list[str]:
    """The datasets that left the set earlier than with its last run, which names those that it lacks itself."""
    named = {dataset.dataset for dataset in project.datasets} | {dataset.dataset for dataset in project.removed}
    return [name for name in names if name not in named]


def as_stored(project: Project, runs: Sequence[SetRun]) -> Project:
    """The published set without the exports that are no longer there: their datasets count as failed."""
    there = {(part.dataset, part.run) for run in runs for part in run.parts}

    def entry(member: DatasetEntry) -> DatasetEntry:
        if not member.run or (member.dataset, member.run) in there:
            return member
        problem = " ".join(filter(None, [member.problem, f"Its export by run {member.run} is no longer there."]))
        return replace(
            member, state="failed", run="", snapshot_time="", tables=0, rows=0, files=0, bytes=0, problem=problem
        )

    datasets = tuple(map(entry, project.datasets))
    return replace(project, datasets=datasets, status=project.status if datasets == project.datasets else "partial")


async def _runs(collection: Collection, names: list[str], published: str) -> list[SetRun]:
    async def lines(name: str) -> tuple[str, Sequence[RunLine]]:
        return name, await (await collection.of(name)).runs()

    return runs_together(await gathered(lines, names, AT_ONCE), published)
