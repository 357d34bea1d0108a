"""What the types of the Python API have in common: their module is `bqdump`, and notebooks show them as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from inspect import get_annotations
from typing import Any, Literal, TypeVar, get_type_hints

import msgspec

from bqdump.core.sizes import counted

Type = TypeVar("Type", bound=type)
Row = TypeVar("Row")
# More rows are summed up below a table in a notebook.
SHOWN_ROWS = 500
SHOWN_COLUMNS = 8
# In one line: further fields are counted, longer values end with an ellipsis.
SHOWN_FIELDS = 6
SHOWN_LETTERS = 60
# What a column that says nothing is full of.
EMPTY: tuple[Any, ...] = (None, "", False, 0, [], {}, ())

# The states of a run, each with one meaning wherever it appears.
State = Literal[
    # No plan exists yet.
    "planning",
    # A run is being copied here, or a copy was interrupted.
    "copying",
    # The plan exists and no manifest. The bucket does not show whether the run's tasks are still alive.
    "running",
    # Every table is done or has failed; some failed, so nothing was published.
    "failed",
    # Another task of the same execution publishes the run.
    "publishing",
    # The manifest is written, with every table of the plan.
    "complete",
    # The manifest is written, without the tables that failed.
    "partial",
    # latest.json names the run.
    "published",
    # latest.json names a run with a later snapshot time; this run changes nothing any more.
    "superseded",
    # The run is pruned, and its files wait for a day.
    "pruning",
    # A document of the run cannot be read.
    "unreadable",
    # Where keys are trusted: none of them has signed the run's manifest.
    "not trusted",
]


def public(type_: Type) -> Type:
    """Declare `bqdump` as the module of a type, for `help()`, pickles and tracebacks.

    Its annotations are resolved first, while its module is still the one that they are written in.
    """
    if own := get_annotations(type_):
        hints = get_type_hints(type_, include_extras=True)
        type_.__annotations__ = {name: hints[name] for name in own}
    type_.__module__ = "bqdump"
    return type_


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a function of the Python API returns: in one line, and in a notebook as a table of its fields."""

    def __repr__(self) -> str:
        shown, fields = list[str](), 0
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if field.default is not msgspec.NODEFAULT and value == field.default:
                continue
            fields += 1
            if len(shown) < SHOWN_FIELDS:
                shown.append(f"{field.name}={_brief(value)}")
        more = [f"{fields - len(shown)} more"] if fields > len(shown) else []
        return f"{type(self).__name__}({', '.join([*shown, *more])})"

    def _repr_html_(self) -> str:
        fields = msgspec.structs.asdict(self)
        tables = {name: rows_of(value) for name, value in fields.items() if _is_rows(value)}
        facts = [{"field": name, "value": value} for name, value in fields.items() if name not in tables]
        return html_table(facts) + "".join(f"<p>{name}</p>{html_table(rows)}" for name, rows in tables.items())


class Rows(list[Row]):
    """A list of results: in one line, and in a notebook as a table."""

    def __repr__(self) -> str:
        more = f", {len(self) - 1:,} more" if len(self) > 1 else ""
        return f"Rows([{self[0]!r}{more}])" if self else "Rows([])"

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`."""
        return rows_of(self)

    def _repr_html_(self) -> str:
        return html_table(self.to_dicts())


Rows.__module__ = "bqdump"


def rows_of(items: Iterable[Any]) -> list[dict[str, Any]]:
    """Structs as dictionaries of plain values, in which times are datetimes."""
    return [msgspec.to_builtins(item, builtin_types=(datetime,)) for item in items]


def html_table(rows: list[dict[str, Any]], most: int = SHOWN_COLUMNS) -> str:
    """Rows as an HTML table. Every value is escaped.

    most: the number of columns; those without a value come last.
    """
    from html import escape

    if not rows:
        return "<p>none</p>"
    every = list(rows[0])
    told = [name for name in every if any(row.get(name) not in EMPTY for row in rows[:SHOWN_ROWS])]
    names = every if len(every) <= most else [name for name in every if name in {*every[:1], *told}][:most]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = ["".join(f"<td>{escape(_shown(row.get(name)))}</td>" for name in names) for row in rows[:SHOWN_ROWS]]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    more = f"<p>{len(rows) - SHOWN_ROWS:,} more</p>" if len(rows) > SHOWN_ROWS else ""
    hidden = len(every) - len(names)
    also = f"<p>{counted(hidden, 'more column')}: to_dicts()</p>" if hidden else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}{also}"


def _brief(value: Any) -> str:
    """A value in a few letters: sequences and mappings by their number of items, unless they are short."""
    text = f"datetime({value.isoformat(timespec='milliseconds')})" if isinstance(value, datetime) else repr(value)
    if len(text) <= SHOWN_LETTERS:
        return text
    if isinstance(value, (list, tuple, Mapping)):
        return f"<{len(value):,} {'item' if len(value) == 1 else 'items'}>"
    return f"{text[:SHOWN_LETTERS]}…"


def _is_rows(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], msgspec.Struct)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_shown(item)}" for name, item in value.items())
    return str(value)
