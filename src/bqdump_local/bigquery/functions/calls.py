"""Replaces functions and operators that mean something else in DuckDB by macros with BigQuery's meaning (macros.sql).

What has no macro either is refused by name, instead of being answered wrongly.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from sqlglot import exp

from bqdump_local.bigquery.errors import invalid_query, unsupported
from bqdump_local.bigquery.functions import casting, dates, json, known, text
from bqdump_local.bigquery.functions.nodes import call, cast

Replacement = Callable[[Any], exp.Expression]
# The statements that create the macros.
MACROS = files(__package__).joinpath("macros.sql").read_text(encoding="utf-8")

CASTS = {
    exp.DataType.Type.BIGINT: "int64",
    exp.DataType.Type.BOOLEAN: "bool",
    exp.DataType.Type.TEXT: "string",
    exp.DataType.Type.BINARY: "bytes",
    exp.DataType.Type.VARBINARY: "bytes",
}


def replace(statement: exp.Expression) -> exp.Expression:
    """Replace the functions and operators of a statement, which changes. Returns the statement, or what replaces it."""
    holder = exp.Paren(this=statement)
    for node in reversed([node for node in holder.walk() if node is not holder]):
        new = _replaced(node)
        if new is not node:
            node.replace(new)
    replaced = holder.this
    replaced.pop()
    return replaced


def _replaced(node: exp.Expression) -> exp.Expression:
    known.refuse_unknown(node)
    if (name := REFUSED.get(type(node))) is not None:
        raise unsupported(f"the function {name}", location="query")
    return change(node) if (change := CHANGES.get(type(node))) is not None else node


def _cast(node: exp.Cast) -> exp.Expression:
    if node.args.get("format") is not None:
        return casting.with_format(node)
    if (name := CASTS.get(node.to.this)) is None or node.to.expressions:
        return node
    if isinstance(node, exp.TryCast):
        safe = call(f"try_{name}", node.this) if name in ("int64", "bool") else call(f"to_{name}", node.this)
        return safe if name in ("int64", "bool") else exp.Anonymous(this="TRY", expressions=[safe])
    return call(f"to_{name}", node.this)


def _arithmetic(node: exp.Binary) -> exp.Expression:
    """Sums and products of literals, which are INT64 here and of 32 bits in DuckDB."""
    if all(
        isinstance(part, exp.Literal) and not part.is_string and part.name.isdigit() for part in (node.left, node.right)
    ):
        node.set("this", exp.cast(node.left.copy(), "BIGINT"))
    return node


def _safe_sum(operator: type[exp.Binary]) -> Replacement:
    def change(node: exp.Expression) -> exp.Expression:
        parts = [exp.Paren(this=part.copy()) for part in (node.this, node.expression)]
        return exp.Anonymous(this="TRY", expressions=[_arithmetic(operator(this=parts[0], expression=parts[1]))])

    return change


def _safe(node: exp.SafeFunc) -> exp.Expression:
    if isinstance(node.this, exp.Anonymous) and node.this.name.upper() == "ERROR":
        return exp.Null()
    return exp.Anonymous(this="TRY", expressions=[node.this.copy()])


def _logarithm(node: exp.Log) -> exp.Expression:
    base, value = node.this.copy(), node.expression.copy()
    return exp.Log(this=base, expression=call("positive", value, exp.Literal.string("LOG")))


def _element(node: exp.Bracket) -> exp.Expression:
    """An element by its index without OFFSET or ORDINAL: of an array, or of JSON."""
    if node.args.get("offset") is not None or len(node.expressions) != 1:
        return node
    (index,) = node.expressions
    if isinstance(index, exp.Literal) and index.is_string:
        return json.member(node.this, index.name)
    return exp.Paren(this=call("item", node.this, index))


def _array_concat(node: exp.ArrayConcat) -> exp.Expression:
    whole = node.this.copy()
    for other in node.expressions:
        whole = call("array_concat", whole, other)
    return whole


def _limited(node: exp.ArrayAgg) -> exp.Expression:
    """ARRAY_AGG with LIMIT."""
    if not isinstance(limit := node.this, exp.Limit):
        return node
    most = limit.expression.copy()
    whole = exp.ArrayAgg(this=limit.this.copy())
    return exp.Anonymous(this="list_slice", expressions=[whole, exp.Literal.number(1), most])


def _without_nulls(node: exp.IgnoreNulls) -> exp.Expression:
    """IGNORE NULLS of ARRAY_AGG with LIMIT: NULLs are removed before the limit applies."""
    inner = node.this
    if (
        isinstance(inner, exp.Anonymous)
        and inner.name == "list_slice"
        and isinstance(inner.expressions[0], exp.ArrayAgg)
    ):
        limited = inner.copy()
        limited.expressions[0].replace(exp.IgnoreNulls(this=limited.expressions[0].copy()))
        return limited
    return inner.copy() if isinstance(inner, exp.AnonymousAggFunc) else node


def _with_nulls(node: exp.RespectNulls) -> exp.Expression:
    if isinstance(node.this, exp.AnonymousAggFunc):
        raise unsupported("APPROX_QUANTILES with RESPECT NULLS", location="query")
    return node


def _quantiles(node: exp.ApproxQuantiles) -> exp.Expression:
    """APPROX_QUANTILES, exactly."""
    arguments = [node.this, node.expression]
    if distinct := isinstance(node.this, exp.Distinct):
        arguments = list(node.this.expressions)
    value, count = arguments if len(arguments) == 2 else (arguments[0], None)
    if not isinstance(count, exp.Literal) or not count.name.isdigit() or count.name == "0":
        raise unsupported("APPROX_QUANTILES with a number that is not a literal", location="query")
    size = int(count.name)
    fractions = exp.Array(expressions=[exp.Literal.number(repr(place / size)) for place in range(size + 1)])
    of = exp.Distinct(expressions=[value.copy()]) if distinct else value.copy()
    return exp.AnonymousAggFunc(this="quantile_disc", expressions=[of, fractions])


def _joined(node: exp.GroupConcat) -> exp.Expression:
    if isinstance(node.this, exp.Limit):
        raise unsupported("STRING_AGG with LIMIT", location="query")
    return node


def _concatenated(node: exp.Expression) -> exp.Expression:
    """A NULL between strings or bytes is of their type."""
    parts = list(node.iter_expressions())
    kind = "BLOB" if any(isinstance(part, exp.ByteString) for part in parts) else "VARCHAR"
    for part in parts:
        if isinstance(part, exp.Null):
            part.replace(cast(part, kind))
    return node


def _over(node: exp.Expression) -> exp.Expression:
    """A percentile, which BigQuery has as a window function only."""
    if node.find_ancestor(exp.Window, exp.Select) is None or isinstance(
        node.find_ancestor(exp.Window, exp.Select), exp.Select
    ):
        raise invalid_query(f"Window function {node.sql_name()} must be called with an OVER clause")
    return node


def _series(node: exp.GenerateSeries) -> exp.Expression:
    step = node.args.get("step") or exp.Literal.number(1)
    return call("generate_array", node.args["start"], node.args["end"], step)


def _offset(node: exp.Offset) -> exp.Expression:
    if isinstance(node.parent, exp.Query) and node.parent.args.get("limit") is None:
        raise invalid_query("Syntax error: Unexpected keyword OFFSET")
    return node


def _named(node: exp.Anonymous) -> exp.Expression:
    """A function that sqlglot does not know."""
    name = node.name.upper()
    if name in ("ARRAY_IS_DISTINCT", "ARRAY_INCLUDES", "RANGE_BUCKET"):
        return call(name.lower(), *node.expressions)
    if name == "ERROR":
        started = exp.DPipe(this=exp.Literal.string("\x01"), expression=exp.Paren(this=node.expressions[0].copy()))
        message = exp.DPipe(this=started, expression=exp.Literal.string("\x02"))
        return exp.Anonymous(this="error", expressions=[message])
    if name == "RANGE":
        raise unsupported("the function RANGE", location="query")
    return node


def _grouped(node: exp.Dot) -> exp.Expression:
    group = node.this.name.upper() if isinstance(node.this, (exp.Identifier, exp.Column)) else ""
    if isinstance(node.expression, (exp.Anonymous, exp.Func)) and group in known.GROUPS:
        name = node.expression.name if isinstance(node.expression, exp.Anonymous) else node.expression.sql_name()
        raise unsupported(f"the function {group}.{name.upper()}", location="query")
    if isinstance(node.this, (exp.Anonymous, exp.Bracket)):
        return exp.Dot(this=exp.Paren(this=node.this.copy()), expression=node.expression.copy())
    return node


def _top_count(node: exp.ApproxTopK) -> exp.Expression:
    counts = exp.Anonymous(this="histogram", expressions=[node.this.copy()])
    return call("top_count", counts, node.expression)


def _net(node: exp.NetFunc) -> exp.Expression:
    raise unsupported(f"the function NET.{node.this.sql_name()}", location="query")


def _pivot(node: exp.Pivot) -> exp.Expression:
    if node.args.get("unpivot"):
        _name_last(node)
    elif any(isinstance(item, exp.Alias) for item in node.expressions):
        raise unsupported("PIVOT with a name for an aggregate", location="query")
    return node


def _name_last(node: exp.Pivot) -> None:
    """Put the column of names after those of values, in `SELECT *` from UNPIVOT."""
    select = node.find_ancestor(exp.Select)
    names = [item.this for item in node.args.get("fields") or () if isinstance(item, exp.In)]
    if select is None or select.args.get("joins") or len(names) != 1:
        return
    for star in [item for item in select.expressions if isinstance(item, exp.Star) and not any(item.args.values())]:
        star.set("except_", [names[0].copy()])
        select.append("expressions", exp.column(names[0].name))


REFUSED: dict[type[exp.Expression], str] = {
    exp.ApproxTopSum: "APPROX_TOP_SUM",
    exp.Collate: "COLLATE",
    exp.FarmFingerprint: "FARM_FINGERPRINT",
    exp.JSONKeysAtDepth: "JSON_KEYS",
    exp.JSONSet: "JSON_SET",
    exp.LaxBool: "LAX_BOOL",
    exp.LaxFloat64: "LAX_FLOAT64",
    exp.LaxInt64: "LAX_INT64",
    exp.LaxString: "LAX_STRING",
    exp.SafeConvertBytesToString: "SAFE_CONVERT_BYTES_TO_STRING",
    exp.Soundex: "SOUNDEX",
    exp.ToBase32: "TO_BASE32",
    exp.Typeof: "TYPEOF",
}

CHANGES: dict[type[exp.Expression], Replacement] = {
    exp.Add: _arithmetic,
    exp.Mul: _arithmetic,
    exp.Sub: _arithmetic,
    exp.Anonymous: _named,
    exp.ApproxQuantiles: _quantiles,
    exp.ApproxTopK: _top_count,
    exp.ArrayAgg: _limited,
    exp.ArrayConcat: _array_concat,
    exp.ArrayFirst: lambda node: call("array_first", node.this),
    exp.ArrayLast: lambda node: call("array_last", node.this),
    exp.ArraySlice: lambda node: call("array_slice", node.this, node.args["start"], node.args["end"]),
    exp.BitwiseCount: lambda node: exp.Anonymous(this="bit_count", expressions=[exp.cast(node.this.copy(), "BIGINT")]),
    exp.BitwiseLeftShift: lambda node: call("shift_left", node.this, node.expression),
    exp.BitwiseRightShift: lambda node: call("shift_right", node.this, node.expression),
    exp.Bracket: _element,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Concat: _concatenated,
    exp.DPipe: _concatenated,
    exp.Div: lambda node: call("div", node.this, node.expression),
    exp.Dot: _grouped,
    exp.GroupConcat: _joined,
    exp.IgnoreNulls: _without_nulls,
    exp.RespectNulls: _with_nulls,
    exp.Exp: lambda node: call("exp", node.this),
    exp.PercentileCont: _over,
    exp.PercentileDisc: _over,
    exp.Pow: lambda node: call("pow", node.this, node.expression),
    exp.Sign: lambda node: call("sign", node.this),
    exp.GenerateSeries: _series,
    exp.Offset: _offset,
    exp.Ln: lambda node: exp.Ln(this=call("positive", node.this, exp.Literal.string("LN"))),
    exp.Log: _logarithm,
    exp.NetFunc: _net,
    exp.Pivot: _pivot,
    exp.RangeBucket: lambda node: call("range_bucket", node.this, node.expression),
    exp.SafeAdd: _safe_sum(exp.Add),
    exp.SafeFunc: _safe,
    exp.SafeMultiply: _safe_sum(exp.Mul),
    exp.SafeNegate: lambda node: _safe_sum(exp.Sub)(exp.Sub(this=exp.Literal.number(0), expression=node.this.copy())),
    exp.SafeSubtract: _safe_sum(exp.Sub),
    exp.Sqrt: lambda node: call("sqrt", node.this),
    **dates.CHANGES,
    **json.CHANGES,
    **text.CHANGES,
}
