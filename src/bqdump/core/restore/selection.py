"""Which objects of an export are restored, and which action each needs in the target dataset.

What a restore leaves out, each with the reason. What the patterns exclude is counted, not named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bqdump.core.documents.definitions import ObjectDefinition, RoutineDefinition
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.errors import UsageError
from bqdump.core.plan.draft import unmatched
from bqdump.core.restore.access import UNREQUESTED as NO_ACCESS
from bqdump.core.restore.access import has_access_entries
from bqdump.core.restore.contents import actions as filled
from bqdump.core.restore.contents import partition_action
from bqdump.core.restore.names import LABEL, id_of, is_scratch
from bqdump.core.restore.partitions import layout_of
from bqdump.core.restore.plan import (
    ACCESS,
    INDEX,
    POLICY,
    ROUTINE,
    TABLE,
    Action,
    NotRestored,
    Options,
    TableStep,
    TargetState,
)
from bqdump.core.sizes import named
from bqdump.core.tables.catalog import KIND_WORDS, Dataset, select

PLAN = "plan the restore"
SHOWN = 3
REPEAT = "To finish what was begun, repeat its command, with the same run."
WORDS = {TABLE: "a table", "SNAPSHOT": "a table snapshot", ROUTINE: "a routine", **KIND_WORDS}


class NamedObject(NamedTuple):
    """An object to restore: its name, and the kind it will have in the target, as in tables.list, or ROUTINE."""

    name: str
    kind: str


def chosen_by(options: Options, manifest: Manifest) -> Mapping[str, bool]:
    """For the name of each object of an export whether the patterns choose it.

    Raises UsageError for a pattern that matches none.
    """
    names = object_names(manifest)
    for setting, patterns in (("include", options.include), ("exclude", options.exclude)):
        for pattern, guess in unmatched(names, patterns):
            cause = f"matches no object of the export{guess}"
            where = "partitions" if options.partitions else setting
            raise UsageError(PLAN, repr(pattern), cause, "{call:ls} lists all.", setting=where)
    return dict(zip(names, select(names, options.include, options.exclude), strict=True))


def object_names(manifest: Manifest) -> list[str]:
    """The names of all objects of an export, which patterns choose from, sorted."""
    found = manifest.definitions
    named = [
        *(entry.table for entry in manifest.tables),
        *(object_.name for object_ in found.objects),
        *(routine.name for routine in found.routines),
        *(table.table for table in manifest.skipped),
        *(failure.table for failure in manifest.failed),
    ]
    return sorted(set(named))


class Occupied(NamedTuple):
    """What a restore does with each object, in view of what its target holds."""

    actions: dict[NamedObject, Action]

    def action(self, name: str, kind: str) -> Action:
        """What is done with an object."""
        return self.actions[NamedObject(name, kind)]

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of those that exist and are kept, sorted."""
        return tuple(sorted(step.name for step, action in self.actions.items() if action == "keep"))


def occupied(
    candidates: Sequence[NamedObject], options: Options, into: Dataset, target: TargetState | None
) -> Occupied:
    """The action for each object.

    Raises UsageError where the target has objects and the options do not say what to do with them, and for an object
    of another kind under the name of one that is restored.
    """
    if options.replace and options.missing_only:
        cause = "cannot be used together with {setting:missing_only}"
        raise UsageError(PLAN, "", cause, "Use one of them.", setting="replace")
    if options.data_only and not options.partitions:
        found = filled([candidate.name for candidate in candidates], options, into, target)
        return Occupied({NamedObject(name, TABLE): action for name, action in found.items()})
    there, left = _there(target, options.restore), unfinished(target, options.restore)
    # Under other names, tables are restored next to what is there.
    taken = [candidate.name for candidate in candidates if candidate.name in there] if options.as_ else list(there)
    if options.partitions:
        taken = []
    if taken and not options.replace and not options.missing_only:
        raise _taken(into, taken, left) if options.as_ else _not_empty(into, there, left)
    actions: dict[NamedObject, Action] = {}
    in_the_way = []
    for candidate in candidates:
        kind, ours = there.get(candidate.name, ""), _is_ours(target, candidate.name, options.restore)
        if candidate.kind == ROUTINE:
            known = bool(target and candidate.name in target.routines)
            actions[candidate] = "create" if not known else "replace" if options.replace else "keep"
        elif ours:
            actions[candidate] = "resume"
        elif not kind:
            actions[candidate] = "create"
        elif kind != candidate.kind:
            in_the_way.append(f"{candidate.name} is {_words(kind)} there, and {_words(candidate.kind)} in the export")
        elif target and options.partitions:
            actions[candidate] = partition_action(candidate.name, options, into, target)
        else:
            # What another restore has not finished may be empty.
            actions[candidate] = "replace" if options.replace or candidate.name in left else "keep"
    if in_the_way:
        raise _other_kind(into, in_the_way)
    return Occupied(actions)


def refuse_other_layouts(tables: Iterable[TableStep], into: Dataset, target: TargetState | None) -> None:
    """Raise UsageError for tables to be replaced whose partitioning or clustering is not that of the export."""
    layouts = (target and target.layouts) or {}
    replaced = [(step.name, layout_of(step.create)) for step in tables if step.action == "replace"]
    differing = [
        f"{name} is {layouts[name]} there, and {layout} in the export"
        for name, layout in replaced
        if layouts.get(name, layout) != layout
    ]
    if not differing:
        return
    cause = f"replacing a table cannot change its partitioning or clustering ({named(differing, SHOWN, 'table', '; ')})"
    hint = "Delete or rename these tables, leave them out with {setting:exclude}, or restore into a new dataset."
    raise UsageError(PLAN, f"{into.project}.{into.name}", cause, hint)


def _there(target: TargetState | None, restore: str) -> dict[str, str]:
    """The kinds of what was in the target before this restore, by name; a routine may have the name of a table."""
    if target is None:
        return {}
    tables = {
        name: kind
        for name, (kind, _) in target.tables.items()
        if not is_scratch(name) and not _is_ours(target, name, restore)
    }
    return dict.fromkeys(target.routines, ROUTINE) | tables


def unfinished(target: TargetState | None, restore: str = "") -> dict[str, str]:
    """The tables that other restores have begun and not finished: their names, and the id of the restore of each.

    restore: the mark of this one.
    """
    marks = {name: labels.get(LABEL, "") for name, (_, labels) in target.tables.items()} if target else {}
    return {name: id_of(mark) for name, mark in marks.items() if mark and mark != restore and not is_scratch(name)}


def _is_ours(target: TargetState | None, name: str, restore: str) -> bool:
    if target is None or not restore or name not in target.tables:
        return False
    return target.tables[name][1].get(LABEL) == restore


def _not_empty(into: Dataset, there: Mapping[str, str], left: Mapping[str, str]) -> UsageError:
    shown = [f"{_words(kind).split(' ', 1)[1]} {name}" for name, kind in sorted(there.items())]
    cause = f"the dataset is not empty ({named(shown, SHOWN, 'object')})"
    hint = (
        "Restore into a new dataset, or use {setting:replace} to replace what the export also has, or "
        "{setting:missing_only} to restore only what is missing."
    )
    if left:
        hint = f"{REPEAT} {hint[:-1]} or unfinished."
    return UsageError(PLAN, f"{into.project}.{into.name}", f"{cause}{_begun(left)}", hint)


def _taken(into: Dataset, names: Sequence[str], left: Mapping[str, str]) -> UsageError:
    begun = {name: left[name] for name in names if name in left}
    cause = f"the dataset already has {named(names, SHOWN, 'table')}{_begun(begun)}"
    hint = "Choose another name with {setting:as_}, or use {setting:replace} to replace what is there."
    return UsageError(PLAN, f"{into.project}.{into.name}", cause, f"{REPEAT} {hint}" if begun else hint)


def _begun(left: Mapping[str, str]) -> str:
    """Which restores have not finished these tables, as the end of a cause; "" without any."""
    restores = sorted(set(left.values()))
    if not restores:
        return ""
    which = named([f"restore {restore}" for restore in restores], SHOWN, "restore")
    has = "has" if len(restores) == 1 else "have"
    return f"; {which} {has} not finished {named(sorted(left), SHOWN, 'table')}"


def _other_kind(into: Dataset, in_the_way: Sequence[str]) -> UsageError:
    cause = f"objects of another kind are in the way ({named(in_the_way, SHOWN, 'object', '; ')})"
    hint = "Delete or rename them, leave them out with {setting:exclude}, or restore into a new dataset."
    return UsageError(PLAN, f"{into.project}.{into.name}", cause, hint)


def _words(kind: str) -> str:
    return WORDS.get(kind, f"an object of kind {kind}")


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
        yield NotRestored(options.dataset, "DATASET", "it exists: its properties stay as they are")
    elif has_access_entries(manifest) and not options.with_access and not options.temporary:
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
