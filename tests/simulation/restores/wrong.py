"""Faulty functions of a restore: each makes of a sound one what a known bug would have made of it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from bqdump.export.watch import Watch
from bqdump.export.work.job import Work
from bqdump.ports.warehouse import Job, Warehouse
from bqdump.restoration.jobs import Jobs

Sound = Callable[..., Any]


def random_ids(sound: Sound) -> Sound:
    """Ids of jobs that differ for each start."""

    def faulty(self: Jobs, step: str, part: int, tries: int = 0) -> str:
        return f"{sound(self, step, part, tries)}-{random.random()}"

    return faulty


def requested(_: Sound) -> Sound:
    """A job counts as done once it is requested."""

    async def faulty(warehouse: Warehouse, watch: Watch, work: Work) -> tuple[Job, int]:
        return await work.start(0), 0

    return faulty


def drops_first(sound: Sound) -> Sound:
    """A table is dropped before it is created."""

    async def faulty(work: Any) -> None:
        if work.step.action == "replace":
            await work.restore.destination.drop_table(work.restore.target, work.name)
        await sound(work)

    return faulty


def believes_attached(sound: Callable[..., Awaitable[tuple[Job, bool]]]) -> Sound:
    """A failed job of an earlier start counts as done."""

    async def faulty(*given: Any) -> tuple[Job, bool]:
        job, attached = await sound(*given)
        return (replace(job, error=None), False) if attached else (job, False)

    return faulty
