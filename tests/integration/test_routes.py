"""Routes, by real processes and commands on the local stack: what only a query can read, its bill, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.cloud import bigquery

from integration.command import Called, call
from integration.stage import Stage, csv_rows, expected_rows

BILLED_AT_LEAST = 10 << 20


@pytest.fixture
def outside(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage whose three settings stand in the environment, in an empty working directory."""
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(stage.folder)
    return stage


def with_all_kinds(stage: Stage) -> None:
    """A table, a view, a materialized view and an external table."""
    stage.table("orders", 4)
    stage.sql(f"CREATE VIEW recent AS SELECT id, name FROM `{stage.dataset}`.orders WHERE id > 2")
    stage.sql(f"CREATE MATERIALIZED VIEW counted AS SELECT COUNT(*) AS n FROM `{stage.dataset}`.orders")
    stage.upload("elsewhere/data.csv", b"1\n2\n3\n")
    sheet = bigquery.Table(f"{stage.project}.{stage.dataset}.sheet", schema=[bigquery.SchemaField("a", "INT64")])
    files = bigquery.ExternalConfig("CSV")
    files.source_uris = [f"gs://{stage.bucket}/elsewhere/data.csv"]
    sheet.external_data_configuration = files
    stage.big.create_table(sheet)


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What `bqdump plan --json` says, by table."""
    called = call(capsys, "plan", "--json", *arguments)
    assert called.code == 0, called
    shown: dict[str, Any] = json.loads(called.out)
    return {**shown, "tables": {table["table"]: table for table in shown["tables"]}}


def refused(stage: Stage, called: Called, *words: str) -> None:
    """It ended as wrong usage with one error that says all of this, and nothing was touched."""
    before = {name for name in stage.objects() if name.startswith("_bqdump/")}
    assert called.code == 2, called
    (error,) = called.errors
    for word in words:
        assert word in error
    assert "Traceback" not in called.out + called.err
    assert before == set()
    assert stage.extracts() == []


def test_every_kind_is_exported(outside: Stage) -> None:
    with_all_kinds(outside)
    assert outside.execute(tasks=2).codes == [0, 0]
    manifest = outside.manifest()
    found = {table.table: table for table in manifest.tables}
    assert {name: (table.route, table.moment, table.rows) for name, table in found.items()} == {
        "counted": ("query", "job", 1), "orders": ("extract", "snapshot", None), "recent": ("query", "job", 2),
        "sheet": ("query", "job", 3),
    }  # fmt: skip
    assert csv_rows(outside.read(found["recent"].files[0].name)) == ["id,name", "3,orders-3", "4,orders-4"]
    assert csv_rows(outside.read(found["counted"].files[0].name)) == ["n", "4"]
    assert csv_rows(outside.read(found["sheet"].files[0].name)) == ["a", "1", "2", "3"]
    assert csv_rows(outside.read(found["orders"].files[0].name)) == expected_rows("orders", 4)
    assert manifest.skipped == ()
    assert manifest.totals.rows == 6
    assert found["recent"].billed == found["recent"].planned_billed == BILLED_AT_LEAST
    assert "a view" in found["recent"].why
    assert [job.table for job in outside.extracts()] == ["orders"]


def test_the_plan_tells_routes_reasons_and_the_bill(outside: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    with_all_kinds(outside)
    before = outside.big.list_jobs(page_size=1000)
    queries = sum(job.job_type == "query" for job in before)
    shown = planned(capsys)
    bills = {name: table["bills"] for name, table in shown["tables"].items()}
    assert bills == {"counted": BILLED_AT_LEAST, "orders": None, "recent": BILLED_AT_LEAST, "sheet": bills["sheet"]}
    assert shown["totals"]["bills"] == sum(bill or 0 for bill in bills.values())
    assert [name for name, table in shown["tables"].items() if table["bills_at_least"]] == ["sheet"]
    assert shown["tables"]["sheet"]["why"].startswith("an external table: extract jobs read tables only")
    readable = call(capsys, "plan").out
    assert "Not by a free extract job" in readable
    assert "Its queries will bill at least 2" in readable
    # The clock was asked twice; a dry run leaves no job.
    after = [job for job in outside.big.list_jobs(page_size=1000) if job.job_type == "query"]
    assert len(after) == queries + 2


def test_a_bill_beyond_the_limit_is_refused_before_anything_starts(
    outside: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    with_all_kinds(outside)
    refused(outside, call(capsys, "run", "--max-bytes-billed", "10MB"), "max_bytes_billed 10 MB", "would bill",
            "counted 10.5 MB", "--exclude")  # fmt: skip
    refused(outside, call(capsys, "plan", "--max-bytes-billed", "1 kB"), "would bill")
    assert call(capsys, "run", "--max-bytes-billed", "1 GiB").code == 0


def test_a_query_that_would_bill_more_than_was_planned_fails(outside: Stage) -> None:
    outside.table("orders")
    outside.sql(f"CREATE VIEW recent AS SELECT * FROM `{outside.dataset}`.orders")
    ran = outside.execute("--max-bytes-billed", "11 MB", execution="cheap")
    assert ran.codes == [0], ran.text
    (job,) = [job for job in outside.big.list_jobs() if job.job_type == "query" and "EXPORT DATA" in job.query]
    assert job.maximum_bytes_billed == 11_000_000
    assert job.location == "US"


def test_a_route_for_all_and_one_for_some(outside: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("orders", "orders_old", "people"):
        outside.table(name)
    routes = ("--route", "query", "--route", "orders*=extract", "--route", "orders_old=auto")
    shown = planned(capsys, *routes)["tables"]
    assert {name: table["route"] for name, table in shown.items()} == {
        "orders": "extract", "orders_old": "extract", "people": "query"
    }  # fmt: skip
    assert [shown[name]["why"] for name in ("orders", "people")] == ["asked for", "asked for"]
    assert outside.execute(*routes).codes == [0]
    assert csv_rows(outside.read("people/people_000000000000.csv")) == expected_rows("people", 3)


def test_a_table_is_queried_as_it_was_at_the_snapshot_time(outside: Stage) -> None:
    outside.table("orders", 2)
    outside.table("empty", 0)
    snapshot = outside.now()
    outside.now()
    outside.sql("INSERT INTO orders (id, name) VALUES (3, 'late')")
    ran = outside.execute("--route", "query", "--snapshot-time", str(snapshot), tasks=2)
    assert ran.codes == [0, 0], ran.text
    assert {table.table: (table.rows, table.moment) for table in outside.manifest().tables} == {
        "empty": (0, "snapshot"), "orders": (2, "snapshot")
    }  # fmt: skip
    assert csv_rows(outside.read("orders/orders_000000000000.csv")) == expected_rows("orders", 2)


@pytest.mark.parametrize("format_", ["csv", "json", "avro", "parquet"])
def test_a_query_writes_the_same_bytes_as_an_extract_job(outside: Stage, format_: str) -> None:
    outside.sql("CREATE TABLE t AS SELECT 1 AS id, 'a;b' AS s, TIMESTAMP '2026-01-31 03:00:00 UTC' AS at, "
                "DATE '2026-01-31' AS d, NUMERIC '1.5' AS n")  # fmt: skip
    flags = ("--format", format_, "--delimiter", ";", "--path", "{run}/{table}_*.{ext}")
    for route in ("extract", "query"):
        assert outside.execute(*flags, "--route", route, execution=route).codes == [0]
    written = {name.partition("/")[0]: outside.read(name) for name in outside.files()}
    if format_ in ("csv", "json"):
        assert written["extract"] == written["query"]
    else:
        # Avro files differ in their random marker, Parquet files may in their writer's notes.
        assert len(written["extract"]) == len(written["query"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--route", "extract"], ["recent", "the extract route cannot export it (a view", "--route 'recent=query'"]),
        (["--route", "recent=fast"], ["--route", "auto, extract, query, read or TABLE=ROUTE is wanted"]),
        (["--route", "recnt=query"], ["recnt=query", "Did you mean 'recent'?"]),
    ],
)
def test_a_route_that_cannot_be_taken_says_so(
    outside: Stage, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    outside.table("orders")
    outside.sql(f"CREATE VIEW recent AS SELECT * FROM `{outside.dataset}`.orders")
    refused(outside, call(capsys, "run", *arguments), *words)


def test_a_view_that_is_broken_is_told_with_bigquerys_words(outside: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    outside.table("orders")
    outside.sql(f"CREATE VIEW stale AS SELECT id FROM `{outside.dataset}`.orders")
    outside.sql("CREATE OR REPLACE TABLE orders AS SELECT 1 AS other")
    refused(outside, call(capsys, "run"), "table stale", "BigQuery refuses to query it", "id", "--exclude 'stale'")
    assert call(capsys, "run", "--exclude", "stale").code == 0
