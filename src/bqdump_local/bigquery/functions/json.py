"""JSON: paths, subscripts and types.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from bqdump_local.bigquery.errors import unsupported
from bqdump_local.bigquery.functions.nodes import call, text


def member(node: exp.Expression, key: str) -> exp.Expression:
    """A member of JSON by its name."""
    path = '$."' + key.replace('"', '\\"') + '"'
    return exp.Paren(this=exp.Anonymous(this="json_extract", expressions=[node.copy(), text(path)]))


def _path(node: exp.Expression) -> exp.Expression:
    """The path of a function: text, or an expression."""
    path = node.args.get("expression")
    if path is None:
        return text("$")
    return exp.Var(this=path.sql(dialect="duckdb")) if isinstance(path, exp.JSONPath) else path


def _at_path(name: str) -> Callable[[Any], exp.Expression]:
    return lambda node: call(name, node.this, _path(node))


def _literal(node: exp.ParseJSON) -> exp.Expression:
    """A literal with subscripts, which sqlglot takes for parts of the text."""
    if not node.args.get("is_literal") or isinstance(node.this, exp.Literal):
        return node
    inner = node.this.copy()
    constant = next(item for item in inner.dfs() if isinstance(item, exp.Literal) and item.is_string)
    constant.replace(exp.Paren(this=exp.cast(constant.copy(), "JSON")))
    return inner


def _string(node: exp.String) -> exp.Expression:
    zone = node.args.get("zone")
    return call("timestamp_text", node.this, zone) if zone is not None else call("string", node.this)


def _format(node: exp.JSONFormat) -> exp.Expression:
    if (options := node.args.get("options")) is not None and not (
        isinstance(options, exp.Boolean) and not options.this
    ):
        raise unsupported("TO_JSON_STRING with pretty printing", location="query")
    if node.args.get("to_json"):
        return exp.Anonymous(this="to_json", expressions=[node.this.copy()])
    # The type of a column is known elsewhere.
    if isinstance(node.this, exp.Column):
        return node
    return call("to_json_string", node.this)


CHANGES: dict[type[exp.Expression], Callable[[Any], exp.Expression]] = {
    exp.Float64: lambda node: call("json_float64", node.this),
    exp.Int64: lambda node: call("json_int64", node.this),
    exp.JSONBool: lambda node: call("json_bool", node.this),
    exp.JSONExtract: _at_path("json_query"),
    exp.JSONExtractArray: _at_path("json_query_array"),
    exp.JSONExtractScalar: _at_path("json_value"),
    exp.JSONFormat: _format,
    exp.JSONType: lambda node: call("json_type", node.this),
    exp.JSONValueArray: _at_path("json_value_array"),
    exp.ParseJSON: _literal,
    exp.String: _string,
}
