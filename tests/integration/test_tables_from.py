"""A file of names chooses what is exported, listed and restored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.stage import Stage


@pytest.fixture
def names(stage: Stage, tmp_path: Path) -> Path:
    """Three tables, and a file that names two of them."""
    for table in ("a", "b", "c"):
        stage.table(table, rows=1)
    (tmp_path / "names.txt").write_text("a\nb # the other one\n")
    return tmp_path / "names.txt"


def test_only_the_tables_of_the_file_are_exported_and_the_plan_has_their_names(stage: Stage, names: Path) -> None:
    assert "2 tables" in stage.command("plan", "--tables-from", str(names)).out
    assert stage.command("run", "--quiet", "--run-id", "r1", "--tables-from", str(names)).code == 0
    assert {entry.table for entry in stage.manifest().tables} == {"a", "b"}
    assert stage.plan("r1").settings["include"] == ["a", "b"]


def test_a_file_with_other_names_is_another_selection(
    stage: Stage, names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.run_tasks(1, execution="r1")
    monkeypatch.setenv("BQDUMP_RESTORE_TABLES_FROM", str(names))
    assert stage.command("restore", "--into", "back").code == 0
    assert {table.table_id for table in stage.big.list_tables("back")} == {"a", "b"}
    names.write_text("c\n")
    listed = json.loads(stage.command("ls", "--tables-from", str(names), "--json").out)
    assert [table["table"] for table in listed["tables"]] == ["c"]
    more = stage.command("restore", "--into", "back")
    assert more.code == 2
    assert "the dataset is not empty" in more.text
