"""Tables of every kind of partitioning, exported by partition, verified, read by DuckDB, and restored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bqdump.core.documents.units import files_by_partition
from integration.stage import Stage

PATH = "{table}/day={partition}/{table}_*.{ext}"
COLUMNS = "id INT64, d DATE, t TIMESTAMP, dt DATETIME, n INT64"
ROWS = """
  (1, DATE '2024-01-31', TIMESTAMP '2024-01-31 23:59:59.999999+00', DATETIME '2024-01-31 10:00:00', 5),
  (2, DATE '2024-02-01', TIMESTAMP '2024-02-01 00:00:00+00', DATETIME '2024-02-01 00:00:00', 10),
  (3, DATE '2024-02-01', TIMESTAMP '2024-02-01 01:30:00+00', DATETIME '2024-02-01 01:00:00', 19),
  (4, DATE '2025-12-31', TIMESTAMP '2025-12-31 12:00:00+00', DATETIME '2025-12-31 01:00:00', 95),
  (5, NULL, NULL, NULL, NULL),
  (6, DATE '9999-12-31', TIMESTAMP '9999-12-31 23:00:00+00', DATETIME '9999-12-31 23:59:59', -3)
"""
# The kinds of partitioning, and the ids of the partitions with the rows in each.
KINDS: dict[str, tuple[str, dict[str, list[int]]]] = {
    "day": ("d", {"20240131": [1], "20240201": [2, 3], "20251231": [4], "99991231": [6], "__NULL__": [5]}),
    "hour": (
        "TIMESTAMP_TRUNC(t, HOUR)",
        {"2024013123": [1], "2024020100": [2], "2024020101": [3], "2025123112": [4], "9999123123": [6]}
        | {"__NULL__": [5]},
    ),
    "month": (
        "DATETIME_TRUNC(dt, MONTH)", {"202401": [1], "202402": [2, 3], "202512": [4], "999912": [6], "__NULL__": [5]}
    ),
    "year": ("DATE_TRUNC(d, YEAR)", {"2024": [1, 2, 3], "2025": [4], "9999": [6], "__NULL__": [5]}),
    "numbers": (
        "RANGE_BUCKET(n, GENERATE_ARRAY(0, 95, 10))",
        {"0": [1], "10": [2, 3], "__NULL__": [5], "__UNPARTITIONED__": [4, 6]},
    ),
}  # fmt: skip


def make(stage: Stage, *kinds: str) -> None:
    for kind in kinds:
        stage.sql(f"CREATE TABLE {kind} ({COLUMNS}) PARTITION BY {KINDS[kind][0]}")
        stage.sql(f"INSERT INTO {kind} VALUES {ROWS}")
    stage.now()


def export(stage: Stage, run: str = "r1", **settings: Any) -> None:
    (outcome,) = stage.run_tasks(1, execution=run, partitions_min_bytes="0", **{"path": PATH, **settings})
    assert outcome.state == "published"


def verify(stage: Stage) -> None:
    verified = stage.command("verify", "--source", "--json", "--bucket", stage.bucket, "--project", stage.project)
    assert (verified.code, json.loads(verified.out)["findings"]) == (0, [])


def restore(stage: Stage, *options: str) -> None:
    arguments = ("--bucket", stage.bucket, "--into", f"{stage.project}.copy", *options)
    restored = stage.command("restore", "--quiet", *arguments)
    assert restored.code == 0, restored


def ids_by_partition(stage: Stage, buckets: Path, table: str) -> dict[str, list[int]]:
    entry = next(entry for entry in stage.manifest().tables if entry.table == table)
    found = {}
    for partition, files in files_by_partition(entry):
        lines = b"".join(stage.read(file.name) for file in files).decode().splitlines()
        found[partition.id] = sorted(int(line.split(",")[0]) for line in lines if not line.startswith("id"))
    return found


@pytest.mark.parametrize("route", ["query", "read"])
def test_every_kind_of_partition_is_exported_verified_and_restored(stage: Stage, buckets: Path, route: str) -> None:
    make(stage, *KINDS)
    export(stage, route=route)
    for kind, (_, expected) in KINDS.items():
        assert ids_by_partition(stage, buckets, kind) == expected
        entry = next(entry for entry in stage.manifest().tables if entry.table == kind)
        assert {one.route for one in entry.partitions} == {route}
        assert all(one.look for one in entry.partitions)
    verify(stage)
    restore(stage)
    for kind in KINDS:
        rows = f"SELECT * FROM {{}}.{kind} ORDER BY id"
        assert stage.sql(rows.format("copy")) == stage.sql(rows.format(stage.dataset))


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_duckdb_reads_the_partitions_as_a_column(stage: Stage, buckets: Path, format_: str) -> None:
    make(stage, "day", "numbers")
    export(stage, format=format_)
    folder = stage.folder / "files"
    for name in stage.files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(stage.read(name))
    for table, column in (("day", "strftime(d, '%Y%m%d')"), ("numbers", "n")):
        pattern = f"read_{format_}('{folder}/{table}/*/*.{format_}', hive_partitioning = true)"
        rows = duckdb.sql(f"SELECT id, day::VARCHAR, {column} FROM {pattern} ORDER BY id").fetchall()
        assert [row[0] for row in rows] == [1, 2, 3, 4, 5, 6]
        assert [row[1] for row in rows if row[0] == 5] == [None]
        if table == "day":
            assert all(day == of for _, day, of in rows)
            pruned = duckdb.sql(f"SELECT id FROM {pattern} WHERE day = '20240201' ORDER BY id").fetchall()
            assert pruned == [(2,), (3,)]


def test_rows_return_to_the_partitions_of_their_arrival(stage: Stage, buckets: Path) -> None:
    stage.sql("CREATE TABLE events (id INT64, at DATETIME) PARTITION BY TIMESTAMP_TRUNC(_PARTITIONTIME, MONTH)"
              " OPTIONS (require_partition_filter = true, partition_expiration_days = 36500)")  # fmt: skip
    january = "TIMESTAMP '2024-01-01'"
    stage.sql(
        "INSERT INTO events (_PARTITIONTIME, id, at) VALUES (TIMESTAMP '2020-02-01', 1, NULL),"
        f" ({january}, 2, DATETIME '2024-01-05 01:02:03'), ({january}, 3, NULL)"
    )
    stage.now()
    select = "SELECT _PARTITIONTIME, id, at FROM {}.events WHERE _PARTITIONTIME IS NOT NULL ORDER BY id"
    before = stage.sql(select.format(stage.dataset))
    # Without files by partition, this would be refused: no file has the times.
    export(stage)
    verify(stage)
    restore(stage)
    assert stage.sql(select.format("copy")) == before
    # Avro has no DATETIME that loads, so a query casts what was loaded by partition.
    export(stage, "r2", format="avro")
    restore(stage, "--replace")
    assert stage.sql(select.format("copy")) == before


def test_a_plan_shows_partitions_and_what_their_queries_bill(stage: Stage) -> None:
    make(stage, "day")
    options = ("--path", PATH, "--partitions-min-bytes", "0")
    planned = stage.command("plan", "--json", *options)
    (table,) = json.loads(planned.out)["tables"]
    assert (table["partitions"], table["parts"], table["route"], table["bills"]) == (5, 1, "extract", None)
    assert table["path"] == "day/day={partition}/day_*.csv"
    then = stage.sql("SELECT CURRENT_TIMESTAMP()")[0][0].isoformat()
    planned = stage.command("plan", "--json", *options, "--snapshot-time", then)
    (table,) = json.loads(planned.out)["tables"]
    assert (table["route"], table["bills"]) == ("query", 5 * (10 << 20))
    text = stage.command("plan", *options).out
    assert "5 partitions" in text


def test_an_incremental_export_of_changed_partitions_is_verified_and_restored(stage: Stage, buckets: Path) -> None:
    make(stage, "day", "numbers")
    flags = {"path": f"{{run}}/{PATH}", "incremental": "true"}
    export(stage, **flags)
    stage.sql("INSERT INTO day (id, d) VALUES (7, DATE '2024-02-01')")
    stage.sql("DELETE FROM numbers WHERE id = 5")
    stage.now()
    export(stage, "r2", **flags)
    jobs = [job.table for job in stage.extracts() if "_r2_" in job.job]
    # Of the other table, only a partition was dropped: the smallest of the others is exported with it.
    assert sorted(jobs) == ["day$20240201", "numbers$0"]
    assert ids_by_partition(stage, buckets, "day")["20240201"] == [2, 3, 7]
    (gone,) = stage.manifest().removed_partitions
    assert (gone.table, gone.partitions) == ("numbers", ("__NULL__",))
    verify(stage)
    restore(stage)
    for kind in ("day", "numbers"):
        rows = f"SELECT * FROM {{}}.{kind} ORDER BY id"
        assert stage.sql(rows.format("copy")) == stage.sql(rows.format(stage.dataset))
