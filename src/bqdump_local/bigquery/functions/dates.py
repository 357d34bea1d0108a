"""Dates and times: parts, truncation, differences, formats.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlglot import exp

from bqdump_local.bigquery.errors import unsupported
from bqdump_local.bigquery.functions.nodes import call, cast, number, text

# ISO's numbers of the days on which a week can begin.
DAYS = {"MONDAY": 1, "TUESDAY": 2, "WEDNESDAY": 3, "THURSDAY": 4, "FRIDAY": 5, "SATURDAY": 6, "SUNDAY": 7}
MICROSECONDS = {
    "MICROSECOND": 1,
    "MILLISECOND": 1000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
ELEMENT = re.compile(r"%(?:-d|E\d+S|E\*S|E[a-zA-Z]|E4Y|S\.%f|[a-zA-Z%])")
# What is now, and its type if that has no time zone.
CURRENT = {
    exp.CurrentTimestamp: None,
    exp.CurrentDate: "DATE",
    exp.CurrentDatetime: "TIMESTAMP",
    exp.CurrentTime: "TIME",
}
# Elements that DuckDB has, too.
PLAIN = set("aAbBdHIjmMpSuUwWyGV%")
EXPANDED = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M", "%D": "%m/%d/%y", "%h": "%b", "%E4Y": "%Y", "%n": "\n",
            "%t": "\t"}  # fmt: skip
# Elements that one reads in DuckDB in the same way.
READ = set("aAbBdHIjmMpSyYz%f")
MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def current(node: exp.Expression, now_ms: int) -> exp.Expression:
    """CURRENT_DATE and its like: the job's time, in the time zone that is given."""
    moment = cast(text(datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(" ")), "TIMESTAMPTZ")
    if (kind := CURRENT[type(node)]) is None:
        return moment
    zone = node.this.copy() if node.this else text("UTC")
    return cast(exp.Anonymous(this="timezone", expressions=[zone, moment]), kind)


def _part(node: exp.Expression | None) -> tuple[str, int | None]:
    """A part of a date, and for a week the number of its first day."""
    if isinstance(node, exp.WeekStart):
        return "WEEK", DAYS[node.name.upper()]
    name = node.name.upper() if node is not None else "DAY"
    week = {"WEEK": 7, "ISOWEEK": 1}.get(name)
    return ("WEEK", week) if week else (name, None)


def _truncated(node: exp.Expression) -> exp.Expression:
    """A date or time, truncated in its time zone."""
    zone, value = node.args.get("zone"), node.this
    if zone is not None:
        local = exp.Anonymous(this="timezone", expressions=[zone.copy(), cast(value, "TIMESTAMPTZ")])
        return exp.Anonymous(this="timezone", expressions=[zone.copy(), _start(local, node.args.get("unit"))])
    if isinstance(node, exp.TimestampTrunc) and isinstance(value, exp.Literal):
        value = cast(value, "TIMESTAMPTZ")
    return _start(value, node.args.get("unit"))


def _start(value: exp.Expression, unit: exp.Expression | None) -> exp.Expression:
    name, first = _part(unit)
    if first is not None:
        return call("trunc_week", value, number(first))
    return call("trunc_isoyear", value) if name == "ISOYEAR" else call("trunc", value, text(name))


def _extracted(node: exp.Extract) -> exp.Expression:
    name, first = _part(node.this)
    value = node.expression
    if isinstance(node.this, exp.Var) and name == "WEEK" and first == 1:
        return exp.Anonymous(this="weekofyear", expressions=[value.copy()])
    if first is not None:
        return call("week", value, number(first))
    match name:
        case "DAYOFWEEK":
            return call("day_of_week", value)
        case "DATE" | "TIME":
            return cast(cast(value, "TIMESTAMP"), name)
        case "DATETIME":
            return cast(value, "TIMESTAMP")
        case "MILLISECOND":
            return call("below", node, number(1000))
        case "MICROSECOND":
            return call("below", node, number(1_000_000))
    return node


def _difference(node: exp.TimestampDiff) -> exp.Expression:
    name, _ = _part(node.args.get("unit"))
    if (size := MICROSECONDS.get(name)) is None:
        raise unsupported(f"TIMESTAMP_DIFF by {name}", location="query")
    return call("timestamp_diff", node.this, node.expression, number(size))


def _local(node: exp.TimeToStr) -> exp.Expression:
    """The value to format, without a time zone."""
    inner = node.this.this if isinstance(node.this, exp.Func) else node.this
    zone = node.args.get("zone") or text("UTC")
    match node.this:
        case exp.TsOrDsToTimestamp():
            return exp.Anonymous(this="timezone", expressions=[zone.copy(), cast(inner, "TIMESTAMPTZ")])
        case exp.TsOrDsToTime():
            return exp.Paren(this=exp.Add(this=cast(text("1970-01-01"), "DATE"), expression=cast(inner, "TIME")))
        case exp.TsOrDsToDate():
            return cast(cast(inner, "DATE"), "TIMESTAMP")
    return cast(inner, "TIMESTAMP")


def _formatted(node: exp.TimeToStr) -> exp.Expression:
    """FORMAT_DATE and its like, with a constant format."""
    if not isinstance(node.args["format"], exp.Literal):
        raise unsupported("a format of dates that is not a literal", location="query")
    pattern, value, parts, end = node.args["format"].name, _local(node), [], 0
    for match in ELEMENT.finditer(pattern):
        parts += [text(pattern[end : match.start()]), _element(match[0], value, node)]
        end = match.end()
    parts.append(text(pattern[end:]))
    whole: exp.Expression = parts[0]
    for part in parts[1:]:
        whole = exp.DPipe(this=whole, expression=part)
    return exp.Paren(this=whole)


def _element(element: str, value: exp.Expression, node: exp.TimeToStr) -> exp.Expression:
    if (plain := EXPANDED.get(element)) or element[1:] in PLAIN:
        return exp.Anonymous(this="strftime", expressions=[value.copy(), text(plain or element)])
    if seconds := re.fullmatch(r"%E(\d)S", element):
        return call("seconds", value, number(int(seconds[1])))
    match element:
        case "%E*S":
            return call("seconds_of_all_digits", value)
        case "%S.%f":
            return call("seconds", value, number(6))
        case "%-d" | "%e":
            return call("padded", exp.Anonymous(this="day", expressions=[value.copy()]))
        case "%Y":
            # With as many digits as the year has. DuckDB always writes four.
            return call("text", exp.Anonymous(this="year", expressions=[value.copy()]))
        case "%k":
            return call("padded", exp.Anonymous(this="hour", expressions=[value.copy()]))
        case "%Q":
            return call("text", exp.Anonymous(this="quarter", expressions=[value.copy()]))
        case "%s" | "%z" | "%Ez" if isinstance(node.this, exp.TsOrDsToTimestamp):
            moment, zone = cast(node.this.this, "TIMESTAMPTZ"), node.args.get("zone") or text("UTC")
            if element == "%s":
                return call("text", call("unix", moment, number(1_000_000)))
            return call("offset_text", call("offset_minutes", moment, zone), text(":" if element == "%Ez" else ""))
    raise unsupported(f"the format element {element}", location="query")


def _parsed(node: exp.Expression) -> exp.Expression:
    """PARSE_DATE and its like. A TIMESTAMP is in UTC, or in the zone that is given."""
    pattern = node.args["format"].name
    for element in ELEMENT.findall(pattern):
        if element not in ("%-d", "%S.%f", "%e") and element[1:] not in READ and element not in EXPANDED:
            raise unsupported(f"the format element {element} for reading", location="query")
    if not isinstance(node, exp.StrToTime):
        return node
    zone = node.args.get("zone")
    plain = node.copy()
    plain.set("zone", None)
    return exp.Anonymous(this="timezone", expressions=[(zone or text("UTC")).copy(), cast(plain, "TIMESTAMP")])


def _moments(node: exp.GenerateTimestampArray) -> exp.Expression:
    """GENERATE_TIMESTAMP_ARRAY, whose ends may be literals."""
    for key in ("start", "end"):
        node.set(key, cast(node.args[key], "TIMESTAMPTZ"))
    return node


def _days(node: exp.GenerateDateArray) -> exp.Expression:
    """GENERATE_DATE_ARRAY in steps of months that count from the start: 31 March follows 29 February."""
    step = node.args.get("step")
    months = MONTHS.get(step.text("unit").upper()) if isinstance(step, exp.Interval) else None
    if months is None or step is None:
        return node
    number_of = exp.Mul(this=exp.Paren(this=cast(step.this, "BIGINT")), expression=number(months))
    return call("month_array", cast(node.args["start"], "DATE"), cast(node.args["end"], "DATE"), number_of)


CHANGES: dict[type[exp.Expression], Callable[[Any], exp.Expression]] = {
    exp.DateFromUnixDate: lambda node: cast(node, "DATE"),
    exp.DateTrunc: _truncated,
    exp.DatetimeTrunc: _truncated,
    exp.Extract: _extracted,
    exp.GenerateDateArray: _days,
    exp.GenerateTimestampArray: _moments,
    exp.ParseDatetime: _parsed,
    exp.ParseTime: _parsed,
    exp.StrToDate: _parsed,
    exp.StrToTime: _parsed,
    exp.TimeToStr: _formatted,
    exp.TimeTrunc: _truncated,
    exp.TimestampDiff: _difference,
    exp.TimestampTrunc: _truncated,
    exp.UnixMillis: lambda node: call("unix", node.this, number(1000)),
    exp.UnixSeconds: lambda node: call("unix", node.this, number(1_000_000)),
}
