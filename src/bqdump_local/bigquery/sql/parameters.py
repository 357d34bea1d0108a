"""Query parameters as constants of DuckDB.

Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/QueryParameter
"""

from __future__ import annotations

import json
from typing import Any

import sqlglot
from sqlglot import exp

from bqdump_local.bigquery.errors import invalid_query

TEXT_TYPES = {
    exp.DataType.Type.BIGDECIMAL,
    exp.DataType.Type.GEOGRAPHY,
    exp.DataType.Type.INTERVAL,
    exp.DataType.Type.RANGE,
}


def find(parameters: list[dict[str, Any]], name: str, position: int) -> dict[str, Any]:
    """The parameter with a name, or, without a name, at a position."""
    if name not in {"", "?"}:
        parameter = next((p for p in parameters if p.get("name", "").lower() == name.lower()), None)
    else:
        parameter = parameters[position] if position < len(parameters) else None
    if parameter is None:
        raise invalid_query(f"Query parameter '{name or position + 1}' not found")
    if not (parameter.get("parameterType") or {}).get("type"):
        raise invalid_query(f"Query parameter '{name or position + 1}' has no type")
    return parameter


def type_name(kind: dict[str, Any]) -> str:
    """The type of a parameter in GoogleSQL."""
    name = str(kind["type"]).upper()
    if name == "ARRAY":
        return f"ARRAY<{type_name(kind['arrayType'])}>"
    if name == "STRUCT":
        members = (
            f"{field.get('name', '')} {type_name(field['type'])}".strip() for field in kind.get("structTypes") or ()
        )
        return f"STRUCT<{', '.join(members)}>"
    if name == "RANGE":
        return f"RANGE<{type_name(kind.get('rangeElementType') or {'type': 'DATE'})}>"
    return name


def value(kind: dict[str, Any], sent: dict[str, Any]) -> exp.Expression:
    """A parameter as an expression with its type."""
    name = str(kind["type"]).upper()
    match name:
        case "ARRAY":
            if (element := str(kind["arrayType"]["type"]).upper()) not in ("ARRAY", "BYTES", "RANGE", "STRUCT"):
                # One literal, however many values: each expression would take its time.
                texts = [item.get("value") for item in sent.get("arrayValues") or ()]
                values = exp.Anonymous(
                    this="from_json",
                    expressions=[exp.Literal.string(json.dumps(texts)), exp.Literal.string('["VARCHAR"]')],
                )
                return exp.cast(values, f"{_data_type(element).sql(dialect='duckdb')}[]", dialect="duckdb")
            items = [value(kind["arrayType"], item) for item in sent.get("arrayValues") or ()]
            return exp.cast(exp.Array(expressions=items), _data_type(type_name(kind)))
        case "STRUCT":
            values = sent.get("structValues") or {}
            members = [
                exp.PropertyEQ(
                    this=exp.to_identifier(member.get("name") or f"_field_{number}", quoted=True),
                    expression=value(member["type"], values.get(member.get("name", "")) or {}),
                )
                for number, member in enumerate(kind.get("structTypes") or (), 1)
            ]
            return exp.Struct(expressions=members)
        case "RANGE":
            limits = sent.get("rangeValue")
            if limits is None and sent.get("value") is None:
                return exp.cast(exp.Null(), "TEXT")
            ends = [((limits or {}).get(key) or {}).get("value") or "UNBOUNDED" for key in ("start", "end")]
            text = f"[{ends[0]}, {ends[1]})" if limits is not None else str(sent["value"])
            return exp.cast(exp.Literal.string(text), "TEXT")
        case "BYTES" if sent.get("value") is not None:
            return exp.Anonymous(this="from_base64", expressions=[exp.Literal.string(str(sent["value"]))])
    scalar = sent.get("value")
    plain = exp.Null() if scalar is None else exp.Literal.string(str(scalar))
    if name == "STRING" and scalar is not None:
        # Like a literal, it becomes a TIMESTAMP, DATE or TIME where one is compared with it.
        return plain
    return exp.Cast(this=plain, to=_data_type(name))


def _data_type(name: str) -> exp.DataType:
    try:
        return sqlglot.exp.DataType.build(name, dialect="bigquery").transform(data_type)
    except sqlglot.errors.ParseError as error:
        raise invalid_query(f"Invalid query parameter type: {name}") from error


def data_type(node: exp.Expression) -> exp.Expression:
    """The type in which DuckDB stores a type of BigQuery."""
    if not isinstance(node, exp.DataType):
        return node
    if node.this in TEXT_TYPES:
        return exp.DataType.build("TEXT")
    if node.this == exp.DataType.Type.DECIMAL:
        return exp.DataType.build("DECIMAL(38, 9)")
    return node
