"""Settings of single tables: `[tables.NAME]` in bqdump.toml, NAME may be a pattern. Pure: from text to a Shape.

Of several sections that match a table, restrictions add up (left out, masked, filtered); for format, compression and
route the later section wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, cast

import msgspec

from bqdump.core.errors import UsageError
from bqdump.core.formats.types import Column
from bqdump.core.plan.shape import WHOLE, Constant, Mask, Shape
from bqdump.core.settings.filters import filter_problem

PLAN = "plan the export"
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
MASKS = '"null", {sha256 = "VARIABLE"} or {constant = VALUE} is wanted'


class TableSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is asked of the tables whose names match `name`. Empty: as for all tables."""

    name: str
    columns: tuple[str, ...] = ()
    exclude_columns: tuple[str, ...] = ()
    where: str = ""
    masks: dict[str, Mask] = {}
    format: str = ""
    compression: str = ""
    route: str = ""

    @property
    def exact(self) -> bool:
        """Whether it is for one table and not for a pattern."""
        return not any(char in self.name for char in "*?[")


def parse_tables(value: Any, formats: Sequence[str], aliases: Mapping[str, str], routes: Sequence[str]
                 ) -> tuple[TableSettings, ...]:  # fmt: skip
    """The sections as written in TOML, or the same as JSON. Raises ValueError."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value) if value.strip() else {}
        except msgspec.DecodeError as error:
            raise ValueError(f"it is not valid JSON ({error})") from None
    if not isinstance(value, Mapping):
        raise ValueError("sections such as [tables.orders] are wanted")
    return tuple(_section(str(name), section, formats, aliases, routes) for name, section in value.items())


def tables_text(tables: Sequence[TableSettings]) -> str:
    """The sections as JSON, which parse_tables reads back; "" for none."""
    sections: dict[str, Any] = {section.name: msgspec.to_builtins(section) for section in tables}
    for section in sections.values():
        del section["name"]
    return msgspec.json.encode(sections).decode() if sections else ""


def _section(
    name: str, section: Any, formats: Sequence[str], aliases: Mapping[str, str], routes: Sequence[str]
) -> TableSettings:
    if not isinstance(section, Mapping):
        raise ValueError(f"tables.{name}: a section with settings is wanted")
    known = TableSettings.__struct_fields__[1:]
    if unknown := [key for key in section if key not in known]:
        raise ValueError(f"tables.{name}: unknown setting {unknown[0]!r}; known are {', '.join(known)}")
    words = {key: str(section[key]).strip().lower() for key in ("format", "compression", "route") if key in section}
    words["format"] = aliases.get(words.get("format", ""), words.get("format", ""))
    for key, allowed in (("format", formats), ("route", ("auto", *routes))):
        if words.get(key) and words[key] not in allowed:
            raise ValueError(f"tables.{name}.{key}: {section[key]!r} is none of {', '.join(allowed)}")
    where = section.get("where", "")
    if "where" in section and (problem := filter_problem(where) if isinstance(where, str) else "a text is wanted"):
        raise ValueError(f"tables.{name}.where: {problem}")
    masks = section.get("masks", {})
    if not isinstance(masks, Mapping):
        raise ValueError(f"tables.{name}.masks: COLUMN = {MASKS}")
    return TableSettings(
        name=name,
        columns=_names(f"tables.{name}.columns", section.get("columns", ())),
        exclude_columns=_names(f"tables.{name}.exclude_columns", section.get("exclude_columns", ())),
        where=where.strip(),
        masks={str(column): _mask(f"tables.{name}.masks.{column}", mask) for column, mask in masks.items()},
        **words,
    )


def _names(place: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{place}: a list of column names is wanted")
    return tuple(value)


def _mask(place: str, value: Any) -> Mask:
    if value == "null":
        return Mask(null=True)
    try:
        mask = msgspec.convert(value, Mask)
    except msgspec.ValidationError:
        raise ValueError(f"{place}: {MASKS}") from None
    if mask.sha256 and not re.fullmatch(VARIABLE, mask.sha256):
        raise ValueError(f"{place}: {mask.sha256!r} is no name of an environment variable")
    if (mask.null, bool(mask.sha256), mask.constant is not None).count(True) != 1:
        raise ValueError(f"{place}: {MASKS}")
    return mask


def sections_of(tables: Sequence[TableSettings], table: str) -> list[TableSettings]:
    """The sections that are for a table, in their order."""
    return [section for section in tables if fnmatchcase(table, section.name)]


def shape_of(sections: Sequence[TableSettings], table: str, columns: Sequence[Column]) -> Shape:
    """What of a table is exported by these sections. Names of columns do not depend on case, as in BigQuery.

    Raises UsageError for a column that is not there (of a pattern: see check_columns), and where nothing is left.
    """
    if not sections:
        return WHOLE
    if not columns and any(map(_named, sections)):
        # Without its columns nobody can tell what is to be masked or left out.
        raise UsageError(PLAN, f"table {table}", "it has gone meanwhile, or has no columns, and its settings name some",
                         "Start again, or leave it out with --exclude.")  # fmt: skip
    actual = {_any_case(column.name): column.name for column in columns}
    choosing = [section for section in sections if section.columns]
    if len(choosing) > 1:
        named = " and ".join(f"[tables.{section.name}]" for section in choosing)
        raise UsageError(PLAN, f"table {table}", f"{named} both choose its columns", "Let one of them do it.")
    for section in sections:
        if section.exact:
            for name in _named(section):
                if _any_case(name) not in actual:
                    raise _unknown(name, section, list(actual.values()), f"table {table}")
    excluded = {_any_case(name) for section in sections for name in section.exclude_columns}
    chosen = [_any_case(name) for section in choosing for name in section.columns] or list(actual)
    kept = [actual[name] for name in dict.fromkeys(chosen) if name in actual and name not in excluded]
    if columns and not kept:
        names = ", ".join(f"[tables.{section.name}]" for section in sections)
        raise UsageError(PLAN, f"table {table}", f"{names} leaves no column of it", "Leave it out with --exclude.")
    masks = {
        actual[_any_case(name)]: mask
        for section in sections
        for name, mask in section.masks.items()
        if actual.get(_any_case(name)) in kept
    }
    filters = [section.where for section in sections if section.where]
    where = filters[0] if len(filters) == 1 else " AND ".join(f"({text})" for text in filters)
    _refuse_nested_constants(table, columns, masks)
    return Shape(columns=() if kept == list(actual.values()) else tuple(kept), masks=masks, where=where)


def check_columns(
    tables: Sequence[TableSettings], columns: Mapping[str, Sequence[Column]], unchosen: Sequence[str] = ()
) -> None:
    """Raise UsageError for a section that is for no table, and for a column that none of its tables has.

    columns: of every table that is exported. unchosen: the other tables of the dataset.
    """
    for section in tables:
        matched = [name for name in columns if fnmatchcase(name, section.name)]
        if not matched and any(fnmatchcase(name, section.name) for name in unchosen):
            continue
        if not matched:
            raise UsageError(PLAN, f"[tables.{section.name}]", "no table of the dataset matches",
                             close(section.name, list(columns), "bqdump plan shows all tables."))  # fmt: skip
        there = {_any_case(column.name): column.name for name in matched for column in columns[name]}
        for name in () if section.exact else _named(section):
            if _any_case(name) not in there:
                raise _unknown(name, section, list(there.values()), f"none of its {len(matched)} tables")


def _any_case(name: str) -> str:
    """The same for names that differ in case only. Not casefold(), to which Masse and Maße are one name."""
    return name.lower()


def _named(section: TableSettings) -> list[str]:
    return [*section.columns, *section.exclude_columns, *section.masks]


def _unknown(name: str, section: TableSettings, there: Sequence[str], who: str) -> UsageError:
    has = f"{who} has no column {name!r}"
    hint = close(name, there, f"Its columns: {', '.join(there[:20])}.")
    return UsageError(PLAN, f"[tables.{section.name}]", has, hint)


def close(name: str, names: Sequence[str], otherwise: str) -> str:
    """A guess at what was meant, for a hint."""
    import difflib

    found = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {found[0]!r}?" if found else otherwise


def _refuse_nested_constants(table: str, columns: Sequence[Column], masks: Mapping[str, Mask]) -> None:
    for column in columns:
        mask = masks.get(column.name)
        if mask and mask.constant is not None and (column.repeated or column.type == "STRUCT"):
            cause = f"the column {column.name!r} is {column.text}, which a constant cannot be"
            raise UsageError(PLAN, f"table {table}", cause, "Mask it with null or sha256, or leave it out.")


def constant_text(value: Constant) -> str:
    """A constant as BigQuery casts it from text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(cast("object", value))
