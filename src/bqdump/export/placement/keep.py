"""Keep: files are written under their final names at once, in a folder for each run. No export changes another."""

from __future__ import annotations

from bqdump.core.documents.layout import RunLayout, attempt_of, unit_of
from bqdump.core.documents.manifest import Latest, ManifestFiles
from bqdump.core.plan.draft import read_units
from bqdump.core.plan.parts import Part, numbers_by_unit, numbers_of
from bqdump.core.settings.path_template import split_shard
from bqdump.export.carry import carry_over, check_carried
from bqdump.export.placement.protocol import Exported, Placed
from bqdump.export.publish.clear import delete
from bqdump.export.publish.collect import file_of
from bqdump.export.publish.ended import read_manifest_files
from bqdump.export.task import RunningExport, Task


class Keep:
    """One folder for each run."""

    def written(self, _layout: RunLayout, pattern: str, _unit: str, _attempt: int) -> str:
        """The final names."""
        return pattern

    def first_file(self, part: Part | None, attempt: int) -> int:
        """The first number of a range that no other attempt uses."""
        return numbers_of(part, attempt).start

    async def prepare(self, task: Task) -> None:
        """Nothing is staged."""

    async def place(self, export: RunningExport, exported: Exported) -> Placed | None:
        """Only delete what failed attempts have left: all other files are in place."""
        collected = exported.collected
        await delete(export, ((info.name, info.generation) for info in collected.surplus))
        carry = await carry_over(export, exported.tables)
        await check_carried(export, carry)
        return Placed({unit: [*map(file_of, infos)] for unit, infos in collected.written.items()}, carry)

    async def make_ready(self, _export: RunningExport, _ready: Latest) -> bool:
        """No other run writes these names, so nothing is announced."""
        return True

    async def step_aside(self, export: RunningExport) -> None:
        """The run stays complete in its folder, although a later one is published."""

    async def clear(self, export: RunningExport, manifest: ManifestFiles) -> None:
        """Earlier exports stay as they are."""

    async def clear_late(self, export: RunningExport) -> None:
        """Delete the files of attempts that the run has noted, by their numbers, and not what its manifest names."""
        begun = await _begun(export)
        made = await read_manifest_files(export) if begun else None
        if made is None:
            return
        named = {file.name for table in made.value.tables for file in table.files}
        numbers = numbers_by_unit(export.plan, begun)
        for unit in read_units((await export.store.read(export.plan.units)).data, export.plan):
            if not (ranges := numbers.get(unit.id)):
                continue
            async for page in export.store.objects(unit.pattern.partition("*")[0]):
                split = {info: split_shard(info.name, (unit.pattern,)) for info in page if info.name not in named}
                left = [info for info, found in split.items() if found and any(found[1] in range_ for range_ in ranges)]
                await delete(export, ((info.name, info.generation) for info in left))


async def _begun(export: RunningExport) -> dict[str, list[int]]:
    """The attempts by the read route, by unit, of units for which the manifest may not name the files of every one."""
    begun: dict[str, list[int]] = {}
    async for notes in export.store.notes(export.layout.readings):
        for note in notes:
            if (attempt := attempt_of(note.name)) is not None:
                begun.setdefault(unit_of(note.name), []).append(attempt)
    return {unit: attempts for unit, attempts in begun.items() if len(attempts) > 1 or export.settings.allow_partial}
