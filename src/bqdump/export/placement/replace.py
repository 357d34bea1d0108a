"""Replace: files are staged, and copied over those of the export before once all of them exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from bqdump.core.documents.manifest import File, ManifestFiles, TableFiles
from bqdump.core.documents.path_template import split_shard
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.documents.target import Latest, Publishing, Stages
from bqdump.core.errors import VerificationError
from bqdump.core.plan.carryover import Carryover
from bqdump.core.plan.record import Placed
from bqdump.export.carry import check_carried
from bqdump.export.collected import Collected, Exported
from bqdump.export.placement.final_names import announce, copy_over, make_ready, refuse_others, withdraw
from bqdump.export.publish.clear import clear_staging, clear_stale, delete, origin, read_earlier
from bqdump.export.publish.collect import file_of
from bqdump.export.publish.latest import has_ended
from bqdump.export.task import InPlace, RunningExport, Task
from bqdump.ports.store import ObjectInfo
from bqdump.repository.objects import looked_up
from bqdump.repository.published import read_base
from bqdump.repository.repository import Known, Loaded, overwrite


class Replace:
    """Each export replaces the files of the one before."""

    def written(self, layout: RunLayout, pattern: str, work: str, attempt: int) -> str:
        """Names in a staging folder of this attempt."""
        return layout.staged(work, attempt, pattern)

    def first_file(self, _numbers: range) -> int:
        """Zero: each attempt has a folder of its own."""
        return 0

    async def prepare(self, task: Task) -> None:
        """Note that the run may stage files. See `publish.abandoned`."""
        await overwrite(task.store, task.settings.layout.stages(task.run), Stages(task.run))

    async def place(self, export: RunningExport, exported: Exported) -> InPlace | None:
        """Copy the staged files over the final names, each only over the generation recorded for it."""
        latest, failed = exported.latest, exported.failed
        if latest and latest.age >= export.plan.age and await has_ended(export):
            # A task must not copy over what another task of this run has published.
            return None
        before, naive = await _present(export, exported)
        present = [*before, *naive]
        known = {file.name: file.generation for table in present for file in table.files}
        # Announced with the rest, so that an earlier run which steps aside does not take these away.
        staying = [file.name for table in present if table.table in failed for file in table.files]
        placed = await _replace(export, exported, known, staying)
        if placed is None:
            if await has_ended(export):
                return None
            cause, hint = "staged files disappeared during publishing", "Something deleted them: run the export again."
            raise VerificationError("publish", f"run {export.plan.run}", cause, hint)
        files, carry, announced = placed
        left = await _left(export, failed | {table.table for table in carry.left}, naive)
        unnamed = tuple(file for table in naive if table.table not in failed for file in table.files)
        return InPlace(Placed(files, carry, left, unnamed), announced, _staged(export, exported.collected))

    async def make_ready(self, export: RunningExport, ready: Latest, announced: Known[Publishing]) -> Latest | None:
        """Put the next content of latest.json into publishing.json: a run that takes over publishes it first."""
        return await make_ready(export, ready, announced)

    async def step_aside(self, export: RunningExport) -> None:
        """Leave the final names to the later run, and remove the files of this one."""
        await withdraw(export)
        await clear_staging(export)

    async def clear(
        self,
        export: RunningExport,
        manifest: ManifestFiles,
        latest: Loaded[Latest] | None,
        staged: Sequence[ObjectInfo] | None,
    ) -> None:
        """Delete stale files of earlier exports, then this run's staging."""
        await clear_stale(export, manifest, latest)
        if staged is None:
            await clear_staging(export)
        else:
            await delete(export, ((info.name, info.generation) for info in staged))

    async def clear_late(self, export: RunningExport) -> None:
        """Delete the run's staging."""
        await clear_staging(export)


def _staged(export: RunningExport, collected: Collected) -> list[ObjectInfo] | None:
    """All staged files, if they are known: each table was written by its first job, and nothing else was listed."""
    attempts = [attempt for table in collected.attempts.values() for attempt in table]
    again = any(attempt.receipt.attempt or attempt.plan.route == "read" for attempt in attempts)
    if not export.made or again or collected.others or export.settings.iceberg:
        return None
    if len(collected.attempts) < export.plan.tables:
        return None
    return [*collected.surplus, *(info for files in collected.written.values() for info in files)]


async def _present(export: RunningExport, exported: Exported) -> tuple[list[TableFiles], list[TableFiles]]:
    """The files of earlier exports at final names: those that the latest manifest lists, and others.

    Only before the first publication may there be files of an export without a manifest.
    """
    latest = exported.latest
    if latest and latest.replaces:
        return await read_earlier(export, latest), []
    return [], await _naive_shards(export, exported)


async def _naive_shards(export: RunningExport, exported: Exported) -> list[TableFiles]:
    """Files that an export by BigQuery's own naming has left at these tables' names.

    Not those which another task of this run has just placed there.
    """
    plans = [plan for plan in exported.plans if plan.table not in exported.dropped]
    tables = {piece.pattern: plan.table for plan in plans for piece in plan.pieces}
    mark = origin(export.plan)
    files_by_table: dict[str, list[File]] = {}
    async for page in export.store.objects(export.settings.target.prefix):
        for info in page:
            ours = info.origin == mark or info.name.startswith(export.settings.layout.root)
            if not ours and (split := split_shard(info.name, tables)):
                refuse_others(export.plan, [info])
                files_by_table.setdefault(tables[split[0]], []).append(file_of(info))
    return [TableFiles(table, tuple(files)) for table, files in files_by_table.items()]


async def _replace(
    export: RunningExport, exported: Exported, known: Mapping[str, int], staying: Collection[str]
) -> tuple[dict[str, list[File]], Carryover, Known[Publishing]] | None:
    """Files at their final names, by the table's id, and what `announce` returns; None where they cannot be.

    `staying`: names left as they are. Raises VerificationError if a file that stays no longer exists.
    """
    written = exported.collected.written
    names = exported.collected.final
    staged = {name: info for table in names for name, info in zip(names[table], written[table], strict=True)}
    announced = await announce(export, (*staged, *staying), exported.latest, exported.tables, exported.dropped)
    if announced is None:
        return None
    await check_carried(export, announced.carry)
    placed = await copy_over(export, staged, known)
    if placed is None:
        return None
    return {table: [placed[name] for name in names[table]] for table in names}, *announced


async def _left(export: RunningExport, failed: Collection[str], naive: list[TableFiles]) -> tuple[TableFiles, ...]:
    """The current files of an earlier export that stay for failed tables.

    An earlier run may have published until this one announced itself, so earlier listings are not sufficient.
    """
    latest = await read_base(export.store, export.settings) if failed else None
    left = []
    for table in await read_earlier(export, latest) if latest and latest.replaces else naive:
        if table.table in failed:
            infos = await looked_up(export.store, (file.name for file in table.files))
            left.append(TableFiles(table.table, tuple(file_of(info) for info in infos if info), table.iceberg))
    return tuple(left)
