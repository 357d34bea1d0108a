"""What a run of a set would do: the plan of each dataset, without writing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.errors import OF_THE_TASK, BqdumpError
from bqdump.core.plan.guards import refuse
from bqdump.core.plan.summary import Planned, PlannedDataset, planned
from bqdump.core.sets.removal import refuse_leaving
from bqdump.core.sets.selection import Chosen, by_target, choose_datasets
from bqdump.core.settings.settings import Settings
from bqdump.core.times import time_of
from bqdump.core.wording import COMMANDS
from bqdump.export.carry import read_published
from bqdump.export.planning.draft import draft_plan
from bqdump.export.planning.reuse import Earlier
from bqdump.export.planning.target import check_target
from bqdump.repository.projects import read_project
from bqdump.sets.member import draft_task
from bqdump.sets.obtain import Drafted, draft_set, list_project
from bqdump.sets.planning import PLANNED_AT_ONCE
from bqdump.sets.task import SetTask


class _Part(NamedTuple):
    """The plan of one dataset, or why there is none."""

    dataset: str
    location: str
    plan: Planned | None
    problem: str


async def plan_sets(settings: Settings, tasks: Sequence[SetTask]) -> Planned:
    """The plan of all datasets together. settings, tasks: see run_sets. Raises what a run would raise at once."""
    listing = await list_project(tasks[0].warehouse, settings)
    chosen = choose_datasets(listing, settings)
    groups = by_target(chosen.datasets, settings)
    listed = [one.name for one in listing]
    parts: list[_Part] = []
    drafts: list[Drafted] = []
    for task in tasks:
        if datasets := groups.get(task.settings.target):
            drafted, found = await _plan_set(task, Chosen(datasets, chosen.skipped), listed)
            drafts.append(drafted)
            parts += found
    return _together(settings, drafts, parts)


async def _plan_set(task: SetTask, chosen: Chosen, listed: Sequence[str]) -> tuple[Drafted, list[_Part]]:
    await check_target(task.store, task.of_prefix)
    before = await read_project(task.store, task.settings)
    drafted = await draft_set(task.warehouse, task.settings, task.run, chosen, listed, before)
    refuse_leaving(drafted.plan.removed, before, task.settings)

    async def part(number: int) -> _Part:
        member = drafted.plan.datasets[number]
        plan, problem = None, member.problem
        try:
            if not problem:
                plan = await _plan_dataset(task, drafted, number)
                refuse(plan.flags, f"{plan.project}.{plan.dataset}")
        except OF_THE_TASK:
            raise
        except BqdumpError as error:
            problem = error.sentence(COMMANDS)
        return _Part(member.dataset, member.location, plan, problem)

    return drafted, await gathered(part, range(len(drafted.plan.datasets)), PLANNED_AT_ONCE)


async def _plan_dataset(task: SetTask, drafted: Drafted, number: int) -> Planned:
    export = draft_task(task, drafted.plan, drafted.listings, number)
    bucket = await check_target(export.store, export.settings)
    earlier = Earlier(export.store, await read_published(export.store, export.settings))
    draft = await draft_plan(
        export.warehouse, export.settings, export.run, export.tasks, bucket, earlier, export.of_set
    )
    return planned(draft.plan, draft.tables, draft.altered, export.settings.price_per_tib)


def _together(settings: Settings, drafts: Sequence[Drafted], parts: Sequence[_Part]) -> Planned:
    """One plan with the tables of all of them, which have their dataset's name."""
    plans = {part.dataset: part.plan for part in parts if part.plan}
    shares: list[dict[str, int]] = []
    for plan in plans.values():
        for number, share in enumerate(plan.shares):
            if number == len(shares):
                shares.append({"units": 0, "bytes": 0})
            shares[number] = {key: shares[number][key] + share[key] for key in share}
    sums = ("tables", "rows", "bytes", "files", "excluded", "bills", "unchanged", "unchanged_partitions", "bytes_saved")
    return Planned(
        project=settings.project,
        dataset=settings.dataset,
        location=", ".join(sorted({part.location for part in parts})),
        snapshot_time=time_of(min(drafted.plan.snapshot for drafted in drafts)),
        mode=settings.template.mode,
        totals={key: sum(plan.totals[key] for plan in plans.values()) for key in sums},
        recommended_tasks=max((plan.recommended_tasks for plan in plans.values()), default=1),
        shares=shares,
        tables=[_in(name, table) for name, plan in plans.items() for table in plan.tables],
        skipped=[{**one, "table": f"{name}.{one['table']}"} for name, plan in plans.items() for one in plan.skipped],
        flags=tuple(_in(name, flag) if flag.table else msgspec.structs.replace(flag, table=name)
                    for name, plan in plans.items() for flag in plan.flags),
        over=next((drafted.plan.over for drafted in drafts), ""),
        removed=tuple(_in(name, one) for name, plan in plans.items() for one in plan.removed),
        kept=tuple(f"{name}.{table}" for name, plan in plans.items() for table in plan.kept),
        unchanged=tuple(_in(name, one) for name, plan in plans.items() for one in plan.unchanged),
        altered=tuple(_in(name, one) for name, plan in plans.items() for one in plan.altered),
        datasets=tuple(map(_summary, parts)),
        usd=round(sum(plan.usd for plan in plans.values()), 6),
        skipped_datasets=_once(one for drafted in drafts for one in drafted.plan.skipped),
        removed_datasets=_once(one for drafted in drafts for one in drafted.plan.removed),
    )  # fmt: skip


def _in(dataset: str, item: Any) -> Any:
    return msgspec.structs.replace(item, table=f"{dataset}.{item.table}")


def _once(items: Any) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(items))


def _summary(part: _Part) -> PlannedDataset:
    totals: Mapping[str, int] = part.plan.totals if part.plan else {}
    return PlannedDataset(
        dataset=part.dataset,
        location=part.location,
        tables=totals.get("tables", 0),
        rows=totals.get("rows", 0),
        bytes=totals.get("bytes", 0),
        bills=totals.get("bills", 0),
        over=part.plan.over if part.plan else "",
        problem=part.problem,
        usd=part.plan.usd if part.plan else 0.0,
    )
