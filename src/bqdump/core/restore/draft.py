"""From a manifest to the plan of a restore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from bqdump.core.documents.definitions import NOTHING, ObjectDefinition
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.manifest_index import settings_of
from bqdump.core.errors import UsageError
from bqdump.core.restore.access import access_entries, dataset_requests, temporary
from bqdump.core.restore.contents import lost_policies
from bqdump.core.restore.loading import unloadable
from bqdump.core.restore.names import Moves, names_in_target
from bqdump.core.restore.objects import (
    RESTORABLE,
    References,
    has_definition,
    index_step,
    object_step,
    policy_step,
    routine_step,
)
from bqdump.core.restore.partitions import LONGEST_MS
from bqdump.core.restore.plan import (
    ROUTINE,
    TABLE,
    NotRestored,
    ObjectStep,
    Options,
    RestorePlan,
    TableStep,
    TargetState,
)
from bqdump.core.restore.portions import chosen_partitions
from bqdump.core.restore.selection import (
    PLAN,
    Chosen,
    NamedObject,
    Occupied,
    chosen_by,
    not_restored,
    occupied,
    refuse_other_layouts,
)
from bqdump.core.restore.table_steps import Planned, table_steps
from bqdump.core.restore.values import restored_columns
from bqdump.core.tables.catalog import Dataset

NOT_RENAMED = "only tables are restored under other names"


def restore_plan(manifest: Manifest, options: Options, target: TargetState | None, now: int) -> RestorePlan:
    """The plan of a restore. target: what is there, None if the dataset does not exist. now: ms since 1970 UTC.

    Raises UsageError for patterns that match nothing, and where something in the target is in the way.
    """
    source = Dataset(manifest.project, manifest.dataset, manifest.location)
    into = Dataset(options.project, options.dataset, target.location if target else manifest.location)
    chosen = _chosen(manifest, options)
    names = names_in_target([entry.table for entry in chosen.tables], options.as_)
    candidates = [
        *(NamedObject(names[entry.table], TABLE) for entry in chosen.tables),
        *(NamedObject(object_.name, object_.kind) for object_ in chosen.objects),
        *(NamedObject(routine.name, ROUTINE) for routine in chosen.routines),
    ]
    found = occupied(candidates, options, into, target)
    tables = table_steps(chosen.tables, Planned(manifest, options, names, found, into, target, now))
    refuse_other_layouts(tables, into, target)
    known = {
        (names[policy.table], policy.name)
        for policy in manifest.definitions.policies
        if policy.table in names and policy.grantees is not None
    }
    removed = lost_policies(known, options, tables, into, target)
    moves = Moves(source, into, options.others, names)
    references = References(moves, keep=options.keep_references)
    create, finish = dataset_requests(manifest.definitions.dataset, manifest.location)
    objects = tuple(_objects(manifest, chosen, found, references, now))
    objects += tuple(_indexes(manifest, tables, References(moves, keep=False)))
    there = {*found.kept, *(step.name for step in objects)}
    access = access_entries(manifest, options, moves, there, tables)
    plan = RestorePlan(
        run=manifest.run,
        source=source,
        target=into,
        create_dataset=NOTHING if target else create,
        finish_dataset=NOTHING if target else finish,
        tables=tuple(tables),
        objects=objects,
        policies=tuple(_policies(manifest, options, tables, references)),
        access=access.steps,
        not_restored=(*not_restored(manifest, options, chosen, tables, target), *removed, *access.left),
        kept=found.kept,
        excluded=chosen.excluded,
    )
    return temporary(plan) if options.temporary else plan


def with_kept(target: TargetState, plan: RestorePlan) -> TargetState:
    """What the target holds, with the expirations of those tables only whose rows the plan replaces."""
    kept = {number: step for number, step in enumerate(plan.tables) if step.kept != NOTHING}
    return target._replace(
        expirations={step.name: step.kept for step in kept.values()},
        numbers={step.name: number for number, step in kept.items()},
    )


def tables_with_rows(manifest: Manifest) -> tuple[list[str], list[str]]:
    """The tables of an export that a restore fills with rows, and those whose rows it cannot bring back."""
    everything = _chosen(manifest, Options(project=manifest.project, dataset=manifest.dataset))
    return [entry.table for entry in everything.tables], [lost.name for lost in everything.lost]


def tables_in_target(manifest: Manifest, options: Options) -> Mapping[str, str]:
    """The names in the target of the tables that are restored. Raises like restore_plan."""
    chosen = _chosen(manifest, options).tables
    return names_in_target([entry.table for entry in chosen], options.as_)


def partitions_in_target(manifest: Manifest, options: Options) -> Mapping[str, list[str]]:
    """The ids of the partitions that are restored, by the name of their table in the target."""
    chosen = {entry.table: chosen_partitions(entry, options) for entry in _chosen(manifest, options).tables}
    names = names_in_target(list(chosen), options.as_)
    return {names[table]: some.ids for table, some in chosen.items() if some}


def _chosen(manifest: Manifest, options: Options) -> Chosen:
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
    return "" if options.schema_only else unloadable(entry, restored_columns(entry), settings_of(manifest, entry))


def _objects(
    manifest: Manifest,
    chosen: Chosen,
    found: Occupied,
    references: References,
    now: int,
) -> Iterator[ObjectStep]:
    """External tables, routines, views, materialized views: each may need those before it."""
    exported = {entry.table for entry in manifest.tables}
    made = [
        object_step(
            object_, found.action(object_.name, object_.kind), references, now, has_rows=object_.name in exported
        )
        for object_ in chosen.objects
        if found.action(object_.name, object_.kind) != "keep"
    ]
    yield from (step for step in made if step.kind == "EXTERNAL")
    for routine in chosen.routines:
        if (action := found.action(routine.name, ROUTINE)) != "keep":
            yield routine_step(routine, action, references)
    yield from (step for step in made if step.kind == "VIEW")
    yield from (step for step in made if step.kind == "MATERIALIZED_VIEW")


def _indexes(manifest: Manifest, tables: list[TableStep], references: References) -> Iterator[ObjectStep]:
    """The indexes of the tables that are restored."""
    names = {step.entry.table: step.name for step in tables}
    for index in manifest.definitions.indexes:
        if index.table in names:
            yield index_step(index, names[index.table], references)


def _policies(
    manifest: Manifest, options: Options, tables: list[TableStep], references: References
) -> Iterator[ObjectStep]:
    """Row access policies of the tables that are restored, where they are requested and their members are known."""
    names = {step.entry.table: step.name for step in tables}
    for policy in manifest.definitions.policies:
        if options.with_policies and policy.table in names and policy.grantees is not None:
            yield policy_step(policy, names[policy.table], references)
