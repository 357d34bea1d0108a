"""Tasks that are killed or stopped at any moment, and come back."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from bqdump.core.progress.log_events import LogEvent
from bqdump_local.processes import Processes
from integration.stage import Ran, Stage, csv_rows, expected_rows, records, until
from integration.terminal import on_terminal
from logged import lines_of

WRONG_CLOCK = Path(__file__).parent / "wrong_clock"
TABLES = [f"t_{number}" for number in range(6)]


def fill(stage: Stage) -> None:
    for name in TABLES:
        stage.table(name)


async def killed_now_and_then(stage: Stage, seed: int) -> tuple[Ran, int]:
    """An execution whose tasks are killed at random moments; also how many kills hit one."""
    dice, processes, hits = random.Random(seed), Processes(), 0
    running = asyncio.create_task(stage.processes(tasks=2, execution="hunted", processes=processes, max_retries=20))
    for _ in range(5):
        await asyncio.wait([running], timeout=dice.uniform(0.2, 1.6))
        if processes.running:
            hits += processes.kill(dice.choice(sorted(processes.running)))
    return await running, hits


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_survives_kills_at_random_moments(stage: Stage, seed: int) -> None:
    fill(stage)
    stage.stack.jobs(run_seconds=1.0)
    ran, hits = asyncio.run(killed_now_and_then(stage, seed))
    assert hits
    assert ran.codes == [0, 0], ran.text
    assert any(attempt.signal == signal.SIGKILL for task in ran.execution.tasks for attempt in task.attempts)
    assert stage.extracted() == Counter(TABLES)
    assert [table.table for table in stage.manifest().tables] == TABLES
    for name in TABLES:
        assert csv_rows(stage.read(f"{name}/{name}_000000000000.csv")) == expected_rows(name, 3)
    assert stage.staged() == []


class Hit(NamedTuple):
    """An execution whose task got a signal while every job was in flight, and the seconds that it took to end then."""

    ran: Ran
    seconds: float


def hit(stage: Stage, number: signal.Signals, retries: int) -> Hit:
    fill(stage)
    stage.stack.jobs(run_seconds=1.5)
    processes = Processes()

    async def executed() -> Hit:
        running = asyncio.create_task(stage.processes(execution="e", processes=processes, max_retries=retries))
        await asyncio.to_thread(until, lambda: len(stage.extracts()) == len(TABLES), "every job is in flight")
        since = time.monotonic()
        assert processes.kill(0, number)
        return Hit(await running, time.monotonic() - since)

    return asyncio.run(executed())


def test_a_task_killed_with_jobs_in_flight_attaches_to_them(stage: Stage) -> None:
    ran, _ = hit(stage, signal.SIGKILL, retries=1)
    (task,) = ran.execution.tasks
    assert [(attempt.exit_code, attempt.signal) for attempt in task.attempts] == [(None, signal.SIGKILL), (0, None)]
    assert stage.extracted() == Counter(TABLES)
    assert len(stage.manifest().tables) == len(TABLES)


def test_sigterm_ends_a_task_at_once_and_its_jobs_go_on(stage: Stage) -> None:
    ran, seconds = hit(stage, signal.SIGTERM, retries=0)
    assert ran.codes == [143]
    assert seconds < 5
    [stopped] = lines_of(records(ran.text), LogEvent.TASK_STOPPED)
    assert "SIGTERM" in stopped["message"]
    assert "bqdump run --run-id e" in stopped["message"]
    until(lambda: {job.state for job in stage.extracts()} == {"DONE"}, "jobs in flight end by themselves")
    assert stage.files() == []
    assert stage.execute("--run-id", "e").codes == [0]
    assert stage.extracted() == Counter(TABLES)
    assert [table.table for table in stage.manifest().tables] == TABLES


@pytest.mark.parametrize(
    ("operation", "path", "said"),
    [
        ("batch", "", "Run e is exported, but not published. To publish it: bqdump run --run-id e"),
        ("objects.list", "/staged/", "Run e is published. To finish its report and cleanup: bqdump run --run-id e"),
    ],
)
def test_a_task_that_is_stopped_after_its_last_table_says_what_is_left_of_the_run(
    stage: Stage, operation: str, path: str, said: str
) -> None:
    """Files are put in place by a batch of requests; what is staged is listed once the run is published."""
    stage.table("a")
    faults = f"{stage.stack.storage}/_local/faults"
    rules = [{"operation": operation, "path": path, "seconds": 60, "times": 1}]
    requests.put(faults, json={"rules": rules}, timeout=10).raise_for_status()
    processes = Processes()

    def held() -> bool:
        [rule] = requests.get(faults, timeout=10).json()["rules"]
        return not rule["times"]

    async def executed() -> Ran:
        running = asyncio.create_task(stage.processes(execution="e", processes=processes))
        await asyncio.to_thread(until, held, "a request is held")
        assert processes.kill(0, signal.SIGTERM)
        return await running

    try:
        ran = asyncio.run(executed())
    finally:
        requests.delete(faults, timeout=10).raise_for_status()
    assert ran.codes == [143]
    [stopped] = lines_of(records(ran.text), LogEvent.TASK_STOPPED)
    assert stopped["message"].startswith(f"stopped by SIGTERM. {said}")
    assert stage.execute("--run-id", "e").codes == [0]
    assert any(name.endswith("report.html") for name in stage.objects())


def test_watching_a_run_whose_tasks_are_gone_warns_and_can_be_left(stage: Stage) -> None:
    hit(stage, signal.SIGKILL, retries=0)
    settings = f"--project {stage.project} --dataset {stage.dataset} --bucket {stage.bucket}"
    resume = f"bqdump run --run-id e {settings}"
    reported = f"no table completed for 24 hours; if the run's tasks have ended, resume with: {resume}"
    env = {**stage.variables, "PYTHONPATH": str(WRONG_CLOCK), "WRONG_BY_DAYS": "1"}
    command = [sys.executable, "-m", "bqdump", "status"]

    left: set[int] = set()

    def leave(process: subprocess.Popen[bytes], written: str) -> None:
        if reported in written and process.pid not in left:
            left.add(process.pid)
            os.kill(process.pid, signal.SIGINT)

    for term in ("xterm-256color", "dumb"):
        session = on_terminal([*command, "--watch"], {**env, "TERM": term}, cwd=stage.folder, answer=leave)
        assert session.code == 130
        assert session.cursor_shown
        assert reported in session.screen
        assert not any("Traceback" in line or "━" in line for line in session.screen)
    piped = subprocess.run(command, capture_output=True, text=True, check=True, cwd=stage.folder, env=env)
    assert f"  {reported}\n" in piped.stdout
    piped = subprocess.run(command, capture_output=True, text=True, check=True, cwd=stage.folder, env=stage.variables)
    assert reported not in piped.stdout
