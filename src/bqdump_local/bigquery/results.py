"""Results of queries: columns with BigQuery's types, and rows in the format of the REST API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from bqdump_local.bigquery.formats import rest_columns
from bqdump_local.bigquery.types import CANONICAL, STORED, Field, duckdb_type, field_of, quote

if TYPE_CHECKING:
    import duckdb

OPAQUE = {"BIGNUMERIC", "GEOGRAPHY", "INTERVAL", "RANGE"}


@dataclass
class Result:
    """The rows of a query, with every scalar as a string."""

    fields: tuple[Field, ...]
    rows: list[dict[str, Any]]


@dataclass
class JobResult:
    """The result of a job: statistics, and the rows of a query or the number of rows that it has changed."""

    statistics: dict[str, Any] = field(default_factory=dict)
    result: Result = field(default_factory=lambda: Result((), []))
    affected_rows: int | None = None


def name_columns(select: exp.Expression) -> None:
    """Name columns without a name `f0_`, `f1_`, …, as BigQuery does."""
    while isinstance(select, exp.SetOperation):
        select = select.this
    if not isinstance(select, exp.Select):
        return
    number = 0
    named = []
    for item in select.expressions:
        if not item.alias and not item.is_star and not isinstance(item, (exp.Column, exp.Dot)):
            item = exp.alias_(item, f"f{number}_")
            number += 1
        named.append(item)
    select.set("expressions", named)


def cast_types(select: exp.Expression) -> dict[str, str]:
    """The type of each column that is a CAST; "" for other expressions, such as JSON text."""
    found: dict[str, str] = {}
    if isinstance(select, exp.Select):
        replaced = [item for star in select.expressions if star.is_star for item in star.args.get("replace") or ()]
        for item in (*select.expressions, *replaced):
            inner = item.unalias()
            if isinstance(inner, exp.Cast):
                found[item.alias_or_name.lower()] = inner.to.sql(dialect="bigquery").upper().partition("<")[0]
            elif isinstance(inner, (exp.JSONFormat, exp.If)):
                found[item.alias_or_name.lower()] = ""
    return found


def describe(
    cursor: duckdb.DuckDBPyConnection, sql: str, sources: Sequence[Field], casts: dict[str, str]
) -> tuple[Field, ...]:
    """The columns of a query.

    DuckDB has no types for some columns, which are stored as strings, and NULL has no type there. A column has the type
    of the source column with the same name if DuckDB stores both in the same way.
    """
    known = {field.name.lower(): field for field in sources}
    fields = []
    for name, kind, *_ in cursor.execute(f"SELECT * FROM ({sql}) LIMIT 0").description or ():
        field = field_of(name, kind)
        source = known.get(name.lower()) if name.lower() not in casts else None
        if source is not None and duckdb_type(source) == duckdb_type(field):
            field = replace(source, name=name, mode="REPEATED" if source.mode == "REPEATED" else "NULLABLE")
        elif field.type == "STRING" and casts.get(name.lower()) in OPAQUE:
            field = replace(field, type=casts[name.lower()])
        elif str(kind) == '"NULL"':
            field = replace(field, type="INTEGER")
        fields.append(field)
    return tuple(fields)


def stored_select(fields: Sequence[Field], sql: str) -> str:
    """The query with every column cast to the type in which it is stored."""
    columns = ", ".join(f"{_stored(field)} AS {quote(field.name)}" for field in fields)
    return f"SELECT {columns} FROM ({sql}) AS result"


def _stored(field: Field) -> str:
    ref = quote(field.name)
    if field.type == "INTERVAL" and field.mode != "REPEATED":
        parts = ("year", "month", "day", "hour", "minute", "second")
        year, month, day, hour, minute, second = (f"datepart('{part}', try_cast({ref} AS INTERVAL))" for part in parts)
        canonical = f"concat({year}, '-', {month}, ' ', {day}, ' ', {hour}, ':', {minute}, ':', {second})"
        return f"CASE WHEN try_cast({ref} AS INTERVAL) IS NULL THEN {ref}::VARCHAR ELSE {canonical} END"
    return f"{ref}::{duckdb_type(field)}"


def fetch(cursor: duckdb.DuckDBPyConnection, fields: Sequence[Field], relation: str) -> list[dict[str, Any]]:
    """All rows of a relation in the format of the REST API."""
    if not fields:
        return []
    cursor.execute(f"SELECT {rest_columns(fields)} FROM {relation}")
    return [
        {"f": [{"v": _cell(field, value)} for field, value in zip(fields, row, strict=True)]}
        for row in cursor.fetchall()
    ]


def _cell(field: Field, value: Any) -> Any:
    if value is None:
        return [] if field.mode == "REPEATED" else None
    if field.mode == "REPEATED":
        return [{"v": _cell(field.element, item)} for item in value]
    if field.type == "RECORD":
        return {"f": [{"v": _cell(member, value[member.name])} for member in field.fields]}
    return value


def mode_of(column: exp.ColumnDef) -> str:
    """The mode of a column or a member of a STRUCT in CREATE TABLE."""
    required = any(isinstance(one.kind, exp.NotNullColumnConstraint) for one in column.constraints)
    return "REQUIRED" if required else "NULLABLE"


def field_from_definition(name: str, kind: exp.DataType, mode: str = "NULLABLE") -> Field:
    """The field for a column in CREATE TABLE."""
    text = kind.sql(dialect="bigquery").upper()
    if kind.this == exp.DataType.Type.ARRAY:
        return replace(field_from_definition(name, kind.expressions[0]), mode="REPEATED")
    if kind.this == exp.DataType.Type.STRUCT:
        members = tuple(field_from_definition(one.name, one.args["kind"], mode_of(one)) for one in kind.expressions)
        return Field(name, "RECORD", mode, members)
    base = text.partition("<")[0].partition("(")[0].strip()
    base = {"DECIMAL": "NUMERIC", "BIGDECIMAL": "BIGNUMERIC"}.get(base, CANONICAL.get(base, base))
    numbers = [int(item.name) for item in kind.expressions if isinstance(item, exp.DataTypeParam)]
    parametrised = base in {"NUMERIC", "BIGNUMERIC"} and numbers
    return Field(
        name,
        base if base in STORED else "STRING",
        mode,
        precision=numbers[0] if parametrised else None,
        scale=numbers[1] if parametrised and len(numbers) > 1 else None,
        range_of=kind.expressions[0].sql(dialect="bigquery") if base == "RANGE" and kind.expressions else None,
    )
