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
    assert call(capsys, "verify").code == 0


def test_a_restore_that_is_done_or_unknown_is_named(stage: Stage, capsys: pytest.CaptureFixture[str],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    stage.table("a", rows=1)
    stage.run_tasks(1, execution="r1")
    assert call(capsys, "restore", "--into", "back").code == 0
    (done,) = bqdump.restores(bucket=stage.bucket, project=stage.project).restores
    assert (done.state, done.restored) == ("done", 1)
    refused = call(capsys, "restores", "--abort", done.restore)
    assert (refused.code, "it is done, so there is nothing to end" in refused.text) == (2, True)
    unknown = call(capsys, "restores", "--abort", "0123456789ab-1")
    assert (unknown.code, "`bqdump restores` lists all" in unknown.text) == (5, True)
