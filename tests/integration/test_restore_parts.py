"""Definitions and rows are restored apart on the local stack, from every format."""

from __future__ import annotations

import json

import pytest

from integration.command import call
from integration.stage import Stage


@pytest.fixture(params=["csv", "avro"])
def exported(stage: Stage, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Stage:
    """A partitioned table with a key and a default, a table whose values are cast, and a view."""
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    stage.sql(
        "CREATE TABLE orders (id INT64 NOT NULL, day DATE, note STRING DEFAULT 'none') PARTITION BY day "
        "OPTIONS (labels = [('team', 'a')])"
    )
    stage.sql("INSERT INTO orders (id, day, note) VALUES (1, DATE '2026-01-01', 'a'), (2, DATE '2026-01-02', 'b')")
    stage.sql("CREATE TABLE times AS SELECT 1 AS id, DATETIME '2026-01-01 00:00:00' AS at")
    stage.sql(f"CREATE VIEW v AS SELECT id FROM {stage.dataset}.orders")
    stage.run_tasks(1, execution="r1", format=request.param)
    return stage


def test_rows_follow_their_definitions_and_are_equal(exported: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    schema = call(capsys, "restore", "--into", "back", "--schema-only")
    assert schema.code == 0, schema.text
    assert exported.sql("SELECT COUNT(*) FROM back.v") == [(0,)]
    before = exported.big.get_table(f"{exported.project}.back.orders")
    data = call(capsys, "restore", "--into", "back", "--data-only", "--verify", "--json")
    assert data.code == 0, data.text
    assert {table["table"]: table["action"] for table in json.loads(data.out)["tables"]} == {
        "orders": "fill", "times": "fill",
    }  # fmt: skip
    after = exported.big.get_table(f"{exported.project}.back.orders")
    assert (after.schema, after.labels) == (before.schema, before.labels)
    assert after.time_partitioning.field == before.time_partitioning.field == "day"
    assert exported.sql("SELECT id, note FROM back.orders ORDER BY id") == [(1, "a"), (2, "b")]
    again = call(capsys, "restore", "--into", "back", "--data-only")
    assert again.code == 0, again.text
    assert exported.sql("SELECT COUNT(*) FROM back.v") == [(2,)]


def test_a_table_with_one_more_column_gets_the_rows_by_a_query_that_the_plan_shows(
    exported: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "restore", "--into", "back", "--schema-only", "--include", "orders").code == 0
    exported.sql("ALTER TABLE back.orders ADD COLUMN more STRING")
    command = ("restore", "--into", "back", "--data-only", "--include", "orders")
    plan = call(capsys, *command, "--plan")
    assert "the export lacks more, which is NULL" in plan.out
    assert call(capsys, *command).code == 0
    assert exported.sql("SELECT id, note, more FROM back.orders ORDER BY id") == [(1, "a", None), (2, "b", None)]
    refused = call(capsys, *command, "--as", "{table}_2")
    assert refused.code == 2
    assert "there is no table orders_2" in refused.text


def test_names_of_columns_may_differ_by_case(exported: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    exported.sql("CREATE SCHEMA back")
    exported.sql("CREATE TABLE back.orders (ID INT64 NOT NULL, Day DATE, NOTE STRING) PARTITION BY Day")
    command = ("restore", "--into", "back", "--include", "orders", "--verify", "--data-only")
    done = call(capsys, *command)
    assert done.code == 0, done.text
    assert exported.sql("SELECT ID, NOTE FROM back.orders ORDER BY ID") == [(1, "a"), (2, "b")]
    assert [field.name for field in exported.big.get_table("back.orders").schema] == ["ID", "Day", "NOTE"]
    some = ("restore", "--into", "back", "--partitions", "orders$20260101..20260102", "--replace", "--verify")
    again = call(capsys, *some)
    assert again.code == 0, again.text
    assert exported.sql("SELECT ID, NOTE FROM back.orders ORDER BY ID") == [(1, "a"), (2, "b")]


def test_columns_that_do_not_fit_are_named_before_anything_changes(
    exported: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    exported.sql("CREATE SCHEMA back")
    exported.sql("CREATE TABLE back.orders (id STRING NOT NULL, day DATE) PARTITION BY day")
    refused = call(capsys, "restore", "--into", "back", "--data-only", "--include", "orders")
    assert refused.code == 2
    assert "id is STRING there, and INT64 in the export; there is no note" in refused.text
    assert exported.sql("SELECT COUNT(*) FROM back.orders") == [(0,)]


def test_a_comparison_is_repeated_without_tables_whose_rows_policies_hide(
    exported: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = "GRANT TO ('user:a@example.com') FILTER USING (id = 1)"
    exported.sql(f"CREATE ROW ACCESS POLICY few ON {exported.dataset}.orders {policy}")
    exported.run_tasks(1, execution="r2", allow="row-policies", format="avro")
    command = ("restore", "r2", "--into", "back", "--with-policies", "--verify", "--include", "orders,times", "--json")
    first, again = call(capsys, *command), call(capsys, *command)
    assert (first.code, json.loads(first.out)["verified"]) == (0, 2), first.text
    assert (again.code, json.loads(again.out)["verified"]) == (0, 1), again.text
    assert "orders: not compared: row access policies may hide rows" in again.text


def test_no_row_access_policy_is_removed_by_rows_that_are_put_into_its_table(
    exported: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("restore", "--into", "back", "--include", "orders")
    assert call(capsys, *command, "--schema-only").code == 0
    exported.sql("CREATE ROW ACCESS POLICY mine ON back.orders GRANT TO ('user:a@example.com') FILTER USING (id = 1)")
    refused = call(capsys, *command, "--data-only")
    assert refused.code == 2
    assert "row access policies would be removed: mine of orders" in refused.text
    assert exported.big.get_table(f"{exported.project}.back.orders").num_rows == 0
    exported.sql("DROP ROW ACCESS POLICY mine ON back.orders")
    assert call(capsys, *command, "--data-only").code == 0
