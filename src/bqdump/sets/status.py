"""The progress of a set's run, from its documents: that of each dataset, and all of them together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.documents.project import Project, ProjectPlan
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.core.times import time_of
from bqdump.core.wording import COMMANDS, fill
from bqdump.observe.status import DatasetStatus, Status, StatusState, status
from bqdump.ports.store import ObjectStore
from bqdump.repository.projects import Board, read_board, read_project, read_project_plan
from bqdump.repository.replacing import read_replacing
from bqdump.sets.datasets import Left, datasets_left

READS_AT_ONCE = 8
# Datasets that have ended, in one way or another.
ENDED = ("published", "superseded", "failed")


async def set_status(store: ObjectStore, settings: Settings, run: str = "") -> Status:
    """The status of a set's run (default: the one that was planned last). Raises NotFoundError."""
    plan = await read_project_plan(store, settings, run)
    board, project = await asyncio.gather(
        read_board(store, settings.layout.project_run(plan.run)), read_project(store, settings)
    )
    numbers = range(len(plan.datasets))
    parts = await gathered(lambda number: _dataset(store, settings, plan, board, number), numbers, READS_AT_ONCE)
    datasets = tuple(parts)
    state, left = _state(plan, project, datasets), Left([], {})
    if not project or project.age <= plan.age:
        left = await datasets_left(store, settings, [one.dataset for one in plan.datasets])
    datasets += tuple(_damaged(name, error) for name, error in left.damaged.items())
    return Status(
        run=plan.run,
        state=state,
        snapshot_time=time_of(plan.snapshot),
        tables=sum(one.tables for one in datasets),
        done=sum(one.done for one in datasets),
        working=sum(one.working for one in datasets),
        waiting=sum(one.waiting for one in datasets),
        failed=(),
        skipped=0,
        bytes=sum(one.bytes for one in datasets),
        latest=project.run if project else "",
        last_done=max((one.last_done for one in datasets if one.last_done), default=None),
        planned=time_of(plan.planned),
        dataset=f"{plan.project}.{plan.names}",
        carried=sum(one.carried for one in datasets),
        oldest_snapshot_time=min(
            (one.oldest_snapshot_time for one in datasets if one.oldest_snapshot_time), default=None
        ),
        datasets=datasets,
        reused=sum(one.reused for one in datasets),
        left=tuple(left.datasets),
    )


def merged(found: Sequence[Status]) -> Status:
    """One status of a set whose datasets go to several targets: the sums, and all datasets."""
    first, *others = found
    if not others:
        return first
    states = {one.state for one in found}
    worst: tuple[StatusState, ...] = ("failed", "running", "planning", "partial")
    state = next((one for one in worst if one in states), first.state)
    return replace(
        first,
        state=state,
        tables=sum(one.tables for one in found),
        done=sum(one.done for one in found),
        working=sum(one.working for one in found),
        waiting=sum(one.waiting for one in found),
        bytes=sum(one.bytes for one in found),
        last_done=max((one.last_done for one in found if one.last_done), default=None),
        carried=sum(one.carried for one in found),
        oldest_snapshot_time=min((one.oldest_snapshot_time for one in found if one.oldest_snapshot_time), default=None),
        datasets=tuple(dataset for one in found for dataset in one.datasets),
        reused=sum(one.reused for one in found),
        left=tuple(left for one in found for left in one.left),
    )


async def _dataset(
    store: ObjectStore, settings: Settings, plan: ProjectPlan, board: Board, number: int
) -> DatasetStatus:
    member = plan.datasets[number]
    problems = [one[number].message for one in board.failures.values() if number in one]
    problem = fill(problems[-1], COMMANDS) if problems and number not in board.ended else ""
    try:
        found = await status(store, one_dataset(settings, member.dataset), plan.run)
    except NotFoundError:
        state: StatusState = "failed" if problem else "planning"
        waiting = 0 if problem else member.tables
        return DatasetStatus(
            dataset=member.dataset, state=state, tables=member.tables, waiting=waiting, problem=problem
        )
    except DocumentError as error:
        return _damaged(member.dataset, error, member.tables)
    planned = found.state != "planning"
    state = "failed" if problem and found.state not in ("published", "superseded") else found.state
    by = await read_replacing(store, one_dataset(settings, member.dataset))
    problem = problem or (fill(by.sentence, COMMANDS) if by else "")
    return DatasetStatus(
        dataset=member.dataset,
        state=state,
        tables=found.tables if planned else member.tables,
        done=found.done,
        working=found.working,
        waiting=found.waiting if planned else member.tables,
        failed=found.failed,
        bytes=found.bytes,
        latest=found.latest,
        last_done=found.last_done,
        problem=problem,
        carried=found.carried,
        reused=found.reused,
        oldest_snapshot_time=found.oldest_snapshot_time,
    )


def _state(plan: ProjectPlan, project: Project | None, datasets: tuple[DatasetStatus, ...]) -> StatusState:
    if project and project.run == plan.run:
        return "published" if project.status == "complete" else "partial"
    if project and project.age > plan.age:
        return "superseded"
    ended = all(one.state in ENDED for one in datasets)
    return "failed" if ended and any(one.state == "failed" for one in datasets) else "running"


def _damaged(dataset: str, error: DocumentError, tables: int = 0) -> DatasetStatus:
    """A dataset of which a document cannot be read: the others are shown regardless."""
    return DatasetStatus(dataset=dataset, state="failed", tables=tables, problem=error.sentence(COMMANDS))
