"""The columns of a restored table, and the GoogleSQL that makes their values from what a load job could read.

A load job reads strings, JSON text, or STRUCTs of them, where it cannot load the type.
TO_JSON_STRING: https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#json_encodings
CAST: https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_functions
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.manifest import TableEntry
from bqdump.core.formats.fidelity import CAST, PARSE_JSON
from bqdump.core.formats.types import Column, columns
from bqdump.core.sizes import counted, listed
from bqdump.core.sql.statements import identifier, literal, masked_type
from bqdump.core.tables.catalog import Shape
from bqdump.core.tables.partitioning import MOST_LOADS, has_partition_times

Cast = Callable[[Column], str]
# A JSON value where there is no NULL: load jobs take a JSON null for it, and may refuse it in an array.
OR_JSON_NULL, JSON_ARRAY = "IFNULL({value}, JSON 'null')", "JSON_QUERY_ARRAY({value})"
# Types that a string is not cast to.
MAKERS = {
    "STRING": "{value}",
    "BYTES": "FROM_BASE64({value})",
    "JSON": PARSE_JSON,
    "GEOGRAPHY": "ST_GEOGFROMTEXT({value})",
}


def free_name(name: str, columns: Iterable[Column]) -> str:
    """A name that begins like this, and is the beginning of no column and no member of one."""

    def names(columns: Iterable[Column]) -> Iterator[str]:
        for column in columns:
            yield column.name.casefold()
            yield from names(column.fields)

    taken = set(names(columns))
    while any(path.startswith(name) for path in taken):
        name += "_"
    return name


def element_of(column: Column) -> Column:
    """An element of a repeated column. An array has no NULLs."""
    return msgspec.structs.replace(column, repeated=False, required=True)


def cast(column: Column, ref: str, casts: Cast, item: str, depth: int = 0) -> str:
    """A column's value from one that has strings, or JSON instead of an array, wherever `casts` has a cast.

    item: the beginning of a free name, for the elements of arrays.
    """
    if not _needs(column, casts):
        return ref
    if column.repeated:
        inner = element_of(column)
        array = JSON_ARRAY.replace("{value}", ref) if column.type == "JSON" and casts(inner) == OR_JSON_NULL else ref
        return _array(array, item, depth, lambda element: cast(inner, element, casts, item, depth + 1))
    if pattern := casts(column):
        return made(pattern, column, ref)
    members = ((f"{ref}.{identifier(member.name)}", member) for member in column.fields)
    return _struct(ref, [(member.name, cast(member, part, casts, item, depth)) for part, member in members])


def _needs(column: Column, casts: Cast) -> bool:
    element = element_of(column) if column.repeated else column
    return bool(casts(element)) or any(_needs(member, casts) for member in column.fields)


def from_json(column: Column, ref: str, item: str) -> str:
    """A column's value from the string that it was exported as, see statements.as_text.

    Nested values are JSON; a JSON null within them becomes NULL.
    """
    if not column.repeated and column.type != "STRUCT":
        return made(MAKERS.get(column.type, CAST) if column.type != "BYTES" else CAST, column, ref)
    return _decoded(column, _Json(ref), item, 0)


class _Json(NamedTuple):
    """What is at a path of names in the JSON text that a column or an element of an array has.

    One path down to each value: a function of a function at every level would be evaluated anew for each of its uses.
    """

    ref: str
    path: tuple[str, ...] = ()

    def value(self) -> str:
        """A scalar as a string."""
        return f"JSON_VALUE({self.ref}{self._path()})"

    def text(self) -> str:
        """Its JSON text. BigQuery gives NULL for a JSON null in a string, others give the string."""
        return f"NULLIF({self.found()}, 'null')" if self.path else self.ref

    def found(self) -> str:
        """The same, where a JSON null is a value."""
        return f"JSON_QUERY({self.ref}{self._path()})" if self.path else self.ref

    def member(self, column: Column) -> _Json:
        return self._replace(path=(*self.path, column.name))

    def _path(self) -> str:
        names = "".join(f'."{name}"' for name in self.path)
        return f", {literal(f'${names}')}" if names else ""


def _decoded(column: Column, json: _Json, item: str, depth: int) -> str:
    """A value from its JSON text."""
    if column.repeated:
        inner = msgspec.structs.replace(column, repeated=False)
        array = f"JSON_QUERY_ARRAY({json.text()})"
        return _array(array, item, depth, lambda element: _element(inner, _Json(element), item, depth + 1))
    if column.type == "STRUCT":
        members = [(member.name, _member(member, json.member(member), item, depth)) for member in column.fields]
        return _struct(json.text(), members)
    return made(MAKERS.get(column.type, CAST), column, json.text() if column.type == "JSON" else json.value())


def _element(column: Column, json: _Json, item: str, depth: int) -> str:
    # It is no NULL, but a JSON value may be null.
    if column.type == "JSON":
        return made(PARSE_JSON, column, f"IFNULL({json.found()}, 'null')")
    return _decoded(column, json, item, depth)


def _member(column: Column, json: _Json, item: str, depth: int) -> str:
    never_null = column.type == "JSON" and column.required and not column.repeated
    return (_element if never_null else _decoded)(column, json, item, depth)


def made(pattern: str, column: Column, ref: str) -> str:
    """The expression that makes a value of a column's type from a string."""
    type_ = f"{column.type}<{column.element}>" if column.element else column.type
    return pattern.replace("{type}", type_).replace("{value}", ref)


def _array(ref: str, item: str, depth: int, element: Callable[[str], str]) -> str:
    name, at = f"{item}{depth}", f"{item}_at{depth}"
    return f"ARRAY(SELECT {element(name)} FROM UNNEST({ref}) AS {name} WITH OFFSET AS {at} ORDER BY {at})"  # noqa: S608


def _struct(ref: str, members: list[tuple[str, str]]) -> str:
    parts = ", ".join(f"{value} AS {identifier(name)}" for name, value in members)
    return f"IF({ref} IS NULL, NULL, STRUCT({parts}))"


Field = dict[str, Any]
SHOWN = 5
TODAY = "all rows are in the partition of the restore, as the export has no partition times"
LIMITS = ("maxLength", "precision", "scale")
# What belongs to a type, and means nothing for another one.
OF_A_TYPE = (*LIMITS, "fields", "rangeElementType", "roundingMode", "collation", "timestampPrecision")


class RestoredColumns(NamedTuple):
    """The columns of a restored table, in the order of its files: for the API, and as a tree.

    texts: those that the files have as strings.
    partition_times: the column that the files have in addition, with the partition time of each row; "" without one.
    by_arrival: each file loads into the partition that its rows are from, as no column has its time.
    notes: how they differ from the source.
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


def restored_columns(entry: TableEntry) -> RestoredColumns:
    """The columns that a table of an export is restored with.

    Columns that are not in the export are left out, as no value of them exists. A masked column has the type of what
    replaced its values; REQUIRED does not hold for NULLs.
    """
    shape, by_arrival = entry.shape, loads_by_partition(entry)
    fields: dict[str, Field] = {field["name"]: field for field in _fields(entry.definition)}
    by_name = {column.name: column for column in columns(entry.definition)}
    names = [name for name in shape.columns or by_name if name in by_name and name not in shape.left_out]
    generated = [name for name in names if is_generated(fields[name])]
    pairs = [_column(fields[name], by_name[name], shape) for name in names]
    notes = [
        _note("not in the export", [name for name in by_name if name not in names]),
        _note("masked", [name for name in names if name in shape.masks]),
        _note("no longer generated", generated),
        "rows are filtered" if shape.where else "",
        TODAY if has_partition_times(entry.definition) and not (shape.partition_times or by_arrival) else "",
    ]
    return RestoredColumns(
        tuple(field for field, _ in pairs),
        tuple(column for _, column in pairs),
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
    fields: list[Field] = (decoded.get("schema") or {}).get("fields") or []
    return fields


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
