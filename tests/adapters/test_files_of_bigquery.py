"""Files with the fingerprint of those that BigQuery itself wrote are read, counted and shown as what they are.

Made here in the shape of exports in public repositories: the digits of floats, schemas with namespaces, defaults and
descriptions, instants without a zone, lists that are required, and NULLs that are left out.
"""

from __future__ import annotations

import asyncio
import gzip
import io
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bqdump.adapters.checksums import crc32c
from bqdump.adapters.data_files import DataFiles
from bqdump.adapters.memory import MemoryStore
from bqdump.core.types import Column
from bqdump.flow.count import count_rows
from bqdump.ports.data_reader import DataFile, Digest
from bqdump.ui.decode import Preview
from bqdump.ui.preview import preview

READER = DataFiles()
FLAT = (
    Column("fare", "FLOAT64"), Column("pickup", "TIMESTAMP"), Column("longitude", "FLOAT64"),
    Column("passengers", "INT64"), Column("Note_1", "STRING"), Column("tip", "BOOL"), Column("day", "DATE"),
)  # fmt: skip
COUNTS = Column("AS_Rank_ft", "STRUCT", repeated=True, fields=(Column("value", "INT64"), Column("freq", "INT64")))
PAIR = Column("Pair", "STRUCT", fields=(Column("a", "STRING"), Column("tags", "STRING", repeated=True)))
NESTED = (*FLAT, COUNTS, PAIR)

CSV = """fare,pickup,longitude,passengers,Note_1,tip,day
52,2015-02-07 23:10:27 UTC,-73.781852722167969,2,a <b> & c,true,2015-02-07
57.33,2015-02-15 12:22:12.93324 UTC,-73.9787368774414,,"x, ""y""
z",false,
,,,9007199254740993,,,
-5,1969-12-31 23:59:59.8053 UTC,0,0,ü,true,1969-12-31
"""
JSON = r"""{"fare":52,"pickup":"2015-02-07 23:10:27 UTC","longitude":-73.781852722167969,"passengers":"2","Note_1":"a \u003cb\u003e \u0026 c","tip":true,"day":"2015-02-07","AS_Rank_ft":[{"value":"1","freq":"2"},{"freq":"3"}],"Pair":{"a":"p","tags":["t"]}}
{"fare":57.33,"pickup":"2015-02-15 12:22:12.93324 UTC","longitude":-73.9787368774414,"Note_1":"x, \"y\"\nz","tip":false,"AS_Rank_ft":[],"Pair":{"tags":[]}}
{"passengers":"9007199254740993","AS_Rank_ft":[{}]}
{"fare":-5,"pickup":"1969-12-31 23:59:59.8053 UTC","longitude":0,"passengers":"0","Note_1":"ü","tip":true,"day":"1969-12-31","AS_Rank_ft":[{"value":"-1","freq":"0"}]}
"""  # noqa: E501 (lines as they are in a file)
ROWS: list[dict[str, Any]] = [
    {"fare": 52.0, "pickup": datetime.fromisoformat("2015-02-07T23:10:27"), "longitude": -73.781852722167969,
     "passengers": 2, "Note_1": "a <b> & c", "tip": True, "day": date(2015, 2, 7),
     "AS_Rank_ft": [{"value": 1, "freq": 2}, {"value": None, "freq": 3}], "Pair": {"a": "p", "tags": ["t"]}},
    {"fare": 57.33, "pickup": datetime.fromisoformat("2015-02-15T12:22:12.933240"), "longitude": -73.9787368774414,
     "passengers": None, "Note_1": 'x, "y"\nz', "tip": False, "day": None, "AS_Rank_ft": [],
     "Pair": {"a": None, "tags": []}},
    {"fare": None, "pickup": None, "longitude": None, "passengers": 2**53 + 1, "Note_1": None, "tip": None,
     "day": None, "AS_Rank_ft": [{"value": None, "freq": None}], "Pair": None},
    {"fare": -5.0, "pickup": datetime.fromisoformat("1969-12-31T23:59:59.805300"), "longitude": 0.0, "passengers": 0,
     "Note_1": "ü", "tip": True, "day": date(1969, 12, 31), "AS_Rank_ft": [{"value": -1, "freq": 0}],
     "Pair": None},
]  # fmt: skip


def avro(codec: str, *, defaults: bool) -> bytes:
    """As written in 2021, and in 2023 with defaults and descriptions."""

    def field(name: str, kind: Any, doc: str = "") -> dict[str, Any]:
        made = {"name": name, "type": kind if isinstance(kind, dict) and kind["type"] == "array" else ["null", kind]}
        nullable = defaults and isinstance(made["type"], list)
        return made | ({"doc": doc} if doc and defaults else {}) | ({"default": None} if nullable else {})

    counts = {"type": "record", "namespace": "root", "name": "As_Rank_Ft",
              "fields": [field("value", "long"), field("freq", "long")]}  # fmt: skip
    pair = {"type": "record", "namespace": "root", "name": "Pair",
            "fields": [field("a", "string"), field("tags", {"type": "array", "items": "string"})]}  # fmt: skip
    fields = [
        field("fare", "double", "in dollars"), field("pickup", {"type": "long", "logicalType": "timestamp-micros"}),
        field("longitude", "double"), field("passengers", "long"), field("Note_1", "string", 'of "anyone"'),
        field("tip", "boolean"), field("day", {"type": "int", "logicalType": "date"}),
        field("AS_Rank_ft", {"type": "array", "items": counts}), field("Pair", pair),
    ]  # fmt: skip
    rows = [row | {"pickup": row["pickup"] and row["pickup"].replace(tzinfo=UTC)} for row in ROWS]
    file = io.BytesIO()
    fastavro.writer(file, {"type": "record", "name": "Root", "fields": fields}, rows, codec=codec, sync_interval=1)
    return file.getvalue()


def parquet(version: Any, codec: str) -> bytes:
    def required(name: str, element: Any) -> Any:
        return pa.field(name, pa.list_(pa.field("element", element, nullable=False)), nullable=False)

    schema = pa.schema([
        ("fare", pa.float64()), ("pickup", pa.timestamp("us")), ("longitude", pa.float64()), ("passengers", pa.int64()),
        ("Note_1", pa.string()), ("tip", pa.bool_()), ("day", pa.date32()),
        required("AS_Rank_ft", pa.struct([("value", pa.int64()), ("freq", pa.int64())])),
        pa.field("Pair", pa.struct([pa.field("a", pa.string()), required("tags", pa.string())])),
    ])  # fmt: skip
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS, schema), file, version=version, compression=codec, store_schema=False,
                   row_group_size=3)  # fmt: skip
    shown = str(pq.ParquetFile(file).schema)
    assert "required group field_id=-1 schema {" in shown
    assert "required group field_id=-1 element {" in shown
    return file.getvalue()


FILES: dict[str, tuple[str, str, tuple[Column, ...], bytes]] = {
    "csv": ("csv", "none", FLAT, CSV.encode()),
    "csv, gzip": ("csv", "gzip", FLAT, gzip.compress(CSV.encode())),
    "json": ("json", "none", NESTED, JSON.encode()),
    "json, gzip": ("json", "gzip", NESTED, gzip.compress(JSON.encode())),
    "avro": ("avro", "none", NESTED, avro("null", defaults=False)),
    "avro of 2023": ("avro", "none", NESTED, avro("null", defaults=True)),
    "avro, snappy": ("avro", "snappy", NESTED, avro("snappy", defaults=True)),
    "avro, deflate": ("avro", "deflate", NESTED, avro("deflate", defaults=False)),
    "parquet 1.0": ("parquet", "none", NESTED, parquet("1.0", "none")),
    "parquet": ("parquet", "snappy", NESTED, parquet("2.6", "snappy")),
}


@pytest.fixture(scope="module", autouse=True)
def closing() -> Iterator[None]:
    yield
    READER.close()


def digest(name: str) -> Digest:
    format_, codec, columns, data = FILES[name]

    async def pieces() -> AsyncIterator[bytes]:
        yield data

    file = DataFile(name, format_, codec, True, ",", columns, crc32c(data))
    return asyncio.run(READER.digest(file, pieces(), checksums=True))


@pytest.mark.parametrize("name", FILES)
def test_every_value_is_read(name: str) -> None:
    found, wanted = digest(name), digest("parquet")
    assert (found.unreadable, found.differences, found.rows) == ("", (), len(ROWS))
    # Two numbers a column; the last one is of complete rows, of which CSV has a part.
    columns = 2 * len(FLAT) if name.startswith("csv") else len(wanted.sums)
    assert found.sums[:columns] == wanted.sums[:columns]
    assert wanted.sums[0:6:2] == (3, 3, 3)


@pytest.mark.parametrize("name", [name for name, file in FILES.items() if file[0] in ("avro", "parquet")])
def test_rows_are_counted_without_reading_the_file(name: str) -> None:
    store, (format_, _, _, data) = MemoryStore(), FILES[name]
    stored = store.put_now("file", data)
    assert asyncio.run(count_rows(store, format_, [stored])) == {"file": len(ROWS)}


@pytest.mark.parametrize("name", FILES)
def test_the_console_shows_it(name: str) -> None:
    store, (format_, _, columns, data) = MemoryStore(), FILES[name]
    store.put_now("file", data)
    shown: Preview = asyncio.run(preview(store, "file", len(data), {"format": format_}))
    assert (shown.columns, len(shown.rows), shown.more) == ([column.name for column in columns], len(ROWS), False)
    assert [float(row[2]) if row[2] else None for row in shown.rows] == [row["longitude"] for row in ROWS]
