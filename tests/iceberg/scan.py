"""A process with readers of Iceberg tables: DuckDB with its extension, PyIceberg and polars.

It runs in the environment of the tests, with `.venv/readers` before it on the path. Each line of its input is a
request, each line of its output the rows that one reader returns, in one form for all readers.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ["POLARS_ICEBERG_PLANNER"] = "pyiceberg"


def cell(value: Any) -> Any:
    """A value as JSON: exact, and the same for all readers."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {name: cell(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [cell(item) for item in value]
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, datetime) and value.tzinfo:
        return f"{value.replace(tzinfo=None).isoformat()} UTC"
    return value.hex() if isinstance(value, bytes | float) else value.isoformat()


def in_utc(kind: Any) -> Any:
    """An Arrow type with instants in UTC, so that Python can express those at the ends of its calendar."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return pa.timestamp(kind.unit, kind.tz and "UTC")
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(in_utc(field.type)) for field in kind])
    return pa.list_(in_utc(kind.value_type)) if pa.types.is_list(kind) else kind


def rows_of(table: Any) -> list[dict[str, Any]]:
    """The rows of an Arrow table."""
    import pyarrow as pa

    return list(table.cast(pa.schema([field.with_type(in_utc(field.type)) for field in table.schema])).to_pylist())


def local(location: str) -> str:
    """The path of an object: buckets are folders below BUCKETS."""
    return location.replace("gs://", f"{os.environ.get('BUCKETS')}/", 1)


class Duck:
    def __init__(self) -> None:
        import duckdb
        from fsspec.implementations.local import LocalFileSystem

        # fsspec has no types.
        class Buckets(LocalFileSystem):  # type: ignore[misc]
            protocol = ("gs",)

            @classmethod
            def _strip_protocol(cls, path: Any) -> Any:
                return [local(one) for one in path] if isinstance(path, list) else local(path)

        self._duckdb = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        self._duckdb.register_filesystem(Buckets())
        # Otherwise GEOGRAPHY is a GEOMETRY, which does not become the binary value that the Iceberg table declares.
        self._duckdb.execute("set enable_geoparquet_conversion = false")
        for name in ("avro", "iceberg"):
            folder = Path(str(importlib.import_module(f"duckdb_extension_{name}").__file__)).parent
            file = folder / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
            self._duckdb.execute(f"load '{file}'")

    def rows(self, place: str, snapshot: int | None, where: str, zone: str, as_of: int | None) -> list[dict[str, Any]]:
        self._duckdb.execute(f"set TimeZone = '{zone}'")
        moved = f", snapshot_from_id = {snapshot}" if snapshot else ""
        moved += f", snapshot_from_timestamp = make_timestamp_ms({as_of})" if as_of else ""
        found = self._duckdb.execute(
            f"select * from iceberg_scan('{place}', allow_moved_paths = false{moved}) where {where or 'true'}"
        )
        return rows_of(found.to_arrow_table())


def table_of(place: str) -> Any:
    """The table, whose files are found below BUCKETS."""
    from pyiceberg.io.pyarrow import PyArrowFileIO
    from pyiceberg.table import StaticTable

    # PyIceberg is not installed where types are checked.
    class Buckets(PyArrowFileIO):  # type: ignore[misc]
        def new_input(self, location: str) -> Any:
            return super().new_input(local(location))

    sys.modules["buckets"] = ModuleType("buckets")
    vars(sys.modules["buckets"])["Buckets"] = Buckets
    return StaticTable.from_metadata(place, {"py-io-impl": "buckets.Buckets"})


def pyiceberg_rows(place: str, snapshot: int | None, where: str, zone: str, as_of: int | None) -> list[dict[str, Any]]:
    table = table_of(place)
    scan = table.scan(
        where or "true", snapshot_id=table.snapshot_as_of_timestamp(as_of).snapshot_id if as_of else snapshot
    )
    return list(scan.to_arrow().to_pylist())


def polars_rows(place: str, snapshot: int | None, where: str, zone: str, as_of: int | None) -> list[dict[str, Any]]:
    import polars as pl

    # In buckets, PyIceberg reads the files for polars.
    way: Any = "pyiceberg" if place.startswith("gs://") else None
    table = table_of(place)
    # polars has no time travel of its own but by id.
    snapshot = table.snapshot_as_of_timestamp(as_of).snapshot_id if as_of else snapshot
    frame = pl.scan_iceberg(table, snapshot_id=snapshot, reader_override=way)
    return (frame.filter(pl.sql_expr(where)) if where else frame).collect().rows(named=True)


def main() -> None:
    duck = Duck()
    readers: dict[str, Callable[..., list[dict[str, Any]]]] = {
        "duckdb": duck.rows,
        "pyiceberg": pyiceberg_rows,
        "polars": polars_rows,
    }
    for line in sys.stdin:
        reader, *request = json.loads(line)
        try:
            answer: Any = {"rows": [cell(row) for row in readers[reader](*request)]}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
