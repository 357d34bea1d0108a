"""Which objects of an export are restored, and which are left out, each with the reason.

What the patterns exclude is counted, not named. Views and routines that read a table which was erased from the run
could not be created, and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.definitions import ObjectDefinition, RoutineDefinition
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.manifest_index import settings_of
from bqdump.core.errors import UsageError
from bqdump.core.plan.selection import unmatched
from bqdump.core.restore.access import UNREQUESTED as NO_ACCESS
from bqdump.core.restore.access import has_access_entries
from bqdump.core.restore.chosen_partitions import chosen_partitions
from bqdump.core.restore.columns import restored_columns
from bqdump.core.restore.loads import unloadable
from bqdump.core.restore.names import Moves, names_in_target
from bqdump.core.restore.objects import QUERIES, RESTORABLE, has_definition, is_sql
from bqdump.core.restore.partitions import LONGEST_MS
from bqdump.core.restore.plan import (
    ACCESS,
    INDEX,
    PLAN,
    POLICY,
    ROUTINE,
    TABLE,
    NotRestored,
    Options,
    TableStep,
    TargetState,
)
from bqdump.core.restore.references import mapped
from bqdump.core.sizes import named
from bqdump.core.tables.catalog import Dataset
from bqdump.core.tables.partitioning import partitioning_of
from bqdump.core.tables.patterns import Labels, labels_in, select

# Reasons in one message.
NAMED = 3
NOT_RENAMED = "only tables are restored under other names"


def tables_with_rows(manifest: Manifest) -> tuple[list[str], list[str]]:
    """The tables of an export that a restore fills with rows, and those whose rows it cannot bring back."""
    everything = choose(manifest, Options(project=manifest.project, dataset=manifest.dataset))
    tables = [entry.table for entry in everything.tables]
    lost = {lost.name for lost in everything.lost} | {failure.table for failure in manifest.failed}
    return tables, sorted(lost.difference(tables))


def tables_in_target(manifest: Manifest, options: Options, target: TargetState | None) -> Mapping[str, str]:
    """The names in the target of the tables that are restored. Raises like plan_of."""
    return names_there([entry.table for entry in choose(manifest, options).tables], options, target)


def names_there(tables: Sequence[str], options: Options, target: TargetState | None) -> Mapping[str, str]:
    """The names of these tables in the target, spelled as they are there. Raises like names_in_target."""
    names = names_in_target(tables, options.as_)
    return {table: target.spelling(name) for table, name in names.items()} if target else names


def partitions_in_target(manifest: Manifest, options: Options, target: TargetState) -> Mapping[str, list[str]]:
    """The ids of the partitions that are restored into tables that exist, by the name of their table there.

    target: with the definitions of these tables. A table that is partitioned otherwise has none of these ids, and the
    plan refuses it.
    """
    chosen = {entry.table: chosen_partitions(entry, options) for entry in choose(manifest, options).tables}
    names = names_there(list(chosen), options, target)
    definitions = target.definitions or {}
    partitionings = {name: partitioning_of(definition) for name, definition in definitions.items()}
    return {
        names[table]: some.ids
        for table, some in chosen.items()
        if some and some.partitioning.is_that_of(partitionings.get(names[table]))
    }


def choose(manifest: Manifest, options: Options) -> Chosen:
    """What the options choose: as tables with rows, by its definition, and what cannot be restored."""
    by_name = chosen_by(options, manifest)
    known = {
        object_.name: object_
        for object_ in manifest.definitions.objects
        if has_definition(object_.kind, object_.definition)
    }
    for entry in manifest.tables:
        if entry.kind in RESTORABLE and entry.table not in known and has_definition(entry.kind, entry.definition):
            known[entry.table] = ObjectDefinition(entry.table, entry.kind, entry.definition)
    tables, lost = [], []
    for entry in manifest.tables:
        if by_name[entry.table] and entry.table not in known:
            if reason := _obstacle(manifest, entry, options):
                lost.append(NotRestored(entry.table, entry.kind, reason))
            else:
                some = chosen_partitions(entry, options)
                tables.append(some.entry if some else entry)
    objects = [object_ for name, object_ in sorted(known.items()) if by_name[name]]
    routines = [routine for routine in manifest.definitions.routines if by_name[routine.name]]
    if options.as_:
        lost += [NotRestored(object_.name, object_.kind, NOT_RENAMED) for object_ in objects]
        lost += [NotRestored(routine.name, ROUTINE, NOT_RENAMED) for routine in routines]
    if options.partitions and objects:
        object_ = objects[0]
        cause, hint = f"{object_.name} has no partitions in the export", "Restore it with {setting:include}."
        raise UsageError(PLAN, object_.name, cause, hint, setting="partitions")
    if options.as_ or options.data_only or options.partitions:
        objects, routines = [], []
    return Chosen(tuple(tables), tuple(objects), tuple(routines), tuple(lost), by_name)


def _obstacle(manifest: Manifest, entry: TableEntry, options: Options) -> str:
    """Why a table cannot be restored, or ""."""
    definition = msgspec.json.decode(entry.definition)
    if definition is None:
        return "the export has no definition of it: it was deleted while it was exported"
    # The unit becomes part of statements.
    unit = (definition.get("timePartitioning") or {}).get("type") or "DAY"
    if unit not in LONGEST_MS:
        return f"it is partitioned by {unit!r}, which is not one of {', '.join(LONGEST_MS)}"
    if options.schema_only:
        return ""
    restored = restored_columns(entry)
    if not restored.columns:
        return "the export has no columns of it, and so no rows"
    return unloadable(entry, restored, settings_of(manifest, entry))


def chosen_by(options: Options, manifest: Manifest) -> Mapping[str, bool]:
    """For the name of each object of an export whether the patterns choose it.

    Raises UsageError for a pattern that matches none.
    """
    names, labels = object_names(manifest), object_labels(manifest)
    for setting, patterns in (("include", options.include), ("exclude", options.exclude)):
        for pattern, guess in unmatched(names, patterns, labels):
            cause = f"matches no object of the export{guess}"
            where = "partitions" if options.partitions else setting
            raise UsageError(PLAN, repr(pattern), cause, "{call:ls} lists all.", setting=where)
    return dict(zip(names, select(names, options.include, options.exclude, labels), strict=True))


def refuse_nothing(manifest: Manifest, options: Options, chosen: Chosen) -> None:
    """Raise UsageError where nothing of what is named can be restored.

    Of a set, other datasets may hold what one of them lacks.
    """
    if options.others or not options.include or options.as_ or options.data_only:
        return
    if chosen.tables or chosen.objects or chosen.routines:
        return
    lost = [*chosen.lost, *_not_exported(manifest, chosen)]
    if lost:
        reasons = named([f"{each.name}: {each.reason}" for each in lost], NAMED, separator="; ")
        patterns = ", ".join(map(repr, options.include))
        cause = f"nothing that it names can be restored ({reasons})"
        where = "partitions" if options.partitions else "include"
        raise UsageError(PLAN, patterns, cause, "{call:ls} lists what the export holds.", setting=where)


def object_labels(manifest: Manifest) -> Labels:
    """The labels of tables and other objects, by name."""
    defined = [(entry.table, entry.definition) for entry in manifest.tables]
    defined += [(object_.name, object_.definition) for object_ in manifest.definitions.objects]
    labels = {name: labels_in(definition) for name, definition in defined}
    return {skipped.table: skipped.labels for skipped in manifest.skipped} | labels


def object_names(manifest: Manifest) -> list[str]:
    """The names of all objects of an export, which patterns choose from, sorted."""
    definitions = manifest.definitions
    named = [
        *(entry.table for entry in manifest.tables),
        *(object_.name for object_ in definitions.objects),
        *(routine.name for routine in definitions.routines),
        *(table.table for table in manifest.skipped),
        *(failure.table for failure in manifest.failed),
    ]
    return sorted(set(named))


EXISTING = "it exists, so its properties stay as they are"
UNREQUESTED = "row access policies are restored on request only: whoever reads the table reads all rows"
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
    if options.data_only or options.partitions:
        yield from _failed(manifest, chosen)
        return
    yield from _not_exported(manifest, chosen)
    yield from _of_tables(manifest, options, chosen, {step.entry.table for step in tables})
    for model in manifest.definitions.models:
        yield NotRestored(model, "MODEL", "not in the export: models are not exported")
    for unread in manifest.definitions.unread:
        yield NotRestored(unread.what, "DEFINITION", f"not in the export: {unread.reason}")
    if options.as_:
        # Single tables of a dataset, next to what is there.
        return
    if target is not None:
        yield NotRestored(options.dataset, "DATASET", EXISTING)
    elif has_access_entries(manifest) and not options.with_access and not options.temporary:
        yield NotRestored(manifest.dataset, ACCESS, NO_ACCESS)


def _not_exported(manifest: Manifest, chosen: Chosen) -> Iterator[NotRestored]:
    """What the export has neither rows nor a definition of."""
    listed = {entry.table for entry in chosen.tables}
    listed |= {object_.name for object_ in chosen.objects} | {object_.name for object_ in chosen.lost}
    for skipped in manifest.skipped:
        if chosen.by_name[skipped.table] and skipped.table not in listed:
            yield NotRestored(skipped.table, skipped.kind, f"not in the export: {skipped.reason}")
            listed.add(skipped.table)
    for failed in _failed(manifest, chosen):
        if failed.name not in listed:
            yield failed
            listed.add(failed.name)
    for object_ in manifest.definitions.objects:
        if chosen.by_name[object_.name] and object_.name not in listed:
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


def without_readers(chosen: Chosen, manifest: Manifest, target: TargetState | None) -> Chosen:
    """What is chosen, apart from what reads a table that was erased and is not in the target, or reads such a view."""
    there = set(target.tables) if target else set()
    gone = {note.table: note.table for note in manifest.erased if note.table not in there}
    if not gone:
        return chosen
    objects = {object_.name: (object_.kind, _reads(object_, manifest)) for object_ in chosen.objects}
    objects |= {routine.name: (ROUTINE, _calls(routine, manifest)) for routine in chosen.routines}
    lost: list[NotRestored] = []
    while left := {name: found for name, found in objects.items() if found[1].intersection(gone)}:
        for name, (kind, reads) in left.items():
            table = gone[min(reads.intersection(gone))]
            lost.append(NotRestored(name, kind, f"it reads table {table}, which was erased from the run"))
            gone[name] = table
            del objects[name]
    return chosen._replace(
        objects=tuple(object_ for object_ in chosen.objects if object_.name in objects),
        routines=tuple(routine for routine in chosen.routines if routine.name in objects),
        lost=(*chosen.lost, *lost),
    )


def _reads(object_: ObjectDefinition, manifest: Manifest) -> set[str]:
    """What a view reads of the exported dataset. Of one in legacy SQL, nothing is known."""
    body: dict[str, Any] = msgspec.json.decode(object_.definition) or {}
    view = body.get(QUERIES.get(object_.kind, "")) or {}
    return set() if view.get("useLegacySql") else _named(view.get("query") or "", manifest)


def _calls(routine: RoutineDefinition, manifest: Manifest) -> set[str]:
    """What a routine names of the exported dataset. A procedure is created although it names what does not exist."""
    body: dict[str, Any] = msgspec.json.decode(routine.definition) or {}
    if routine.kind == "PROCEDURE" or not is_sql(body):
        return set()
    return _named(body.get("definitionBody") or "", manifest)


def _named(text: str, manifest: Manifest) -> set[str]:
    source = Dataset(manifest.project, manifest.dataset, manifest.location)
    own = (manifest.dataset, f"{manifest.project}.{manifest.dataset}")
    paths = (path.rpartition(".") for path in mapped(text, Moves(source, source), keep=True).stays)
    return {name for dataset, _, name in paths if dataset in own}
