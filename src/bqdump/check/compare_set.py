"""The changes from one run of a set to another, dataset by dataset."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from bqdump.core.documents.changes import TableChange, compare
from bqdump.core.documents.manifest import Manifest
from bqdump.ports.store import ObjectStore
from bqdump.repository.exports import ExportAt, SetAt, published_sets
from bqdump.repository.published import missing_run
from bqdump.repository.repository import value_of

Compare = Callable[[ObjectStore, Manifest, Manifest], Awaitable[Sequence[TableChange]]]


async def compare_set(sets: Sequence[SetAt], before: str, after: str, compare_both: Compare) -> list[TableChange]:
    """The changes from one run to another (default: what is published). Tables have their dataset's name.

    compare_both: the changes of a dataset that both runs have exported. Raises NotFoundError for a run of no dataset.
    """
    changes: list[TableChange] = []
    missing = {before, after} - {""}
    for at, project in await published_sets(sets):
        published = {entry.dataset: entry.run for entry in project.datasets}
        for name in at.names:
            old = await _manifest(at.export(name), before)
            new = await _manifest(at.export(name), after or published.get(name, ""))
            missing -= {before if old else None, after if new else None}
            found = await compare_both(at.store, old, new) if old and new else _one_sided(old, new)
            changes += [replace(change, table=f"{name}.{change.table}") for change in found]
    for run in (before, after):
        if run in missing:
            raise missing_run(run, sets[0].settings)
    return changes


async def _manifest(export: ExportAt, run: str) -> Manifest | None:
    return await value_of(export.store, export.settings.layout.run(run).manifest) if run else None


def _one_sided(old: Manifest | None, new: Manifest | None) -> list[TableChange]:
    """All tables of a dataset that only one of the runs has exported."""
    if not (there := old or new):
        return []
    nothing = replace(there, tables=(), failed=(), skipped=())
    why = f"only run {there.run} has exported dataset {there.dataset}"
    return [replace(change, why=why) for change in compare(old or nothing, new or nothing)]
