"""Columns that change after the snapshot time: files, definition and verification are all of the snapshot time."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from google.cloud import bigquery
from msgspec.structs import replace

from bqdump.cli.logs import LABELS
from bqdump.core.documents.manifest import Manifest
from bqdump.core.formats.types import columns
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.tables.catalog import Dataset, Listed
from bqdump.core.times import rfc3339
from bqdump.export.act import TaskResult
from bqdump.export.run import run
from bqdump.export.task import Task
from integration.stage import Stage, records
from logged import lines_of

ROUTES = ("extract", "query", "read")
CREATE = "CREATE TABLE {} AS SELECT 1 AS id, 'a' AS name, DATE '2026-01-31' AS day"
THEN = [("id", "INT64"), ("name", "STRING"), ("day", "DATE")]
CHANGES = {
    "added": "ALTER TABLE {0} ADD COLUMN later STRING",
    "dropped": "ALTER TABLE {0} DROP COLUMN name",
    "renamed": "ALTER TABLE {0} RENAME COLUMN name TO title",
    "widened": "ALTER TABLE {0} ALTER COLUMN id SET DATA TYPE NUMERIC",
    "swapped": "ALTER TABLE {0} DROP COLUMN name; ALTER TABLE {0} ADD COLUMN name BOOL",
}


def manifest(stage: Stage) -> Manifest:
    return msgspec.json.decode(stage.read(stage.latest().manifest), type=Manifest)


def named(definition: Any) -> list[tuple[str, str]]:
    return [(column.name, column.type) for column in columns(definition)]


def text(stage: Stage, table: str = "t") -> list[list[str]]:
    [name] = [name for name in stage.files() if name.startswith(f"{table}/")]
    return list(csv.reader(io.StringIO(stage.read(name).decode(), newline="")))


def check(stage: Stage) -> None:
    """Files, definitions and verification are of the snapshot time, and the definitions restore the files."""
    verified = stage.command("verify", "--read", "--source")
    assert verified.code == 0, verified.text
    for entry in manifest(stage).tables:
        assert named(entry.definition) == THEN, entry.table
        fields = json.loads(bytes(entry.definition))["schema"]["fields"]
        schema = [bigquery.SchemaField.from_api_repr(field) for field in fields]
        table = bigquery.Table(f"{stage.project}.{stage.dataset}.back_{entry.table}", schema)
        stage.big.create_table(table)
        config = bigquery.LoadJobConfig(
            source_format={"csv": "CSV", "parquet": "PARQUET"}[entry.format], create_disposition="CREATE_NEVER",
        )  # fmt: skip
        if entry.format == "csv":
            config.skip_leading_rows = 1
        uris = [f"gs://{stage.bucket}/{file.name}" for file in entry.files]
        stage.big.load_table_from_uri(uris, table.reference, job_config=config).result()
        rows = stage.sql(f"SELECT id, name, CAST(day AS STRING) FROM {table.table_id}")
        assert rows == [(1, "a", "2026-01-31")], entry.table


@pytest.mark.parametrize("route", ROUTES)
def test_an_earlier_snapshot_time_has_the_columns_of_then(stage: Stage, route: str) -> None:
    for change in CHANGES:
        stage.sql(CREATE.format(change))
    moment = stage.now()
    stage.now()
    for change, statements in CHANGES.items():
        stage.sql(statements.format(change))
    as_text = ("added", "widened")
    tables = json.dumps({change: {"format": "csv"} for change in as_text})
    ran = stage.run(
        "--route", route, "--format", "parquet", "--tables", tables, "--snapshot-time", rfc3339(moment)
    )  # fmt: skip
    assert ran.code == 0, ran.text
    reported = [line[LABELS]["table"] for line in lines_of(records(ran.text), LogEvent.COLUMNS_CHANGED)]
    assert sorted(reported) == sorted(CHANGES)
    for change in as_text:
        assert text(stage, change) == [["id", "name", "day"], ["1", "a", "2026-01-31"]]
    check(stage)


class Late:
    """A warehouse whose table changes between the snapshot time and the first look at its definition."""

    def __init__(self, warehouse: Any, change: Callable[[], object]) -> None:
        self._warehouse, self._change = warehouse, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)

    async def tables(self, dataset: Dataset) -> list[Listed]:
        listed: list[Listed] = await self._warehouse.tables(dataset)
        await asyncio.to_thread(self._change)
        return listed


def test_columns_that_change_while_the_run_is_planned_are_those_of_the_snapshot_time(stage: Stage) -> None:
    changes = ("added", "renamed")
    for change in changes:
        stage.sql(CREATE.format(change))

    def later() -> None:
        stage.now()
        for change in changes:
            stage.sql(CHANGES[change].format(change))

    async def work(task: Callable[[int], Task]) -> TaskResult:
        return await run(replace(task(0), warehouse=Late(task(0).warehouse, later)))

    assert stage.perform(work, execution="r1").state == "published"
    for change in changes:
        assert text(stage, change) == [["id", "name", "day"], ["1", "a", "2026-01-31"]]
    check(stage)


def test_settings_of_columns_are_held_against_the_columns_of_then(stage: Stage) -> None:
    stage.sql(CREATE.format("t"))
    moment = rfc3339(stage.now())
    stage.now()
    stage.sql(CHANGES["renamed"].format("t"))
    of_now, of_then = (json.dumps({"t": {"exclude_columns": [name]}}) for name in ("title", "name"))
    refused = stage.run("--snapshot-time", moment, "--tables", of_now)
    assert refused.code == 2
    assert "has no column 'title'" in refused.text
    assert stage.run("--snapshot-time", moment, "--tables", of_then, "--route", "read").code == 0
    assert text(stage) == [["id", "day"], ["1", "2026-01-31"]]


def test_columns_of_then_that_cannot_be_seen_are_named_and_refused_unless_allowed(stage: Stage) -> None:
    stage.table("same")
    stage.sql(CREATE.format("t"))
    moment = stage.now()
    stage.now()
    stage.sql(CHANGES["added"].format("t"))
    stage.deny("bigquery.tables.getData")
    options = ("--snapshot-time", rfc3339(moment), "--route", "read")
    ran = stage.run(*options)
    assert ran.code == 2, ran.text
    assert "their columns at that time cannot be read" in ran.text
    assert "--allow unseen-columns" in ran.text
    assert stage.files() == []
    planned = stage.command("plan", "--json", *options, "--allow", "unseen-columns")
    flags = [(flag["risk"], flag["table"]) for flag in json.loads(planned.text)["flags"]]
    assert ("unseen-columns", "t") in flags
    assert ("unseen-columns", "same") not in flags
