"""The attempts with the read route that a run has noted, and the files at final names that they may have written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from bqdump.core.documents.path_template import split_shard
from bqdump.core.documents.run_layout import attempt_of, unit_of
from bqdump.core.documents.units import numbers_by_unit
from bqdump.core.units.shares import read_units
from bqdump.export.task import RunningExport
from bqdump.ports.store import ObjectInfo


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
            yield [info for info, found in split.items() if found and any(found[1] in range_ for range_ in ranges)]
