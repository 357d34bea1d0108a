"""Definitions and rows are restored apart on the local stack."""

from __future__ import annotations

import json

import pytest

from integration.stage import Stage


@pytest.fixture
def exported(stage: Stage) -> Stage:
    """A partitioned table with a key and a default, a table whose values are cast, and a view."""
    stage.sql(
        "CREATE TABLE orders (id INT64 NOT NULL, day DATE, note STRING DEFAULT 'none') PARTITION BY day "
        "OPTIONS (labels = [('team', 'a')])"
    )
    stage.sql("INSERT INTO orders (id, day, note) VALUES (1, DATE '2026-01-01', 'a'), (2, DATE '2026-01-02', 'b')")
    stage.sql("CREATE TABLE times AS SELECT 1 AS id, DATETIME '2026-01-01 00:00:00' AS at")
    stage.sql(f"CREATE VIEW v AS SELECT id FROM {stage.dataset}.orders")
    stage.run_tasks(1, execution="r1", format="avro")
    return stage


def test_rows_follow_their_definitions_and_are_equal(exported: Stage) -> None:
    schema = exported.command("restore", "--into", "back", "--schema-only")
    assert schema.code == 0, schema.text
    assert exported.sql("SELECT COUNT(*) FROM back.v") == [(0,)]
    before = exported.big.get_table(f"{exported.project}.back.orders")
    data = exported.command("restore", "--into", "back", "--data-only", "--verify", "--json")
    assert data.code == 0, data.text
    assert {table["table"]: table["action"] for table in json.loads(data.out)["tables"]} == {
        "orders": "fill", "times": "fill",
    }  # fmt: skip
    after = exported.big.get_table(f"{exported.project}.back.orders")
    assert (after.schema, after.labels) == (before.schema, before.labels)
    assert after.time_partitioning.field == before.time_partitioning.field == "day"
    assert exported.sql("SELECT id, note FROM back.orders ORDER BY id") == [(1, "a"), (2, "b")]
    again = exported.command("restore", "--into", "back", "--data-only")
    assert again.code == 0, again.text
    assert exported.sql("SELECT COUNT(*) FROM back.v") == [(2,)]


def test_a_comparison_is_repeated_without_tables_whose_rows_policies_hide(exported: Stage) -> None:
    policy = "GRANT TO ('user:a@example.com') FILTER USING (id = 1)"
    exported.sql(f"CREATE ROW ACCESS POLICY few ON {exported.dataset}.orders {policy}")
    exported.run_tasks(1, execution="r2", allow="row-policies", format="avro")
    command = ("restore", "r2", "--into", "back", "--with-policies", "--verify", "--include", "orders,times", "--json")
    first, again = exported.command(*command), exported.command(*command)
    assert (first.code, json.loads(first.out)["verified"]) == (0, 2), first.text
    assert (again.code, json.loads(again.out)["verified"]) == (0, 1), again.text
    assert "orders: not compared: row access policies may hide rows" in again.text
