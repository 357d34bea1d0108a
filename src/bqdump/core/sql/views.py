"""DuckDB's SQL for tables of an export: views over their files, with the types of BigQuery where DuckDB has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bqdump.core.formats.types import Column

TEXT_FORMATS = ("csv", "json")
TYPES = {
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "NUMERIC": "DECIMAL(38, 9)",
    "BOOL": "BOOLEAN",
    "DATE": "DATE",
    "TIME": "TIME",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMPTZ",
}
# The types that a column can have in a Parquet or Avro file, in DuckDB's names. Types that are not listed can be any.
FITTING: dict[str, frozenset[str]] = {
    "STRING": frozenset(("varchar",)),
    "BYTES": frozenset(("blob",)),
    "INT64": frozenset(("bigint", "integer", "smallint", "tinyint")),
    "FLOAT64": frozenset(("double", "float")),
    "BOOL": frozenset(("boolean",)),
    "NUMERIC": frozenset(("decimal",)),
    "DATE": frozenset(("date", "varchar")),
    "TIME": frozenset(("time", "time with time zone", "time_ns", "varchar")),
    "DATETIME": frozenset(("timestamp", "varchar")),
    "TIMESTAMP": frozenset(("timestamp", "timestamp with time zone")),
}


def quoted(name: str) -> str:
    """A name, or a path of one part, as DuckDB reads it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """A string."""
    return "'" + str(text).replace("'", "''") + "'"


def empty_table(table: str, columns: Sequence[Column]) -> str:
    """A table with the columns and no rows, for a table whose files were not read yet."""
    definitions = ", ".join(f"{quoted(column.name)} {column_type(column)}" for column in columns) or "nothing VARCHAR"
    return f"CREATE TABLE {quoted(table)} ({definitions})"


def view(table: str, columns: Sequence[Column], source: str, format_: str, kinds: Mapping[str, str]) -> str:
    """Statements that replace the empty table by a view over a relation. Of CSV and JSON, the relation has strings.

    kinds: DuckDB's types of the relation's columns.
    """
    name = quoted(table)
    shown = ", ".join(
        f"{_value(column, format_, kinds.get(column.name, ''))} AS {quoted(column.name)}" for column in columns
    )
    return f"DROP TABLE {name}; CREATE VIEW {name} AS SELECT {shown or '*'} FROM {source}"


def _value(column: Column, format_: str, kind: str) -> str:
    name = quoted(column.name)
    if format_ in TEXT_FORMATS:
        if column.type == "BYTES" and not column.repeated:
            return f"from_base64({name})"
        target_type = column_type(column, text=True)
        return name if target_type == "VARCHAR" else f"{name}::{target_type}"
    if column.type == "TIMESTAMP" and kind == "TIMESTAMP":
        return f"timezone('UTC', {name})"
    # BigQuery marks TIME as UTC in Parquet, and writes DATETIME as text in Avro.
    otherwise = (column.type, kind) in (("TIME", "TIME WITH TIME ZONE"), ("DATETIME", "VARCHAR"))
    return f"{name}::{TYPES[column.type]}" if otherwise else name


def column_type(column: Column, *, text: bool = False) -> str:
    """text: whether it is made of text, where BYTES within a STRUCT or an ARRAY stay base64."""
    if column.type == "STRUCT":
        members = ", ".join(f"{quoted(member.name)} {column_type(member, text=text)}" for member in column.fields)
        kind = f"STRUCT({members})"
    elif column.type == "NUMERIC" and column.parameters:
        kind = f"DECIMAL{column.parameters if ',' in column.parameters else column.parameters[:-1] + ', 0)'}"
    else:
        kind = TYPES.get(column.type, "VARCHAR")
        kind = "VARCHAR" if text and kind == "BLOB" else kind
    return kind + ("[]" if column.repeated else "")


def fits(column: Column, kind: Any, *, element: bool = False) -> bool:
    """Whether a column of this DuckDB type can be a column of that BigQuery type."""
    if column.repeated and not element:
        return kind.id == "list" and fits(column, dict(kind.children)["child"], element=True)
    if column.type == "STRUCT":
        members = kind.children if kind.id == "struct" else ()
        return [name for name, _ in members] == [member.name for member in column.fields] and all(
            fits(member, inner) for member, (_, inner) in zip(column.fields, members, strict=True)
        )
    return column.type not in FITTING or kind.id in FITTING[column.type]
