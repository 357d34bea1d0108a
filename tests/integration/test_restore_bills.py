"""The bill of a restore and of a drill: shown before they begin, and limited before the first billed query."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration.command import Called
from integration.stage import Stage

TEN = 10 << 20


@pytest.fixture
def exported(stage: Stage) -> Stage:
    """Two tables whose values are cast, and one whose files load directly."""
    for name in ("a", "b"):
        stage.sql(f"CREATE TABLE {name} AS SELECT 1 AS id, DATETIME '2026-01-01 00:00:00' AS at")
    stage.table("c", rows=2)
    stage.run_tasks(1, execution="r1", format="avro")
    return stage


def billed(stage: Stage) -> int:
    """What the jobs and queries of the project have billed until now."""
    jobs = [job for job in stage.big.list_jobs(page_size=1000) if job.job_type == "query"]
    return sum(int(job.total_bytes_billed or 0) for job in jobs)


def shown(called: Called) -> dict[str, Any]:
    assert called.code == 0, called.text
    found: dict[str, Any] = json.loads(called.out)
    return found


@pytest.mark.parametrize("how", [("restore", "--into", "back", "--verify"), ("drill",)], ids=["restore", "drill"])
def test_the_plan_shows_what_is_billed(exported: Stage, how: tuple[str, ...]) -> None:
    planned = shown(exported.command(*how, "--plan", "--json"))
    before = billed(exported)
    done = exported.command(*how, "--json")
    assert (done.code, json.loads(done.out)["bytes_billed"]) == (0, planned["bytes_billed"])
    assert planned["bytes_billed"] == planned["bytes_billed_at_most"] == billed(exported) - before > 0
    assert [table["bytes_billed"] for table in planned["tables"]] == [TEN, TEN, 0]


@pytest.mark.parametrize("how", [("restore", "--into", "back_{dataset}"), ("drill",)], ids=["restore", "drill"])
def test_a_limit_is_for_all_datasets_of_a_set(exported: Stage, how: tuple[str, ...]) -> None:
    other = f"{exported.dataset}_other"
    exported.big.create_dataset(other)
    exported.sql(f"CREATE TABLE {other}.a AS SELECT DATETIME '2026-01-01 00:00:00' AS at")
    of_set = ("--prefix", "set")
    ran = exported.command("run", "--dataset", f"{exported.dataset}*", "--format", "avro", *of_set)
    assert ran.code == 0, ran.text
    planned = shown(exported.command(*how, *of_set, "--plan", "--json"))
    casts = [table["bytes_billed"] for table in planned["tables"] if table["casts"]]
    assert casts == [TEN, TEN, TEN]
    before, limit = billed(exported), planned["bytes_billed"]
    datasets = {item.dataset_id for item in exported.big.list_datasets()}
    refused = exported.command(*how, *of_set, "--max-bytes-billed", str(limit - 1))
    assert refused.code == 2, refused.text
    assert "31.5 MB to cast or choose values" in refused.text
    assert billed(exported) == before
    assert {item.dataset_id for item in exported.big.list_datasets()} == datasets
    done = exported.command(*how, *of_set, "--max-bytes-billed", str(limit))
    assert done.code == 0, done.text
    assert billed(exported) - before == limit
