"""Rows alone, into tables that exist: which tables take them, and how the columns of a table there have to be.

A table keeps its own definition. Its rows are put in place by one copy job, as those of any table, so it has either
what it had before, or all rows of the export, whatever is killed or repeated.

Definitions alone: tables are as in the source, and empty.

Row access policies of tables whose rows are replaced: the copy job that does it removes them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.manifest import TableEntry
from bqdump.core.errors import UsageError
from bqdump.core.formats.types import Column, columns
from bqdump.core.restore.partitions import layout_of
from bqdump.core.restore.plan import POLICY, TABLE, Action, Load, NotRestored, Options, TableStep, TargetState
from bqdump.core.restore.values import TODAY, Restored, is_generated, restored_columns
from bqdump.core.sizes import listed, named
from bqdump.core.tables.catalog import WHOLE, Dataset, is_iceberg
from bqdump.core.tables.partitioning import has_partition_times

PLAN = "plan the restore"
SHOWN = 3
ANEW = "Create them with {setting:schema_only}, or leave them out with {setting:exclude}."


class Fit(NamedTuple):
    """The columns of the export as the table there has them, and why a query has to fill it, "" where load jobs can."""

    restored: Restored
    by_query: str


def actions(names: Sequence[str], options: Options, into: Dataset, target: TargetState | None) -> dict[str, Action]:
    """What is done with each of these tables of the target. Raises UsageError for those that cannot be filled."""
    if not names:
        raise UsageError(PLAN, "", "no table is chosen", "{call:ls} lists the tables.", setting="data_only")
    there = target.tables if target else {}
    definitions = (target and target.definitions) or {}
    # A table may be dropped between the listing and the request for its definition.
    if missing := [name for name in names if there.get(name, ("",))[0] != TABLE or name not in definitions]:
        cause = f"rows are restored into tables that exist, and there is no table {named(missing, SHOWN)}"
        raise UsageError(PLAN, f"{into.project}.{into.name}", cause, ANEW, setting="data_only")
    filled = [name for name in names if has_rows(definitions[name])]
    if filled and not options.replace and not options.missing_only:
        cause = f"the dataset has {named(filled, SHOWN, 'table')} with rows"
        hint = "Use {setting:replace} to replace their rows, or {setting:missing_only} to fill empty tables only."
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
        "Use {setting:replace} to replace these partitions, {setting:missing_only} to fill empty ones only, or "
        "{setting:as_} to restore next to the table."
    )
    raise UsageError(PLAN, f"{into.project}.{into.name}", cause, hint, setting="partitions")


def has_rows(definition: msgspec.Raw) -> bool:
    """Whether a table has rows, or is receiving some."""
    table: dict[str, Any] = msgspec.json.decode(definition)
    return bool(int(table.get("numRows") or 0) or table.get("streamingBuffer"))


def fit(entry: TableEntry, restored: Restored, there: msgspec.Raw) -> Fit | list[str]:
    """How the export's columns go into those of a table; if they do not fit, why, in words that name each column."""
    known = {column.name: column for column in columns(there)}
    exported = {column.name for column in restored.columns}
    unfit = [words for column in restored.columns for words in _differences(column, known.get(column.name))]
    unfit += [f"{name} is REQUIRED there" for name, column in known.items() if column.required and name not in exported]
    fields = {field["name"]: field for field in msgspec.json.decode(there)["schema"]["fields"]}
    unfit += [f"{name} is generated there" for name, field in fields.items() if is_generated(field)]
    unfit += ["it is an Iceberg table"] if is_iceberg(there) else []
    by_time = has_partition_times(entry.definition), has_partition_times(there)
    if any(by_time) and layout_of(entry.definition) != layout_of(there):
        unfit.append(f"{layout_of(entry.definition)} in the export, and {layout_of(there)} there")
    if unfit:
        return unfit
    others = [name for name in known if name not in exported]
    relaxed = [column.name for column in restored.columns if column.required and not known[column.name].required]
    moved = [name for name in known if name in exported] != [column.name for column in restored.columns]
    are = "is" if len(others) == 1 else "are"
    reasons = (
        f"the export lacks {listed(others[:SHOWN], 'and')}, which {are} NULL" if others else "",
        f"{listed(relaxed[:SHOWN], 'and')} may be NULL there only" if relaxed else "",
        "the columns are in another order there" if moved else "",
    )  # fmt: skip
    same = tuple(fields[column.name] for column in restored.columns)
    return Fit(restored._replace(fields=same), "; ".join(filter(None, reasons)))


def refuse_unfit(unfit: Mapping[str, Sequence[str]], into: Dataset) -> None:
    """Raise UsageError if the columns of tables do not fit. unfit: why, by table."""
    if not unfit:
        return
    tables = [f"{table}: {named(why, SHOWN, 'column', '; ')}" for table, why in unfit.items()]
    cause = f"the columns of the export do not fit those of the tables there ({named(tables, SHOWN, 'table', '. ')})"
    hint = "Leave these tables out with {setting:exclude}, or restore them with their definitions under another name: "
    raise UsageError(PLAN, f"{into.project}.{into.name}", cause, f"{hint}{{setting:as_}}.", setting="data_only")


def _differences(column: Column, there: Column | None, path: str = "") -> Iterator[str]:
    """Why values of a column do not go into the one of its name there; nothing where they do."""
    path = path or column.name
    if there is None:
        yield f"there is no {path}"
    elif column.text != there.text:
        yield f"{path} is {there.text} there, and {column.text} in the export"
    elif there.required and not column.required:
        yield f"{path} is REQUIRED there only"
    elif [member.name for member in column.fields] != [member.name for member in there.fields]:
        yield f"{path} has other members there"
    else:
        for member, other in zip(column.fields, there.fields, strict=True):
            yield from _differences(member, other, f"{path}.{member.name}")


EMPTY = "without its rows"


def without_rows(entry: TableEntry) -> TableEntry:
    """The table as if it had been exported empty, and with all of its columns."""
    return msgspec.structs.replace(
        entry, files=(), partitions=(), rows=0, expected_rows=0, planned_rows=0, planned_bytes=0, shape=WHOLE
    )


def columns_of(entry: TableEntry) -> Restored:
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
        hint = "Leave them out with {setting:exclude}, keep them with {setting:missing_only}, or delete them first."
        raise UsageError(PLAN, f"{into.project}.{into.name}", cause, hint, setting="replace")


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

    known: the policies that the export can bring back, as table and name. Raises UsageError for any other policy: no
    export has it.
    https://cloud.google.com/bigquery/docs/using-row-level-security-with-features#copy_jobs
    """
    there, rows_only = (target and target.policies) or {}, options.data_only or bool(options.partitions)
    replaced = [step.name for step in tables if step.action in ("replace", "fill")]
    lost = [
        (name, policy, created)
        for name in replaced
        for policy, created in sorted((there.get(name) or {}).items())
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
    unlisted = [NotRestored(name, POLICY, UNLISTED) for name in replaced if there.get(name, {}) is None]
    return [*(NotRestored(f"{name}.{policy}", POLICY, FORGOTTEN) for name, policy, _ in lost), *unlisted]
