"""GoogleSQL that makes a column's value from what a load job could read: strings, JSON text, or STRUCTs of them.

TO_JSON_STRING: https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#json_encodings
CAST: https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_functions
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from bqdump.core.formats.fidelity import CAST, PARSE_JSON
from bqdump.core.formats.types import Column
from bqdump.core.sql.statements import identifier, literal

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
    if found := casts(column):
        return made(found, column, ref)
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
    return _decoded(column, ref, item, 0)


def _decoded(column: Column, json: str, item: str, depth: int) -> str:
    """A value from its JSON text."""
    if column.repeated:
        inner = msgspec.structs.replace(column, repeated=False)
        return _array(
            f"JSON_QUERY_ARRAY({json})", item, depth, lambda element: _element(inner, element, item, depth + 1)
        )
    if column.type == "STRUCT":
        members = [(member.name, _member(member, json, item, depth)) for member in column.fields]
        return _struct(json, members)
    return made(MAKERS.get(column.type, CAST), column, json if column.type == "JSON" else f"JSON_VALUE({json})")


def _element(column: Column, json: str, item: str, depth: int) -> str:
    # It is no NULL, but a JSON value may be null.
    return _decoded(column, f"IFNULL({json}, 'null')" if column.type == "JSON" else json, item, depth)


def _member(column: Column, json: str, item: str, depth: int) -> str:
    path = literal(f'$."{column.name}"')
    if column.type == "JSON" and column.required and not column.repeated:
        return _element(column, f"JSON_QUERY({json}, {path})", item, depth)
    if column.repeated or column.type in ("STRUCT", "JSON"):
        # BigQuery gives NULL for a JSON null in a string, others give the string.
        return _decoded(column, f"NULLIF(JSON_QUERY({json}, {path}), 'null')", item, depth)
    return made(MAKERS.get(column.type, CAST), column, f"JSON_VALUE({json}, {path})")


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
