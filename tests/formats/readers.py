"""Independent readers of files: each gives the columns of a table as lists, rows in the order of `id`."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import polars as pl
import pyarrow.parquet as pq

Columns = dict[str, list[Any]]
Reader = Callable[[Sequence[bytes], Path], Columns]


def plain(data: bytes) -> bytes:
    """Text without its gzip."""
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def columns(rows: Iterable[dict[str, Any]], names: Iterable[str]) -> Columns:
    """Rows turned into columns; a key that is missing is None."""
    ordered = sorted(rows, key=lambda row: int(row["id"]))
    return {name: [row.get(name) for row in ordered] for name in names}


def from_json(text: str) -> Any:
    """A value of JSON; no whole number takes the sign away from zero."""
    return json.loads(text, parse_int=lambda digits: -0.0 if digits == "-0" else int(digits))


def _csv(files: Sequence[bytes], _: Path) -> Columns:
    rows = []
    header: list[str] = []
    for data in files:
        header, *lines = csv.reader(io.StringIO(plain(data).decode(), newline=""))
        rows += [dict(zip(header, line, strict=True)) for line in lines]
    return columns(rows, header)


def _csv_polars(files: Sequence[bytes], _: Path) -> Columns:
    frame = pl.concat([pl.read_csv(io.BytesIO(plain(data)), infer_schema=False) for data in files]).fill_null("")
    return frame.sort(pl.col("id").cast(pl.Int64)).to_dict(as_series=False)


def _json(files: Sequence[bytes], _: Path) -> Columns:
    rows = [from_json(line) for data in files for line in plain(data).decode().split("\n") if line]
    return columns(rows, {key: None for row in rows for key in row})


def _json_duckdb(files: Sequence[bytes], folder: Path) -> Columns:
    """DuckDB finds the rows and the members, and unescapes nothing: each value is JSON text until it is parsed here."""
    source = f"read_json_objects({_paths(files, folder)}, format = 'newline_delimited')"
    names = [name for (name,) in duckdb.sql(f"SELECT DISTINCT unnest(json_keys(json)) FROM {source}").fetchall()]
    expected = ", ".join(f"json -> '$.{name}'" for name in names)
    found = duckdb.sql(f"SELECT {expected} FROM {source} ORDER BY (json ->> '$.id')::INT").fetchall() if names else []
    return {name: [None if row[n] is None else from_json(row[n]) for row in found] for n, name in enumerate(names)}


def _avro(files: Sequence[bytes], _: Path) -> Columns:
    rows = [row for data in files for row in fastavro.reader(io.BytesIO(data))]
    return columns(rows, rows[0] if rows else ())


def _parquet(files: Sequence[bytes], _: Path) -> Columns:
    rows = [row for data in files for row in pq.read_table(io.BytesIO(data)).to_pylist()]
    return columns(rows, rows[0] if rows else ())


def _parquet_duckdb(files: Sequence[bytes], folder: Path) -> Columns:
    found = duckdb.sql(f"SELECT * FROM read_parquet({_paths(files, folder)}) ORDER BY id")
    return dict(zip(found.columns, map(list, zip(*found.fetchall(), strict=True)), strict=True))


def _parquet_polars(files: Sequence[bytes], _: Path) -> Columns:
    names = [name for name in pl.read_parquet_schema(io.BytesIO(files[0])) if not name.startswith("bn")]
    frame = pl.concat([pl.read_parquet(io.BytesIO(data), columns=names) for data in files])
    return frame.sort("id").to_dict(as_series=False)


def _paths(files: Sequence[bytes], folder: Path) -> str:
    paths = []
    for number, data in enumerate(files):
        path = folder / f"{number}{'.gz' if plain(data) is not data else ''}"
        path.write_bytes(data)
        paths.append(f"'{path}'")
    return f"[{', '.join(paths)}]"


READERS: dict[str, dict[str, Reader]] = {
    "csv": {"python": _csv, "polars": _csv_polars},
    "json": {"python": _json, "duckdb": _json_duckdb},
    "avro": {"fastavro": _avro},
    "parquet": {"pyarrow": _parquet, "duckdb": _parquet_duckdb, "polars": _parquet_polars},
}
