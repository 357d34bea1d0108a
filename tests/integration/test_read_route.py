"""The read route on the local stack: streams into files, to a bucket and to a folder, and what stands in its way."""

from __future__ import annotations

import asyncio
import io
import json
import random
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
import requests
from google.cloud import bigquery

from bqdump.adapters.folder.index import INDEX
from bqdump.core.documents.manifest import Manifest
from bqdump_local.processes import Processes
from integration.command import Called
from integration.stage import Ran, Stage

READ = ("--route", "read")
PARQUET = ("--format", "parquet", "--compression", "zstd")


def fault(stage: Stage, **rule: Any) -> None:
    body = {"rules": [{"operation": "readRows", **rule}]}
    requests.put(f"{stage.stack.bigquery}/_local/faults", json=body, timeout=10).raise_for_status()


def parquet_ids(stage: Stage, table: str) -> list[int]:
    names = [name for name in stage.files() if name.startswith(f"{table}/")]
    tables = [pq.read_table(io.BytesIO(stage.read(name))) for name in names]
    return [row for table in tables for row in table.column("id").to_pylist()]


def dump(stage: Stage, *words: str) -> Called:
    """An export to the folder `out`."""
    return stage.command("run", "--to", "out", *words)


def folder_manifest(stage: Stage, folder: str = "out") -> Manifest:
    state = stage.folder / folder / "_bqdump"
    latest = json.loads((state / "latest.json").read_bytes())
    return msgspec.json.decode((stage.folder / folder / latest["manifest"]).read_bytes(), type=Manifest)


def unnamed(stage: Stage) -> list[str]:
    """Files in the folder that have not got their names."""
    found = (path.name for path in (stage.folder / "out").iterdir())
    return [name for name in found if name.startswith(".bqdump-") and name != INDEX]


def test_tables_are_read_into_files_of_a_bucket(stage: Stage) -> None:
    stage.table("many", 5000)
    stage.table("few", 2)
    stage.sql("CREATE TABLE none (id INT64)")
    stage.stack.jobs(read_stream_bytes=10_000, read_batch_bytes=3_000)
    ran = stage.execute(*READ, *PARQUET, tasks=2)
    assert ran.codes == [0, 0]
    manifest = json.loads(stage.read(stage.latest().manifest))
    found = {table["table"]: table for table in manifest["tables"]}
    assert {name: (table["route"], table["rows"]) for name, table in found.items()} == {
        "many": ("read", 5000), "few": ("read", 2), "none": ("read", 0)
    }  # fmt: skip
    assert sorted(parquet_ids(stage, "many")) == list(range(1, 5001))
    assert [len(table["files"]) for table in (found["few"], found["none"])] == [1, 1]
    assert stage.extracts() == []
    assert stage.staged() == []


VALUES = """SELECT 1 AS n, 'NULL' AS s, DATE '2026-01-31' AS day, TIME '01:02:03' AS at, 1.5 AS f, TRUE AS b,
NUMERIC '-1.5' AS amount, DATETIME '2026-01-31T01:02:03' AS clock, TIMESTAMP '2026-01-31 01:02:03+00' AS moment,
b'abc' AS raw UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL UNION ALL SELECT 0, '', NULL, NULL, 0, FALSE, 0, NULL,
NULL, b''"""


@pytest.mark.parametrize(
    ("delimiter", "marker"),
    [("T", ""), (",", "0"), ("-", "1.5"), ("tab", "YWJj")],
)
def test_whatever_delimiter_and_marker_the_files_load_back_as_they_were(
    stage: Stage, delimiter: str, marker: str
) -> None:
    stage.sql(f"CREATE TABLE t AS {VALUES}")
    options = ("--delimiter", delimiter, *(("--null-marker", marker) if marker else ()))
    assert stage.run(*READ, *options).code == 0
    verified = stage.command("verify", "--read", "--source")
    assert verified.code == 0, verified.text
    config = bigquery.LoadJobConfig(
        source_format="CSV", field_delimiter=delimiter, skip_leading_rows=1, null_marker=marker,
        schema=stage.big.get_table(f"{stage.project}.{stage.dataset}.t").schema,
    )  # fmt: skip
    [name] = stage.files()
    back = f"{stage.project}.{stage.dataset}.back"
    stage.big.load_table_from_uri(f"gs://{stage.bucket}/{name}", back, job_config=config).result()
    rows = "SELECT TO_JSON_STRING(x) FROM {} AS x ORDER BY n"
    assert stage.sql(rows.format("back")) == stage.sql(rows.format("t"))


def test_a_dump_to_a_folder_has_the_same_layout_and_manifest(stage: Stage) -> None:
    stage.table("a", 10)
    stage.table("b", 20)
    assert dump(stage).code == 0
    manifest = folder_manifest(stage)
    assert [(table.table, table.rows, table.route) for table in manifest.tables] == [
        ("a", 10, "read"),
        ("b", 20, "read"),
    ]
    out = stage.folder / "out"
    assert (out / "b/b_000000000000.csv").read_text().count("\n") == 21
    assert unnamed(stage) == []
    stage.table("a", 11)
    stage.sql("DROP TABLE b")
    assert dump(stage).code == 0
    assert (out / "a/a_000000000000.csv").read_text().count("\n") == 12
    assert not (out / "b").exists()
    for command in ("verify", "runs", "status", "report"):
        reported = stage.command(command, "--to", "out")
        assert reported.code == 0, reported.text
    first, second = sorted(path.name for path in (out / "_bqdump/runs").iterdir())
    assert "b" in stage.command("diff", first, second, "--to", "out").text
    (out / "a/a_000000000000.csv").write_text("spoilt")
    assert stage.command("verify", "--to", "out").code == 4


def test_a_folder_that_holds_something_else_is_left_alone(stage: Stage) -> None:
    stage.table("t", 3)
    (stage.folder / "out").mkdir()
    (stage.folder / "out" / "letter").write_text("dear")
    ran = dump(stage)
    assert ran.code == 2
    assert "the folder is not empty and contains no export. Use a new or empty folder" in ran.text
    assert stage.command("runs", "--to", "out").code == 0
    assert [path.name for path in (stage.folder / "out").iterdir()] == ["letter"]


SHARED = (*READ, *PARQUET, "--read-split", "10KB")


def published(stage: Stage) -> Manifest:
    return msgspec.json.decode(stage.read(stage.latest().manifest), type=Manifest)


def test_tasks_that_read_a_table_together_may_be_killed_at_any_moment(stage: Stage) -> None:
    stage.table("large", 5000)
    stage.stack.jobs(read_stream_bytes=10_000, read_batch_bytes=3_000)
    # So slow that the first kill hits a task.
    fault(stage, seconds=1.5, times=1000)
    dice, processes = random.Random(1), Processes()

    async def hunted() -> tuple[Ran, int]:
        running = asyncio.create_task(
            stage.processes(*SHARED, tasks=3, execution="hunted", processes=processes, max_retries=20)
        )
        hits = 0
        for _ in range(6):
            await asyncio.wait([running], timeout=dice.uniform(0.3, 1.5))
            if processes.running:
                hits += processes.kill(dice.choice(sorted(processes.running)))
        return await running, hits

    ran, hits = asyncio.run(hunted())
    assert hits
    assert ran.codes == [0, 0, 0], ran.text
    [large] = published(stage).tables
    contents = [pq.read_table(io.BytesIO(stage.read(file.name))) for file in large.files]
    assert sorted(row for one in contents for row in one.column("id").to_pylist()) == list(range(1, 5001))
    assert stage.command("verify", "hunted").code == 0


def test_a_required_column_is_required_in_parquet_by_either_route(stage: Stage) -> None:
    stage.sql("CREATE TABLE t (id INT64 NOT NULL, name STRING)")
    stage.sql("INSERT INTO t VALUES (1, NULL)")
    found = []
    for route in ("extract", "read"):
        assert stage.run("--route", route, "--format", "parquet").code == 0
        [name] = stage.files()
        schema = pq.read_schema(io.BytesIO(stage.read(name)))
        found.append([(field.name, field.nullable) for field in schema])
    assert found == [[("id", False), ("name", True)]] * 2
