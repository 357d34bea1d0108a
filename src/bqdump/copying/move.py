"""Moving the files that a copy lacks, several at a time, and recording what was read on the way.

Whether the copy has all of them, as they were moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from bqdump.concurrency import task_group
from bqdump.copying.sharing import Batches, Begun
from bqdump.copying.survey import (
    COPY,
    Surveyed,
    Task,
    differs,
    is_written_again,
    known_files,
    not_as_exported,
    sources_of,
)
from bqdump.core.copy.manifest import PIECE_BYTES, Here, Item, Missing, copied_manifest
from bqdump.core.copy.plan import CopyPlan
from bqdump.core.documents.codec import encode
from bqdump.core.documents.copying import Arrived, ArrivedFiles
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import VerificationError, first_of
from bqdump.core.progress.events import Checked, Checking
from bqdump.core.sizes import counted
from bqdump.file_content import digest_of, file_of
from bqdump.pool.pool import work
from bqdump.ports.mover import Moved
from bqdump.ports.store import Copy, ObjectInfo
from bqdump.repository.objects import present
from bqdump.repository.repository import Loaded, exists, overwrite, replace

# Each stream holds a few pieces of its file; what the service moves takes no memory here.
STREAMS, REWRITES = 8, 32
# A stream moves so many files of one piece at a time: most of what a small one takes is the time until it is answered.
SMALL_AT_ONCE = 2


class Movement(NamedTuple):
    """here: every file of the run as it is in the copy.
    own: the files that this task has moved.
    """

    here: dict[str, Here]
    own: list[Item]


async def move(
    task: Task, surveyed: Surveyed, begun: Begun, plan: CopyPlan, sources: Mapping[str, ObjectInfo]
) -> Movement:
    """Move what is missing, with other tasks. sources: see sources_of.

    Raises NotFoundError if the source loses files meanwhile, VerificationError for bytes that are not as exported.
    """
    here: dict[str, Here] = {}
    own: list[Item] = []
    batches, missing = Batches(task, surveyed, begun, plan), dict(plan.missing)
    task.tell(Checking("copying", len(plan.files), plan.bytes))
    room = _Room(REWRITES if task.mover.rewrites else STREAMS)

    async def move_batch(number: int) -> None:
        async with batches.moving(number):
            try:
                sent = await _move_files(task, surveyed, missing[number], sources)
            finally:
                room.sending.release()
            # Another batch is moved while this one is looked up and recorded.
            moved = await task.mover.settled(sent)
            arrived = [Arrived(file.info.name, file.info.generation, file.sha256) for file in moved]
            await _record(task, surveyed, number, arrived)
        here.update({file.name: Here(file.generation, file.sha256) for file in arrived})
        own.extend(one.item for one, file in zip(missing[number], moved, strict=True) if not file.by_another)
        room.begun.release()

    await work(batches.dealt(room), move_batch)
    await _add_others(task, surveyed, plan, here)
    return Movement(here, own)


class _Room:
    """Room for so many batches that are sent, and as many more that are looked up and recorded."""

    def __init__(self, at_once: int) -> None:
        self.begun, self.sending = asyncio.Semaphore(2 * at_once), asyncio.Semaphore(at_once)

    async def acquire(self) -> None:
        await self.begun.acquire()
        await self.sending.acquire()

    def release(self) -> None:
        self.sending.release()
        self.begun.release()


async def prove_others(task: Task, surveyed: Surveyed, moved: Movement) -> None:
    """Before a manifest is signed: prove what this task has not moved itself, unless the key has signed it before."""
    vouched, own = (await known_files(task, surveyed.run, surveyed.items)).crc32c, set(moved.own)
    unmoved = [item for item in surveyed.items if item not in own]
    unknown = [item for item in unmoved if (item.target, moved.here[item.target].generation, item.size) not in vouched]
    await prove(task, surveyed, moved.here, unknown)


async def prove(task: Task, surveyed: Surveyed, here: dict[str, Here], items: Sequence[Item]) -> None:
    """Compare files of the copy with the source by their SHA-256, which is noted in `here`.

    Whoever has moved them: a CRC32C can be met on purpose. Raises VerificationError for other bytes.
    """
    sources = await sources_of(task, surveyed, map(Missing, items)) if items else {}
    waiting = iter(items)

    async def compare() -> None:
        for item in waiting:
            generation = here[item.target].generation
            digest = await task.mover.digest(ObjectInfo(item.target, item.size, item.crc32c, generation))
            if digest != (item.sha256 or await digest_of(task.source.store, file_of(sources[item.source]))):
                cause = "it has other bytes than the source: they were made to have the same checksum"
                hint = "Find out who stored it, and copy to another place."
                raise VerificationError(COPY, f"{task.target.store.url}/{item.target}", cause, hint)
            here[item.target] = Here(generation, digest)

    await _together(compare() for _ in range(STREAMS))


async def prove_manifest(task: Task, surveyed: Surveyed, stored: Manifest) -> Manifest:
    """What a copy would make now, which is the manifest that is there. Raises VerificationError for another one."""
    here = {file.name: Here(file.generation, file.sha256) for entry in stored.tables for file in entry.files}
    proven = dict(here)
    await prove(task, surveyed, proven, surveyed.items)
    origin, source = stored.copy_of, str(task.source.target)
    # Without a date, verify would not look at locks.
    dated = origin and (origin.locked_until or not task.lock)
    origin = msgspec.structs.replace(origin, content=surveyed.content, source=source) if origin and dated else None
    # Between buckets, it may have been made without.
    same = {name: file if here[name].sha256 else file._replace(sha256="") for name, file in proven.items()}
    copied = (
        copied_manifest(surveyed.manifest, task.source.target, task.target.target, same, origin) if origin else None
    )
    if not copied or encode(copied) != encode(stored):
        subject = f"{task.target.store.url}/{task.target.layout.run(surveyed.run).manifest.name}"
        cause = "it is not what a copy of the source has: it was changed, and is not signed"
        if stored.copy_of and stored.copy_of.source != source:
            names = stored.copy_of.source[:200]
            cause = f"its manifest names source {names} and is not signed; this copy is from {source}"
        raise VerificationError("sign", subject, cause, "Copy to another place.")
    return copied


async def read_unread(task: Task, surveyed: Surveyed, here: dict[str, Here]) -> None:
    """Compute the SHA-256 of files that were there, and of which no copy has recorded it; it is added to `here`.

    Where files are not read, it is that of the source. Raises VerificationError for another one than the source's.
    """
    unread = [item for item in surveyed.items if not here[item.target].sha256]
    if task.digests or not task.mover.rewrites:
        waiting = iter(unread)
        await _together(_read(task, waiting, here) for _ in range(STREAMS))
    else:
        here.update({item.target: Here(here[item.target].generation, item.sha256) for item in unread})
    for item in surveyed.items:
        if item.sha256 and here[item.target].sha256 != item.sha256:
            cause = f"it has the SHA-256 {here[item.target].sha256}, and {item.sha256} is expected"
            hint = "It was there before this copy. Find out who stored it, and delete it."
            raise VerificationError(COPY, f"{task.target.store.url}/{item.target}", cause, hint)


async def _add_others(task: Task, surveyed: Surveyed, plan: CopyPlan, here: dict[str, Here]) -> None:
    """Add what was there, and what other tasks have moved meanwhile. Raises VerificationError if it is not there."""
    if all(item.target in here for item in surveyed.items):
        return
    known = await known_files(task, surveyed.run, surveyed.items)
    rest = [item for item in surveyed.items if item.target not in here and item.target not in plan.stored]
    stored = await present(task.target.store, [item.target for item in rest], known.crc32c) if rest else {}
    for item in rest:
        info = stored.get(item.target)
        if info is None or differs(info, item):
            cause = "another task has moved it, and it is not there as it was moved"
            raise VerificationError(COPY, f"{task.target.store.url}/{item.target}", cause, "Repeat the command.")
    for item in surveyed.items:
        if item.target not in here:
            generation = plan.stored.get(item.target) or stored[item.target].generation
            here[item.target] = Here(generation, known.sha256.get((item.target, generation), ""))


async def compare(task: Task, surveyed: Surveyed, manifest: Loaded[Manifest]) -> None:
    """Raise VerificationError unless the copy has every file that its manifest names."""
    files = {file.name: Here(file.generation, file.sha256) for entry in manifest.value.tables for file in entry.files}
    await refuse_gone(task, surveyed, files)


async def refuse_gone(task: Task, surveyed: Surveyed, here: Mapping[str, Here]) -> None:
    """Raise VerificationError unless the copy has every file of the run as it is known. here: by name."""
    expected = {item.target: (here[item.target].generation, item.size, item.crc32c) for item in surveyed.items}
    recorded = {(name, generation, size): crc32c for name, (generation, size, crc32c) in expected.items()}
    stored = await present(task.target.store, expected, recorded)
    wrong = [
        name
        for name, facts in expected.items()
        if (info := stored.get(name)) is None or (info.generation, info.size, info.crc32c) != facts
    ]
    if wrong:
        how = "has another size, checksum or generation than was copied" if wrong[0] in stored else "is missing"
        more = f", and {counted(len(wrong) - 1, 'other file')} as well" if len(wrong) > 1 else ""
        cause = f"it {how}{more}: the copy of run {surveyed.run} was changed by something else"
        manifest = task.target.layout.run(surveyed.run).manifest
        again = f"To copy the run again, delete {manifest.name} there first."
        hint = again if await exists(task.target.store, manifest) else "Repeat the command."
        raise VerificationError(COPY, f"{task.target.store.url}/{wrong[0]}", cause, hint)


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do it at the same time. The first error ends all of it, and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for share in work:
                group.create_task(share)
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None


async def _move_files(
    task: Task, surveyed: Surveyed, files: Sequence[Missing], sources: Mapping[str, ObjectInfo]
) -> list[Moved]:
    """Move a batch: large files one after another, small ones two at a time."""
    small = not task.mover.rewrites and all(missing.item.size <= PIECE_BYTES for missing in files)
    slots = asyncio.Semaphore(SMALL_AT_ONCE if small else 1)

    async def move_next(missing: Missing) -> Moved:
        async with slots:
            return await _move_file(task, surveyed, missing, sources)

    async with task_group() as group:
        moving = [group.create_task(move_next(missing)) for missing in files]
    return [moved.result() for moved in moving]


async def _move_file(task: Task, surveyed: Surveyed, missing: Missing, sources: Mapping[str, ObjectInfo]) -> Moved:
    item, expect = missing
    generation = sources[item.source].generation
    reads = task.digests or is_written_again(task, item, sources[item.source])
    wish = Copy(item.source, generation, item.target, expect, item.size, item.crc32c, item.sha256)
    moved = await task.mover.move(wish)
    if moved is None:
        raise await not_as_exported(task, surveyed, [item.source], None)
    sha256 = moved.sha256
    if not sha256 and reads:
        sha256 = await task.mover.digest(moved.info)
    if item.sha256 and sha256 and item.sha256 != sha256:
        [moved] = await task.mover.settled([moved])
        await task.target.store.delete([(item.target, moved.info.generation)])
        cause = f"it has the SHA-256 {sha256}, and {item.sha256} is expected"
        raise VerificationError(COPY, f"{task.source.store.url}/{item.source}", cause)
    task.tell(Checked(1, item.size))
    return structs.replace(moved, sha256=sha256 or item.sha256)


async def _record(task: Task, surveyed: Surveyed, number: int, arrived: Sequence[Arrived]) -> None:
    """Other tasks wait for this. And without it, a copy that is resumed reads the files again, for their SHA-256."""
    if task.lock:
        # Nothing there can be deleted once it is of no use.
        return
    if task.tasks > 1 or any(file.sha256 for file in arrived):
        document = task.target.layout.run(surveyed.run).arrived(number)
        record = ArrivedFiles(surveyed.run, tuple(arrived))
        if not await replace(task.target.store, document, record, 0):
            await overwrite(task.target.store, document, record)


async def _read(task: Task, unread: Iterator[Item], here: dict[str, Here]) -> None:
    for item in unread:
        generation = here[item.target].generation
        info = ObjectInfo(item.target, item.size, item.crc32c, generation)
        here[item.target] = Here(generation, await task.mover.digest(info))
