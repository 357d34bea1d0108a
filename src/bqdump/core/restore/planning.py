"""From a manifest, the options and what the target holds to the plan of a restore. Pure: the same for every task."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from bqdump.core.documents.definitions import NOTHING
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import UsageError
from bqdump.core.restore.access import access_entries
from bqdump.core.restore.actions import Actions, NamedObject, decide_actions, lost_policies, refuse_other_layouts
from bqdump.core.restore.chosen import Chosen, choose, names_there, not_restored, refuse_nothing, without_readers
from bqdump.core.restore.names import Moves
from bqdump.core.restore.objects import References, index_step, object_step, policy_step, routine_step
from bqdump.core.restore.plan import (
    PLAN,
    ROUTINE,
    SHOWN,
    TABLE,
    ObjectStep,
    Options,
    RestorePlan,
    TableStep,
    TargetState,
)
from bqdump.core.restore.table_steps import Planned, table_steps
from bqdump.core.sizes import named
from bqdump.core.tables.catalog import Dataset, ignores_case, same_names

# What BigQuery computes, and the name, which the request has in its address.
OUTPUT_ONLY = (
    *("kind", "etag", "id", "selfLink", "type", "datasetReference", "creationTime", "lastModifiedTime", "satisfiesPzi"),
    *("satisfiesPzs", "tags", "linkedDatasetSource", "linkedDatasetMetadata", "externalDatasetReference"),
    *("restrictions", "catalogSource"),
)
# Set last: tables that are created under them would expire.
EXPIRATIONS = ("defaultTableExpirationMs", "defaultPartitionExpirationMs")
# Longer than the slowest drill: tables must not expire while they are compared.
LIFETIME_MS = 3 * 24 * 60 * 60 * 1000
# The label of the dataset.
DRILL_LABEL = "bqdump_drill"


def plan_of(
    manifest: Manifest,
    options: Options,
    target: TargetState | None,
    now: int,
    open_: Collection[str] = (),
    *,
    pinned: bool = False,
) -> RestorePlan:
    """The plan of a restore.

    target: what the dataset holds, None if it does not exist.
    now: ms since 1970 UTC.
    open_: of the restores that have not finished tables there, those whose documents are here.
    pinned: load jobs read the files of the manifest themselves, at the generations that it has.

    Raises UsageError for patterns that match nothing, or nothing that can be restored, and where something in the
    target is in the way.
    """
    source = Dataset(manifest.project, manifest.dataset, manifest.location)
    into = Dataset(options.project, options.dataset, target.location if target else manifest.location)
    chosen = choose(manifest, options)
    if not options.keep_references:
        chosen = without_readers(chosen, manifest, target)
    refuse_nothing(manifest, options, chosen)
    names = names_there([entry.table for entry in chosen.tables], options, target)
    called = {
        **names,
        **{found.name: target.spelling(found.name) if target else found.name for found in chosen.objects},
    }
    if target.ignores_case if target else ignores_case(manifest.definitions.dataset):
        _refuse_alike(called, into)
    candidates = _candidates(chosen, called)
    actions = decide_actions(candidates, options, into, target, {note.table for note in manifest.erased}, open_)
    tables = table_steps(chosen.tables, Planned(manifest, options, names, actions, into, target, now, pinned))
    refuse_other_layouts(tables, into, target)
    removed = lost_policies(_restorable_policies(manifest, names), options, tables, into, target)
    moves = Moves(source, into, options.others, called, _spellings(manifest, called, target))
    references = References(moves, keep=options.keep_references)
    create, finish = _dataset_requests(manifest.definitions.dataset, manifest.location)
    objects = tuple(_object_steps(manifest, chosen, actions, references, now, called))
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


def _refuse_alike(called: Mapping[str, str], into: Dataset) -> None:
    """Raise UsageError where tables or views of the export would be one in a dataset that ignores case."""
    if same := same_names(called):
        cause = f"the dataset ignores case in names (isCaseInsensitive), so it cannot have both {named(same, SHOWN)}"
        hint = (
            "Leave one of them out with {setting:exclude} and restore it under another name with {setting:as_}, or "
            "restore into a dataset that distinguishes case."
        )
        raise UsageError(PLAN, f"{into.project}.{into.name}", cause, hint)


def _spellings(manifest: Manifest, called: Mapping[str, str], target: TargetState | None) -> Mapping[str, str] | None:
    """The names in the target of all tables and views of a source that ignores case; None of another source."""
    if not ignores_case(manifest.definitions.dataset):
        return None
    everything = [*(entry.table for entry in manifest.tables), *(found.name for found in manifest.definitions.objects)]
    return {name: target.spelling(name) if target else name for name in everything} | dict(called)


def _candidates(chosen: Chosen, called: Mapping[str, str]) -> list[NamedObject]:
    """What is restored, by the names in the target. called: those of tables and views."""
    return [
        *(NamedObject(called[entry.table], TABLE) for entry in chosen.tables),
        *(NamedObject(called[object_.name], object_.kind) for object_ in chosen.objects),
        *(NamedObject(routine.name, ROUTINE) for routine in chosen.routines),
    ]


def _restorable_policies(manifest: Manifest, names: Mapping[str, str]) -> set[tuple[str, str]]:
    """The row access policies that the export can bring back, by table in the target and name."""
    return {
        (names[policy.table], policy.name)
        for policy in manifest.definitions.policies
        if policy.table in names and policy.grantees is not None
    }


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
    called: Mapping[str, str],
) -> Iterator[ObjectStep]:
    """External tables, routines, views, materialized views: each may need those before it."""
    exported = {entry.table for entry in manifest.tables}
    steps = []
    for object_ in chosen.objects:
        name = called[object_.name]
        if (action := actions.action(name, object_.kind)) != "keep":
            has_rows = object_.name in exported
            steps.append(object_step(object_, action, references, now, name=name, has_rows=has_rows))
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


def _dataset_requests(resource: msgspec.Raw, location: str) -> tuple[msgspec.Raw, msgspec.Raw]:
    """What creates a dataset like this one (JSON null: one with defaults) in a location, and what is set last.

    Without its access entries, which are granted on request (see access): BigQuery gives a new dataset those of its
    project. Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets#Dataset
    """
    properties: dict[str, Any] = msgspec.json.decode(resource) or {}
    left_out = {*OUTPUT_ONLY, *EXPIRATIONS, "access"}
    create = {key: value for key, value in properties.items() if key not in left_out} | {"location": location}
    finish = {key: properties[key] for key in EXPIRATIONS if properties.get(key)}
    return _raw(create), _raw(finish) if finish else NOTHING


def _raw(body: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(body))


def temporary(plan: RestorePlan) -> RestorePlan:
    """The same plan into a new dataset whose tables expire after LIFETIME_MS, and not by any property of their own.

    So a restore that is not to last leaves nothing, even if it is never dropped. A dataset's default table expiration
    concerns its tables and views; without a default partition expiration also partitioned tables, of which no single
    partition expires: https://cloud.google.com/bigquery/docs/updating-datasets
    """
    properties = msgspec.json.decode(plan.create_dataset)
    labels = {**properties.get("labels", {}), DRILL_LABEL: "true"}
    dataset = properties | {"labels": labels, "defaultTableExpirationMs": str(LIFETIME_MS)}
    return msgspec.structs.replace(
        plan,
        create_dataset=_raw(dataset),
        finish_dataset=NOTHING,
        tables=tuple(map(_table_to_expire, plan.tables)),
        objects=tuple(map(_object_to_expire, plan.objects)),
    )


def _table_to_expire(step: TableStep) -> TableStep:
    return msgspec.structs.replace(step, lasting=NOTHING, expire=NOTHING, expired_rows="")


def _object_to_expire(step: ObjectStep) -> ObjectStep:
    finish = msgspec.json.decode(step.finish) or {}
    finish.pop("expirationTime", None)
    return msgspec.structs.replace(step, finish=_raw(finish) if finish else NOTHING)
