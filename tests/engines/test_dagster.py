"""Real Dagster runs an export of 40 tables as assets: a step is killed and the run goes on; a drill fails."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engines.conftest import TABLES, page_example
from integration.stage import Stage, until

HERE = Path(__file__).parent
PYTHON = f"{sys.prefix}/dagster/bin/python"


@pytest.fixture(scope="module")
def env(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = {
        "DAGSTER_HOME": str(tmp_path_factory.mktemp("dagster")),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(HERE.parent),
    }
    return os.environ | stage.stack.variables() | home | {"EXAMPLE": page_example("Dagster", stage)}


def once(env: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [PYTHON, str(HERE / "dagster_once.py"), *words]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def recorded(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def step_of(process: subprocess.Popen[str]) -> int:
    """The process of the step that a run executes."""
    listed = subprocess.run(["ps", "-eww", "-o", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    found = [line.split(None, 2) for line in listed.splitlines()[1:]]
    (step,) = [pid for pid, parent, words in found if int(parent) == process.pid and "spawn_main" in words]
    return int(step)


def test_a_killed_step_goes_on_and_each_table_is_exported_once(env: dict[str, str], stage: Stage) -> None:
    stage.stack.jobs(run_seconds=20.0)
    process = once(env, "nightly")
    until(lambda: len(stage.extracts()) == len(TABLES), "every job is in flight", 300)
    os.kill(step_of(process), signal.SIGKILL)
    stage.stack.jobs(run_seconds=0.0)
    ran = recorded(process)
    assert ran["success"]
    assert stage.extracted() == Counter(TABLES)
    assert stage.manifest().run == ran["run"]
    made = {one["asset"]: one for one in ran["materialized"]}
    assert sorted(made) == [f"bqdump/{stage.dataset}/{name}" for name in TABLES]
    first = made[f"bqdump/{stage.dataset}/t_00"]
    assert (first["dagster/row_count"], first["bytes"], first["run"]) == (3, 35, ran["run"])


def test_another_run_exports_anew_and_its_reexecution_resumes_it(env: dict[str, str], stage: Stage) -> None:
    before, published = stage.extracted(), stage.manifest().run
    # The step is tried three times.
    stage.stack.jobs(faults=[{"at": "run", "table": "^t_05@", "reason": "invalid", "times": 3}])
    failed = recorded(once(env, "nightly"))
    assert (failed["success"], failed["materialized"]) == (False, [])
    assert stage.manifest().run == published
    again = recorded(once(env, "nightly", failed["run"]))
    assert again["success"]
    assert stage.manifest().run == failed["run"]
    assert stage.extracted() - before == Counter([*TABLES, *["t_05"] * 3])


def test_checks_pass_for_each_table_and_a_drill_that_fails_names_the_table(env: dict[str, str], stage: Stage) -> None:
    proven = recorded(once(env, "proofs"))
    assert Counter((one["check"], one["passed"]) for one in proven["checked"]) == {
        ("bqdump_verify", True): 40, ("bqdump_drill", True): 5,
    }  # fmt: skip
    for name in TABLES:
        stage.upload(f"{name}/{name}_000000000000.csv", b"id,name\n1,other\n")
    broken = [one for one in recorded(once(env, "proofs"))["checked"] if not one["passed"]]
    # Nothing was restored from such files, so that no table is proven.
    assert Counter(one["check"] for one in broken) == {"bqdump_verify": 40, "bqdump_drill": 40}
    for one in broken:
        name = one["asset"].rpartition("/")[2] if one["check"] == "bqdump_verify" else r"(orders|t_\d\d)"
        assert re.search(rf"{name}/\w+_000000000000\.csv", one["description"])
