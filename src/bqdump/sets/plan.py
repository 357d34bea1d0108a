"""What a run of a set would do: the plan of each dataset, without writing anything."""

from __future__ import annotations

from collections.abc import Sequence

from bqdump.concurrency import gathered
from bqdump.core.documents.project import ProjectPlan
from bqdump.core.errors import OF_THE_TASK, BqdumpError
from bqdump.core.plan.guards import refuse
from bqdump.core.plan.summary import Planned
from bqdump.core.sets.results import Part, planned_together
from bqdump.core.sets.selection import Chosen, by_target, choose_datasets, refuse_leaving
from bqdump.core.settings.settings import Settings
from bqdump.core.wording import COMMANDS
from bqdump.export.planning.show import show_plan
from bqdump.export.planning.target import check_target
from bqdump.repository.projects import read_project
from bqdump.sets.member import draft_task
from bqdump.sets.obtain import draft_set, list_project
from bqdump.sets.planning import PLANNED_AT_ONCE
from bqdump.sets.task import SetTask


async def plan_sets(settings: Settings, tasks: Sequence[SetTask]) -> Planned:
    """The plan of all datasets together. settings, tasks: see run_sets. Raises what a run would raise at once."""
    listing = await list_project(tasks[0].warehouse, settings)
    chosen = choose_datasets(listing, settings)
    groups = by_target(chosen.datasets, settings)
    listed = [dataset.name for dataset in listing]
    parts: list[Part] = []
    plans: list[ProjectPlan] = []
    for task in tasks:
        if datasets := groups.get(task.settings.target):
            plan, found = await _plan_set(task, Chosen(datasets, chosen.skipped), listed)
            plans.append(plan)
            parts += found
    return planned_together(settings, plans, parts)


async def _plan_set(task: SetTask, chosen: Chosen, listed: Sequence[str]) -> tuple[ProjectPlan, list[Part]]:
    await check_target(task.store, task.of_prefix)
    before = await read_project(task.store, task.settings)
    drafted = await draft_set(task.warehouse, task.settings, task.run, chosen, listed, before)
    refuse_leaving(drafted.plan.removed, before, task.settings)

    async def part(number: int) -> Part:
        member = drafted.plan.datasets[number]
        plan, problem = None, member.problem
        try:
            if not problem:
                plan = await show_plan(draft_task(task, drafted.plan, drafted.listings, number))
                refuse(plan.flags, f"{plan.project}.{plan.dataset}")
        except OF_THE_TASK:
            raise
        except BqdumpError as error:
            problem = error.sentence(COMMANDS)
        return Part(member.dataset, member.location, plan, problem)

    return drafted.plan, await gathered(part, range(len(drafted.plan.datasets)), PLANNED_AT_ONCE)
