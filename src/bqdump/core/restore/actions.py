"""What a restore does with each object: create, replace, keep or refuse it, depending on its target and the options.

Where only rows are restored, a table keeps its own definition. Its rows are put in place by one copy job, as those of
any table, so it has either what it had before, or all rows of the export, whatever is killed or repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.errors import UsageError
from bqdump.core.restore.names import LABEL, id_of, is_scratch
from bqdump.core.restore.partitions import layout_of
from bqdump.core.restore.plan import (
    PLAN,
    POLICY,
    ROUTINE,
    SHOWN,
    TABLE,
    Action,
    NotRestored,
    Options,
    TableStep,
    TargetState,
)
from bqdump.core.sizes import named
from bqdump.core.tables.catalog import KIND_WORDS, Dataset

WORDS = {TABLE: "a table", "SNAPSHOT": "a table snapshot", ROUTINE: "a routine", **KIND_WORDS}


class NamedObject(NamedTuple):
    """An object to restore: its name, and the kind it will have in the target, as in tables.list, or ROUTINE."""

    name: str
    kind: str


class Actions(NamedTuple):
    """What a restore does with each object."""

    actions: dict[NamedObject, Action]

    def action(self, name: str, kind: str) -> Action:
        """What is done with an object."""
        return self.actions[NamedObject(name, kind)]

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of those that exist and are kept, sorted."""
        return tuple(sorted(step.name for step, action in self.actions.items() if action == "keep"))


def decide_actions(
    candidates: Sequence[NamedObject],
    options: Options,
    into: Dataset,
    target: TargetState | None,
    erased: Collection[str] = (),
    open_: Collection[str] = (),
) -> Actions:
    """The action for each object. open_: see _way_on.

    erased: the tables that were erased from the run.

    Raises UsageError where the target has objects and the options do not say what to do with them, and for an object
    of another kind under the name of one that is restored.
    """
    if options.replace and options.missing_only:
        cause = "cannot be used together with {setting:missing_only}"
        raise UsageError(PLAN, "", cause, "Use one of them.", setting="replace")
    if options.data_only and not options.partitions:
        filled = filling([candidate.name for candidate in candidates], options, into, target)
        return Actions({NamedObject(name, TABLE): action for name, action in filled.items()})
    tables, left = _tables(target, options.restore), unfinished(target, options.restore)
    present = dict.fromkeys(target.routines, ROUTINE) | tables if target else tables
    # Under other names, tables are restored next to what is there.
    taken = [candidate.name for candidate in candidates if candidate.name in tables] if options.as_ else list(present)
    if taken and not (options.replace or options.missing_only or options.partitions):
        left = {name: left[name] for name in taken if name in left} if options.as_ else left
        way = _way_on(left, erased, open_) if left else ""
        raise _taken(into, taken, left, way) if options.as_ else _not_empty(into, present, left, way)
    actions: dict[NamedObject, Action] = {}
    in_the_way = []
    for candidate in candidates:
        kind, ours = tables.get(candidate.name, ""), _is_ours(target, candidate.name, options.restore)
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
    return Actions(actions)


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


def _tables(target: TargetState | None, restore: str) -> dict[str, str]:
    """The kinds of the tables in the target before this restore, by name. Routines have names of their own."""
    return {
        name: kind
        for name, (kind, _) in (target.tables.items() if target else ())
        if not is_scratch(name) and not _is_ours(target, name, restore)
    }


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


def _not_empty(into: Dataset, present: Mapping[str, str], left: Mapping[str, str], way: str) -> UsageError:
    shown = [f"{_words(kind).split(' ', 1)[1]} {name}" for name, kind in sorted(present.items())]
    cause = f"the dataset is not empty ({named(shown, SHOWN, 'object')})"
    hint = (
        "Restore into a new dataset, or use {setting:replace=True} to replace what the export also has, or "
        "{setting:missing_only=True} to restore only what is missing."
    )
    if left:
        hint = f"{way} {hint[:-1]} or unfinished."
    return UsageError(PLAN, f"{into.project}.{into.name}", f"{cause}{_begun(left)}", hint)


def _taken(into: Dataset, names: Sequence[str], left: Mapping[str, str], way: str) -> UsageError:
    cause = f"the dataset already has {named(names, SHOWN, 'table')}{_begun(left)}"
    hint = "Choose another name with {setting:as_}, or use {setting:replace=True} to replace what is there."
    return UsageError(PLAN, f"{into.project}.{into.name}", cause, f"{way} {hint}".lstrip())


def _way_on(left: Mapping[str, str], erased: Collection[str], open_: Collection[str]) -> str:
    """How to finish what other restores have begun. An erasure has written the run anew since some of them.

    open_: those whose documents are here. Of others it is not known whether they were ended, or are of another export.
    """
    unknown = named([f"restore {restore}" for restore in sorted({*left.values()}.difference(open_))], SHOWN, "restore")
    unless = f", unless that restore was ended (no documents of {unknown} are here)" if unknown else ""
    if not erased:
        return f"To finish what was begun, repeat its command, with the same run{unless}."
    tables = "table" if len(erased) == 1 else "tables"
    hint = (
        f"{named(sorted(erased), SHOWN, 'table')} {'was' if len(erased) == 1 else 'were'} erased from the run, so what "
        f"was begun before that does not go on. To finish what was begun from another run, repeat its command{unless}."
    )
    lost = named(sorted({*left}.intersection(erased)), SHOWN, "table")
    return f"{tables.capitalize()} {hint}{f' Delete {lost}, which the run does not have any more.' if lost else ''}"


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


ANEW = "Create them with {setting:schema_only}, or leave them out with {setting:exclude}."


def filling(names: Sequence[str], options: Options, into: Dataset, target: TargetState | None) -> dict[str, Action]:
    """What is done with each of these tables of the target. Raises UsageError for those that cannot be filled."""
    if not names:
        raise UsageError(PLAN, "", "no table is chosen", "{call:ls} lists the tables.", setting="data_only")
    present = target.tables if target else {}
    definitions = (target and target.definitions) or {}
    # A table may be dropped between the listing and the request for its definition.
    if missing := [name for name in names if present.get(name, ("",))[0] != TABLE or name not in definitions]:
        cause = f"rows are restored into tables that exist, and there is no table {named(missing, SHOWN)}"
        raise UsageError(PLAN, f"{into.project}.{into.name}", cause, ANEW, setting="data_only")
    filled = [name for name in names if has_rows(definitions[name])]
    if filled and not options.replace and not options.missing_only:
        cause = f"the dataset has {named(filled, SHOWN, 'table')} with rows"
        hint = (
            "Use {setting:replace=True} to replace their rows, or {setting:missing_only=True} to fill empty tables "
            "only."
        )
        raise UsageError(PLAN, f"{into.project}.{into.name}", cause, hint, setting="data_only")
    kept: Action = "replace" if options.replace else "keep"
    return {name: kept if name in filled else "fill" for name in names}


def partition_action(name: str, options: Options, into: Dataset, target: TargetState) -> Action:
    """What is done with a table that exists, of which some partitions are restored.

    Raises UsageError if they have rows, and the options do not say what to do with them.
    """
    rows = (target.rows or {}).get(name, {})
    filled = [id_ for id_, count in rows.items() if count]
    if not filled or options.replace:
        return "replace" if filled else "fill"
    if options.missing_only:
        return "keep" if len(filled) == len(rows) else "fill"
    cause = f"table {name} has rows in {named(filled, SHOWN, 'partition')}"
    hint = (
        "Use {setting:replace=True} to replace these partitions, {setting:missing_only=True} to fill empty ones "
        "only, or {setting:as_} to restore next to the table."
    )
    raise UsageError(PLAN, f"{into.project}.{into.name}", cause, hint, setting="partitions")


def has_rows(definition: msgspec.Raw) -> bool:
    """Whether a table has rows, or is receiving some."""
    table: dict[str, Any] = msgspec.json.decode(definition)
    return bool(int(table.get("numRows") or 0) or table.get("streamingBuffer"))


UNLISTED = "those of the table there, if any, are removed: missing permission bigquery.rowAccessPolicies.list"
FORGOTTEN = "removed: an earlier restore created it, and this export lacks it"


def lost_policies(
    known: Collection[tuple[str, str]],
    options: Options,
    tables: Iterable[TableStep],
    into: Dataset,
    target: TargetState | None,
) -> list[NotRestored]:
    """The row access policies of the target that are removed for good, and that a restore had created there.

    known: the policies that the export can bring back, as table and name. Raises UsageError for any other policy, as no
    export has it, and for these where they are not restored: whoever reads the table would read all rows.
    https://cloud.google.com/bigquery/docs/using-row-level-security-with-features#copy_jobs
    """
    policies, rows_only = (target and target.policies) or {}, options.data_only or bool(options.partitions)
    replaced = [step.name for step in tables if step.action in ("replace", "fill")]
    lost = [
        (name, policy, created)
        for name in replaced
        for policy, created in sorted((policies.get(name) or {}).items())
        if rows_only or (name, policy) not in known
    ]
    if removed := [f"{policy} of {name}" for name, policy, created in lost if rows_only or not created]:
        subject = f"{into.project}.{into.name}"
        if rows_only:
            cause = f"row access policies would be removed: {named(removed, SHOWN)}"
            hint = "Restore next to the table with {setting:as_}, or drop them first and create them again afterwards."
            raise UsageError(PLAN, subject, cause, hint, setting="data_only" if options.data_only else "partitions")
        cause = f"row access policies that the export cannot restore would be removed: {named(removed, SHOWN)}"
        hint = (
            "Drop them first and create them again afterwards, restore next to the table with {setting:as_}, or leave "
            "the table out with {setting:exclude}."
        )
        raise UsageError(PLAN, subject, cause, hint, setting="replace")
    dropped = [
        f"{policy} of {name}"
        for name in replaced
        for policy in sorted(policies.get(name) or {})
        if (name, policy) in known
    ]
    if dropped and not rows_only and not options.with_policies:
        cause = f"row access policies would be removed: {named(dropped, SHOWN)}"
        hint = "Restore them with {setting:with_policies=True}, or drop them first."
        raise UsageError(PLAN, f"{into.project}.{into.name}", cause, hint, setting="replace")
    unlisted = [NotRestored(name, POLICY, UNLISTED) for name in replaced if policies.get(name, {}) is None]
    return [*(NotRestored(f"{name}.{policy}", POLICY, FORGOTTEN) for name, policy, _ in lost), *unlisted]
