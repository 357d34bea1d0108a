"""The checksum of a column is the same in every format, and equals that of its definition."""

from __future__ import annotations

import asyncio
import base64
import csv
import hashlib
import io
import json
import math
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bqdump.adapters.data_files import DataFiles
from bqdump.core.formats.types import Column
from bqdump.ports.data_reader import DataFile

READER = DataFiles()
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
NAMES = {"text": "STRING", "raw": "BYTES", "number": "INT64", "truth": "BOOL", "amount": "NUMERIC", "day": "DATE",
         "hour": "TIME", "clock": "DATETIME", "moment": "TIMESTAMP"}  # fmt: skip
COLUMNS = tuple(Column(name, type_) for name, type_ in NAMES.items())
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))  # noqa: DTZ001
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.none() | TEXTS,
            "raw": st.none() | st.binary(min_size=1, max_size=8),
            "number": st.none() | st.integers(-(2**63), 2**63 - 1),
            "truth": st.none() | st.booleans(),
            "amount": st.none() | st.decimals(-(10**28), 10**28, places=9, allow_nan=False),
            "day": st.none() | st.dates(),
            "hour": st.none() | st.times(),
            "clock": st.none() | MOMENTS,
            "moment": st.none() | MOMENTS,
        }
    ),
    min_size=1,
    max_size=5,
)


@pytest.fixture(scope="module", autouse=True)
def closing() -> Iterator[None]:
    yield
    READER.close()


NULLS = frozenset({"STRING", "BYTES"})
SIGN = frozenset({"FLOAT64"})


def sums(
    format_: str, data: bytes, columns: tuple[Column, ...] = COLUMNS, alike: frozenset[str] = frozenset()
) -> list[int]:
    async def pieces() -> AsyncIterator[bytes]:
        yield data

    file = DataFile("file", format_, "none", True, ",", columns, alike=alike)
    found = asyncio.run(READER.digest(file, pieces(), checksums=True))
    assert (found.unreadable, found.differences) == ("", ())
    return [found.rows, *found.sums]


def hashed(text: str) -> int:
    return int(hashlib.md5(text.encode()).hexdigest()[:15], 16)


def canonical(name: str, value: Any) -> str:
    """The text of a value, according to the definition."""
    match NAMES[name]:
        case "BYTES":
            return base64.b64encode(value).decode()
        case "BOOL":
            return str(value).lower()
        case "NUMERIC":
            text = f"{value:f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        case "DATE":
            return str((value - date(1970, 1, 1)).days)
        case "TIME":
            return str((datetime.combine(EPOCH, value) - EPOCH) // timedelta(microseconds=1))
        case "DATETIME" | "TIMESTAMP":
            return str((value - EPOCH) // timedelta(microseconds=1))
        case _:
            return str(value)


def by_definition(rows: list[dict[str, Any]]) -> list[int]:
    hashes = [{name: None if row[name] is None else hashed(canonical(name, row[name])) for name in NAMES}
              for row in rows]  # fmt: skip
    expected = [len(rows)]
    for name in NAMES:
        known = [row[name] for row in hashes if row[name] is not None]
        expected += [len(known), sum(filter(None, known))]
    whole = ["".join(f"{'-' if row[name] is None else row[name]}," for name in NAMES) for row in hashes]
    return [*expected, sum(map(hashed, whole))]


def as_text(name: str, value: Any) -> Any:
    """A value as BigQuery writes it to CSV and JSON."""
    match NAMES[name]:
        case "BYTES" | "BOOL" | "NUMERIC":
            return canonical(name, value)
        case "DATETIME":
            return value.isoformat()
        case "TIMESTAMP":
            return f"{value.isoformat(' ')} UTC"
        case _:
            return str(value)


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(NAMES)
    writer.writerows(["" if row[name] is None else as_text(name, row[name]) for name in NAMES] for row in rows)
    return text.getvalue().encode()


def as_json(rows: list[dict[str, Any]]) -> bytes:
    lines = [{name: as_text(name, row[name]) for name in NAMES if row[name] is not None} for row in rows]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    types = {"STRING": pa.string(), "BYTES": pa.binary(), "INT64": pa.int64(), "BOOL": pa.bool_(),
             "NUMERIC": pa.decimal128(38, 9), "DATE": pa.date32(), "TIME": pa.time64("us"),
             "DATETIME": pa.timestamp("us"), "TIMESTAMP": pa.timestamp("us", "UTC")}  # fmt: skip
    file = io.BytesIO()
    schema = pa.schema([(name, types[type_]) for name, type_ in NAMES.items()])
    pq.write_table(pa.Table.from_pylist(rows, schema), file)
    return file.getvalue()


def as_avro(rows: list[dict[str, Any]]) -> bytes:
    types: dict[str, Any] = {
        "STRING": "string", "BYTES": "bytes", "INT64": "long", "BOOL": "boolean",
        "NUMERIC": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9},
        "DATE": {"type": "int", "logicalType": "date"}, "TIME": {"type": "long", "logicalType": "time-micros"},
        "DATETIME": {"type": "string", "logicalType": "datetime"},
        "TIMESTAMP": {"type": "long", "logicalType": "timestamp-micros"},
    }  # fmt: skip
    fields = [{"name": name, "type": ["null", types[type_]]} for name, type_ in NAMES.items()]
    schema = fastavro.parse_schema({"type": "record", "name": "Root", "fields": fields})
    file = io.BytesIO()
    values = [{**row, "clock": row["clock"] and row["clock"].isoformat(),
               "moment": row["moment"] and row["moment"].replace(tzinfo=UTC)} for row in rows]  # fmt: skip
    fastavro.writer(file, schema, values)
    return file.getvalue()


@given(rows=ROWS)
def test_the_checksums_of_every_format_match_their_definition(rows: list[dict[str, Any]]) -> None:
    expected = by_definition(rows)
    assert sums("parquet", as_parquet(rows)) == expected
    assert sums("avro", as_avro(rows)) == expected
    assert sums("csv", as_csv(rows), alike=NULLS) == expected
    found = sums("json", as_json(rows))
    place = 1 + 2 * list(NAMES).index("amount")
    # JSON numbers may have lost digits, so NUMERIC values and their rows are only counted.
    assert (found[:place], found[place], found[place + 2 : -1]) == (
        expected[:place], expected[place], expected[place + 2 : -1]
    )  # fmt: skip


DOUBLES = st.floats() | st.sampled_from((0.0, -0.0, 1e-30, 2.0**62, -(2.0**63), 1.5, 0.1, 123456789.123456789))


@given(values=st.lists(DOUBLES, min_size=1, max_size=6))
@example(values=[0.0, float("nan")])
def test_floats_are_compared_to_62_binary_places(values: list[float]) -> None:
    def text(value: float) -> str:
        if value != value:
            return "nan"
        if value == 0 and math.copysign(1, value) < 0:
            return "-0"
        if abs(value) >= 2.0**62:
            return "large" if value > 0 else "-large"
        whole = int(value)
        return f"{whole}:{int((value - whole) * 2.0**62)}"

    file = io.BytesIO()
    pq.write_table(pa.table({"ratio": pa.array(values, pa.float64())}), file)
    expected = [len(values), len(values), sum(hashed(text(value)) for value in values)]
    assert sums("parquet", file.getvalue(), (Column("ratio", "FLOAT64"),))[:3] == expected


def printed(value: float) -> str:
    """A float as BigQuery writes it, like C's printf."""
    if value != value or abs(value) == float("inf"):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    short = f"{value:.15g}"
    return short if float(short) == value else f"{value:.17g}"


@given(values=st.lists(DOUBLES, min_size=1, max_size=6))
@example(
    values=[3800.0, -73.781852722167969, -73.9787368774414, 5e-324, 2.0**62 - 512, float("-inf"), float("nan"), -0.0]
)
def test_floats_in_text_files_are_compared_by_value_not_by_digits(values: list[float]) -> None:
    """BigQuery, polars and Python print different digits, which all parse to the same number."""
    column = (Column("ratio", "FLOAT64"),)
    file = io.BytesIO()
    pq.write_table(pa.table({"ratio": pa.array(values, pa.float64())}), file)
    expected, unsigned = (sums("parquet", file.getvalue(), column, alike) for alike in (frozenset(), SIGN))
    for form in (printed, repr):
        texts = [form(value) for value in values]
        assert sums("csv", "\n".join(["ratio", *texts, ""]).encode(), column) == expected
        finite = ("n", "N", "I", "i")
        plain = [text if text.strip("-")[0] not in finite else f'"{text}"' for text in texts]
        quoted = [f'"{text}"' for text in texts]
        for words, alike, same in ((plain, SIGN, unsigned), (quoted, frozenset[str](), expected)):
            data = "".join(f'{{"ratio":{word}}}\n' for word in words).encode()
            # -0 of a JSON number is a whole number, which has no sign.
            assert sums("json", data, column, alike) == same


def one(format_: str, type_: str, value: Any, alike: frozenset[str]) -> list[int]:
    """The sums of a file with one row of one column. A text, or a value for Parquet."""
    column = (Column("v", type_),)
    if format_ == "csv":
        return sums("csv", f"v\n{value}\n".encode(), column, alike)
    if format_ == "json":
        return sums("json", f'{{"v":{value}}}\n'.encode(), column, alike)
    file = io.BytesIO()
    kind = {"STRING": pa.string(), "BYTES": pa.binary(), "FLOAT64": pa.float64()}[type_]
    pq.write_table(pa.table({"v": pa.array([value], kind)}), file)
    return sums("parquet", file.getvalue(), column, alike)


@pytest.mark.parametrize(
    ("format_", "type_", "values"),
    [
        ("csv", "STRING", ('""', "")), ("csv", "BYTES", ('""', "")), ("csv", "FLOAT64", ("-0", "0")),
        ("json", "FLOAT64", ('"-0.0"', "0")), ("json", "STRING", ('""', "null")), ("json", "JSON", ('"null"', "null")),
        ("parquet", "FLOAT64", (-0.0, 0.0)), ("parquet", "STRING", ("", None)), ("parquet", "BYTES", (b"", None)),
    ],
)  # fmt: skip
def test_values_that_a_format_writes_alike_count_as_one_only_there(
    format_: str, type_: str, values: tuple[Any, Any]
) -> None:
    apart, together = (
        [one(format_, type_, value, alike) for value in values] for alike in (frozenset[str](), frozenset({type_}))
    )
    assert apart[0] != apart[1]
    assert together[0] == together[1]


def test_the_elements_of_repeated_columns_are_summed() -> None:
    inner = Column("list", "STRUCT", repeated=True, fields=(Column("words", "STRING", repeated=True),))
    columns = (Column("many", "INT64", repeated=True), inner)
    rows: list[dict[str, Any]] = [
        {"many": [1, 2], "list": [{"words": ["a", "b"]}, {"words": ["c"]}]},
        {"many": [], "list": []},
    ]
    text = "".join(json.dumps({**row, "many": list(map(str, row["many"]))}) + "\n" for row in rows)
    expected = [2, 2, hashed("1") + hashed("2"), 3, hashed("a") + hashed("b") + hashed("c"), 0]
    assert sums("json", text.encode(), columns) == expected
    types = [("many", pa.list_(pa.int64())), ("list", pa.list_(pa.struct([("words", pa.list_(pa.string()))])))]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(types)), file)
    assert sums("parquet", file.getvalue(), columns) == expected
