"""Values of every type at their extremes, as GoogleSQL writes them and as Python has them, and tables of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from bqdump.core.formats.types import Column

NAN, INF = float("nan"), float("inf")
WIDEST_NUMERIC = "99999999999999999999999999999.999999999"
# BIGNUMERIC has 77 digits up to 578960446186580977117854925043439539266.…; those have a test of their own.
WIDEST = "99999999999999999999999999999999999999.99999999999999999999999999999999999999"
SMALLEST = "0.00000000000000000000000000000000000001"
HARD = "a \"quoted\", 'text'\nof\r\ntwo\tor three lines \\ with \\n <b>&amp;</b> and \x00 in it"
DOCUMENT = '{"a":[1,null,"<&>"],"b":{"c":"\\"quoted\\" 日本"}}'
MOMENTS = {
    "0001-01-01 00:00:00": datetime(1, 1, 1, tzinfo=UTC),
    "9999-12-31 23:59:59.999999": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "1969-12-31 23:59:59.000001": datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
}
EMOJI = "👩‍🚀 naïve 日本語 \u2028 \ufeff"


class Kind(NamedTuple):
    """A column of one type: `type` by its plain name, `ddl` in full, `values` as SQL and as Python has them.

    JSON, GEOGRAPHY (WKT), INTERVAL and RANGE are text in Python.
    """

    name: str
    type: str
    ddl: str
    values: tuple[tuple[str, Any], ...]

    @property
    def column(self) -> Column:
        """As a definition has it."""
        element = self.ddl.partition("RANGE<")[2].rstrip(">")
        type_ = (
            "STRUCT" if "STRUCT" in self.ddl else self.ddl.partition("<")[2].rstrip(">") if self.repeated else self.type
        )
        return Column(self.name, type_, repeated=self.repeated, element=element)

    @property
    def repeated(self) -> bool:
        """Whether it is an ARRAY."""
        return self.type == "ARRAY"


def quoted(text: str) -> str:
    """A STRING literal of GoogleSQL."""
    plain = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\x00": "\\u0000"}
    return "'" + "".join(plain.get(character, character) for character in text) + "'"


def _strings(*texts: str) -> tuple[tuple[str, str], ...]:
    return tuple((quoted(text), text) for text in texts)


def _numbers(type_: str, *digits: str) -> tuple[tuple[str, Decimal], ...]:
    return tuple((f"CAST('{number}' AS {type_})", Decimal(number)) for number in digits)


def _texts(pattern: str, *texts: str) -> tuple[tuple[str, str], ...]:
    return tuple((pattern.format(quoted(text)), text) for text in texts)


KINDS: tuple[Kind, ...] = (
    Kind("s", "STRING", "STRING", _strings("plain", "", HARD, EMOJI, "NULL", " padded ", '"', ",", "0012")),
    Kind("by", "BYTES", "BYTES", (("b'abc'", b"abc"), ("b''", b""), ("b'\\x00\\xff\\n\"'", b'\x00\xff\n"'))),
    Kind("i", "INT64", "INT64", (("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)), ("0", 0),
                                 ("9007199254740993", 2**53 + 1))),
    Kind("f", "FLOAT64", "FLOAT64", (("CAST('inf' AS FLOAT64)", INF), ("CAST('-inf' AS FLOAT64)", -INF),
                                     ("CAST('nan' AS FLOAT64)", NAN), ("-0.0", -0.0), ("0.1", 0.1), ("5e-324", 5e-324),
                                     ("1.7976931348623157e308", 1.7976931348623157e308), ("-16.0", -16.0),
                                     ("-73.781852722167969", -73.781852722167969))),
    Kind("n", "NUMERIC", "NUMERIC", _numbers("NUMERIC", WIDEST_NUMERIC, "-" + WIDEST_NUMERIC, "0", "1.5", "1e-9")),
    Kind("np", "NUMERIC", "NUMERIC(10, 2)", _numbers("NUMERIC", "99999999.99", "-0.01", "100")),
    Kind("bn", "BIGNUMERIC", "BIGNUMERIC", _numbers("BIGNUMERIC", WIDEST, "-" + WIDEST, "0", SMALLEST)),
    Kind("b", "BOOL", "BOOL", (("TRUE", True), ("FALSE", False))),
    Kind("d", "DATE", "DATE", (("DATE '0001-01-01'", date.min), ("DATE '9999-12-31'", date.max),
                               ("DATE '1969-12-31'", date(1969, 12, 31)))),
    Kind("t", "TIME", "TIME", (("TIME '23:59:59.999999'", time.max), ("TIME '00:00:00'", time.min),
                               ("TIME '10:00:00.5'", time(10, 0, 0, 500_000)))),
    Kind("dt", "DATETIME", "DATETIME", tuple((f"DATETIME '{text}'", moment.replace(tzinfo=None))
                                             for text, moment in MOMENTS.items())),
    Kind("ts", "TIMESTAMP", "TIMESTAMP", tuple((f"TIMESTAMP '{text} UTC'", moment)
                                               for text, moment in MOMENTS.items())),
    Kind("j", "JSON", "JSON", _texts("JSON {}", DOCUMENT, "null", '"text"', "1.5", "[]")),
    Kind("g", "GEOGRAPHY", "GEOGRAPHY", _texts("ST_GEOGFROMTEXT({})", "POINT(1.5 -2)", "LINESTRING(0 0, 179.5 89)")),
    Kind("iv", "INTERVAL", "INTERVAL", _texts("CAST({} AS INTERVAL)", "1-2 3 4:5:6.789", "0-0 -5 0:0:0",
                                              "-10000-0 -3660000 -87840000:0:0")),
    Kind("rd", "RANGE", "RANGE<DATE>", _texts("RANGE<DATE> {}", "[0001-01-01, 9999-12-31)", "[UNBOUNDED, 2024-02-29)",
                                              "[2024-02-29, UNBOUNDED)")),
    Kind("rt", "RANGE", "RANGE<DATETIME>", _texts("RANGE<DATETIME> {}", "[2024-02-29T00:00:00, 2024-03-01T00:00:00)")),
    Kind("st", "STRUCT", "STRUCT<a INT64, s STRING, r STRUCT<ts TIMESTAMP, n NUMERIC>>", (
        ("STRUCT(1 AS a, '<x>' AS s, STRUCT(TIMESTAMP '2024-02-29 10:00:00.5 UTC' AS ts, NUMERIC '1.5' AS n) AS r)",
         {"a": 1, "s": "<x>", "r": {"ts": datetime(2024, 2, 29, 10, 0, 0, 500_000, tzinfo=UTC), "n": Decimal("1.5")}}),
        ("STRUCT(2 AS a, CAST(NULL AS STRING) AS s, NULL AS r)", {"a": 2, "s": None, "r": None}))),
    Kind("ai", "ARRAY", "ARRAY<INT64>", (("[1, -9223372036854775808]", [1, -(2**63)]), ("[]", []))),
    Kind("as_", "ARRAY", "ARRAY<STRUCT<k STRING, v BYTES>>", (
        ("[STRUCT('ä\"' AS k, b'\\xff' AS v), STRUCT('' AS k, CAST(NULL AS BYTES) AS v)]",
         [{"k": 'ä"', "v": b"\xff"}, {"k": "", "v": None}]), ("[]", []))),
)  # fmt: skip
# A column of each type that is NULL in every row, and one more that every reader can order rows by.
ROWS = max(len(kind.values) for kind in KINDS) + 1


def expected(kind: Kind) -> list[Any]:
    """The column's values, row after row: NULL where they are used up. BigQuery keeps a NULL array as an empty one."""
    rest: Any = [] if kind.repeated else None
    return [*(value for _, value in kind.values), *[rest] * (ROWS - len(kind.values))]


def create(table: str, kinds: Sequence[Kind]) -> Iterator[str]:
    """The statements for a table with a row number `id` and two columns of each kind: one has values, one NULLs."""
    columns = ", ".join(f"{kind.name} {kind.ddl}, {kind.name}_null {kind.ddl}" for kind in kinds)
    yield f"CREATE TABLE {table} (id INT64 NOT NULL, {columns})"
    names = ", ".join(kind.name for kind in kinds)
    for row in range(ROWS):
        values = ", ".join(kind.values[row][0] if row < len(kind.values) else "NULL" for kind in kinds)
        yield f"INSERT INTO {table} (id, {names}) VALUES ({row}, {values})"


def plain(number: Decimal) -> str:
    """A decimal without exponent and without trailing zeros."""
    with localcontext(prec=80):
        text = format(number.normalize(), "f")
    return "0" if text == "-0" else text


def wkb(wkt: str) -> bytes:
    """A point or a line as little-endian WKB."""
    word, _, rest = wkt.rstrip(")").partition("(")
    points = [tuple(map(float, point.split())) for point in rest.split(",")]
    packed = b"".join(struct.pack("<dd", *point) for point in points)
    return struct.pack("<BI", 1, 1) + packed if word == "POINT" else struct.pack("<BII", 1, 2, len(points)) + packed
