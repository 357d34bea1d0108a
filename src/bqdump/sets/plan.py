"""Planning the datasets of a set: one task plans them all, largest first, and the others work on what is planned.

BigQuery limits requests per user, so several planners would not be faster. As with single exports, another task takes
over when the planner shows no sign of life; two planners at once do no harm, since each plan is created only once.

What a run of a set would do: the plan of each dataset, without writing anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from bqdump.concurrency import gathered, task_group
from bqdump.core.dealing import largest_first
from bqdump.core.documents.sets import DatasetPlanned
from bqdump.core.errors import ENDS_THE_TASK, PLAN, BqdumpError, UsageError
from bqdump.core.plan.guards import refuse
from bqdump.core.plan.summary import Planned
from bqdump.core.progress.export import DatasetPlan, planned_together
from bqdump.core.sets.selection import choose_datasets, refuse_leaving
from bqdump.core.sizes import size_text
from bqdump.core.wording import COMMANDS
from bqdump.export.planning.obtain import show_plan
from bqdump.export.planning.target import check_target
from bqdump.export.run import obtain_plan
from bqdump.export.task import Task
from bqdump.pool.datasets import SetProgress, read_set_progress
from bqdump.pool.turn import OthersTurn, at_work, takes_turn
from bqdump.repository.repository import replace
from bqdump.repository.set_runs import set_before
from bqdump.sets.obtain import draft_set, list_project
from bqdump.sets.task import RunningSet, SetTask, draft_task, named, note_failure

# Datasets that are planned at the same time: while one waits for a query, others describe tables.
PLANNED_AT_ONCE = 4

Open = Callable[[int], Task]


class Planner:
    """Plans the datasets of a set in this task, if it is its turn."""

    def __init__(self, running: RunningSet, open_task: Open) -> None:
        self._running, self._open = running, open_task
        self._planning: asyncio.Task[None] | None = None
        self._turn = running.task.planning
        self._others = OthersTurn(self._turn)

    async def begin(self) -> None:
        """Plan in the background if that is up to this task."""
        if await takes_turn(self._turn):
            self._planning = asyncio.create_task(self._plan())

    async def watch(self) -> None:
        """Take over planning if the planner's pulse has stopped. Raises what planning in this task has raised."""
        if self._planning is not None:
            if self._planning.done():
                self._planning.result()
        elif await self._others.is_over():
            await self.begin()

    async def end(self) -> None:
        """Stop planning."""
        if self._planning is not None:
            self._planning.cancel()
            with suppress(asyncio.CancelledError, BqdumpError):
                await self._planning

    async def _plan(self) -> None:
        async with at_work(self._turn):
            await _plan_all(self._running, self._open)


async def _plan_all(running: RunningSet, open_task: Open) -> None:
    """Plan every dataset that is not planned yet. A refusal fails that dataset, and no other."""
    task, limit = running.task, running.task.settings.max_bytes_billed
    progress = await read_set_progress(task.store, task.layout)
    failed = progress.failed(task.owner.execution)
    numbers = largest_first([dataset.tables for dataset in running.plan.datasets])
    todo = [number for number in numbers if number not in progress.planned and number not in failed]
    slots = asyncio.Semaphore(PLANNED_AT_ONCE)
    bills = {number: planned.bills for number, planned in progress.planned.items()}

    async def plan(number: int) -> None:
        async with slots:
            ready = await _planned(running, number, open_task)
        if ready is None:
            return
        bills[number] = ready.bills
        if not limit:
            await replace(task.store, task.layout.planned(number), ready, 0)

    async with task_group() as group:
        for number in todo:
            group.create_task(plan(number))
    if limit:
        # Nothing is worked on before it is known what all queries together bill.
        _check_bills(running, bills)
        for number in todo:
            if number in bills:
                note = DatasetPlanned(number, bills[number])
                await replace(task.store, task.layout.planned(number), note, 0)


async def _planned(running: RunningSet, number: int, open_task: Open) -> DatasetPlanned | None:
    """The note that this dataset is planned; None where it cannot be, which is noted as well."""
    with named(running, number):
        try:
            if problem := running.plan.datasets[number].problem:
                await note_failure(running, number, BqdumpError("list", "its tables", problem))
                return None
            return DatasetPlanned(number, (await obtain_plan(open_task(number))).bills)
        except ENDS_THE_TASK:
            raise
        except BqdumpError as error:
            await note_failure(running, number, error)
            return None


def _check_bills(running: RunningSet, bills: dict[int, int]) -> None:
    total, limit = sum(bills.values()), running.task.settings.max_bytes_billed
    if total > limit:
        numbers = sorted(bills, key=lambda number: -bills[number])[:3]
        most = ", ".join(f"{running.plan.datasets[number].dataset} {size_text(bills[number])}" for number in numbers)
        cause = f"its queries would bill {size_text(total)}, more than the limit of {size_text(limit)} (most: {most})"
        hint = "Raise {setting:max_bytes_billed}, or leave tables out with {setting:exclude}."
        raise UsageError(PLAN, f"run {running.plan.run}", cause, hint)


def all_planned(progress: SetProgress, running: RunningSet) -> bool:
    """Whether every dataset has its plan, has ended, or cannot be planned."""
    known = {*progress.planned, *progress.receipts, *progress.failed(running.task.owner.execution)}
    return len(known) == len(running.plan.datasets)


async def plan_set(task: SetTask) -> Planned:
    """The plan of all datasets together. Raises what a run would raise at once."""
    listing = await list_project(task.warehouse, task.settings)
    chosen = choose_datasets(listing, task.settings)
    await check_target(task.store, task.of_prefix)
    before = await set_before(task.store, task.settings)
    drafted = await draft_set(task, chosen, [dataset.name for dataset in listing], before)
    refuse_leaving(drafted.plan.removed, before, task.settings)

    async def part(number: int) -> DatasetPlan:
        member = drafted.plan.datasets[number]
        plan, problem = None, member.problem
        try:
            if not problem:
                plan = await show_plan(draft_task(task, drafted.plan, drafted.listings, number))
                refuse(plan.flags, f"{plan.project}.{plan.dataset}")
        except ENDS_THE_TASK:
            raise
        except BqdumpError as error:
            problem = error.sentence(COMMANDS)
        return DatasetPlan(member.dataset, member.location, plan, problem)

    parts = await gathered(part, range(len(drafted.plan.datasets)), PLANNED_AT_ONCE)
    return planned_together(task.settings, drafted.plan, parts)
