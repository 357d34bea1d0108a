"""Casts with a FORMAT: between strings and bytes, and between strings and dates and times.

Sources: https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements, and what GoogleSQL's own
implementation does where the page is silent: names are not padded, and digits beyond those of FFn are cut off.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sqlglot import exp

from bqdump_local.bigquery.errors import BigQueryError, invalid_query, unsupported
from bqdump_local.bigquery.functions import cast_formats
from bqdump_local.bigquery.functions.nodes import call, cast, number, text

# What encodes bytes as strings. BASE8 and BASE32 exist in BigQuery, too.
ENCODINGS = {
    "HEX": "hex",
    "BASE16": "hex",
    "BASE2": "base2",
    "BASE64": "base64",
    "BASE64M": "base64m",
    "ASCII": "ascii",
    "UTF8": "utf8",
    "UTF-8": "utf8",
}
OTHER_ENCODINGS = ("BASE8", "BASE32")
NUMBERS = re.compile(r"[$90X.,GDLCBVSMIPRTE]+|FM.*|TM[9E]?", re.IGNORECASE)

YEAR, MONTH, DAY, HOUR, MERIDIAN, MINUTE = "year", "month", "day", "hour", "meridian", "minute"
SECOND, DAY_SECOND, FRACTION, OFFSET_HOUR, OFFSET_MINUTE = "second", "day_second", "fraction", "hours", "minutes"
LITERAL = ""
# The elements, by the part of a date or time that they are.
PARTS = {
    YEAR: "Y,YYY YYYY YYY YY Y RRRR RR",
    MONTH: "MONTH MON MM",
    DAY: "DDD DD DAY DY D",
    HOUR: "HH12 HH24 HH",
    MERIDIAN: "A.M. P.M. AM PM",
    MINUTE: "MI",
    SECOND: "SS",
    DAY_SECOND: "SSSSS",
    FRACTION: "FF1 FF2 FF3 FF4 FF5 FF6 FF7 FF8 FF9",
    OFFSET_HOUR: "TZH",
    OFFSET_MINUTE: "TZM",
}
ELEMENTS = {name: part for part, names in PARTS.items() for name in names.split()}
# Elements of GoogleSQL that have no meaning in a cast yet, there either.
WITHOUT_MEANING = ("SYYYY", "IYYY", "IYY", "IY", "I", "YEAR", "SYEAR", "RM", "J", "CC", "SCC", "Q", "IW", "WW", "W",
                   "AD", "BC", "A.D.", "B.C.", "SPTH", "THSP", "SP", "TH", "FM")  # fmt: skip
LONGEST_FIRST = sorted((*ELEMENTS, *WITHOUT_MEANING), key=len, reverse=True)
ELEMENT = re.compile(
    rf'(?P<quoted>"(?:\\["\\]|[^"\\])*")|(?P<spaces> +)|(?P<simple>[-./,\';:])'
    rf"|(?P<name>{'|'.join(map(re.escape, LONGEST_FIRST))})",
    re.IGNORECASE,
)
DATE_PARTS = (YEAR, MONTH, DAY)
OFFSET_PARTS = (OFFSET_HOUR, OFFSET_MINUTE)
# The parts that can be read into a type.
READ = {
    exp.DataType.Type.DATE: (LITERAL, *DATE_PARTS),
    exp.DataType.Type.TIME: (LITERAL, HOUR, MERIDIAN, MINUTE, SECOND, DAY_SECOND, FRACTION),
    exp.DataType.Type.TIMESTAMP: (LITERAL, *DATE_PARTS, HOUR, MERIDIAN, MINUTE, SECOND, DAY_SECOND, FRACTION),
    exp.DataType.Type.TIMESTAMPTZ: None,
}
READ[exp.DataType.Type.DATETIME] = READ[exp.DataType.Type.TIMESTAMP]
# Elements that are written only.
NOT_READ = ("DDD", "DAY", "DY", "D", "AM", "PM")
# How many digits of the year an element does not have, as a power of ten. RR chooses its century.
SHORT_YEARS = {"YYY": 1000, "YY": 100, "Y": 10, "RR": -100}
DIGITS = {"YYYY": 4, "RRRR": 4, "YYY": 3, "SSSSS": 5, "Y": 1, **{f"FF{count}": count for count in range(1, 10)}}
TWO_DIGITS = 2
NAMES = {
    "MON": "(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)",
    "MONTH": "(JANUARY|FEBRUARY|MARCH|APRIL|MAY|JUNE|JULY|AUGUST|SEPTEMBER|OCTOBER|NOVEMBER|DECEMBER)",
}
WRITTEN = {"MM": "%m", "MON": "%b", "MONTH": "%B", "DDD": "%j", "DD": "%d", "DAY": "%A", "DY": "%a", "HH": "%I",
           "HH12": "%I", "HH24": "%H", "MI": "%M", "SS": "%S", "AM": "%p", "PM": "%p"}  # fmt: skip


class Element(NamedTuple):
    """One element of a format.

    name: in capitals, "" for literal text.
    spelled: as it is written, or the text.
    """

    name: str
    spelled: str

    @property
    def part(self) -> str:
        """The part of a date or time that it is."""
        return ELEMENTS.get(self.name, LITERAL)


def with_format(node: exp.Cast) -> exp.Expression:
    """A cast with a format."""
    format_ = node.args["format"]
    pattern, zone = format_.meta.get(cast_formats.FORMAT, format_.name), format_.meta.get(cast_formats.ZONE)
    kind = node.to.this
    to_text = kind == exp.DataType.Type.TEXT
    if kind in (exp.DataType.Type.BINARY, exp.DataType.Type.VARBINARY) or (to_text and _is_encoding(pattern)):
        converted = _encoded(node.this, pattern, to_text=to_text)
    elif to_text:
        converted = _written(node.this, _elements(pattern), zone)
    elif kind in READ:
        converted = _read(node.this, kind, _elements(pattern), zone)
    else:
        raise unsupported(f"CAST to {node.to.sql(dialect='bigquery')} with FORMAT", location="query")
    return exp.Anonymous(this="TRY", expressions=[converted]) if isinstance(node, exp.TryCast) else converted


def _is_encoding(pattern: str) -> bool:
    return pattern.upper() in (*ENCODINGS, *OTHER_ENCODINGS)


def _encoded(value: exp.Expression, pattern: str, *, to_text: bool) -> exp.Expression:
    name = pattern.upper()
    if name in OTHER_ENCODINGS:
        raise unsupported(f"CAST with the FORMAT {name}", location="query")
    if name not in ENCODINGS:
        raise invalid_query(f'Invalid format "{pattern}" for a cast of bytes')
    return call(f"{ENCODINGS[name]}_{'text' if to_text else 'bytes'}", value)


def _elements(pattern: str) -> list[Element]:
    """The elements of a format of dates and times."""
    elements: list[Element] = []
    place = 0
    while place < len(pattern):
        match = ELEMENT.match(pattern, place)
        if match is None or (match["name"] and match["name"].upper() in WITHOUT_MEANING):
            raise _unknown(pattern, place)
        if match["quoted"]:
            elements.append(Element(LITERAL, re.sub(r"\\(.)", r"\1", match["quoted"][1:-1])))
        else:
            elements.append(Element((match["name"] or "").upper(), match[0]))
        place = match.end()
    return elements


def _unknown(pattern: str, place: int) -> BigQueryError:
    if NUMBERS.fullmatch(pattern):
        return unsupported(f'CAST of numbers with the FORMAT "{pattern}"', location="query")
    return invalid_query(f'Unsupported format element at {place} of the format "{pattern}"')


def _written(value: exp.Expression, elements: Sequence[Element], zone: str | None) -> exp.Expression:
    """A date or time as a string."""
    parts = {element.part for element in elements}
    dated, zoned = bool(parts & set(DATE_PARTS)), bool(parts & set(OFFSET_PARTS))
    timed = bool(parts - {LITERAL, *DATE_PARTS, *OFFSET_PARTS})
    kinds = "".join(kind for kind, used in (("d", dated), ("t", timed), ("z", zoned)) if used)
    civil = call("civil", value, text(zone or "UTC"), text(kinds))
    offset = call("civil_offset", value, text(zone or "UTC"))
    whole: exp.Expression = text("")
    for element in elements:
        whole = exp.DPipe(this=whole, expression=_written_element(element, civil, offset))
    # Where the format has no element, the value may still be NULL.
    return exp.Paren(this=exp.Case(ifs=[exp.If(this=civil.copy().is_(exp.Not(this=exp.Null())), true=whole)]))


def _written_element(element: Element, civil: exp.Expression, offset: exp.Expression) -> exp.Expression:
    name = element.name
    if name == LITERAL:
        return text(element.spelled)
    if element.part == YEAR:
        if name == "Y,YYY":
            raise invalid_query("Unsupported format element Y,YYY")
        return call("last_digits", exp.Anonymous(this="year", expressions=[civil.copy()]), number(len(name)))
    if element.part == FRACTION:
        return exp.Substring(
            this=exp.Anonymous(this="rpad", expressions=[_strftime(civil, "%f"), number(9), text("0")]),
            start=number(1),
            length=number(int(name[2:])),
        )
    match name:
        case "D":
            return call("text", call("day_of_week", civil))
        case "SSSSS":
            return call("day_second", civil)
        case "TZH":
            return call("offset_hours", offset)
        case "TZM":
            return call("offset_rest", offset)
        case "A.M." | "P.M.":
            return _spelled(element.spelled, call("meridian", civil))
    return _spelled(element.spelled, _strftime(civil, WRITTEN[name]))


def _strftime(civil: exp.Expression, pattern: str) -> exp.Expression:
    return exp.Anonymous(this="strftime", expressions=[civil.copy(), text(pattern)])


def _spelled(element: str, value: exp.Expression) -> exp.Expression:
    """Text in capitals or small letters, as its element is spelled."""
    if element[0].islower():
        return exp.Lower(this=value)
    if element[1].islower() and ELEMENTS[element.upper()] != MERIDIAN:
        return value
    return exp.Upper(this=value)


def _read(
    value: exp.Expression, kind: exp.DataType.Type, elements: Sequence[Element], zone: str | None
) -> exp.Expression:
    """A string as a date or time."""
    _check(elements, READ[kind], kind)
    pattern, names = r"(?i)\s*", []
    for place, element in enumerate(elements):
        pattern += _matching(element, before_digits=_begins_with_digit(elements[place + 1 :]))
        names += [element.part] if element.part else []
    missing = [part for part in PARTS if part not in names]
    pattern += r"\s*" + "()" * len(missing)
    short = next((SHORT_YEARS.get(element.name, 0) for element in elements if element.part == YEAR), 0)
    listed = exp.Array(expressions=[text(name) for name in (*names, *missing)])
    moment = call("read_moment", value, text(pattern), listed, exp.Literal.number(short), exp.CurrentDate())
    match kind:
        case exp.DataType.Type.DATE:
            return cast(moment, "DATE")
        case exp.DataType.Type.TIME:
            return cast(moment, "TIME")
        case exp.DataType.Type.TIMESTAMPTZ if set(names) & set(OFFSET_PARTS):
            shift = call("read_offset", value, text(pattern), listed)
            return exp.Anonymous(
                this="timezone", expressions=[text("UTC"), exp.Paren(this=exp.Sub(this=moment, expression=shift))]
            )
        case exp.DataType.Type.TIMESTAMPTZ:
            return exp.Anonymous(this="timezone", expressions=[text(zone or "UTC"), moment])
    return moment


def _begins_with_digit(rest: Sequence[Element]) -> bool:
    """Whether what follows an element begins with a digit, so that it must have all of its own."""
    following = next((element for element in rest if element.name or element.spelled), None)
    if following is None:
        return False
    if following.name == LITERAL:
        return following.spelled[0].isdigit()
    return following.name not in NAMES and following.part not in (MERIDIAN, OFFSET_HOUR)


def _matching(element: Element, *, before_digits: bool) -> str:
    """The regular expression of an element."""
    name = element.name
    if name == LITERAL:
        return r"\s+" if element.spelled.strip(" ") == "" and element.spelled else f"(?-i:{re.escape(element.spelled)})"
    if name in NAMES:
        return NAMES[name]
    if element.part == MERIDIAN:
        return r"([AP]\.M\.)"
    if name == "Y,YYY":
        return "([0-9]{1,2},[0-9]{3})"
    size = DIGITS.get(name, TWO_DIGITS)
    longest = size + (size == DIGITS["YYYY"] and element.part == YEAR)
    digits = f"[0-9]{{{size}}}" if before_digits else f"[0-9]{{1,{longest}}}"
    return f"([-+ ]{digits})" if name == "TZH" else f"({digits})"


def _check(elements: Sequence[Element], known: Sequence[str] | None, kind: exp.DataType.Type) -> None:
    """Refuse formats that contradict themselves, or their type."""
    parts = Counter(element.part for element in elements if element.part)
    for element in elements:
        if element.name in NOT_READ:
            raise invalid_query(f"Format element {element.spelled} is not supported for parsing")
        if known is not None and element.part not in known:
            raise invalid_query(f"Format element {element.spelled} is not allowed for the output type {kind.name}")
        if parts[element.part] > 1:
            raise invalid_query(f"More than one format element in the category {element.part}: {element.spelled}")
    hours = {element.name for element in elements if element.part == HOUR}
    if (MERIDIAN in parts) != bool(hours & {"HH", "HH12"}):
        raise invalid_query("A meridian indicator and an hour of 12 must be in the format together")
    if DAY_SECOND in parts and {HOUR, MINUTE, SECOND, MERIDIAN} & set(parts):
        raise invalid_query("Format element SSSSS excludes those of hours, minutes and seconds")
