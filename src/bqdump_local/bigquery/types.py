"""BigQuery's column types and the DuckDB types in which they are stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from bqdump_local.bigquery.errors import invalid

# The API returns the names of legacy SQL, whatever names the request has.
CANONICAL = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}

# DuckDB has no types for BIGNUMERIC, GEOGRAPHY, RANGE and BigQuery's INTERVAL, which are stored as strings.
STORED = {
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "TIMESTAMP": "TIMESTAMPTZ",
    "DATE": "DATE",
    "TIME": "TIME",
    "DATETIME": "TIMESTAMP",
    "NUMERIC": "DECIMAL(38,9)",
    "BIGNUMERIC": "VARCHAR",
    "GEOGRAPHY": "VARCHAR",
    "JSON": "JSON",
    "INTERVAL": "VARCHAR",
    "RANGE": "VARCHAR",
}

# Stored and returned, but without an effect.
RECORDED = (
    *("policyTags", "dataPolicies", "dataPolicyList", "collation", "roundingMode", "maxLength", "timestampPrecision"),
    *("defaultValueExpression", "generatedColumn", "foreignTypeDefinition"),
)


@dataclass(frozen=True)
class Field:
    """A column or a member of a RECORD."""

    name: str
    type: str
    mode: str = "NULLABLE"
    fields: tuple[Field, ...] = ()
    description: str | None = None
    precision: int | None = None
    scale: int | None = None
    range_of: str | None = None
    recorded: tuple[tuple[str, Any], ...] = dataclasses.field(default=(), compare=False)

    @property
    def nested(self) -> bool:
        """Whether CSV does not support it."""
        return self.mode == "REPEATED" or self.type == "RECORD"

    @property
    def leaves(self) -> int:
        """The number of columns that it counts as: itself and its members."""
        return 1 + sum(member.leaves for member in self.fields)

    @property
    def parameters(self) -> tuple[int, ...]:
        """The parameters of its type: the maximum length, or precision and scale."""
        length = dict(self.recorded).get("maxLength")
        if length is not None:
            return (int(length),)
        return () if self.precision is None else (self.precision, *((self.scale,) if self.scale is not None else ()))

    @property
    def element(self) -> Field:
        """One element of a repeated field."""
        return replace(self, mode="NULLABLE")

    def to_json(self) -> dict[str, Any]:
        """The `TableFieldSchema` of the API."""
        out: dict[str, Any] = {"name": self.name, "type": self.type, "mode": self.mode}
        if self.fields:
            out["fields"] = [field.to_json() for field in self.fields]
        if self.description is not None:
            out["description"] = self.description
        if self.precision is not None:
            out["precision"] = str(self.precision)
        if self.scale is not None:
            out["scale"] = str(self.scale)
        if self.range_of is not None:
            out["rangeElementType"] = {"type": self.range_of}
        return out | dict(self.recorded)


def parse_field(raw: dict[str, Any]) -> Field:
    """Parse a `TableFieldSchema`. Unknown types are refused, as in BigQuery."""
    kind = str(raw.get("type", "")).upper()
    kind = CANONICAL.get(kind, kind)
    if kind not in STORED and kind != "RECORD":
        raise invalid(f"Invalid value for type: {raw.get('type')} is not a valid value")
    if kind == "RECORD" and not raw.get("fields"):
        raise invalid(f"Field {raw.get('name')} is type RECORD but has no schema")
    if not raw.get("name"):
        raise invalid("Required parameter is missing: name of a field")
    return Field(
        name=raw["name"],
        type=kind,
        mode=(raw.get("mode") or "NULLABLE").upper(),
        fields=parse_fields(raw.get("fields") or ()),
        description=raw.get("description"),
        precision=int(raw["precision"]) if raw.get("precision") else None,
        scale=int(raw["scale"]) if raw.get("scale") else None,
        range_of=(raw.get("rangeElementType") or {}).get("type"),
        recorded=tuple((key, _recorded(raw[key])) for key in RECORDED if _is_set(raw.get(key))),
    )


def _is_set(value: Any) -> bool:
    """Whether a property of a field has a value. No names of policy tags remove them."""
    return bool(value) and value != {"names": []}


def _recorded(value: Any) -> Any:
    """A recorded value. The API answers int64 as strings."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def parse_fields(raw: Iterable[dict[str, Any]]) -> tuple[Field, ...]:
    """Parse the `fields` of a schema. Names must be unique, ignoring case."""
    fields = tuple(parse_field(item) for item in raw)
    seen: set[str] = set()
    for field in fields:
        if field.name.lower() in seen:
            raise invalid(f"Duplicate field name: {field.name}")
        seen.add(field.name.lower())
    return fields


def quote(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """An SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


def failing(message: str) -> str:
    """An SQL expression that fails with this message, itself an SQL expression. Clients see it as it is."""
    return f"error(chr(1) || {message} || chr(2))"


def duckdb_type(field: Field, leaf: Callable[[Field], str] = lambda field: STORED[field.type]) -> str:
    """The DuckDB type of a field. leaf: maps the types of scalars."""
    if field.mode == "REPEATED":
        return duckdb_type(field.element, leaf) + "[]"
    if field.type == "RECORD":
        members = ", ".join(f"{quote(member.name)} {duckdb_type(member, leaf)}" for member in field.fields)
        return f"STRUCT({members})"
    return leaf(field)


def columns(fields: Iterable[Field]) -> str:
    """The column list of CREATE TABLE."""
    return ", ".join(f"{quote(field.name)} {duckdb_type(field)}" for field in fields)


def shape(field: Field, ref: str, leaf: Callable[[Field, str], str], depth: int = 0) -> str:
    """An expression that applies `leaf` to every scalar of `ref`, and keeps structs and lists.

    A NULL list becomes an empty one, at any depth, as in BigQuery.
    """
    if field.mode == "REPEATED":
        item, whole = f"item{depth}", f"coalesce({ref}, [])"
        inner = shape(field.element, item, leaf, depth + 1)
        return whole if inner == item else f"list_transform({whole}, lambda {item}: {inner})"
    if field.type == "RECORD":
        refs = {member: f"({ref})[{literal(member.name)}]" for member in field.fields}
        inners = {member: shape(member, refs[member], leaf, depth) for member in field.fields}
        if inners == refs:
            return ref
        packed = ", ".join(f"{quote(member.name)} := {inner}" for member, inner in inners.items())
        return f"CASE WHEN {ref} IS NULL THEN NULL ELSE struct_pack({packed}) END"
    return leaf(field, ref)


FROM_DUCKDB = {
    "boolean": "BOOLEAN",
    "tinyint": "INTEGER",
    "smallint": "INTEGER",
    "integer": "INTEGER",
    "bigint": "INTEGER",
    "hugeint": "INTEGER",
    "utinyint": "INTEGER",
    "usmallint": "INTEGER",
    "uinteger": "INTEGER",
    "ubigint": "INTEGER",
    "uhugeint": "INTEGER",
    "float": "FLOAT",
    "double": "FLOAT",
    "decimal": "NUMERIC",
    "varchar": "STRING",
    "blob": "BYTES",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "DATETIME",
    "timestamp_s": "DATETIME",
    "timestamp_ms": "DATETIME",
    "timestamp_ns": "DATETIME",
    "timestamp with time zone": "TIMESTAMP",
    "interval": "INTERVAL",
    "uuid": "STRING",
    "geometry": "GEOGRAPHY",
}


def field_of(name: str, kind: Any, mode: str = "NULLABLE") -> Field:
    """The BigQuery field for a DuckDB result column (a `DuckDBPyType`)."""
    if str(kind) == "JSON":
        return Field(name, "JSON", mode)
    if kind.id in {"list", "array"}:
        return replace(field_of(name, dict(kind.children)["child"]), mode="REPEATED")
    if kind.id in {"struct", "tuple"}:
        members = tuple(field_of(member or f"_field_{n}", child) for n, (member, child) in enumerate(kind.children, 1))
        return Field(name, "RECORD", mode, members)
    return Field(name, FROM_DUCKDB.get(kind.id, "STRING"), mode)
