"""Restores are listed and ended from the command line and from Python."""

from __future__ import annotations

import json

import pytest

import bqdump
from integration.stage import Stage


@pytest.fixture
def unfinished(stage: Stage) -> Stage:
    """A restore of which a view fails, as what it reads is gone."""
    stage.table("a", rows=1)
    stage.sql("CREATE SCHEMA gone")
    stage.sql("CREATE TABLE gone.t AS SELECT 1 AS id")
    stage.sql("CREATE VIEW v AS SELECT id FROM gone.t")
    stage.run_tasks(1, execution="r1")
    stage.sql("DROP TABLE gone.t")
    return stage


def test_a_restore_is_listed_and_ended(unfinished: Stage) -> None:
    stage = unfinished
    assert unfinished.command("restore", "--into", "back").code == 3
    (listed,) = json.loads(unfinished.command("restores", "--json").out)["restores"]
    assert (listed["dataset"], listed["restored"], [one["name"] for one in listed["failed"]]) == ("back", 1, ["v"])
    ended = unfinished.command("restores", "--abort", listed["restore"])
    assert ended.code == 0, ended.text
    assert "It had restored a, perhaps without foreign keys, row access policies and expirations" in ended.out
    assert [name for name in stage.objects() if "/restores/" in name or "/executions/" in name] == []
    assert stage.sql("SELECT COUNT(*) FROM back.a") == [(1,)]
    assert unfinished.command("restores").out == "No restores.\n"
    assert bqdump.restores(bucket=stage.bucket, project=stage.project).restores == ()
    unknown = unfinished.command("restores", "--abort", listed["restore"])
    assert (unknown.code, "`bqdump restores` lists all" in unknown.text) == (5, True)
    assert unfinished.command("verify").code == 0
