"""What a format does not bring back exactly is named before an export and before a restore, and refused on request."""

from __future__ import annotations

import json

import pytest

from integration.stage import Stage

NULLS, SIGN = '"" becomes NULL', "-0.0 becomes 0.0"


@pytest.fixture
def outside(stage: Stage) -> Stage:
    stage.sql("CREATE TABLE notes (id STRING NOT NULL, note STRING, score FLOAT64)")
    stage.sql("INSERT INTO notes VALUES ('', '', -0.0)")
    return stage


def altered(stage: Stage, *arguments: str) -> list[tuple[str, str]]:
    planned = stage.command("plan", "--json", *arguments)
    assert planned.code == 0, planned.text
    return [(f"{one['table']}.{one['column']}", one["change"]) for one in json.loads(planned.out)["altered"]]


def test_plan_and_doctor_name_each_column_by_format_and_strict_refuses_it(outside: Stage) -> None:
    assert altered(outside) == [("notes.note", NULLS)]
    assert altered(outside, "--format", "json") == [("notes.score", SIGN)]
    assert altered(outside, "--format", "parquet", "--strict") == []
    assert altered(outside, "--route", "read", "--strict") == []
    assert "note STRING" in outside.command("plan").out
    of_a_set = outside.command("plan", "--dataset", f"{outside.dataset}*").out
    assert f"{outside.dataset}.notes  csv     {NULLS}  note STRING" in of_a_set
    doctor = outside.command("doctor", "--format", "json")
    assert doctor.code == 0
    assert f"not exact in json, where {SIGN}: score FLOAT64" in doctor.out
    for command in ("plan", "doctor", "run"):
        refused = outside.command(command, "--strict")
        assert refused.code == 2, command
        assert "notes.note" in refused.text
        assert "--allow altered-values" in refused.text
    assert outside.objects() == {}
    allowed = outside.command("run", "--run-id", "r1", "--strict", "--allow", "altered-values")
    assert allowed.code == 0, allowed.text
    assert [flag.risk for flag in outside.manifest().flags] == ["altered-values"]
    planned = outside.command("restore", "--into", "back", "--plan")
    assert f"{NULLS} in note" in planned.out
