"""The columns of a restored table: those of the export, with the types that their values have there."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.manifest import TableEntry
from bqdump.core.formats.types import Column, columns
from bqdump.core.sizes import counted, listed
from bqdump.core.sql.statements import masked_type
from bqdump.core.tables.ingestion_time import MOST_LOADS, has_partition_times
from bqdump.core.tables.shape import Shape

Field = dict[str, Any]
SHOWN = 5
TODAY = "all rows are in the partition of the restore, as the export has no partition times"
LIMITS = ("maxLength", "precision", "scale")
# What belongs to a type, and means nothing for another one.
OF_A_TYPE = (*LIMITS, "fields", "rangeElementType", "roundingMode", "collation", "timestampPrecision")


class Restored(NamedTuple):
    """The columns of a restored table, in the order of its files: for the API, and as a tree.

    texts: those that the files have as strings. partition_times: the column that the files have in addition, with the
    partition time of each row; "" without one. by_arrival: each file loads into the partition that its rows are from,
    as no column has its time. notes: how they differ from the source.
    """

    fields: tuple[Field, ...]
    columns: tuple[Column, ...]
    texts: frozenset[str]
    partition_times: str
    by_arrival: bool
    notes: tuple[str, ...]


def loads_by_partition(entry: TableEntry) -> bool:
    """Whether the files of each partition by the time of arrival load into that partition: nothing else says when."""
    count = len(entry.partitions)
    return 0 < count <= MOST_LOADS and has_partition_times(entry.definition) and not entry.shape.partition_times


def restored_columns(entry: TableEntry) -> Restored:
    """The columns that a table of an export is restored with.

    Columns that are not in the export are left out, as no value of them exists. A masked column has the type of what
    replaced its values; REQUIRED does not hold for NULLs.
    """
    shape, by_arrival = entry.shape, loads_by_partition(entry)
    fields: dict[str, Field] = {field["name"]: field for field in _fields(entry.definition)}
    by_name = {column.name: column for column in columns(entry.definition)}
    names = [name for name in shape.columns or by_name if name in by_name and name not in shape.left_out]
    generated = [name for name in names if is_generated(fields[name])]
    made = [_column(fields[name], by_name[name], shape) for name in names]
    notes = [
        _note("not in the export", [name for name in by_name if name not in names]),
        _note("masked", [name for name in names if name in shape.masks]),
        _note("no longer generated", generated),
        "rows are filtered" if shape.where else "",
        TODAY if has_partition_times(entry.definition) and not (shape.partition_times or by_arrival) else "",
    ]
    return Restored(
        tuple(field for field, _ in made),
        tuple(column for _, column in made),
        frozenset(name for name in names if name in shape.texts),
        shape.partition_times,
        by_arrival,
        tuple(filter(None, notes)),
    )


def _column(field: Field, column: Column, shape: Shape) -> tuple[Field, Column]:
    mask = shape.masks.get(column.name)
    # The values of a generated column are loaded, and no load job fills one.
    kept = {key: value for key, value in field.items() if not _generates(key)}
    if mask is None:
        return kept, column
    type_ = masked_type(column, mask)
    if type_ != column.type or column.repeated or mask.sha256:
        return as_string(kept), Column(column.name, "STRING")
    # What replaces the values need not fit the length or the precision of the column.
    kept = {key: value for key, value in kept.items() if key not in LIMITS}
    if mask.null:
        kept["mode"] = "NULLABLE"
    return kept, msgspec.structs.replace(column, required=column.required and not mask.null, parameters="")


def as_string(field: Field) -> Field:
    """A column with its name, description and policy tags, as a STRING that may be NULL."""
    kept = {key: value for key, value in field.items() if key not in OF_A_TYPE}
    return {**kept, "type": "STRING", "mode": "NULLABLE"}


def _fields(definition: msgspec.Raw) -> list[Field]:
    decoded = msgspec.json.decode(definition) or {}
    found: list[Field] = (decoded.get("schema") or {}).get("fields") or []
    return found


def _generates(key: str) -> bool:
    return key.startswith("generat")


def is_generated(field: Field) -> bool:
    """Whether BigQuery computes the values of a column."""
    return any(value for key, value in field.items() if _generates(key))


def _note(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = [counted(len(names) - SHOWN, "more column")] if len(names) > SHOWN else []
    is_ = "is" if len(names) == 1 else "are"
    return f"{'column' if len(names) == 1 else 'columns'} {listed([*names[:SHOWN], *more], 'and')} {is_} {what}"
