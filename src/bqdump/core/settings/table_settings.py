"""Settings of single tables: `[tables.NAME]` in bqdump.toml, where NAME may be a pattern, or label:KEY=VALUE.

If several sections match a table, their restrictions add up (excluded columns, masks, filters); the last section
determines format, compression, route, partition_times and partitions_min_bytes.

A filter is one expression and cannot leave the parentheses around it: checked by its tokens.

BigQuery refuses what is not an expression; this refuses only what could leave the parentheses.
Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec

from bqdump.core.errors import PLAN, UsageError
from bqdump.core.formats.types import Column
from bqdump.core.settings import amounts
from bqdump.core.settings import values as parse
from bqdump.core.sizes import counted, listed, named
from bqdump.core.tables.catalog import WHOLE, Constant, Mask, Shape
from bqdump.core.tables.patterns import NO_LABELS, Labels, is_exact, is_label, label_hint, matching, pattern_problem
from bqdump.core.wording import close_name

# Strings and quoted names first: their content is not examined. A backslash escapes the next character, in raw strings
# too. An unclosed quote is a token of its own, as is every forbidden character.
TOKENS = r"""(?xs)
(?P<text>'{3}(?:\\.|(?!'{3})[^\\])*'{3}|"{3}(?:\\.|(?!"{3})[^\\])*"{3}
    |'(?!'')(?:\\[^\n]|[^'\\\n])*'|"(?!"")(?:\\[^\n]|[^"\\\n])*"|`(?:\\[^\n]|[^`\\\n])+`)
|(?P<comment>--|\#|/\*)
|(?P<open>[(\[{])|(?P<close>[)\]}])
|(?P<quote>['"`])
|(?P<wrong>[;@\\\x00-\x08\x0b-\x1f\x7f])
|(?P<other>.)
"""
PARTNERS = {")": "(", "]": "[", "}": "{"}


def filter_problem(text: str) -> str:
    """Why a filter is invalid; "" if it is valid."""
    opened: list[str] = []
    if not text.strip():
        return "empty filter"
    for token in re.finditer(TOKENS, text):
        match token.lastgroup:
            case "comment":
                return f"comments are not allowed ({token[0]})"
            case "quote":
                return f"unclosed {token[0]}"
            case "wrong":
                return f"{token[0]!r} is not allowed outside quotes"
            case "open":
                opened.append(token[0])
            case "close":
                if not opened or opened.pop() != PARTNERS[token[0]]:
                    return f"unmatched {token[0]}"
            case _:
                pass
    return f"unclosed {opened[-1]}" if opened else ""


# Tables that are listed, of those that a section could be for.
NAMED = 5
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
Value = TypeVar("Value")
MASKS = '"null", {sha256 = "VARIABLE"} or {constant = VALUE}'


class TableSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Settings of the tables that match `name`. Empty: as for all tables."""

    name: str
    columns: tuple[str, ...] = ()
    exclude_columns: tuple[str, ...] = ()
    where: str = ""
    masks: dict[str, Mask] = {}
    format: str = ""
    compression: str = ""
    route: str = ""
    partition_times: bool | None = None
    partitions_min_bytes: int | None = None

    @property
    def exact(self) -> bool:
        """Whether it matches one table, not a pattern."""
        return is_exact(self.name)

    @property
    def restricts(self) -> bool:
        """Whether it keeps rows, columns or values out of an export."""
        return bool(self.columns or self.exclude_columns or self.where or self.masks)

    def matches(self, table: str, labels: Mapping[str, str]) -> bool:
        """Whether it is for a table with these labels."""
        return bool(matching(self.name, (table,), {table: labels}))


def parse_tables(value: Any) -> tuple[TableSettings, ...]:
    """The sections as written in TOML, or the same as JSON. Raises ValueError."""
    if isinstance(value, str):
        if value.strip() and not value.lstrip().startswith("{"):
            raise ValueError("expected sections as JSON. To export only some tables, use {setting:include}")
        try:
            value = msgspec.json.decode(value) if value.strip() else {}
        except msgspec.DecodeError as error:
            raise ValueError(f"invalid JSON ({error})") from None
    if not isinstance(value, Mapping):
        raise ValueError("expected sections such as [tables.orders]")
    return tuple(_section(str(name), section) for name, section in value.items())


def tables_text(tables: Sequence[TableSettings]) -> str:
    """The sections as JSON, which parse_tables reads back; "" for none."""
    sections: dict[str, Any] = {section.name: msgspec.to_builtins(section) for section in tables}
    for section in sections.values():
        del section["name"]
    return msgspec.json.encode(sections).decode() if sections else ""


def _section(name: str, section: Any) -> TableSettings:
    if not isinstance(section, Mapping):
        raise ValueError(
            f'tables.{name}: expected a section with settings, such as [tables.{name}] with columns = ["id"]'
        )
    known = TableSettings.__struct_fields__[1:]
    if problem := pattern_problem(name):
        raise ValueError(f"tables: {problem}")
    if unknown := [key for key in section if key not in known]:
        raise ValueError(f"tables.{name}: unknown setting {unknown[0]!r}; expected {listed(known)}")
    words = {key: str(section[key]).strip().lower() for key in ("format", "compression", "route") if key in section}
    for key, parser in (("format", parse.format_), ("route", parse.route)):
        if words.get(key):
            words[key] = _parsed(f"tables.{name}.{key}", parser, words[key])
    where = section.get("where", "")
    if "where" in section and (problem := filter_problem(where) if isinstance(where, str) else "expected a string"):
        raise ValueError(f"tables.{name}.where: {problem}")
    times = section.get("partition_times")
    if times is not None and not isinstance(times, bool):
        raise ValueError(f"tables.{name}.partition_times: expected true or false")
    least = section.get("partitions_min_bytes")
    if least is not None:
        least = _parsed(f"tables.{name}.partitions_min_bytes", amounts.size, least)
    masks = section.get("masks", {})
    if not isinstance(masks, Mapping):
        raise ValueError(f"tables.{name}.masks: expected COLUMN = MASK, where MASK is {MASKS}")
    return TableSettings(
        name=name,
        columns=_names(f"tables.{name}.columns", section.get("columns", ())),
        exclude_columns=_names(f"tables.{name}.exclude_columns", section.get("exclude_columns", ())),
        where=where.strip(),
        masks={str(column): _mask(f"tables.{name}.masks.{column}", mask) for column, mask in masks.items()},
        partition_times=times,
        partitions_min_bytes=least,
        **words,
    )


def _parsed(place: str, parser: Callable[[Any], Value], value: Any) -> Value:
    try:
        return parser(value)
    except ValueError as error:
        raise ValueError(f"{place}: {value!r}: {error}") from None


def _names(place: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{place}: expected a list of column names")
    return tuple(value)


def _mask(place: str, value: Any) -> Mask:
    if value == "null":
        return Mask(null=True)
    try:
        mask = msgspec.convert(value, Mask)
    except msgspec.ValidationError:
        raise ValueError(f"{place}: expected {MASKS}") from None
    if mask.sha256 and not re.fullmatch(VARIABLE, mask.sha256):
        raise ValueError(f"{place}: {mask.sha256!r} is not the name of an environment variable")
    if (mask.null, bool(mask.sha256), mask.constant is not None).count(True) != 1:
        raise ValueError(f"{place}: expected {MASKS}")
    return mask


def sections_of(tables: Sequence[TableSettings], table: str, labels: Mapping[str, str]) -> list[TableSettings]:
    """The sections that match a table, in order. labels: the table's."""
    return [section for section in tables if section.matches(table, labels)]


def shape_of(sections: Sequence[TableSettings], table: str, columns: Sequence[Column]) -> Shape:
    """The part of a table that these sections export. Column names are case-insensitive, as in BigQuery.

    Raises UsageError for an unknown column (for patterns: see check_columns), and if no column remains.
    """
    if not sections:
        return WHOLE
    if not columns and any(map(_named, sections)):
        # Without the columns, masks and exclusions cannot be applied.
        cause = "its settings name columns, and it has none or was deleted"
        raise UsageError(PLAN, f"table {table}", cause, "Retry, or leave it out with {setting:exclude}.")
    actual = {_any_case(column.name): column.name for column in columns}
    choosing = [section for section in sections if section.columns]
    if len(choosing) > 1:
        named = " and ".join(f"[tables.{section.name}]" for section in choosing)
        cause = f"{named} both choose its columns"
        raise UsageError(PLAN, f"table {table}", cause, "Remove `columns` from one of them.")
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
        raise UsageError(PLAN, f"table {table}", f"{names} excludes all columns", "Use {setting:exclude} instead.")
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
    tables: Sequence[TableSettings],
    columns: Mapping[str, Sequence[Column]],
    unchosen: Sequence[str] = (),
    labels: Labels = NO_LABELS,
) -> None:
    """Raise UsageError for a section that matches no table, and for a column that none of its tables has.

    columns: those of every exported table.
    unchosen: the other tables of the dataset.
    labels: of all of them.
    """
    for section in tables:
        matched = matching(section.name, columns, labels)
        if not matched and matching(section.name, unchosen, labels):
            continue
        if not matched:
            hint = close(section.name, list(columns), f"Tables: {named(sorted(columns), NAMED)}." if columns else "")
            if is_label(section.name):
                hint = label_hint(section.name, labels)
            raise UsageError(PLAN, f"[tables.{section.name}]", "matches no table of the dataset", hint)
        existing = {_any_case(column.name): column.name for name in matched for column in columns[name]}
        for name in () if section.exact else _named(section):
            if _any_case(name) not in existing:
                raise _unknown(name, section, list(existing.values()), f"none of its {counted(len(matched), 'table')}")


def _any_case(name: str) -> str:
    """The same for names that differ only in case. Not casefold(), for which Masse and Maße are equal."""
    return name.lower()


def _named(section: TableSettings) -> list[str]:
    return [*section.columns, *section.exclude_columns, *section.masks]


def _unknown(name: str, section: TableSettings, existing: Sequence[str], who: str) -> UsageError:
    has = f"{who} has no column {name!r}"
    hint = close(name, existing, f"Its columns: {', '.join(existing[:20])}.")
    return UsageError(PLAN, f"[tables.{section.name}]", has, hint)


def close(name: str, names: Sequence[str], otherwise: str) -> str:
    """A hint: the closest name, or `otherwise`."""
    similar = close_name(name, names)
    return f"Did you mean {similar!r}?" if similar else otherwise


def _refuse_nested_constants(table: str, columns: Sequence[Column], masks: Mapping[str, Mask]) -> None:
    for column in columns:
        mask = masks.get(column.name)
        if mask and mask.constant is not None and (column.repeated or column.type == "STRUCT"):
            cause = f"column {column.name!r} is {column.text}, which cannot be masked with a constant"
            raise UsageError(PLAN, f"table {table}", cause, "Mask it with null or sha256, or exclude it.")


def constant_text(value: Constant) -> str:
    """A constant as BigQuery casts it from a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(cast("object", value))
