"""The columns of a table at the snapshot time, where its definition was read later.

`tables.get` returns the current definition, but the export has the table as it was at the snapshot time. Columns may
have been added, dropped, renamed or widened since. Plan and manifest contain the definition that matches the files.

Columns that a format cannot hold.

By default they refuse the run, and the error names them and the formats that can hold them. With --on-unsupported they
are left out, or exported as strings; plan and manifest name them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from bqdump.core.errors import UsageError
from bqdump.core.formats.fidelity import NO_AVRO
from bqdump.core.formats.formats import ICEBERG_WIDE, Unfit, unfit
from bqdump.core.formats.types import Column, standard
from bqdump.core.sizes import listed, named
from bqdump.core.tables.catalog import Shape, Table
from bqdump.core.tables.partitioning import partition_times

# The fields that a column keeps although its type has changed since.
OF_ANY_TYPE = ("description", "policyTags", "dataPolicies")
Field = dict[str, Any]


class _Definition(msgspec.Struct, rename="camel"):
    last_modified_time: str | int | None = None
    # A table without columns now had none then: BigQuery does not drop a table's last column.
    schema: dict[str, Any] = {}


def may_differ(table: Table, snapshot: int) -> bool:
    """Whether the columns at `snapshot` (ms) may differ from those of the definition.

    Editing the columns modifies the table, and `lastModifiedTime` is rounded down to ms. The columns of a table
    snapshot never change, and views and external tables are read as they are now.
    Source: https://cloud.google.com/bigquery/docs/managing-table-schemas
    """
    known = msgspec.json.decode(table.definition, type=_Definition | None) if table.kind == "TABLE" else None
    if known is None or not known.schema.get("fields"):
        return False
    try:
        return known.last_modified_time is None or int(known.last_modified_time) >= snapshot
    except ValueError:
        return True


def as_of(definition: msgspec.Raw, then: msgspec.Raw) -> msgspec.Raw:
    """The definition with the columns that a query returned for the snapshot time; the same bytes where none differs.

    A query returns names and types. Other fields of a column stay, where its type is the same.
    """
    decoded: dict[str, Any] = msgspec.json.decode(definition)
    fields: list[Field] = msgspec.json.decode(then)
    now: list[Field] = decoded["schema"]["fields"]
    if _same(now, fields):
        return definition
    names = {str(field["name"]).lower() for field in fields}
    changed = {**decoded, "schema": {**decoded["schema"], "fields": _merged(now, fields)}}
    return msgspec.Raw(msgspec.json.encode(_without_later_references(changed, names)))


def _same(now: Sequence[Field], then: Sequence[Field]) -> bool:
    return [field["name"] for field in now] == [field["name"] for field in then] and all(
        _same_type(known, field) and _same(known.get("fields", ()), field.get("fields", ()))
        for known, field in zip(now, then, strict=True)
    )


def _same_type(now: Field, then: Field) -> bool:
    return all(_type(now)[at] == part for at, part in enumerate(_type(then)))


def _type(field: Field) -> tuple[str, bool, str]:
    element = field.get("rangeElementType") or {}
    repeated = str(field.get("mode", "")).upper() == "REPEATED"
    return standard(field["type"]), repeated, standard(element.get("type", ""))


def _merged(now: Sequence[Field], then: Sequence[Field]) -> list[Field]:
    known = {str(field["name"]).lower(): field for field in now}
    return [_column(known.get(str(field["name"]).lower()), field) for field in then]


def _column(now: Field | None, then: Field) -> Field:
    if now is None:
        return then
    if not _same_type(now, then):
        return {**{key: now[key] for key in OF_ANY_TYPE if key in now}, **then}
    merged = {**now, "name": then["name"]}
    if then.get("fields"):
        merged["fields"] = _merged(now.get("fields", ()), then["fields"])
    return merged


def _without_later_references(definition: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Without clustering and keys on columns that did not exist."""

    def known(columns: Sequence[str]) -> list[str]:
        return [column for column in columns if column.lower() in names]

    kept_definition = dict(definition)
    if clustering := definition.get("clustering"):
        kept_definition["clustering"] = {**clustering, "fields": known(clustering.get("fields", ()))}
        if not kept_definition["clustering"]["fields"]:
            del kept_definition["clustering"]
    if constraints := definition.get("tableConstraints"):
        kept = dict(constraints)
        primary = (constraints.get("primaryKey") or {}).get("columns", ())
        if len(known(primary)) < len(primary):
            del kept["primaryKey"]
        kept["foreignKeys"] = [key for key in constraints.get("foreignKeys", ()) if _refers(key, known)]
        if not kept["foreignKeys"]:
            del kept["foreignKeys"]
        kept_definition["tableConstraints"] = kept
        if not kept:
            del kept_definition["tableConstraints"]
    return kept_definition


def _refers(key: dict[str, Any], known: Any) -> bool:
    own = [reference["referencingColumn"] for reference in key.get("columnReferences", ())]
    return len(known(own)) == len(own)


SHOWN = 5
POLICIES = ("fail", "skip", "string")


def fitted(
    policy: str, format_: str, route: str, columns: Sequence[Column], shape: Shape, *, iceberg: bool = False
) -> Shape:
    """The shape with which a format can hold a table, by one of POLICIES; "fail" returns the shape unchanged."""
    if policy == "fail":
        return shape
    misfits = unfit(format_, route, as_they_are(columns, shape), iceberg=iceberg)
    reasons = {unfit.column.name: f"{unfit.path} {unfit.type}: {unfit.reason}" for unfit in misfits}
    if not reasons:
        return shape
    if policy == "skip":
        return msgspec.structs.replace(shape, left_out=reasons)
    return msgspec.structs.replace(shape, texts=reasons)


def as_they_are(columns: Iterable[Column], shape: Shape) -> list[Column]:
    """The columns that are exported with their own values and types."""
    changed = {*shape.left_out, *shape.texts, *shape.masks}
    chosen = [column for column in columns if not shape.columns or column.name in shape.columns]
    return [column for column in chosen if column.name not in changed]


def exported(columns: Iterable[Column], shape: Shape) -> tuple[Column, ...]:
    """The columns of a table's files, in their order. A masked column has no type."""
    by_name = {column.name: column for column in columns}
    own = (
        Column(name, "") if name in shape.masks else Column(name, "STRING") if name in shape.texts else by_name[name]
        for name in shape.columns or by_name
        if name not in shape.left_out and name in by_name
    )
    return (*own, *([partition_times(shape.partition_times)] if shape.partition_times else []))


class Misfit(Struct, frozen=True):
    """A table and its columns that its format cannot hold with its route."""

    table: str
    format: str
    columns: list[Unfit]


def refuse(operation: str, misfits: Sequence[Misfit], able: Sequence[str]) -> None:
    """Raise UsageError where there are any. It names columns, types and reasons, and what to do.

    able: the formats that hold all tables of the export; JSON holds every type.
    """
    if not misfits:
        return
    tables = named([f"{misfit.table}: {_columns(misfit.columns)}" for misfit in misfits], SHOWN, "table", "; ")
    reasons = dict.fromkeys(column.reason for misfit in misfits for column in misfit.columns)
    cause, setting = f"{', '.join(reasons)} ({tables})", "format"
    other = f"Set {{setting:format}} to {listed(able)}"
    if NO_AVRO in reasons:
        # That is about no column, so columns and what can be done with them would be misleading.
        which = named([misfit.table for misfit in misfits], SHOWN, "table")
        raise UsageError(operation, misfits[0].format, f"{NO_AVRO} ({which})", f"{other}.", setting=setting)
    if ICEBERG_WIDE in reasons:
        other, setting = "Use the read route, which writes them as strings, or set", "iceberg"
        hint = (
            f"{other} {{setting:on_unsupported}} to skip or string, or leave the tables out with {{setting:exclude}}."
        )
        raise UsageError(operation, "", cause, hint, setting=setting)
    hint = f"{other}, {{setting:on_unsupported}} to skip or string, or leave the tables out with {{setting:exclude}}."
    raise UsageError(operation, misfits[0].format, cause, hint, setting=setting)


def _columns(misfits: Sequence[Unfit]) -> str:
    return named([f"{unfit.path} {unfit.type}" for unfit in misfits], SHOWN, "column")
