"""Publishing: making a run the one that readers see. Every step may be repeated by any task, any number of times.

files in place → manifest (create-only) → latest.json (only forward in time) → stale files away.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Literal, NamedTuple

from bqdump.core.codec import decode, encode
from bqdump.core.documents import (
    Plan,
    Unit,
)
from bqdump.core.errors import ConflictError, NotFoundError, UnavailableError, VerificationError
from bqdump.core.manifest import (
    File,
    Latest,
    ManifestFiles,
    TableFiles,
)
from bqdump.core.moments import moment_text
from bqdump.core.parts import by_table, done_tables
from bqdump.core.record import make_manifest
from bqdump.core.removal import Carry
from bqdump.core.template import shard_name, split_shard
from bqdump.flow.carry import carry_over, check_carried
from bqdump.flow.clear import clear, clear_staging, delete, read_earlier
from bqdump.flow.collect import Collected, all_units, collect, prove
from bqdump.flow.ledger import Ledger
from bqdump.flow.published import move_latest, read_latest
from bqdump.flow.replace import announce, make_ready, origin, place, publishing, refuse_others, withdraw
from bqdump.flow.task import Task
from bqdump.ports.store import ObjectInfo

log = logging.getLogger(__name__)


class Published(NamedTuple):
    """How publishing ended. `superseded`: a run of a later moment is what readers see."""

    result: Literal["published", "superseded"]
    manifest: ManifestFiles | None


async def publish(task: Task, plan: Plan, ledger: Ledger) -> Published:
    """Publish what the ledger has. Raises VerificationError when files are missing; nothing is published then."""
    made = await read_manifest_files(task) or await _make_manifest(task, plan, ledger)
    if isinstance(made, Published):
        return made
    manifest, generation = made
    if not await _point(task, plan, manifest, generation):
        if plan.mode == "replace":
            await _step_aside(task, plan)
        return Published("superseded", manifest)
    await clear(task, plan, manifest)
    return Published("published", manifest)


async def has_manifest(task: Task) -> bool:
    """Whether this run is whole, so that it is settled what it publishes."""
    return await task.store.stat(task.layout.manifest) is not None


async def read_manifest_files(task: Task) -> tuple[ManifestFiles, int] | None:
    """Which objects this run's manifest names, and the manifest's generation; None when there is none yet."""
    try:
        stored = await task.store.read(task.layout.manifest)
    except NotFoundError:
        return None
    return decode(stored.data, ManifestFiles, task.layout.manifest), stored.generation


async def _make_manifest(task: Task, plan: Plan, ledger: Ledger) -> tuple[ManifestFiles, int] | Published:
    units, done = await all_units(task, plan), done_tables(ledger.receipts, plan.splits)
    try:
        collected = await collect(task, plan, units, done)
        await prove(task, plan, units, done, collected)
    except VerificationError:
        # Files may be missing because the run has ended meanwhile, and whoever ended it has cleared up.
        if ended := await _ended(task, plan):
            return ended
        raise
    left: tuple[TableFiles, ...] = ()
    found: tuple[File, ...] = ()
    latest, _ = await read_latest(task.store, task.settings)
    if plan.mode == "keep":
        files = {unit: [_file(info) for info in infos] for unit, infos in collected.written.items()}
        await delete(task, ((info.name, info.generation) for info in collected.surplus))
        carry = await carry_over(task, plan, [unit.table for unit in units])
        await check_carried(task, carry)
    else:
        if latest and latest.age >= plan.age and (ended := await _ended(task, plan)):
            # What another task of this run has published must not be copied over by its like.
            return ended
        # What earlier replacing exports have at final names, as far as the latest manifest knows.
        before = await read_earlier(task, latest.manifest) if latest and latest.mode == "replace" else []
        failed = {failure.table for failure in ledger.failed()}
        naive: list[TableFiles] = []
        if latest is None or latest.mode == "keep":
            naive = await _naive_shards(task, plan, units)
            found = tuple(file for table in naive if table.table not in failed for file in table.files)
        before += naive
        known = {file.name: file.generation for table in before for file in table.files}
        # Announced with the rest, so that an earlier run which steps aside does not take these away.
        staying = [file.name for table in before if table.table in failed for file in table.files]
        try:
            placed = await _replace(task, plan, units, collected, known, staying)
        except VerificationError:
            if ended := await _ended(task, plan):
                return ended
            raise
        if placed is None:
            if ended := await _ended(task, plan):
                return ended
            raise VerificationError("publish", f"run {plan.run}", "staged files have gone while they were published",
                                    "Something has deleted them: run the export again.")  # fmt: skip
        files, carry = placed
        left = await _left(task, failed | {table.table for table in carry.left}, naive)
    files = {unit: _counted(placed, collected.written[unit], collected.rows) for unit, placed in files.items()}
    number = latest.number + 1 if latest else 1
    manifest = make_manifest(plan, number, done, by_table(ledger.failed()), units, files, left, found, carry)
    data = encode(manifest)
    try:
        generation = await task.store.write(task.layout.manifest, data, 0)
    except ConflictError:
        if made := await read_manifest_files(task):
            return made
        cause = "the bucket has refused the manifest, and holds none"
        raise UnavailableError("publish", f"run {plan.run}", cause) from None
    return decode(data, ManifestFiles, task.layout.manifest), generation


async def _replace(
    task: Task, plan: Plan, units: list[Unit], collected: Collected, known: dict[str, int], staying: list[str]
) -> tuple[dict[str, list[File]], Carry] | None:
    """Files at their final names, by unit, and what stays of the export before; None when the run has ended meanwhile.

    `staying`: names left as they are. Raises VerificationError when a file that stays is not there any more.
    """
    staged = {
        shard_name(unit.pattern, number): info
        for unit in units
        for number, info in enumerate(collected.written.get(unit.id, ()))
    }
    carry = await announce(task, plan, (*staged, *staying), [unit.table for unit in units])
    if carry is None:
        return None
    await check_carried(task, carry)
    placed = await place(task, plan, staged, known)
    if placed is None:
        return None
    files = {
        unit.id: [placed[shard_name(unit.pattern, number)] for number in range(len(collected.written[unit.id]))]
        for unit in units
        if unit.id in collected.written
    }
    return files, carry


async def _ended(task: Task, plan: Plan) -> tuple[ManifestFiles, int] | Published | None:
    """How the run has ended already: its manifest, or superseded by a later run; None when it has not."""
    if made := await read_manifest_files(task):
        return made
    latest, _ = await read_latest(task.store, task.settings)
    announced, _ = await publishing(task)
    if any(pointer and pointer.age > plan.age for pointer in (latest, announced)):
        return await _step_aside(task, plan)
    return None


async def _step_aside(task: Task, plan: Plan) -> Published:
    """Leave the final names to the later run, and nothing of this one behind."""
    await withdraw(task, plan)
    await clear_staging(task)
    return Published("superseded", None)


async def _left(task: Task, failed: set[str], naive: list[TableFiles]) -> tuple[TableFiles, ...]:
    """The files of an earlier export that stay for failed tables, as they are now.

    An earlier run may have published until this one announced itself, so what was known before that is not enough.
    """
    latest, _ = await read_latest(task.store, task.settings) if failed else (None, 0)
    replacing = latest is not None and latest.mode == "replace"
    left = []
    for table in await read_earlier(task, latest.manifest) if latest and replacing else naive:
        if table.table in failed:
            infos = await asyncio.gather(*(task.store.stat(file.name) for file in table.files))
            left.append(TableFiles(table.table, tuple(_file(info) for info in infos if info)))
    return tuple(left)


async def _naive_shards(task: Task, plan: Plan, units: list[Unit]) -> list[TableFiles]:
    """Before the first publication: files that an export by BigQuery's own naming has left at these tables' names.

    Not those which another task of this run has just placed there.
    """
    tables, mark = {unit.pattern: unit.table for unit in units}, origin(plan)
    found: dict[str, list[File]] = {}
    async for page in task.store.objects(task.settings.prefix):
        for info in page:
            ours = info.origin == mark or info.name.startswith(task.settings.layout.state)
            if not ours and (split := split_shard(info.name, tables)):
                refuse_others(plan, [info])
                found.setdefault(tables[split[0]], []).append(_file(info))
    return [TableFiles(table, tuple(files)) for table, files in found.items()]


def _counted(files: list[File], written: list[ObjectInfo], rows: dict[str, int | None]) -> list[File]:
    """The files, each with the rows that were counted where it was written."""
    return [
        File(file.name, file.size, file.crc32c, file.generation, rows[info.name])
        for file, info in zip(files, written, strict=True)
    ]


def _file(info: ObjectInfo) -> File:
    return File(info.name, info.size, info.crc32c, info.generation)


async def _point(task: Task, plan: Plan, manifest: ManifestFiles, generation: int) -> bool:
    """Move latest.json to this run; False when a later run is there, or about to be."""
    ready = Latest(
        run=plan.run,
        number=manifest.number,
        project=plan.project,
        dataset=plan.dataset,
        snapshot_time=moment_text(plan.snapshot),
        snapshot=plan.snapshot,
        status=manifest.status,
        mode=plan.mode,
        manifest=task.layout.manifest,
        manifest_generation=generation,
        over=manifest.over,
        carried=manifest.totals.carried,
        oldest_snapshot_time=manifest.oldest_snapshot_time,
    )
    if plan.mode == "replace" and not await make_ready(task, plan, ready):
        # Whoever has announced itself since has shown this run to readers, where it was ready before.
        latest, _ = await read_latest(task.store, task.settings)
        return latest is not None and latest.run == plan.run
    return await move_latest(task.store, task.settings, ready)
