"""Moving the files that a copy lacks, several at a time, and recording what was read on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from typing import Any

from bqdump.copying.survey import COPY, Surveyed, Task, known_files, not_as_exported
from bqdump.core.copy.manifest import Here, Item
from bqdump.core.copy.plan import CopyPlan, Missing
from bqdump.core.documents.copying import Arrived, ArrivedFiles
from bqdump.core.errors import VerificationError, first_of
from bqdump.core.progress.events import Checked, Checking
from bqdump.ports.store import Copy, ObjectInfo
from bqdump.repository.repository import overwrite

# Each stream holds a few pieces of its file; what the service moves takes no memory here.
STREAMS, REWRITES = 8, 32


async def move(task: Task, found: Surveyed, plan: CopyPlan, sources: Mapping[str, ObjectInfo]) -> dict[str, Here]:
    """Move what is missing; every file of the run as it is in the copy then. sources: see sources_of.

    Raises NotFoundError if the source loses files meanwhile, VerificationError for bytes that are not as exported.
    """
    known = (await known_files(task, found.run, found.items)).sha256
    here: dict[str, Here] = {}
    for item in found.items:
        if (generation := plan.there.get(item.target)) is not None:
            here[item.target] = Here(generation, item.sha256 or known.get((item.target, generation), ""))
    waiting = iter(plan.missing)
    task.tell(Checking("copying", len(plan.files), plan.bytes))

    async def stream() -> None:
        for number, batch in waiting:
            arrived = [await _one(task, found, missing, sources) for missing in batch]
            here.update({file.name: Here(file.generation, file.sha256) for file in arrived})
            await _record(task, found, number, arrived)

    at_once = REWRITES if task.mover.rewrites else STREAMS
    await _together(stream() for _ in range(min(at_once, len(plan.missing))))
    if task.digests or not task.mover.rewrites:
        unread = (item for item in found.items if not here[item.target].sha256)
        await _together(_read(task, unread, here) for _ in range(STREAMS))
    return here


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do it at the same time. The first error ends all of it, and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for share in work:
                group.create_task(share)
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None


async def _one(task: Task, found: Surveyed, missing: Missing, sources: Mapping[str, ObjectInfo]) -> Arrived:
    item, expect = missing
    generation = sources[item.source].generation
    moved = await task.mover.move(Copy(item.source, generation, item.target, expect, item.size, item.crc32c))
    if moved is None:
        raise await not_as_exported(task, found, [item.source], None)
    if item.sha256 and moved.sha256 and item.sha256 != moved.sha256:
        await task.target.store.delete([(item.target, moved.info.generation)])
        cause = f"it has the SHA-256 {moved.sha256}, and {item.sha256} is expected"
        raise VerificationError(COPY, f"{task.source.store.url}/{item.source}", cause)
    task.tell(Checked(1, item.size))
    return Arrived(item.target, moved.info.generation, moved.sha256 or item.sha256)


async def _record(task: Task, found: Surveyed, number: int, arrived: list[Arrived]) -> None:
    """Without this, a copy that is resumed reads the files again, to compute their SHA-256."""
    if files := tuple(file for file in arrived if file.sha256):
        document = task.target.layout.run(found.run).arrived(number)
        await overwrite(task.target.store, document, ArrivedFiles(found.run, files))


async def _read(task: Task, unread: Iterator[Item], here: dict[str, Here]) -> None:
    for item in unread:
        generation = here[item.target].generation
        info = ObjectInfo(item.target, item.size, item.crc32c, generation)
        here[item.target] = Here(generation, await task.mover.digest(info))
