"""What a restore leaves out, each with the reason. What the patterns exclude is counted, not named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bqdump.core.documents.definitions import ObjectDefinition, RoutineDefinition
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.restore.access import UNREQUESTED as NO_ACCESS
from bqdump.core.restore.access import has_access_entries
from bqdump.core.restore.plan import ACCESS, INDEX, POLICY, TABLE, NotRestored, Options, TableStep, TargetState

UNREQUESTED = "row access policies were not requested: whoever reads the table reads all rows"
NO_MEMBERS = "its members could not be read when it was exported"


class Chosen(NamedTuple):
    """What the patterns choose: restored as tables, by definition, and (lost) what cannot be restored.

    by_name: for every object of the export whether it is chosen.
    """

    tables: tuple[TableEntry, ...]
    objects: tuple[ObjectDefinition, ...]
    routines: tuple[RoutineDefinition, ...]
    lost: tuple[NotRestored, ...]
    by_name: Mapping[str, bool]

    @property
    def excluded(self) -> int:
        """The number of objects that the patterns exclude."""
        return sum(not chosen for chosen in self.by_name.values())


def not_restored(
    manifest: Manifest, options: Options, chosen: Chosen, tables: Sequence[TableStep], target: TargetState | None
) -> Iterator[NotRestored]:
    """Everything that is not restored."""
    yield from chosen.lost
    if options.data_only:
        yield from _failed(manifest, chosen)
        return
    yield from _not_exported(manifest, chosen)
    yield from _of_tables(manifest, options, chosen, {step.entry.table for step in tables})
    for model in manifest.definitions.models:
        yield NotRestored(model, "MODEL", "not in the export: models are not exported")
    for unread in manifest.definitions.unread:
        yield NotRestored(unread.what, "DEFINITION", f"not in the export: {unread.reason}")
    if target is not None:
        yield NotRestored(options.dataset, "DATASET", "it exists: its properties stay as they are")
    elif has_access_entries(manifest) and not options.with_access:
        yield NotRestored(manifest.dataset, ACCESS, NO_ACCESS)


def _not_exported(manifest: Manifest, chosen: Chosen) -> Iterator[NotRestored]:
    """What the export has neither rows nor a definition of."""
    named = {entry.table for entry in chosen.tables}
    named |= {object_.name for object_ in chosen.objects} | {object_.name for object_ in chosen.lost}
    for skipped in manifest.skipped:
        if chosen.by_name[skipped.table] and skipped.table not in named:
            yield NotRestored(skipped.table, skipped.kind, f"not in the export: {skipped.reason}")
            named.add(skipped.table)
    for failed in _failed(manifest, chosen):
        if failed.name not in named:
            yield failed
            named.add(failed.name)
    for object_ in manifest.definitions.objects:
        if chosen.by_name[object_.name] and object_.name not in named:
            yield NotRestored(
                object_.name, object_.kind, "its rows are not in the export, and its definition is not enough"
            )


def _failed(manifest: Manifest, chosen: Chosen) -> Iterator[NotRestored]:
    for failure in manifest.failed:
        if chosen.by_name[failure.table]:
            yield NotRestored(failure.table, TABLE, f"its export failed: {failure.message}")


def _of_tables(manifest: Manifest, options: Options, chosen: Chosen, restored: set[str]) -> Iterator[NotRestored]:
    """Policies and indexes; those of tables that are kept or excluded are not the restore's."""
    lost = {object_.name for object_ in chosen.lost} | {failure.table for failure in manifest.failed}
    for policy in manifest.definitions.policies:
        name = f"{policy.table}.{policy.name}"
        if policy.table in restored and not options.with_policies:
            yield NotRestored(name, POLICY, UNREQUESTED)
        elif policy.table in restored and policy.grantees is None:
            yield NotRestored(name, POLICY, NO_MEMBERS)
        elif policy.table in lost and chosen.by_name.get(policy.table):
            yield NotRestored(name, POLICY, "its table is not restored")
    for index in manifest.definitions.indexes:
        if index.table in lost and chosen.by_name.get(index.table):
            yield NotRestored(f"{index.table}.{index.name}", INDEX, "its table is not restored")
