"""Publishing: making a run the one that readers see. Every step may be repeated by any task, any number of times.

files in place → manifest (create-only) → latest.json (only forward in time) → stale files away.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Literal, NamedTuple

from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.manifest import (
    File,
    Latest,
    ManifestFiles,
    TableFiles,
)
from bqdump.core.documents.record import make_manifest
from bqdump.core.documents.run import (
    Unit,
)
from bqdump.core.errors import ConflictError, NotFoundError, UnavailableError, VerificationError
from bqdump.core.plan.parts import by_table, done_tables
from bqdump.core.plan.removal import Carry
from bqdump.core.settings.path_template import shard_name, split_shard
from bqdump.core.times import moment_text
from bqdump.export.carry import carry_over, check_carried
from bqdump.export.publish.clear import clear, clear_staging, delete, read_earlier
from bqdump.export.publish.collect import Collected, all_units, collect, prove
from bqdump.export.publish.replace import announce, make_ready, origin, place, publishing, refuse_others, withdraw
from bqdump.export.task import RunningExport, Task
from bqdump.ports.store import ObjectInfo
from bqdump.repository.ledger import Ledger
from bqdump.repository.published import move_latest, read_latest

log = logging.getLogger(__name__)


class Published(NamedTuple):
    """How publishing ended. `superseded`: a run of a later moment is what readers see."""

    result: Literal["published", "superseded"]
    manifest: ManifestFiles | None


async def publish(export: RunningExport, ledger: Ledger) -> Published:
    """Publish what the ledger has. Raises VerificationError when files are missing; nothing is published then."""
    made = await read_manifest_files(export.task) or await _make_manifest(export, ledger)
    if isinstance(made, Published):
        return made
    manifest, generation = made
    if not await _point(export, manifest, generation):
        if export.plan.mode == "replace":
            await _step_aside(export)
        return Published("superseded", manifest)
    await clear(export, manifest)
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


async def _make_manifest(export: RunningExport, ledger: Ledger) -> tuple[ManifestFiles, int] | Published:
    units, done = await all_units(export), done_tables(ledger.receipts, export.plan.splits)
    try:
        collected = await collect(export, units, done)
        await prove(export, units, done, collected)
    except VerificationError:
        # Files may be missing because the run has ended meanwhile, and whoever ended it has cleared up.
        if ended := await _ended(export):
            return ended
        raise
    left: tuple[TableFiles, ...] = ()
    found: tuple[File, ...] = ()
    latest = await read_latest(export.store, export.settings)
    if export.plan.mode == "keep":
        files = {unit: [_file(info) for info in infos] for unit, infos in collected.written.items()}
        await delete(export.task, ((info.name, info.generation) for info in collected.surplus))
        carry = await carry_over(export, [unit.table for unit in units])
        await check_carried(export.task, carry)
    else:
        if latest and latest.age >= export.plan.age and (ended := await _ended(export)):
            # What another task of this run has published must not be copied over by its like.
            return ended
        # What earlier replacing exports have at final names, as far as the latest manifest knows.
        before = await read_earlier(export.task, latest.manifest) if latest and latest.mode == "replace" else []
        failed = {failure.table for failure in ledger.failed()}
        naive: list[TableFiles] = []
        if latest is None or latest.mode == "keep":
            naive = await _naive_shards(export, units)
            found = tuple(file for table in naive if table.table not in failed for file in table.files)
        before += naive
        known = {file.name: file.generation for table in before for file in table.files}
        # Announced with the rest, so that an earlier run which steps aside does not take these away.
        staying = [file.name for table in before if table.table in failed for file in table.files]
        try:
            placed = await _replace(export, units, collected, known, staying)
        except VerificationError:
            if ended := await _ended(export):
                return ended
            raise
        if placed is None:
            if ended := await _ended(export):
                return ended
            cause, hint = "staged files disappeared during publishing", "Something deleted them: run the export again."
            raise VerificationError("publish", f"run {export.plan.run}", cause, hint)
        files, carry = placed
        left = await _left(export.task, failed | {table.table for table in carry.left}, naive)
    files = {unit: _counted(placed, collected.written[unit], collected.rows) for unit, placed in files.items()}
    number = latest.number + 1 if latest else 1
    manifest = make_manifest(export.plan, number, done, by_table(ledger.failed()), units, files, left, found, carry)
    data = encode(manifest)
    try:
        generation = await export.store.write(export.layout.manifest, data, 0)
    except ConflictError:
        if made := await read_manifest_files(export.task):
            return made
        cause = "the bucket has refused the manifest, and holds none"
        raise UnavailableError("publish", f"run {export.plan.run}", cause) from None
    return decode(data, ManifestFiles, export.layout.manifest), generation


async def _replace(
    export: RunningExport, units: list[Unit], collected: Collected, known: dict[str, int], staying: list[str]
) -> tuple[dict[str, list[File]], Carry] | None:
    """Files at their final names, by unit, and what stays of the export before; None when the run has ended meanwhile.

    `staying`: names left as they are. Raises VerificationError when a file that stays is not there any more.
    """
    staged = {
        shard_name(unit.pattern, number): info
        for unit in units
        for number, info in enumerate(collected.written.get(unit.id, ()))
    }
    carry = await announce(export, (*staged, *staying), [unit.table for unit in units])
    if carry is None:
        return None
    await check_carried(export.task, carry)
    placed = await place(export, staged, known)
    if placed is None:
        return None
    files = {
        unit.id: [placed[shard_name(unit.pattern, number)] for number in range(len(collected.written[unit.id]))]
        for unit in units
        if unit.id in collected.written
    }
    return files, carry


async def _ended(export: RunningExport) -> tuple[ManifestFiles, int] | Published | None:
    """How the run has ended already: its manifest, or superseded by a later run; None when it has not."""
    if made := await read_manifest_files(export.task):
        return made
    latest = await read_latest(export.store, export.settings)
    announced = await publishing(export.task)
    if any(pointer and pointer.age > export.plan.age for pointer in (latest, announced)):
        return await _step_aside(export)
    return None


async def _step_aside(export: RunningExport) -> Published:
    """Leave the final names to the later run, and nothing of this one behind."""
    await withdraw(export)
    await clear_staging(export.task)
    return Published("superseded", None)


async def _left(task: Task, failed: set[str], naive: list[TableFiles]) -> tuple[TableFiles, ...]:
    """The files of an earlier export that stay for failed tables, as they are now.

    An earlier run may have published until this one announced itself, so what was known before that is not enough.
    """
    latest = await read_latest(task.store, task.settings) if failed else None
    replacing = latest is not None and latest.mode == "replace"
    left = []
    for table in await read_earlier(task, latest.manifest) if latest and replacing else naive:
        if table.table in failed:
            infos = await asyncio.gather(*(task.store.stat(file.name) for file in table.files))
            left.append(TableFiles(table.table, tuple(_file(info) for info in infos if info)))
    return tuple(left)


async def _naive_shards(export: RunningExport, units: list[Unit]) -> list[TableFiles]:
    """Before the first publication: files that an export by BigQuery's own naming has left at these tables' names.

    Not those which another task of this run has just placed there.
    """
    tables, mark = {unit.pattern: unit.table for unit in units}, origin(export.plan)
    found: dict[str, list[File]] = {}
    async for page in export.store.objects(export.settings.prefix):
        for info in page:
            ours = info.origin == mark or info.name.startswith(export.settings.layout.state)
            if not ours and (split := split_shard(info.name, tables)):
                refuse_others(export.plan, [info])
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


async def _point(export: RunningExport, manifest: ManifestFiles, generation: int) -> bool:
    """Move latest.json to this run; False when a later run is there, or about to be."""
    ready = Latest(
        run=export.plan.run,
        number=manifest.number,
        project=export.plan.project,
        dataset=export.plan.dataset,
        snapshot_time=moment_text(export.plan.snapshot),
        snapshot=export.plan.snapshot,
        status=manifest.status,
        mode=export.plan.mode,
        manifest=export.layout.manifest,
        manifest_generation=generation,
        over=manifest.over,
        carried=manifest.totals.carried,
        oldest_snapshot_time=manifest.oldest_snapshot_time,
    )
    if export.plan.mode == "replace" and not await make_ready(export, ready):
        # Whoever has announced itself since has shown this run to readers, where it was ready before.
        latest = await read_latest(export.store, export.settings)
        return latest is not None and latest.run == export.plan.run
    return await move_latest(export.store, export.settings, ready)
