"""The placement of a run, and what is published along with it: taken from its plan and settings, and chosen here only.

The attempts with the read route that a run has noted, and the files at final names that they may have written.

Keep: files are written under their final names at once, in a folder for each run. No export changes another.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from bqdump.core.documents.document import Mode
from bqdump.core.documents.manifest import Manifest, ManifestFiles
from bqdump.core.documents.path_template import split_shard
from bqdump.core.documents.run import Plan, TablePlan
from bqdump.core.documents.run_layout import RunLayout, attempt_of, unit_of
from bqdump.core.documents.target import Latest, Publishing
from bqdump.core.documents.units import numbers_by_unit
from bqdump.core.plan.record import Placed
from bqdump.core.settings.settings import Settings
from bqdump.core.units.shares import read_units
from bqdump.export.carry import carry_over, check_carried
from bqdump.export.collected import Collected, Exported
from bqdump.export.placement.replace import Replace
from bqdump.export.publish.clear import delete, discard
from bqdump.export.publish.collect import file_of
from bqdump.export.publish.latest import read_manifest_files
from bqdump.export.task import Extra, InPlace, Made, Placement, RunningExport, Task
from bqdump.ports.store import ObjectInfo
from bqdump.repository.repository import Known, Loaded


async def attempts_begun(export: RunningExport) -> dict[str, list[int]]:
    """The attempts by the read route, by unit, of units for which the manifest may not name the files of every one."""
    begun: dict[str, list[int]] = {}
    async for notes in export.store.notes(export.layout.read_attempts):
        for note in notes:
            if (attempt := attempt_of(note.name)) is not None:
                begun.setdefault(unit_of(note.name), []).append(attempt)
    return {unit: attempts for unit, attempts in begun.items() if len(attempts) > 1 or export.settings.allow_partial}


async def files_of_attempts(
    export: RunningExport, attempts: Mapping[str, list[int]]
) -> AsyncIterator[list[ObjectInfo]]:
    """The objects at the final names of these attempts, by their numbers; page by page."""
    numbers = numbers_by_unit(export.plan, attempts)
    for unit in read_units((await export.store.read(export.plan.units)).data, export.plan):
        if not (ranges := numbers.get(unit.id)):
            continue
        async for page in export.store.objects(unit.pattern.partition("*")[0]):
            split = {info: split_shard(info.name, (unit.pattern,)) for info in page}
            yield [info for info, shard in split.items() if shard and any(shard[1] in range_ for range_ in ranges)]


class Keep:
    """One folder for each run."""

    def written(self, _layout: RunLayout, pattern: str, _work: str, _attempt: int) -> str:
        """The final names."""
        return pattern

    def first_file(self, numbers: range) -> int:
        """The first number that no other attempt uses."""
        return numbers.start

    async def prepare(self, task: Task) -> None:
        """Nothing is staged."""

    async def place(self, export: RunningExport, exported: Exported) -> InPlace | None:
        """Only delete what failed attempts have left: all other files are in place."""
        collected = exported.collected
        await discard(export, [(info.name, info.generation) for info in collected.surplus])
        carry = await carry_over(export, exported.latest, exported.tables, exported.dropped)
        await check_carried(export, carry)
        files = {table: [*map(file_of, infos)] for table, infos in collected.written.items()}
        return InPlace(Placed(files, carry))

    async def make_ready(self, _export: RunningExport, ready: Latest, _announced: Known[Publishing]) -> Latest | None:
        """No other run writes these names, so nothing is announced."""
        return ready

    async def step_aside(self, export: RunningExport) -> None:
        """The run stays complete in its folder, although a later one is published."""

    async def clear(
        self,
        export: RunningExport,
        manifest: ManifestFiles,
        latest: Loaded[Latest] | None,
        staged: Sequence[ObjectInfo] | None,
    ) -> None:
        """Earlier exports stay as they are."""

    async def clear_late(self, export: RunningExport) -> None:
        """Delete the files of attempts that the run has noted, by their numbers, and not what its manifest names."""
        begun = await attempts_begun(export)
        manifest = await read_manifest_files(export) if begun else None
        if manifest is None:
            return
        named = {file.name for table in manifest.value.tables for file in table.files}
        async for infos in files_of_attempts(export, begun):
            await delete(export, ((info.name, info.generation) for info in infos if info.name not in named))


PLACEMENTS: dict[Mode, Placement] = {"replace": Replace(), "keep": Keep()}


def placement_of(plan: Plan) -> Placement:
    """How the files of this plan's run get their final names."""
    return PLACEMENTS[plan.mode]


def running_export(task: Task, plan: Plan, made: Made | None = None) -> RunningExport:
    """The task with this plan. made: see RunningExport."""
    return RunningExport(task, plan, placement_of(plan), _extra_of(task.settings), made)


class Files:
    """Nothing but the files of tables is published."""

    async def prepare(self, export: RunningExport, tables: Sequence[TablePlan], collected: Collected) -> None:
        """The files are published as they were written."""

    async def describe(self, _export: RunningExport, manifest: Manifest, _latest: Latest | None) -> Manifest:
        """The manifest names nothing else."""
        return manifest

    async def drop(self, export: RunningExport, manifest: Manifest, stored: ManifestFiles | None) -> None:
        """Nothing was stored."""

    async def name(self, _export: RunningExport, _manifest: ManifestFiles) -> str:
        """latest.json names the manifest only."""
        return ""

    async def show(self, export: RunningExport, manifest: ManifestFiles) -> None:
        """latest.json is what readers follow."""

    async def withdraw(self, export: RunningExport) -> None:
        """Nothing was stored."""


def _extra_of(settings: Settings) -> Extra:
    if not settings.iceberg:
        return Files()
    # Imported by runs that need it only.
    from bqdump.export.publish.iceberg import Iceberg

    return Iceberg()
