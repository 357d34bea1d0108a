"""What surrounds a run at its worst: clocks, disks, tokens, refusals of every request, another version's plan."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path
from typing import Any

import requests

from bqdump.core.times import parse_time
from bqdump_local.execute import execute
from integration.stage import COMMAND, STATE, Ran, Stage, records

WRONG_CLOCK = Path(__file__).parent / "wrong_clock"


# Refusals of every request.


# Clocks.


def test_clocks_that_are_wrong_by_days_change_nothing(stage: Stage) -> None:
    stage.table("a")
    seen: list[int] = []
    for days in ("5", "-30000"):
        before = stage.now()
        ran = stage.execute(env={"PYTHONPATH": str(WRONG_CLOCK), "WRONG_BY_DAYS": days}, tasks=2)
        assert ran.codes == [0, 0], ran.text
        reported = next(record["time"] for record in records(ran.text))
        shift = datetime.datetime.fromisoformat(reported) - datetime.datetime.now(datetime.UTC)
        assert round(shift / datetime.timedelta(days=1)) == int(days)
        latest = stage.latest()
        assert latest.run == ran.execution.name
        seen.append(parse_time(latest.snapshot_time))
        assert before <= seen[-1] <= stage.now()
        assert [table.table for table in stage.manifest().tables] == ["a"]
    assert stage.run().code == 0
    seen.append(parse_time(stage.latest().snapshot_time))
    assert seen == sorted(seen)


# Disks.


def run_in(stage: Stage, shell: str, **env: str) -> Ran:
    """Run the job from within a shell command that ends in "$@"."""
    lines: list[Any] = []
    done = asyncio.run(
        execute(["sh", "-c", shell, "sh", *COMMAND], tasks=1, max_retries=0, env=stage.variables | env,
                cwd=stage.folder, on_output=lines.append)
    )  # fmt: skip
    return Ran(done, lines)


def test_a_full_disk_is_no_matter(stage: Stage) -> None:
    stage.table("a")
    # No file may grow at all, as on a disk without room; standard output is a pipe.
    ran = run_in(stage, 'ulimit -f 0; (echo x >file) 2>/dev/null && exit 99; exec "$@"', PYTHONDONTWRITEBYTECODE="1")
    assert ran.codes == [0], ran.text
    assert [table.table for table in stage.manifest().tables] == ["a"]


def test_no_folder_for_temporary_files_is_no_matter(stage: Stage) -> None:
    stage.table("a")
    nowhere = "/nonexistent"
    ran = run_in(stage, 'exec "$@"', TMPDIR=nowhere, TEMP=nowhere, HOME=nowhere, XDG_CACHE_HOME=nowhere)
    assert ran.codes == [0], ran.text
    assert [path.name for path in stage.folder.iterdir()] == []


# Tokens.


def test_a_token_that_stays_refused_is_reported_as_a_missing_permission(stage: Stage) -> None:
    stage.table("a")
    url = f"{stage.stack.storage}/_local/faults"
    requests.put(url, json={"rules": [{"status": 401}]}, timeout=10).raise_for_status()
    try:
        ran = stage.run()
    finally:
        requests.delete(url, timeout=10)
    assert ran.code == 5, ran.text
    assert "Traceback" not in ran.text


# Another version's plan.


def test_a_plan_with_other_settings_of_another_version_is_refused_and_nothing_is_changed(stage: Stage) -> None:
    stage.table("a")
    assert stage.run(execution="first").code == 0
    for name in ("manifest.json", "report.html"):
        stage.store.bucket(stage.bucket).blob(f"{STATE}runs/first/{name}").delete()
    name = f"{STATE}runs/first/plan.json"
    plan = stage.read(name)
    assert plan.count(b'"digest": "') == 1
    stage.upload(name, plan.replace(b'"digest": "', b'"digest": "0'))
    before = stage.objects()
    ran = stage.run("--run-id", "first")
    assert ran.code == 2
    assert "it was planned with other settings (of another release)" in ran.text
    assert "Traceback" not in ran.text
    assert stage.objects() == before
