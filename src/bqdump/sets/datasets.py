"""The datasets of a set, as its documents name them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from bqdump.concurrency import gathered
from bqdump.core.documents.layout import STATE
from bqdump.core.documents.project import Project
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.datasets import NAME
from bqdump.core.settings.settings import Settings
from bqdump.core.times import time_of
from bqdump.observe.status import LeftDataset
from bqdump.ports.store import ObjectStore
from bqdump.repository.projects import newest_project_plan, read_project, read_project_plan
from bqdump.repository.published import read_latest
from bqdump.repository.repository import value_of

# Datasets of a set that are asked about at the same time.
AT_ONCE = 8


async def published_set(store: ObjectStore, settings: Settings) -> Project:
    """The set that is published there. Raises NotFoundError."""
    project = await read_project(store, settings)
    if project is None:
        cause = "no set of datasets has been published there yet"
        raise NotFoundError("find", f"a set in {settings.target}", cause, "Start one: {call:run}")
    return project


async def names_in_set(store: ObjectStore, settings: Settings) -> list[str]:
    """The datasets of the published set and of the one planned last, and those that have left it and still have runs.

    Raises NotFoundError without a set.
    """
    project = await read_project(store, settings)
    names = {one.dataset for one in project.datasets} | {one.dataset for one in project.removed} if project else set()
    plan = await newest_project_plan(store, settings) if names else await read_project_plan(store, settings)
    names |= {one.dataset for one in plan.datasets} if plan else set()
    return sorted(names.union(await _left(store, settings, names)))


class Left(NamedTuple):
    """The datasets of earlier sets that still have a published export, sorted.

    damaged: further ones, and why their published run is unknown.
    """

    datasets: list[LeftDataset]
    damaged: dict[str, DocumentError]


async def datasets_left(store: ObjectStore, settings: Settings, names: Collection[str]) -> Left:
    """The datasets that the set had earlier. names: of the set as it is now. Raises NotFoundError without a set."""
    damaged: dict[str, DocumentError] = {}

    async def left(name: str) -> LeftDataset | None:
        try:
            latest = await read_latest(store, one_dataset(settings, name))
        except DocumentError as error:
            damaged[name] = error
            return None
        return LeftDataset(name, latest.run, time_of(latest.snapshot)) if latest else None

    gone = [name for name in await names_in_set(store, settings) if name not in names]
    return Left([one for one in await gathered(left, gone, AT_ONCE) if one], damaged)


async def _left(store: ObjectStore, settings: Settings, known: Collection[str]) -> list[str]:
    """Further datasets whose folder has a run that was planned for them as part of a set.

    A folder alone proves nothing: anybody may export a dataset below the prefix of a set, and prune its runs otherwise.
    """
    folders, runs = await asyncio.gather(store.folders(settings.target.prefix), store.folders(settings.layout.projects))
    members: dict[str, Collection[str]] = {}

    async def planned_for(run: str) -> Collection[str]:
        if run not in members:
            plan = await value_of(store, settings.layout.project_run(run).plan)
            members[run] = {one.dataset for one in plan.datasets} if plan else ()
        return members[run]

    async def was_member(name: str) -> bool:
        own = await store.folders(one_dataset(settings, name).layout.runs)
        for run in sorted({*own}.intersection(runs), reverse=True):
            if name in await planned_for(run):
                return True
        return False

    unknown = [name for name in folders if name not in known and name != STATE and NAME.fullmatch(name)]
    return [name for name, yes in zip(unknown, await gathered(was_member, unknown, AT_ONCE), strict=True) if yes]
