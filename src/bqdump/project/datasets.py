"""The datasets of a set, as its documents name them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bqdump.core.documents.project import Project
from bqdump.core.errors import NotFoundError
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.projects import newest_project_plan, read_project, read_project_plan

Answer = TypeVar("Answer")
Asked = TypeVar("Asked")
AT_ONCE = 8


async def published_set(store: ObjectStore, settings: Settings) -> Project:
    """The set that is published there. Raises NotFoundError."""
    project = await read_project(store, settings)
    if project is None:
        cause = "no set of datasets has been published there yet"
        raise NotFoundError("find", f"a set in {settings.target}", cause, "Start one: {call:run}")
    return project


async def names_in_set(store: ObjectStore, settings: Settings) -> list[str]:
    """The datasets that the published set, or the one planned last, has there. Raises NotFoundError without a set."""
    project = await read_project(store, settings)
    names = {one.dataset for one in project.datasets} | {one.dataset for one in project.removed} if project else set()
    plan = await newest_project_plan(store, settings) if names else await read_project_plan(store, settings)
    return sorted(names | {one.dataset for one in plan.datasets} if plan else names)


async def each_dataset(datasets: Sequence[Asked], ask: Callable[[Asked], Awaitable[Answer]]) -> list[Answer]:
    """The answers about these datasets, some at a time, in their order."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(dataset: Asked) -> Answer:
        async with slots:
            return await ask(dataset)

    return list(await asyncio.gather(*map(one, datasets)))
