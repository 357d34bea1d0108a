"""The partition times of ingestion-time partitioned tables: exported as a column, verified, and loaded back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration.stage import Stage

COLUMN = "bqdump_partition_time"
MAKE = """
  CREATE TABLE events (id INT64, note STRING, {more} day DATE) PARTITION BY {by}
  CLUSTER BY id OPTIONS (require_partition_filter = true)
"""
FILL = """
  INSERT INTO events (_PARTITIONTIME, id, note, day) VALUES
    (TIMESTAMP '2020-02-01', 1, 'first', DATE '2024-06-01'),
    (TIMESTAMP '2024-01-01', 2, NULL, NULL),
    (TIMESTAMP '2024-01-01', 3, 'third', DATE '2000-01-01'),
    (TIMESTAMP '2025-12-01', 4, 'say "x", y', DATE '2024-06-01')
"""
WAYS = [("query", "csv"), ("query", "avro"), ("read", "parquet")]


def make(stage: Stage, by: str = "_PARTITIONDATE", more: str = "") -> None:
    stage.sql(MAKE.format(by=by, more=more))
    stage.sql(FILL)
    stage.now()


def by_partition(stage: Stage, table: str) -> list[tuple[Any, ...]]:
    columns = "_PARTITIONTIME, id, note, day"
    return stage.sql(f"SELECT {columns} FROM {table} WHERE _PARTITIONTIME IS NOT NULL ORDER BY id")


def restore(stage: Stage, *options: str) -> str:
    """Restore the published run into the dataset `copy`; returns the name of its table."""
    arguments = ("--bucket", stage.bucket, "--into", f"{stage.project}.copy", *options)
    restored = stage.command("restore", "--quiet", *arguments)
    assert restored.code == 0, restored
    return "copy.events"


@pytest.mark.parametrize(("route", "format_"), WAYS)
def test_every_row_comes_back_in_its_partition(stage: Stage, route: str, format_: str) -> None:
    make(stage)
    before = by_partition(stage, "events")
    (outcome,) = stage.run_tasks(1, execution="r1", route=route, format=format_, partition_times="true")
    assert outcome.state == "published"
    stage.sql("DELETE FROM events WHERE true")
    verified = stage.command("verify", "--source", "--json", "--bucket", stage.bucket, "--project", stage.project)
    assert (verified.code, json.loads(verified.out)["findings"]) == (0, [])
    assert by_partition(stage, restore(stage)) == before


def test_a_wrong_partition_time_is_a_difference(stage: Stage) -> None:
    make(stage)
    stage.run_tasks(1, execution="r1", partition_times="true")
    stage.sql("CREATE OR REPLACE TABLE late AS SELECT 1 AS id")
    name = stage.manifest().tables[0].files[0].name
    data = stage.read(name).replace(b"2020-02-01 00:00:00 UTC", b"2020-03-01 00:00:00 UTC")
    manifest = json.loads(stage.read(stage.latest().manifest))
    stage.upload(name, data)
    blob = stage.store.bucket(stage.bucket).get_blob(name)
    manifest["tables"][0]["files"][0] |= {"crc32c": blob.crc32c, "generation": int(blob.generation)}
    stage.upload(stage.latest().manifest, json.dumps(manifest).encode())
    verified = stage.command("verify", "--source", "--json", "--bucket", stage.bucket, "--project", stage.project)
    (finding,) = json.loads(verified.out)["findings"]
    assert (verified.code, finding["kind"]) == (4, "values")
    assert finding["expected"].startswith(f"{COLUMN}: 4 values")


def test_the_plan_names_the_bill_and_the_refusal_names_the_setting(stage: Stage) -> None:
    make(stage, "TIMESTAMP_TRUNC(_PARTITIONTIME, MONTH)", f"{COLUMN.upper()} STRING,")
    refused = stage.command("plan")
    assert refused.code == 2
    assert "set --partition-times (billed). To export anyway: --allow pseudo-columns." in refused.err
    section = {"events": {"partition_times": True, "columns": ["id"], "where": "id > 1"}}
    planned = stage.command("plan", "--json", "--tables", json.dumps(section))
    (table,) = json.loads(planned.out)["tables"]
    assert (table["route"], table["bills"]) == ("query", 10_485_760)
    assert "extract jobs have no pseudo-columns" in table["why"]
    (outcome,) = stage.run_tasks(1, execution="r1", tables=json.dumps(section))
    assert outcome.state == "published"
    (entry,) = stage.manifest().tables
    lines = stage.read(entry.files[0].name).decode().splitlines()
    assert (lines[0], sorted(lines[1:])) == (
        f"id,{COLUMN}_",
        ["2,2024-01-01 00:00:00 UTC", "3,2024-01-01 00:00:00 UTC", "4,2025-12-01 00:00:00 UTC"],
    )
    assert stage.command("verify", "--source").code == 0


def test_diff_compares_the_partition_times(stage: Stage) -> None:
    make(stage)
    flags: dict[str, Any] = {"partition_times": "true", "path": "{run}/{table}/{table}_*.{ext}"}
    stage.run_tasks(1, execution="r1", **flags)
    stage.sql("DELETE FROM events WHERE _PARTITIONTIME = TIMESTAMP '2020-02-01'")
    stage.sql("INSERT INTO events (_PARTITIONTIME, id, note, day)"
              " VALUES (TIMESTAMP '2021-02-01', 1, 'first', DATE '2024-06-01')")  # fmt: skip
    stage.now()
    stage.run_tasks(1, execution="r2", **flags)
    reported = stage.command("diff", "r1", "r2", "--values", "--json", "--bucket", stage.bucket)
    (table,) = json.loads(reported.out)
    assert (table["table"], table["values_changed"]) == ("events", [COLUMN])
