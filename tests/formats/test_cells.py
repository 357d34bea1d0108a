"""Every cell of the table in docs/formats.md: the type is exported, read back by independent readers, and compared."""

from __future__ import annotations

import io
import re
from itertools import product
from pathlib import Path
from typing import Any

import fastavro
import pyarrow.parquet as pq
import pytest

from bqdump.core.errors import BqdumpError, UsageError
from bqdump.core.formats.fidelity import CELLS, NO_AVRO
from bqdump.core.formats.formats import FORMATS, codecs
from bqdump.core.formats.types import TYPES
from bqdump.core.tables.columns import SHOWN
from formats.exports import EVERY, WAYS, Exports, Way, holds
from formats.forms import form, read, same
from formats.readers import READERS, plain
from formats.values import KINDS, ROWS, Kind, expected

READS = {
    way: {
        reader: [
            kind for kind in way.kinds
            # Neither has decimals of more than 38 digits: DuckDB makes floating point of them, polars refuses them.
            if (way.format, kind.type) != ("parquet", "BIGNUMERIC") or reader == "pyarrow"
        ]
        for reader in READERS[way.format]
    }
    for way in WAYS
}  # fmt: skip
# As many tables in one export as an error names.
IMPOSSIBLE = [
    (way, kinds[first : first + SHOWN]) for way in EVERY if way.codec == "none"
    for kinds in [[kind for kind in KINDS if holds(way, kind.type).holds == "no"]]
    for first in range(0, len(kinds), SHOWN)
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_files_are_as_the_table_says(exports: Exports, tmp_path: Path, way: Way) -> None:
    """All readers in one test: each process that has a test of a way exports it."""
    files = exports.files(way, "values")
    found = {reader: differences(way, reader, READERS[way.format][reader](files, tmp_path)) for reader in READS[way]}
    assert not any(found.values()), found
    have_no_rows(way, exports.files(way, "empty"))


def differences(way: Way, reader: str, columns: dict[str, list[Any]]) -> list[Any]:
    """The values that a reader has found, and those expected, where they differ."""
    different: list[Any] = []
    for kind in READS[way][reader]:
        expect = [form(way)(kind, value) for value in expected(kind)]
        found = [read(way, reader, kind, value) for value in columns[kind.name]]
        different += [(kind.name, found[row], expect[row]) for row in range(ROWS) if not same(found[row], expect[row])]
        null = form(way)(kind, [] if kind.repeated else None)
        if (nulls := columns.get(f"{kind.name}_null", [None] * ROWS)) != [null] * ROWS:
            different.append((f"{kind.name}_null", nulls, null))
    return different


def have_no_rows(way: Way, files: list[bytes]) -> None:
    """A table without rows gives one file without rows."""
    assert len(files) == 1
    match way.format:
        case "csv":
            (header,) = plain(files[0]).decode().splitlines()
            assert header.split(",")[:2] == ["id", way.kinds[0].name]
        case "json":
            assert plain(files[0]) == b""
        case "avro":
            assert list(fastavro.reader(io.BytesIO(files[0]))) == []
        case _:
            table = pq.read_table(io.BytesIO(files[0]))
            assert (table.num_rows, table.num_columns) == (0, 1 + 2 * len(way.kinds))


def test_every_cell_that_can_be_is_read_back_in_every_codec() -> None:
    tested = {(*way, kind.type) for way, readers in READS.items() for kinds in readers.values() for kind in kinds}
    cells = {
        (route, format_, codec, type_)
        for route in CELLS for format_, type_ in product(FORMATS, TYPES) for codec in codecs(route, format_)
        if CELLS[route][format_][type_].holds != "no"
    }  # fmt: skip
    assert tested == cells


# A table, and one of its columns with and without values.
COLUMNS = r"\b{0}: [^;]*\b{1} [^;]*\b{1}_null "


@pytest.mark.parametrize(
    ("way", "kinds"), IMPOSSIBLE, ids=lambda value: str(value) if isinstance(value, Way) else value[0].name
)
def test_what_a_format_cannot_hold_is_refused_before_anything_starts(
    exports: Exports, way: Way, kinds: list[Kind]
) -> None:
    tables = [exports.table(f"only_{kind.name}", [kind]) for kind in kinds]
    jobs = len(exports.stage.extracts())
    with pytest.raises(UsageError, match=r"\. Set format to ") as caught:
        exports.run(way, f"{way}-{tables[0]}", include=",".join(tables))
    for table, kind in zip(tables, kinds, strict=True):
        # The route writes no file of the format at all: its columns do not matter.
        named = rf"\b{table}\b" if holds(way, kind.type).lost == NO_AVRO else COLUMNS.format(table, kind.name)
        assert re.search(named, caught.value.cause)
        assert holds(way, kind.type).lost in caught.value.cause
    assert len(exports.stage.extracts()) == jobs


AVRO: dict[str, Any] = {
    "s": "string", "by": "bytes", "i": "long", "f": "double", "b": "boolean",
    "n": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9},
    "np": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2},
    "bn": {"type": "bytes", "logicalType": "decimal", "precision": 77, "scale": 38},
    "d": {"type": "int", "logicalType": "date"},
    "t": {"type": "long", "logicalType": "time-micros"},
    "dt": {"type": "string", "logicalType": "datetime"},
    "ts": {"type": "long", "logicalType": "timestamp-micros"},
    "j": {"type": "string", "sqlType": "JSON"},
    "g": {"type": "string", "sqlType": "GEOGRAPHY"},
    "iv": {"type": "string", "sqlType": "INTERVAL"},
}  # fmt: skip
INSTANT = "Timestamp(isAdjustedToUTC=false, timeUnit=microseconds"
PARQUET = {
    "s": ("BYTE_ARRAY", "String"), "by": ("BYTE_ARRAY", "None"), "i": ("INT64", "None"), "f": ("DOUBLE", "None"),
    "b": ("BOOLEAN", "None"), "n": ("FIXED_LEN_BYTE_ARRAY", "Decimal(precision=38, scale=9)"),
    "bn": ("FIXED_LEN_BYTE_ARRAY", "Decimal(precision=76, scale=38)"), "d": ("INT32", "Date"),
    "t": ("INT64", "Time(isAdjustedToUTC=true, timeUnit=microseconds)"), "dt": ("INT64", INSTANT),
    "ts": ("INT64", INSTANT), "j": ("BYTE_ARRAY", "String"), "g": ("BYTE_ARRAY", "None"),
}  # fmt: skip
SERVER = [way for way in WAYS if way.route != "read" and way.codec == "none"]


@pytest.mark.parametrize("way", [way for way in SERVER if way.format == "avro"], ids=str)
def test_avro_files_have_the_types_of_bigquery(exports: Exports, way: Way) -> None:
    schema: Any = fastavro.reader(io.BytesIO(exports.files(way, "values")[0])).writer_schema
    found = {field["name"]: field["type"] for field in schema["fields"]}
    # A query's columns may all be NULL.
    assert found["id"] == ("long" if way.route == "extract" else ["null", "long"])
    assert {name: found[name] for name in AVRO} == {name: ["null", kind] for name, kind in AVRO.items()}
    assert (found["ai"]["type"], found["st"][1]["type"]) == ("array", "record")


@pytest.mark.parametrize("way", [way for way in SERVER if way.format == "parquet"], ids=str)
def test_parquet_files_have_the_types_of_bigquery(exports: Exports, way: Way) -> None:
    file = pq.ParquetFile(io.BytesIO(exports.files(way, "values")[0]))
    columns = [file.schema.column(number) for number in range(len(file.schema.names))]
    found = {column.path: (column.physical_type, str(column.logical_type)) for column in columns}
    for name, (physical, logical) in PARQUET.items():
        assert found[name][0] == physical, name
        assert found[name][1].startswith(logical), name
    assert found["ai.list.element"] == ("INT64", "None")
    assert b'"edges": "spherical"' in file.metadata.metadata[b"geo"]


LARGEST = "578960446186580977117854925043439539266.34992332820282019728792003956564819967"
LEAST = f"-{LARGEST[:-1]}8"
WIDE = Kind("bn", "BIGNUMERIC", "BIGNUMERIC", tuple((f"CAST('{n}' AS BIGNUMERIC)", n) for n in (LARGEST, LEAST)))
WIDE_READS = [
    (Way(route, format_, "none"), reader)
    for route, formats in (("extract", ("csv", "json", "avro")), ("read", ("csv", "json", "parquet")))
    for format_ in formats
    for reader in READERS[format_]
    # polars leaves these columns out.
    if (format_, reader) != ("parquet", "polars")
]


@pytest.mark.parametrize(("way", "reader"), WIDE_READS, ids=str)
def test_bignumeric_of_77_digits_is_exported(exports: Exports, tmp_path: Path, way: Way, reader: str) -> None:
    table, folder = exports.table("wide", [WIDE]), f"wide-{way}"
    exports.run(way, folder, include=table)
    data = exports.stage.read(f"{folder}/wide/wide_000000000000.{way.format}")
    found = READERS[way.format][reader]([data], tmp_path)["bn"]
    assert [str(value) for value in found[:2]] == [LARGEST, LEAST]
    assert set(found[2:]) <= {None, ""}


def test_bignumeric_of_77_digits_fails_the_table_in_parquet(exports: Exports) -> None:
    table = exports.table("wide", [WIDE])
    with pytest.raises(BqdumpError, match=r"wide: invalid: BIGNUMERIC value with more than 38 digits"):
        exports.run(Way("extract", "parquet", "none"), "wide-parquet", include=table)
    assert not [name for name in exports.stage.files() if name.startswith("wide-parquet/")]
