"""A table is restored next to the live one, on the local stack, and compared value by value."""

from __future__ import annotations

import json

import pytest

from integration.command import call
from integration.stage import Stage


@pytest.fixture
def exported(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Two tables, of which a later change is not in the export."""
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    stage.sql("CREATE TABLE orders AS SELECT 1 AS id, DATETIME '2026-01-01 00:00:00' AS at")
    stage.table("customers", rows=2)
    stage.sql(f"CREATE VIEW v AS SELECT id FROM {stage.dataset}.orders")
    stage.run_tasks(1, execution="r1", format="avro")
    stage.sql("UPDATE orders SET id = 2 WHERE TRUE")
    return stage


def test_yesterdays_table_is_restored_and_compared_next_to_the_live_one(
    exported: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("restore", "--into", exported.dataset, "--include", "orders", "--as", "orders_yesterday")
    done = call(capsys, *command, "--verify", "--json")
    assert done.code == 0, done.text
    result = json.loads(done.out)
    assert [(one["table"], one["exported"], one["as_what"]) for one in result["tables"]] == [
        ("orders_yesterday", "orders", "orders in the export")
    ]
    assert result["verified"] == 1
    found = [exported.sql(f"SELECT id FROM {name}") for name in ("orders", "orders_yesterday")]
    assert found == [[(2,)], [(1,)]]
    assert call(capsys, *command, "--verify").code == 0
    exported.sql("UPDATE orders_yesterday SET id = 3 WHERE TRUE")
    different = call(capsys, *command, "--verify")
    assert different.code == 4
    assert "orders_yesterday: values: expected id" in different.text


def test_a_plan_shows_both_names_and_several_tables_need_a_name_each(
    exported: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    one = call(capsys, "restore", "--into", exported.dataset, "--as", "old", "--plan")
    assert one.code == 2
    assert "--as: 'old' would be the name of 2 tables (customers, orders)" in one.text
    shown = call(capsys, "restore", "--into", exported.dataset, "--as", "{table}_old", "--plan")
    assert shown.code == 0, shown.text
    assert "orders_old" in shown.out
    assert "orders in the export" in shown.out
    assert "only tables are restored under other names" in shown.out
