"""How the columns of a table change while its rows stay: added columns and members, relaxed modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.types import Field, duckdb_type, literal, quote

UPDATES = ("ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION")


def updates(options: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a job may add columns, and relax required ones."""
    names = options.get("schemaUpdateOptions") or ()
    for name in names:
        if name not in UPDATES:
            raise invalid(f"Invalid value for schemaUpdateOptions: {name} is not a valid value")
    return UPDATES[0] in names, UPDATES[1] in names


def evolved(old: Sequence[Field], new: Sequence[Field]) -> tuple[Field, ...]:
    """The columns of a table after a job with these columns: new ones at the end, and relaxed modes."""
    named = {field.name.lower(): field for field in new}
    kept = []
    for field in old:
        other = named.pop(field.name.lower(), field)
        relaxed = (field.mode, other.mode) == ("REQUIRED", "NULLABLE")
        mode = "NULLABLE" if relaxed else field.mode
        kept.append(replace(field, mode=mode, fields=evolved(field.fields, other.fields)))
    return (*kept, *named.values())


def converted(new: Sequence[Field], old: Sequence[Field], defaults: Mapping[str, str] | None = None) -> str:
    """The select list that gives rows with old columns their new ones: defaults, by name, or NULL or empty arrays."""
    known, defaults = {field.name.lower(): field for field in old}, defaults or {}
    values = (
        defaults[field.name]
        if field.name in defaults and field.name.lower() not in known
        else _value(field, known.get(field.name.lower()), quote(field.name))
        for field in new
    )
    return ", ".join(f"{value} AS {quote(field.name)}" for field, value in zip(new, values, strict=True))


def _value(new: Field, old: Field | None, ref: str, depth: int = 0) -> str:
    if old is None:
        return f"{'[]' if new.mode == 'REPEATED' else 'NULL'}::{duckdb_type(new)}"
    if new.type != "RECORD" or duckdb_type(new) == duckdb_type(old):
        return ref
    if new.mode == "REPEATED":
        item = f"item{depth}"
        return f"list_transform({ref}, lambda {item}: {_value(new.element, old.element, item, depth + 1)})"
    members = {member.name.lower(): member for member in old.fields}
    packed = ", ".join(
        f"{quote(member.name)} := "
        + _value(member, members.get(member.name.lower()), f"({ref})[{literal(member.name)}]", depth)
        for member in new.fields
    )
    return f"CASE WHEN {ref} IS NULL THEN NULL ELSE struct_pack({packed}) END"
