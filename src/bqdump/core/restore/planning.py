"""From a manifest, the options and what the target holds to the plan of a restore. Pure: the same for every task."""

from __future__ import annotations

from collections.abc import Iterator

from bqdump.core.documents.definitions import NOTHING
from bqdump.core.documents.manifest import Manifest
from bqdump.core.restore.access import access_entries, dataset_requests, temporary
from bqdump.core.restore.actions import Actions, NamedObject, decide_actions, lost_policies, refuse_other_layouts
from bqdump.core.restore.chosen import Chosen, choose, not_restored, refuse_nothing
from bqdump.core.restore.names import Moves, names_in_target
from bqdump.core.restore.objects import References, index_step, object_step, policy_step, routine_step
from bqdump.core.restore.plan import ROUTINE, TABLE, ObjectStep, Options, RestorePlan, TableStep, TargetState
from bqdump.core.restore.table_steps import Planned, table_steps
from bqdump.core.tables.catalog import Dataset


def plan_of(manifest: Manifest, options: Options, target: TargetState | None, now: int) -> RestorePlan:
    """The plan of a restore.

    target: what the dataset holds, None if it does not exist. now: ms since 1970 UTC.

    Raises UsageError for patterns that match nothing, or nothing that can be restored, and where something in the
    target is in the way.
    """
    source = Dataset(manifest.project, manifest.dataset, manifest.location)
    into = Dataset(options.project, options.dataset, target.location if target else manifest.location)
    chosen = choose(manifest, options)
    refuse_nothing(manifest, options, chosen)
    names = names_in_target([entry.table for entry in chosen.tables], options.as_)
    candidates = [
        *(NamedObject(names[entry.table], TABLE) for entry in chosen.tables),
        *(NamedObject(object_.name, object_.kind) for object_ in chosen.objects),
        *(NamedObject(routine.name, ROUTINE) for routine in chosen.routines),
    ]
    actions = decide_actions(candidates, options, into, target, {note.table for note in manifest.erased})
    tables = table_steps(chosen.tables, Planned(manifest, options, names, actions, into, target, now))
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
    objects = tuple(_object_steps(manifest, chosen, actions, references, now))
    objects += tuple(_index_steps(manifest, tables, References(moves, keep=False)))
    present = {*actions.kept, *(step.name for step in objects)}
    access = access_entries(manifest, options, moves, present, tables)
    plan = RestorePlan(
        run=manifest.run,
        source=source,
        target=into,
        create_dataset=NOTHING if target else create,
        finish_dataset=NOTHING if target else finish,
        tables=tuple(tables),
        objects=objects,
        policies=tuple(_policy_steps(manifest, options, tables, references)),
        access=access.steps,
        not_restored=(*not_restored(manifest, options, chosen, tables, target), *removed, *access.left),
        kept=actions.kept,
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


def _object_steps(
    manifest: Manifest,
    chosen: Chosen,
    actions: Actions,
    references: References,
    now: int,
) -> Iterator[ObjectStep]:
    """External tables, routines, views, materialized views: each may need those before it."""
    exported = {entry.table for entry in manifest.tables}
    steps = [
        object_step(
            object_, actions.action(object_.name, object_.kind), references, now, has_rows=object_.name in exported
        )
        for object_ in chosen.objects
        if actions.action(object_.name, object_.kind) != "keep"
    ]
    yield from (step for step in steps if step.kind == "EXTERNAL")
    for routine in chosen.routines:
        if (action := actions.action(routine.name, ROUTINE)) != "keep":
            yield routine_step(routine, action, references)
    yield from (step for step in steps if step.kind == "VIEW")
    yield from (step for step in steps if step.kind == "MATERIALIZED_VIEW")


def _index_steps(manifest: Manifest, tables: list[TableStep], references: References) -> Iterator[ObjectStep]:
    """The indexes of the tables that are restored."""
    names = {step.entry.table: step.name for step in tables}
    for index in manifest.definitions.indexes:
        if index.table in names:
            yield index_step(index, names[index.table], references)


def _policy_steps(
    manifest: Manifest, options: Options, tables: list[TableStep], references: References
) -> Iterator[ObjectStep]:
    """Row access policies of the tables that are restored, where they are requested and their members are known."""
    names = {step.entry.table: step.name for step in tables}
    for policy in manifest.definitions.policies:
        if options.with_policies and policy.table in names and policy.grantees is not None:
            yield policy_step(policy, names[policy.table], references)
