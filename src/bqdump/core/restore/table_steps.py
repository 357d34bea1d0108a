"""The steps of the tables of a restore: with the export's definition, with the target's, or without rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.definitions import NOTHING
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.manifest_index import read_time_of, settings_of
from bqdump.core.errors import UsageError
from bqdump.core.formats.types import Column, columns
from bqdump.core.plan.altered import altered_words
from bqdump.core.restore.actions import Actions, unfinished
from bqdump.core.restore.chosen_partitions import NOT_BY_PARTITION, SETTING, chosen_partitions, refuse_parts
from bqdump.core.restore.columns import TODAY, RestoredColumns, is_generated, restored_columns
from bqdump.core.restore.loads import loading
from bqdump.core.restore.partitions import layout_of, rows_to_expire
from bqdump.core.restore.plan import PLAN, SHOWN, TABLE, Action, Load, Options, TableStep, TargetState
from bqdump.core.restore.table_requests import Rebuild, Requests, requests
from bqdump.core.sizes import counted, listed, named
from bqdump.core.sql.partitions import rows_of as rows_in
from bqdump.core.tables.catalog import WHOLE, Dataset, is_iceberg
from bqdump.core.tables.partitioning import has_partition_times, partitioning_of

# How a table differs from an object of this kind that it was exported from.
AS_A_TABLE = {
    "SNAPSHOT": "a table snapshot, restored as a table",
    "VIEW": "a view whose query is not in the export, restored as a table",
    "MATERIALIZED_VIEW": "a materialized view whose query is not in the export, restored as a table",
    "EXTERNAL": "an external table whose sources are not in the export, restored as a table",
}


class Planned(NamedTuple):
    """What the steps of all tables follow from.

    names: of the tables, in the target.
    now: ms since 1970 UTC.
    pinned: see plan_of.
    """

    manifest: Manifest
    options: Options
    names: Mapping[str, str]
    actions: Actions
    into: Dataset
    target: TargetState | None
    now: int
    pinned: bool = False


def table_steps(entries: Sequence[TableEntry], planned: Planned) -> list[TableStep]:
    """The steps for tables; none for one that is kept.

    Raises UsageError for tables that would lose their rows to definitions only, and for columns that rows do not fit.
    """
    steps, unfit = list[TableStep](), dict[str, list[str]]()
    for entry in entries:
        action = planned.actions.action(planned.names[entry.table], TABLE)
        if action == "keep":
            continue
        into_table = planned.options.data_only or bool(planned.options.partitions and action != "create")
        step = _rows_only(entry, action, planned) if into_table else _step(entry, action, planned)
        if isinstance(step, TableStep):
            steps.append(step)
        else:
            unfit[planned.names[entry.table]] = step
    refuse_unfit(unfit, planned.into, SETTING if planned.options.partitions else "data_only")
    if planned.options.schema_only:
        refuse_emptied(steps, unfinished(planned.target, planned.options.restore), planned.into)
    return steps


def _step(exported: TableEntry, action: Action, planned: Planned) -> TableStep:
    """The step for a table that gets the export's definition."""
    manifest, options, names, _, into, target, now, _ = planned
    entry = without_rows(exported) if options.schema_only else exported
    restored = columns_of(entry) if options.schema_only else restored_columns(entry)
    source = Dataset(manifest.project, manifest.dataset, manifest.location)
    replaced = target.tables[names[entry.table]][1] if target and action == "replace" else None
    rebuild = Rebuild(source, into, now, bool(target and target.expires), replaced, names)
    requested = requests(entry.definition, restored.fields, rebuild)
    chosen = chosen_partitions(exported, options)
    reason = NOT_BY_PARTITION if chosen and chosen.where else ""
    load = loading(entry, restored, settings_of(manifest, entry), read_time_of(manifest, entry), by_query=reason)
    notes = (AS_A_TABLE.get(entry.kind, ""), *restored.notes, *requested.notes)
    return _made(entry, action, planned, requested, unloaded(load) if options.schema_only else load, notes)


def _rows_only(exported: TableEntry, action: Action, planned: Planned) -> TableStep | list[str]:
    """The step for a table that keeps the definition that it has in the target; if its columns do not fit, why."""
    manifest, options, names, _, into, target, now, _ = planned
    entry, name = exported, names[exported.table]
    definition = target.definitions[name] if target and target.definitions else entry.definition
    fitted = fit(entry, restored_columns(entry), definition)
    if isinstance(fitted, list):
        return fitted
    chosen = chosen_partitions(entry, options)
    if chosen and not chosen.partitioning.is_that_of(partitioning_of(definition)):
        return [f"it is {layout_of(definition)} there, and {layout_of(entry.definition)} in the export"]
    rows = ((target and target.rows) or {}).get(name, {})
    parts = tuple(id_ for id_ in chosen.ids if not (options.missing_only and rows.get(id_))) if chosen else ()
    if chosen and not chosen.where and len(parts) < len(chosen.ids):
        # Only their files are loaded, and compared.
        options = msgspec.structs.replace(options, partitions=tuple(f"{entry.table}${id_}" for id_ in parts))
        chosen = chosen_partitions(entry, options)
        entry, planned = chosen.entry if chosen else entry, planned._replace(options=options)
    fields = msgspec.json.decode(definition)["schema"]["fields"]
    labels = target.tables[name][1] if target else {}
    requested = requests(definition, fields, Rebuild(into, into, now, replaced=labels))
    restored: RestoredColumns = fitted.restored
    settings = settings_of(manifest, entry)
    reason = NOT_BY_PARTITION if chosen and chosen.where else ""
    by_query = "; ".join(filter(None, (fitted.by_query, reason)))
    load = loading(entry, restored, settings, read_time_of(manifest, entry), by_query=by_query)
    if chosen is None:
        return _made(entry, action, planned, requested, load, (*restored.notes, *requested.notes))
    # The table keeps its own properties, and its other partitions.
    refuse_parts(name, parts, chosen, definition, now)
    requested = requested._replace(lasting=NOTHING, finish=NOTHING, relate=NOTHING, expire=NOTHING)
    step = _made(entry, action, planned, requested, load, restored.notes)
    held = " OR ".join(f"({rows_in(chosen.partitioning, id_)})" for id_ in parts)
    return msgspec.structs.replace(step, kept=NOTHING, parts=parts, held=held)


def _made(
    entry: TableEntry, action: Action, planned: Planned, requested: Requests, load: Load, notes: Sequence[str]
) -> TableStep:
    name = planned.names[entry.table]
    other_name = f"{entry.table} in the export" if name != entry.table else ""
    chosen = chosen_partitions(entry, planned.options)
    if chosen:
        load = msgspec.structs.replace(load, where=chosen.condition(load))
        some = f"only {counted(len(chosen.named), 'partition')}" if entry.partitions else f"only {chosen.words}"
        other_name = "; ".join(filter(None, (other_name, some)))
    return TableStep(
        entry=entry,
        name=name,
        action=action,
        create=requested.create,
        lasting=requested.lasting,
        finish=requested.finish,
        relate=requested.relate,
        expire=requested.expire,
        kept=((planned.target and planned.target.expirations) or {}).get(name, NOTHING),
        expired_rows=rows_to_expire(planned.into, name, requested.create, requested.expire),
        load=load,
        as_what="; ".join(filter(None, (other_name, *notes))),
        partitions=chosen.named if chosen else (),
        altered="" if planned.options.schema_only else altered_words(entry, settings_of(planned.manifest, entry)),
        direct=action == "create" and _loads_at_once(load) and _is_unchanging(entry, planned),
    )


def _loads_at_once(load: Load) -> bool:
    """Whether one load job brings every row of a table."""
    return len(load.groups) <= 1 and not (load.groups and load.casts) and not load.partitions and not load.where


def _is_unchanging(entry: TableEntry, planned: Planned) -> bool:
    """Whether load jobs read a table's files from the folders of runs, so that no later run replaces them."""
    manifest = planned.manifest
    origins = (entry.carried, *(partition.carried for partition in entry.partitions))
    settings = [manifest.settings, *(manifest.settings | origin.settings for origin in origins if origin)]
    return planned.pinned and manifest.mode == "keep" and all("{run}" in str(some.get("path", "")) for some in settings)


class Fit(NamedTuple):
    """The columns of the export as the table there has them, and why a query has to fill it, "" where load jobs can."""

    restored: RestoredColumns
    by_query: str


def fit(entry: TableEntry, restored: RestoredColumns, definition: msgspec.Raw) -> Fit | list[str]:
    """How the export's columns go into those of a table; if they do not fit, why, in words that name each column."""
    known = {column.name.lower(): column for column in columns(definition)}
    exported = {column.name.lower() for column in restored.columns}
    pairs = [(column, known.get(column.name.lower())) for column in restored.columns]
    unfit = [words for column, present in pairs for words in _differences(column, present)]
    unfit += [
        f"{column.name} is REQUIRED there" for name, column in known.items() if column.required and name not in exported
    ]
    fields = {field["name"].lower(): field for field in msgspec.json.decode(definition)["schema"]["fields"]}
    unfit += [f"{field['name']} is generated there" for field in fields.values() if is_generated(field)]
    unfit += ["it is an Iceberg table"] if is_iceberg(definition) else []
    by_time = has_partition_times(entry.definition), has_partition_times(definition)
    if any(by_time) and layout_of(entry.definition) != layout_of(definition):
        unfit.append(f"{layout_of(entry.definition)} in the export, and {layout_of(definition)} there")
    if unfit:
        return unfit
    lacking = [column.name for name, column in known.items() if name not in exported]
    relaxed = [column.name for column, present in pairs if present and column.required and not present.required]
    moved = [name for name in known if name in exported] != [column.name.lower() for column in restored.columns]
    renamed = [column.name for column, present in pairs if present and _names(column) != _names(present)]
    are = "is" if len(lacking) == 1 else "are"
    reasons = (
        f"the export lacks {listed(lacking[:SHOWN], 'and')}, which {are} NULL" if lacking else "",
        f"{listed(relaxed[:SHOWN], 'and')} may be NULL there only" if relaxed else "",
        "the columns are in another order there" if moved else "",
        f"upper and lower case of {listed(renamed[:SHOWN], 'and')} differ there" if renamed else "",
    )
    same = tuple(_named_like(fields[column.name.lower()], column) for column in restored.columns)
    return Fit(restored._replace(fields=same), "; ".join(filter(None, reasons)))


def _names(column: Column) -> list[str]:
    """The names of a column and of its members, at any depth."""
    return [column.name, *(name for member in column.fields for name in _names(member))]


def _named_like(field: dict[str, Any], column: Column) -> dict[str, Any]:
    """A column of the table there, with the names that the files have."""
    members = [_named_like(*pair) for pair in zip(field.get("fields") or (), column.fields, strict=True)]
    return {**field, "name": column.name} | ({"fields": members} if members else {})


def refuse_unfit(unfit: Mapping[str, Sequence[str]], into: Dataset, setting: str) -> None:
    """Raise UsageError if the columns of tables do not fit. unfit: why, by table."""
    if not unfit:
        return
    tables = [f"{table}: {named(why, SHOWN, 'column', '; ')}" for table, why in unfit.items()]
    cause = f"the columns of the export do not fit those of the tables there ({named(tables, SHOWN, 'table', '. ')})"
    out = "Leave these tables out" if setting == SETTING else "Leave these tables out with {setting:exclude}"
    hint = f"{out}, or restore them with their definitions under another name: {{setting:as_}}."
    raise UsageError(PLAN, f"{into.project}.{into.name}", cause, hint, setting=setting)


def _differences(column: Column, present: Column | None, path: str = "") -> Iterator[str]:
    """Why values of a column do not go into the one of its name there; nothing where they do."""
    path = path or column.name
    if present is None:
        yield f"there is no {path}"
    elif column.text != present.text:
        yield f"{path} is {present.text} there, and {column.text} in the export"
    elif present.required and not column.required:
        yield f"{path} is REQUIRED there only"
    elif [field.name.lower() for field in column.fields] != [field.name.lower() for field in present.fields]:
        yield f"{path} has other members there"
    else:
        for member, other in zip(column.fields, present.fields, strict=True):
            yield from _differences(member, other, f"{path}.{member.name}")


EMPTY = "without its rows"


def without_rows(entry: TableEntry) -> TableEntry:
    """The table as if it had been exported empty, and with all of its columns."""
    return msgspec.structs.replace(
        entry, files=(), partitions=(), rows=0, expected_rows=0, planned_rows=0, planned_bytes=0, shape=WHOLE
    )


def columns_of(entry: TableEntry) -> RestoredColumns:
    """The columns of a table without rows."""
    restored = restored_columns(entry)
    return restored._replace(notes=(EMPTY, *(note for note in restored.notes if note != TODAY)))


def unloaded(load: Load) -> Load:
    """The load of a table without rows, for which no query is made."""
    return msgspec.structs.replace(load, casts="", like_null="")


def refuse_emptied(tables: Iterable[TableStep], begun: Iterable[str], into: Dataset) -> None:
    """Raise UsageError for tables that exist: they would lose their rows. begun: those that a restore has left."""
    left = set(begun)
    emptied = [step.name for step in tables if step.action == "replace" and step.name not in left]
    if emptied:
        cause = f"{named(emptied, SHOWN, 'table')} would be replaced by tables without rows"
        hint = (
            "Leave them out with {setting:exclude}, keep them with {setting:missing_only=True}, or delete them first."
        )
        raise UsageError(PLAN, f"{into.project}.{into.name}", cause, hint, setting="replace")
