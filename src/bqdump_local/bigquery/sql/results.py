"""Results of queries: columns with BigQuery's types, and rows in the format of the REST API."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from bqdump_local.bigquery.errors import invalid_query
from bqdump_local.bigquery.files.formats import rest_columns
from bqdump_local.bigquery.sql import parameters
from bqdump_local.bigquery.sql.column_types import typed as typed_column
from bqdump_local.bigquery.types import Field, duckdb_type, field_of, literal, quote

if TYPE_CHECKING:
    import duckdb

PARAMETERS = re.compile(r"\([\d, ]+\)")


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
    # The table that has the rows of a query, or that a statement has filled or changed.
    destination: dict[str, str] | None = None


def name_columns(select: exp.Expression) -> None:
    """Name columns without a name `f0_`, `f1_`, …, as BigQuery does."""
    while isinstance(select, exp.SetOperation):
        select = select.this
    if not isinstance(select, exp.Select):
        return
    _open_struct(select)
    number = 0
    named = []
    for item in select.expressions:
        # A window's name is no alias.
        named_already = item.alias and not isinstance(item, exp.Window)
        # Other members have their name in DuckDB, too, where the service numbers those of the same name.
        if isinstance(item, exp.Dot) and isinstance(item.expression, exp.Identifier) and item.find(exp.Bracket):
            item = exp.alias_(item, item.expression.name, quoted=True)
        if not named_already and not item.is_star and not isinstance(item, (exp.Column, exp.Dot)):
            item = exp.alias_(item, f"f{number}_")
            number += 1
        named.append(item)
    select.set("expressions", named)
    names = Counter(name.lower() for item in named if not item.is_star and (name := item.alias_or_name))
    if repeated := [name for name, times in names.items() if times > 1]:
        message = "Duplicate column names in the result are not supported when a destination table is present."
        raise invalid_query(f"{message} Found duplicate(s): {', '.join(repeated)}")


def _open_struct(select: exp.Select) -> None:
    """Make the members of `SELECT AS STRUCT`, and those of a struct in `SELECT AS VALUE`, columns of the result."""
    (value,) = select.expressions if len(select.expressions) == 1 else (None,)
    if select.args.get("kind") == "VALUE" and isinstance(value, exp.Struct):
        members = [
            exp.alias_(item.expression.copy(), item.name) if isinstance(item, exp.PropertyEQ) else item.copy()
            for item in value.expressions
        ]
        select.set("expressions", members)
    select.set("kind", None)


def cast_types(select: exp.Expression, sent: list[dict[str, Any]]) -> dict[str, str]:
    """The type of each column that is a CAST or a parameter; "" for other expressions, such as JSON text.

    sent: the parameters of the query.
    """
    types: dict[str, str] = {}
    positions = [node for node in select.dfs() if isinstance(node, exp.Placeholder)]
    if isinstance(select, exp.Select):
        replaced = [item for star in select.expressions if star.is_star for item in star.args.get("replace") or ()]
        for item in (*select.expressions, *replaced):
            inner = item.unalias()
            if isinstance(inner, exp.Cast):
                types[item.alias_or_name.lower()] = inner.to.sql(dialect="bigquery")
            elif isinstance(inner, (exp.Parameter, exp.Placeholder)):
                position = next((n for n, node in enumerate(positions) if node is inner), 0)
                parameter = parameters.find(sent, inner.name, position)
                types[item.alias_or_name.lower()] = parameters.type_name(parameter["parameterType"])
            elif isinstance(inner, exp.If) or (isinstance(inner, exp.JSONFormat) and not inner.args.get("to_json")):
                types[item.alias_or_name.lower()] = ""
    return types


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
        elif (cast := casts.get(name.lower())) and duckdb_type(typed := _of_type(name, cast)) == duckdb_type(field):
            field = typed
        elif str(kind) == '"NULL"':
            field = replace(field, type="INTEGER")
        fields.append(field)
    return tuple(fields)


def _of_type(name: str, text: str) -> Field:
    """A column of a type in GoogleSQL, without the type's parameters."""
    kind = exp.DataType.build(PARAMETERS.sub("", text), dialect="bigquery")
    return typed_column(name, kind)


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
    if field.mode == "REPEATED":
        return f"bq.without_nulls({ref}::{duckdb_type(field)}, {literal(field.name)})"
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
