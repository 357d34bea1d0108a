"""Keep: files are written under their final names at once, in a folder for each run. No export changes another."""

from __future__ import annotations

from bqdump.core.documents.manifest import ManifestFiles
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.documents.target import Latest
from bqdump.export.carry import carry_over, check_carried
from bqdump.export.publish.clear import delete, discard
from bqdump.export.publish.collect import file_of
from bqdump.export.publish.ended import read_manifest_files
from bqdump.export.task import Exported, Placed, RunningExport, Task
from bqdump.export.work.attempts import attempts_begun, files_of_attempts


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

    async def place(self, export: RunningExport, exported: Exported) -> Placed | None:
        """Only delete what failed attempts have left: all other files are in place."""
        collected = exported.collected
        await discard(export, collected.surplus)
        carry = await carry_over(export, exported.tables, exported.dropped)
        await check_carried(export, carry)
        return Placed({table: [*map(file_of, infos)] for table, infos in collected.written.items()}, carry)

    async def make_ready(self, _export: RunningExport, _ready: Latest) -> bool:
        """No other run writes these names, so nothing is announced."""
        return True

    async def step_aside(self, export: RunningExport) -> None:
        """The run stays complete in its folder, although a later one is published."""

    async def clear(self, export: RunningExport, manifest: ManifestFiles) -> None:
        """Earlier exports stay as they are."""

    async def clear_late(self, export: RunningExport) -> None:
        """Delete the files of attempts that the run has noted, by their numbers, and not what its manifest names."""
        begun = await attempts_begun(export)
        made = await read_manifest_files(export) if begun else None
        if made is None:
            return
        named = {file.name for table in made.value.tables for file in table.files}
        async for infos in files_of_attempts(export, begun):
            await delete(export, ((info.name, info.generation) for info in infos if info.name not in named))
