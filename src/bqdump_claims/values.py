"""Sample values of each type, and how bqdump's documentation says they look in files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bqdump.core.formats.fidelity import SERVER

ABSENT = "(no key)"
WIDEST = "99999999999999999999999999999.999999999"
DOCUMENT = '{"a":[1,null,"<&>"],"b":"x"}'


class Sample(NamedTuple):
    """A value: a word for it, GoogleSQL, and its form in a CSV field and as a JSON value."""

    word: str
    sql: str
    csv: str
    json: str


class Kind(NamedTuple):
    """A type.

    ddl: of a column.
    avro: its type in an Avro schema, as JSON.
    parquet: as in docs/formats.md.
    """

    type: str
    ddl: str
    samples: tuple[Sample, ...]
    avro: object = ""
    parquet: str = ""

    @property
    def column(self) -> str:
        """The name of its column."""
        return f"v_{self.type.lower()}"


def _text(word: str, sql: str, form: str, in_json: str = "") -> Sample:
    return Sample(word, sql, form, in_json or json.dumps(form, ensure_ascii=False))


def _same(pattern: str, **forms: str) -> tuple[Sample, ...]:
    return tuple(_text(word, pattern.format(form), form) for word, form in forms.items())


def _number(word: str, value: str, form: str, *, quoted: bool = False) -> Sample:
    return Sample(word, f"CAST('{value}' AS FLOAT64)", form, f'"{form}"' if quoted else form)


def _decimal(precision: int, scale: int) -> object:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def _logical(kind: str, logical: str) -> object:
    return {"type": kind, "logicalType": logical}


NULL = Sample("NULL", "NULL", "", ABSENT)
MICROS = "TIMESTAMP(MICROS, isAdjustedToUTC = false)"
FIXED = "FIXED_LEN_BYTE_ARRAY"
KINDS: tuple[Kind, ...] = (
    Kind(
        "STRING",
        "STRING",
        (
            _text("plain", "'plain'", "plain"),
            _text("empty", "''", ""),
            _text("comma", "'a,b'", '"a,b"', '"a,b"'),
            _text("quote", "'say \"x\"'", '"say ""x"""', r'"say \"x\""'),
            _text("line break", r"'two\nlines'", '"two\nlines"', r'"two\nlines"'),
            _text("carriage return", r"'two\rlines'", '"two\rlines"', r'"two\rlines"'),
            _text("spaces", "' padded '", " padded "),
            _text("the word NULL", "'NULL'", "NULL"),
            _text("digits", "'0012'", "0012"),
            _text("markup", "'<b>&'", "<b>&", r'"\u003cb\u003e\u0026"'),
            _text("Unicode", "'日本 👩‍🚀'", "日本 👩‍🚀"),
            NULL,
        ),
        "string",
        "BYTE_ARRAY, STRING",
    ),
    Kind(
        "BYTES",
        "BYTES",
        (_text("bytes", r"b'\x00\xffabc'", "AP9hYmM="), _text("empty", "b''", ""), NULL),
        "bytes",
        "BYTE_ARRAY",
    ),
    Kind("INT64", "INT64", _same("{}", most="9223372036854775807", least="-9223372036854775808"), "long", "INT64"),
    Kind(
        "FLOAT64",
        "FLOAT64",
        (
            _number("infinity", "inf", "Infinity", quoted=True),
            _number("negative infinity", "-inf", "-Infinity", quoted=True),
            _number("NaN", "nan", "NaN", quoted=True),
            _number("negative zero", "-0.0", "-0"),
            _number("small", "1e-5", "1e-05"),
            _number("large", "1e300", "1e+300"),
            _number("whole", "2", "2"),
            _number("17 digits", "-73.781852722167969", "-73.781852722167969"),
        ),
        "double",
        "DOUBLE",
    ),
    Kind(
        "NUMERIC",
        "NUMERIC",
        _same("NUMERIC '{}'", fraction="1.5", whole="100", small="0.000000001", widest=WIDEST),
        _decimal(38, 9),
        f"{FIXED}, DECIMAL(38, 9)",
    ),
    Kind(
        "BIGNUMERIC",
        "BIGNUMERIC",
        _same("BIGNUMERIC '{}'", fraction="1.5", whole="100", widest=f"999999999{WIDEST}"),
        _decimal(77, 38),
        f"{FIXED}, DECIMAL(76, 38)",
    ),
    Kind(
        "BOOL",
        "BOOL",
        (Sample("true", "TRUE", "true", "true"), Sample("false", "FALSE", "false", "false")),
        "boolean",
        "BOOLEAN",
    ),
    Kind(
        "DATE",
        "DATE",
        _same("DATE '{}'", first="0001-01-01", last="9999-12-31"),
        _logical("int", "date"),
        "INT32, DATE",
    ),
    Kind(
        "TIME",
        "TIME",
        _same("TIME '{}'", last="23:59:59.999999", midnight="00:00:00", half="10:00:00.5"),
        _logical("long", "time-micros"),
        "INT64, TIME(MICROS, isAdjustedToUTC = true)",
    ),
    Kind(
        "DATETIME",
        "DATETIME",
        _same(
            "DATETIME '{}'",
            last="9999-12-31T23:59:59.999999",
            midnight="2026-01-31T00:00:00",
            half="2026-01-31T10:00:00.5",
        ),
        _logical("string", "datetime"),
        f"INT64, {MICROS}",
    ),
    Kind(
        "TIMESTAMP",
        "TIMESTAMP",
        _same("TIMESTAMP '{}'", last="9999-12-31 23:59:59.999999 UTC", half="2026-01-31 10:00:00.5 UTC"),
        _logical("long", "timestamp-micros"),
        f"INT64, {MICROS}",
    ),
    Kind(
        "JSON",
        "JSON",
        (
            Sample(
                "object",
                f"JSON '{DOCUMENT}'",
                '"{""a"":[1,null,""<&>""],""b"":""x""}"',
                r'{"a":[1,null,"\u003c\u0026\u003e"],"b":"x"}',
            ),
            Sample("number", "JSON '1.5'", "1.5", "1.5"),
            NULL,
        ),
        {"type": "string", "sqlType": "JSON"},
        "BYTE_ARRAY, STRING",
    ),
    Kind(
        "GEOGRAPHY",
        "GEOGRAPHY",
        (_text("point", "ST_GEOGFROMTEXT('POINT(1.5 -2)')", "POINT(1.5 -2)"), NULL),
        {"type": "string", "sqlType": "GEOGRAPHY"},
        "BYTE_ARRAY",
    ),
    Kind(
        "INTERVAL",
        "INTERVAL",
        _same("CAST('{}' AS INTERVAL)", parts="1-2 3 4:5:6.789", negative="0-0 -5 0:0:0"),
        {"type": "string", "sqlType": "INTERVAL"},
    ),
    Kind(
        "RANGE",
        "RANGE<DATE>",
        (
            Sample(
                "bounded",
                "RANGE<DATE> '[2026-01-01, 2026-02-01)'",
                '"[2026-01-01, 2026-02-01)"',
                '"[2026-01-01, 2026-02-01)"',
            ),
            Sample(
                "unbounded",
                "RANGE<DATE> '[2026-01-01, UNBOUNDED)'",
                '"[2026-01-01, UNBOUNDED)"',
                '"[2026-01-01, UNBOUNDED)"',
            ),
        ),
    ),
    Kind(
        "STRUCT",
        "STRUCT<a INT64, inner_part STRUCT<b STRING>>",
        (
            Sample("nested", "STRUCT(1 AS a, STRUCT('x' AS b) AS inner_part)", "", '{"a":"1","inner_part":{"b":"x"}}'),
            Sample(
                "of NULLs",
                "STRUCT(CAST(NULL AS INT64) AS a, STRUCT(CAST(NULL AS STRING) AS b) AS inner_part)",
                "",
                '{"inner_part":{}}',
            ),
        ),
        {
            "type": "record",
            "namespace": "root",
            "name": "V_Struct",
            "fields": [
                {"name": "a", "type": ["null", "long"]},
                {
                    "name": "inner_part",
                    "type": [
                        "null",
                        {
                            "type": "record",
                            "namespace": "root.v_struct",
                            "name": "Inner_Part",
                            "fields": [{"name": "b", "type": ["null", "string"]}],
                        },
                    ],
                },
            ],
        },
        "group",
    ),
    Kind(
        "ARRAY",
        "ARRAY<INT64>",
        (Sample("two", "[1, 2]", "", '["1","2"]'), Sample("NULL", "NULL", "", "[]")),
        {"type": "array", "items": "long"},
        "LIST of required INT64",
    ),
)
BY_TYPE = {kind.type: kind for kind in KINDS}


def held(format_: str) -> list[Kind]:
    """The types that a format holds, by its documentation."""
    return [kind for kind in KINDS if SERVER[format_][kind.type].holds != "no"]


def rows(kinds: Sequence[Kind]) -> int:
    """The rows of a table of these types: as many as the type with the most samples has."""
    return max(len(kind.samples) for kind in kinds)


def statements(table: str, kinds: Sequence[Kind]) -> Iterator[str]:
    """Make a table of these types: the column n numbers the rows; types with fewer samples are NULL in the others."""
    columns = ", ".join(f"{kind.column} {kind.ddl}" for kind in kinds)
    yield f"CREATE TABLE {table} (n INT64, {columns})"
    names = ", ".join(kind.column for kind in kinds)
    lines = (
        ", ".join([str(n), *(kind.samples[n].sql if n < len(kind.samples) else "NULL" for kind in kinds)])
        for n in range(rows(kinds))
    )
    yield f"INSERT INTO {table} (n, {names}) VALUES {', '.join(f'({line})' for line in lines)}"
