"""What replaces single nodes of a statement for DuckDB, by their kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sqlglot import exp

from bqdump_local.bigquery.files.formats import to_json_string
from bqdump_local.bigquery.functions import dates
from bqdump_local.bigquery.functions.nodes import call
from bqdump_local.bigquery.settings import USER
from bqdump_local.bigquery.sql import parameters, structs
from bqdump_local.bigquery.sql.reads import Reads
from bqdump_local.bigquery.tables.tables import PARTITION_TIME
from bqdump_local.bigquery.types import failing

# GEOGRAPHY is stored as WKT.
TEXT_ALREADY = {"ST_GEOGFROMTEXT", "ST_ASTEXT"}


class Context(Protocol):
    """What a replacement may depend on."""

    now_ms: int
    reads: Reads

    def rewrite(self, node: exp.Expression) -> exp.Expression:
        """One node for DuckDB."""
        ...

    def parameter(self, node: exp.Expression) -> exp.Expression:
        """The value of a parameter of the query."""
        ...


def duckdb(text: str) -> exp.Expression:
    """Text that is DuckDB's already, as it is."""
    return exp.Var(this=text)


def _within(context: Context, node: exp.Expression) -> exp.Expression:
    """A new node with its parts rewritten: what replaces another node is not visited itself."""
    for child in list(node.iter_expressions()):
        child.replace(child.transform(context.rewrite, copy=False))
    return node


def _current(context: Context, node: exp.Expression) -> exp.Expression:
    return dates.current(_within(context, node.copy()), context.now_ms)


def _from_unix(context: Context, node: exp.UnixToTime) -> exp.Expression:
    if node.args.get("scale") is None:
        return node
    factor = 10 ** (6 - int(node.args["scale"].name))
    seconds = exp.Paren(this=node.this.transform(context.rewrite))
    micros = exp.Mul(this=seconds, expression=exp.Literal.number(factor))
    return exp.Anonymous(this="make_timestamptz", expressions=[micros])


def _literal(_: Context, node: exp.Literal) -> exp.Expression:
    """A number with a point is a FLOAT64."""
    if node.is_string or node.name.isdigit() or isinstance(node.parent, exp.Cast):
        return node
    return exp.cast(node.copy(), "DOUBLE")


def _named(context: Context, node: exp.Anonymous) -> exp.Expression:
    """A function that sqlglot does not know."""
    name = node.name.upper()
    if name in TEXT_ALREADY and len(node.expressions) == 1:
        return node.expressions[0].copy()
    if name == "IEEE_DIVIDE":
        over, under = (part.sql(dialect="duckdb") for part in node.expressions)
        return duckdb(f"(({over})::DOUBLE / ({under})::DOUBLE)")
    if name == "ST_GEOGPOINT":
        longitude, latitude = (part.transform(context.rewrite).sql(dialect="duckdb") for part in node.expressions)
        return duckdb(f"format('POINT({{:.15g}} {{:.15g}})', ({longitude})::DOUBLE, ({latitude})::DOUBLE)")
    return node


def _to_json_string(context: Context, node: exp.JSONFormat) -> exp.Expression:
    """TO_JSON_STRING by the type of a column; DuckDB's JSON for any other expression."""
    if not isinstance(node.this, exp.Column):
        return node
    known = {field.name.lower(): field for field in context.reads.fields}
    field = known.get(node.this.name.lower())
    return duckdb(to_json_string(field, node.this.sql(dialect="duckdb"))) if field else node


def _column(_: Context, node: exp.Column) -> exp.Expression:
    if node.name.upper() == "_PARTITIONDATE":
        return exp.cast(exp.column(PARTITION_TIME, table=node.table or None), "DATE")
    if "." in node.table:
        # The path of a table in one pair of backquotes.
        return exp.column(node.this.copy(), table=exp.to_identifier(node.table.rpartition(".")[2], quoted=True))
    return node


def _element(context: Context, node: exp.Bracket) -> exp.Expression:
    """An element of an array. DuckDB counts from 1, backwards below, and knows no index that is out of bounds."""
    if node.args.get("offset") is None or len(node.expressions) != 1:
        return node
    new = _within(context, node.copy())
    array, index = (part.sql(dialect="duckdb") for part in (new.this, new.expressions[0]))
    position = f"(({index}) + {1 - int(node.args['offset'])})"
    text = f"'Array index ' || ({index}) || ' is out of bounds'"
    beyond = "NULL" if node.args.get("safe") else failing(text)
    return duckdb(
        f"CASE WHEN {position} BETWEEN 1 AND len({array}) THEN ({array})[{position}] "
        f"WHEN {position} IS NULL OR ({array}) IS NULL THEN NULL ELSE {beyond} END"
    )


def _moved(context: Context, node: exp.Expression) -> exp.Expression:
    """A DATE that is moved, which is a TIMESTAMP in DuckDB."""
    return call("in_calendar", exp.cast(_within(context, node.copy()), "DATE"))


def _time(context: Context, node: exp.TsOrDsToTime) -> exp.Expression:
    return exp.cast(exp.cast(node.this.transform(context.rewrite), "TIMESTAMP"), "TIME")


def _struct(context: Context, node: exp.Struct | exp.Tuple) -> exp.Expression:
    named = structs.named(node)
    return node if named is node else _within(context, named)


def _parameter(context: Context, node: exp.Expression) -> exp.Expression:
    return context.parameter(node)


CHANGES: dict[type[exp.Expression], Callable[[Context, Any], exp.Expression]] = {
    **dict.fromkeys(dates.CURRENT, _current),
    exp.Anonymous: _named,
    exp.Bracket: _element,
    exp.Column: _column,
    exp.DataType: lambda _, node: parameters.data_type(node),
    exp.DateAdd: _moved,
    exp.DateSub: _moved,
    exp.JSONFormat: _to_json_string,
    exp.Literal: _literal,
    exp.Parameter: _parameter,
    exp.Placeholder: _parameter,
    exp.Pseudocolumn: _column,
    exp.SessionUser: lambda _context, _node: exp.Literal.string(USER),
    exp.Struct: _struct,
    exp.TsOrDsToTime: _time,
    exp.Tuple: _struct,
    exp.UnixToTime: _from_unix,
}
