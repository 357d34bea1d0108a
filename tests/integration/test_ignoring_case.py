"""A dataset that ignores case gets every table of an export, or none, on the local stack."""

from __future__ import annotations

import pytest

from integration.command import call
from integration.stage import Stage


@pytest.fixture
def exported(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Two tables whose names differ by case only, exported once, and a dataset that takes them for one."""
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    stage.sql("CREATE TABLE Foo AS SELECT 1 AS id")
    stage.sql("CREATE TABLE foo AS SELECT 2 AS id UNION ALL SELECT 3")
    stage.run_tasks(1, execution="r1")
    stage.sql("CREATE SCHEMA back OPTIONS (is_case_insensitive = TRUE)")
    return stage


def tables(stage: Stage) -> dict[str, list[int]]:
    names = [table.table_id for table in stage.big.list_tables("back")]
    return {name: [id_ for (id_,) in stage.sql(f"SELECT id FROM back.{name} ORDER BY id")] for name in names}


def test_both_are_restored_one_of_them_under_another_name(exported: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--plan", "--replace", "--missing-only"):
        refused = call(capsys, "restore", "--into", "back", option)
        assert refused.code == 2
        assert "cannot have both Foo and foo" in refused.text
    assert tables(exported) == {}
    assert call(capsys, "restore", "--into", "back", "--exclude", "foo").code == 0
    assert call(capsys, "restore", "--into", "back", "--include", "foo", "--as", "foo_2").code == 0
    assert tables(exported) == {"Foo": [1], "foo_2": [2, 3]}


def test_a_table_in_another_case_is_replaced_under_its_name(
    exported: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    exported.sql("CREATE TABLE back.FOO AS SELECT 9 AS id")
    kept = call(capsys, "restore", "--into", "back", "--include", "foo", "--missing-only")
    assert (kept.code, tables(exported)) == (0, {"FOO": [9]}), kept.text
    replaced = call(capsys, "restore", "--into", "back", "--include", "foo", "--replace", "--verify")
    assert (replaced.code, tables(exported)) == (0, {"FOO": [2, 3]}), replaced.text
    refused = call(capsys, "restore", "--into", "BACK", "--include", "foo", "--replace")
    assert refused.code == 2
    assert "this is dataset back, which ignores case in names" in refused.text
