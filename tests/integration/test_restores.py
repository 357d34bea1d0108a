"""Restores are listed and ended from the command line and from Python."""

from __future__ import annotations

import json

import pytest

import bqdump
from integration.command import call
from integration.stage import Stage


@pytest.fixture
def unfinished(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A restore of which a view fails, as what it reads is gone."""
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    stage.table("a", rows=1)
    stage.sql("CREATE SCHEMA gone")
    stage.sql("CREATE TABLE gone.t AS SELECT 1 AS id")
    stage.sql("CREATE VIEW v AS SELECT id FROM gone.t")
    stage.run_tasks(1, execution="r1")
    stage.sql("DROP TABLE gone.t")
    return stage


def test_a_restore_is_listed_and_ended(unfinished: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage = unfinished
    assert call(capsys, "restore", "--into", "back").code == 3
    (listed,) = json.loads(call(capsys, "restores", "--json").out)["restores"]
    assert (listed["dataset"], listed["restored"], [one["name"] for one in listed["failed"]]) == ("back", 1, ["v"])
    ended = call(capsys, "restores", "--abort", listed["restore"])
    assert ended.code == 0, ended.text
    assert "It had restored a, perhaps without foreign keys, row access policies and expirations" in ended.out
    assert [name for name in stage.objects() if "/restores/" in name or "/executions/" in name] == []
    assert stage.sql("SELECT COUNT(*) FROM back.a") == [(1,)]
    assert call(capsys, "restores").out == "No restores.\n"
    assert bqdump.restores(bucket=stage.bucket, project=stage.project).restores == ()
    unknown = call(capsys, "restores", "--abort", listed["restore"])
    assert (unknown.code, "`bqdump restores` lists all" in unknown.text) == (5, True)
    assert call(capsys, "verify").code == 0
