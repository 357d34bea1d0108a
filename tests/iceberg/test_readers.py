"""DuckDB, PyIceberg and polars read the tables that core/iceberg writes: every type and snapshot, in any time zone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from iceberg.conftest import READERS, Scanner
from iceberg.scan import cell
from iceberg.tables import DAY, ROWS, SUMMER, TYPES, Lake, utc

WITH_IDS = pytest.mark.parametrize("ids", [True, False], ids=["field ids", "name mapping"])
EACH = pytest.mark.parametrize("reader", READERS)


def as_read(rows: list[dict[str, Any]], *, ids: bool) -> list[dict[str, Any]]:
    return [cell(utc(row) if ids else row) for row in rows]


@EACH
@WITH_IDS
def test_every_type_is_read_cell_by_cell(tmp_path: Path, scanner: Scanner, reader: str, ids: bool) -> None:
    lake = Lake(tmp_path, ids=ids)
    lake.publish("run", ROWS)
    assert scanner.rows(reader, lake.place) == as_read(ROWS, ids=ids)


@EACH
@WITH_IDS
def test_an_older_run_is_read_with_its_columns(tmp_path: Path, scanner: Scanner, reader: str, ids: bool) -> None:
    lake = Lake(tmp_path, ids=ids)
    monday = lake.publish("monday", ROWS)
    # One column is dropped, one is added, one has another type.
    types = {name: kind for name, kind in TYPES.items() if name != "text"} | {"id": pa.float64(), "new": pa.int64()}
    changed = [{name: row.get(name) for name in types} | {"id": 0.5, "new": 1} for row in ROWS]
    lake.publish("tuesday", changed, types)
    assert scanner.rows(reader, lake.place) == as_read(changed, ids=ids)
    assert scanner.rows(reader, lake.place, lake.snapshot("monday")) == as_read(ROWS, ids=ids)
    assert scanner.rows(reader, tmp_path / monday.metadata) == as_read(ROWS, ids=ids)


@EACH
@WITH_IDS
def test_a_run_with_the_files_of_an_earlier_one_is_read_as_of_its_time(
    tmp_path: Path, scanner: Scanner, reader: str, ids: bool
) -> None:
    lake = Lake(tmp_path, ids=ids)
    lake.publish("a", ROWS)
    lake.publish_again("b", of="a")
    lake.publish("c", [{"id": 1}], {"id": pa.int64()})
    lake.publish_again("d", of="c")
    first, second = (one["timestamp-ms"] for one in lake.history.snapshots)
    times = [first, first + DAY, second, second + DAY]
    assert second == first + 2 * DAY
    found = [scanner.rows(reader, lake.place, as_of=time) for time in times]
    assert found == [as_read(ROWS, ids=ids)] * 2 + [[{"id": 1}]] * 2
    assert [scanner.rows(reader, lake.place, lake.snapshot(run)) for run in "ac"] == found[::2]
    assert scanner.rows(reader, lake.place) == [{"id": 1}]


FILTERS = {
    "id = 7": [2],
    "id < 0": [1],
    "money < 0": [1],
    "money > 12345678901234567890123456789": [0],
    "last_one = 'seven'": [2],
    "day > '2026-01-01'": [1],
    "text = ''": [1],
    "ratio < 1": [1],
}


@EACH
@WITH_IDS
def test_bounds_lose_no_row(tmp_path: Path, scanner: Scanner, reader: str, ids: bool) -> None:
    lake = Lake(tmp_path, ids=ids)
    lake.publish("run", ROWS)
    for where, expected in FILTERS.items():
        words = where.replace("'2026", "DATE '2026") if reader == "polars" else where
        found = scanner.rows(reader, lake.place, where=words)
        assert [row["id"] for row in found] == [ROWS[index]["id"] for index in expected], where


@EACH
def test_a_timestamp_is_the_same_instant_in_any_session(tmp_path: Path, scanner: Scanner, reader: str) -> None:
    lake = Lake(tmp_path, ids=True)
    lake.publish("run", ROWS)
    literal = f"{SUMMER.isoformat()}+00:00"
    where = {"duckdb": f"ts = TIMESTAMPTZ '{literal}'", "pyiceberg": f"ts = '{literal}'", "polars": "id = 7"}[reader]
    for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles"):
        found = scanner.rows(reader, lake.place, where=where, zone=zone)
        assert [row["ts"] for row in found] == [f"{SUMMER.isoformat()} UTC"]
