"""Real Airflow, with scheduler, triggerer and API server, runs exports of 40 tables: killed, failed and resumed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engines.conftest import TABLES, create_job, page_example
from integration.stage import Stage, until

HERE = Path(__file__).parent
BIN = f"{sys.prefix}/airflow/bin"
NIGHT = "nightly__2026-01-31T03:00:00+00:00"
RUN = "nightly__2026-01-31T03-00-00-00-00"


class Airflow(NamedTuple):
    """A running Airflow."""

    home: Path
    env: dict[str, str]
    process: subprocess.Popen[bytes]

    def command(self, *words: str) -> str:
        ran = subprocess.run([f"{BIN}/airflow", *words], env=self.env, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def recorded(self) -> dict[str, Any]:
        """What Airflow has in its database."""
        command = [f"{BIN}/python", str(HERE / "airflow_recorded.py")]
        ran = subprocess.run(command, env=self.env, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
        return found

    def state(self, task: str) -> tuple[str, int]:
        """State and tries of the one instance of a task, which is named with its DAG."""
        found = [(one["state"], one["tries"]) for one in self.recorded()["tasks"] if one["task"] == task]
        assert len(found) <= 1
        return found[0] if found else ("", 0)

    def ends(self, task: str) -> tuple[str, int]:
        """State and tries of a task, once it has ended."""
        until(lambda: self.state(task)[0] in ("success", "failed"), f"{task} ends", 300)
        return self.state(task)

    def defers(self, task: str, attempt: int) -> None:
        """Wait until the scheduler has read that this attempt of a task goes on in the triggerer.

        It takes a task that goes on earlier for one that was killed.
        """
        dag, _, name = task.partition(".")
        key = rf"dag_id='{dag}', task_id='{name}', .* try_number={attempt}, map_index=-1"
        read = re.compile(rf"Received executor event with state success .*{key}")
        log = self.home / "standalone.log"
        until(lambda: read.search(log.read_text()), f"{task} is deferred", 300)

    def xcoms(self, task: str) -> dict[str, Any]:
        return {xcom["key"]: xcom["value"] for xcom in self.recorded()["xcoms"] if xcom["task"] == task}

    def events(self, task: str) -> list[dict[str, Any]]:
        """The events of assets that a task has made."""
        return [event for event in self.recorded()["events"] if event["task"] == task]

    def log(self, task: str) -> str:
        dag, _, name = task.partition(".")
        found = sorted(self.home.glob(f"logs/dag_id={dag}/run_id=*/task_id={name}/attempt=*.log"))
        return "".join(path.read_text() for path in found)

    def kill_task(self) -> None:
        """SIGKILL for the process of the one task that is running; its supervisor stays."""
        listed = subprocess.run(
            ["ps", "-eww", "-o", "pid,ppid,args"], capture_output=True, text=True, check=True
        ).stdout
        found = [line.split(None, 2) for line in listed.splitlines()[1:]]
        parents = {int(pid): int(parent) for pid, parent, _ in found}
        workers = {int(pid) for pid, _, words in found if "worker --" in words and "<idle>" not in words}
        (task,) = [pid for pid in workers if parents[pid] in workers and self.process.pid in ancestors(pid, parents)]
        os.kill(task, signal.SIGKILL)


def ancestors(pid: int, parents: Mapping[int, int]) -> list[int]:
    """The processes above a process."""
    found = []
    while pid := parents.get(pid, 0):
        found.append(pid)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def airflow(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    home, port = tmp_path_factory.mktemp("airflow"), free_port()
    (home / "dags").mkdir()
    shutil.copy(HERE / "airflow_dags.py", home / "dags")
    (home / "dags/page.py").write_text(page_example("Airflow", stage))
    settings = {"project": stage.project, "dataset": stage.dataset, "bucket": stage.bucket}
    env = os.environ | stage.stack.variables() | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        # On a busy machine, its API server takes longer than a task waits for it.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "TEST_SETTINGS": json.dumps(settings),
        "TEST_JOB": create_job(stage, "cloud"),
        "TEST_CLOUD_RUN": stage.stack.cloud_run,
    }  # fmt: skip
    with (home / "standalone.log").open("wb") as log:
        command = [f"{BIN}/airflow", "standalone"]
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    made = Airflow(home, env, process)
    try:
        until((home / "airflow.db").exists, "Airflow's database is there", 300)
        until(lambda: {"cloud_run", "nightly_export"} <= set(listed(made).split()), "Airflow has read the DAGs", 300)
        yield made
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def listed(airflow: Airflow) -> str:
    """The DAGs that Airflow knows; "" while its database is being made."""
    command = [f"{BIN}/airflow", "dags", "list"]
    return subprocess.run(command, env=airflow.env, capture_output=True, text=True, check=False).stdout


def test_a_killed_task_is_retried_and_each_table_is_exported_once(airflow: Airflow, stage: Stage) -> None:
    airflow.command("dags", "trigger", "morning")
    airflow.defers("morning.published", 1)
    stage.stack.jobs(run_seconds=20.0)
    airflow.command("dags", "trigger", "nightly_export", "--run-id", NIGHT)
    until(lambda: len(stage.extracts()) == len(TABLES), "every job is in flight", 300)
    airflow.kill_task()
    stage.stack.jobs(run_seconds=0.0)
    assert airflow.ends("nightly_export.export") == ("success", 2)
    assert stage.extracted() == Counter(TABLES)
    manifest = stage.manifest()
    assert (manifest.run, [table.table for table in manifest.tables]) == (RUN, TABLES)
    assert airflow.ends("nightly_export.drill") == ("success", 1)
    assert airflow.ends("morning.published") == ("success", 1)
    assert airflow.xcoms("morning.published")["return_value"] == RUN


def test_a_published_run_counts_as_new_only_by_its_snapshot_time() -> None:
    asked = """
from datetime import UTC, datetime, timedelta
import bqdump
from bqdump_airflow.triggers import published_since
since = datetime(2026, 1, 31, tzinfo=UTC)
for published, time in ((True, None), (True, since - timedelta(seconds=1)), (False, since), (True, since)):
    line = bqdump.RunLine(run="a", state="complete", published=published, snapshot_time=time)
    bqdump.Backup.runs = lambda self, line=line: [line]
    print(repr(published_since({"bucket": "exports"}, since)))
"""
    ran = subprocess.run([f"{BIN}/python", "-c", asked], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["''", "''", "''", "'a'"]


def test_what_a_run_made_is_in_xcom_with_links_to_report_and_log(airflow: Airflow, stage: Stage) -> None:
    xcoms = airflow.xcoms("nightly_export.export")
    documents = f"{stage.bucket}/_bqdump/runs/{RUN}"
    assert {name: xcoms[name] for name in ("run", "state", "manifest", "tables", "rows")} == {
        "run": RUN, "state": "published", "manifest": f"gs://{documents}/manifest.json", "tables": 40, "rows": 120,
    }  # fmt: skip
    assert xcoms["_link_ReportLink"] == f"https://storage.cloud.google.com/{documents}/report.html"
    assert xcoms["_link_LogLink"] == f"https://console.cloud.google.com/storage/browser/{documents}"
    there = stage.objects()
    assert all(f"_bqdump/runs/{RUN}/{name}" in there for name in ("manifest.json", "report.html"))


def test_each_table_has_an_event_of_its_asset_which_starts_the_dag_that_reads_it(
    airflow: Airflow, stage: Stage
) -> None:
    events = airflow.events("nightly_export.export")
    place = f"x-bqdump://{stage.bucket}/{stage.dataset}"
    assert sorted(event["asset"] for event in events) == [f"{place}.{name}" for name in TABLES]
    assert {(event["extra"]["run"], event["extra"]["rows"]) for event in events} == {(RUN, 3)}
    assert airflow.ends("orders_report.report") == ("success", 1)


def test_triggers_look_after_one_interval_since_the_scheduler_must_first_read_that_the_task_waits() -> None:
    looked = """
import asyncio
import bqdump
from bqdump_airflow import cloud_run, triggers
looks, waits = [], []
async def sleep(seconds):
    waits.append((seconds, len(looks)))
asyncio.sleep = sleep
cloud_run.ended = lambda *arguments: looks.append(arguments) or {"problem": ""}
triggers.published_since = lambda *arguments: looks.append(arguments) or "a"
async def fired(trigger):
    return (await anext(trigger.run())).payload
print(asyncio.run(fired(triggers.ExecutionTrigger("http://cloud-run", "e", 30))))
looks.clear()
print(asyncio.run(fired(triggers.PublishedTrigger({}, "2026-01-31", 60))))
print(waits)
"""
    ran = subprocess.run([f"{BIN}/python", "-c", looked], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["{'problem': ''}", "{'run': 'a'}", "[(30, 0), (60, 0)]"]


def test_an_execution_that_failed_is_resumed_by_the_retry(airflow: Airflow, stage: Stage) -> None:
    before = stage.extracted()
    fault = {"at": "run", "table": "^t_05@", "reason": "invalid", "times": 1}
    stage.stack.jobs(run_seconds=600.0, faults=[fault])
    airflow.command("dags", "trigger", "cloud_run", "--run-id", NIGHT)
    airflow.defers("cloud_run.export", 1)
    stage.stack.jobs(run_seconds=0.0)
    # A job that the execution has yet to create would run for 600 s.
    until(lambda: stage.extracted() - before == Counter(TABLES), "jobs are created", 300)
    until(lambda: stage.faults_left() == 0 and {job.state for job in stage.extracts()} == {"DONE"}, "jobs end", 300)
    stage.stack.jobs(run_seconds=600.0)
    airflow.defers("cloud_run.export", 2)
    stage.stack.jobs(run_seconds=0.0)
    assert airflow.ends("cloud_run.export") == ("success", 2)
    assert stage.faults_left() == 0
    assert stage.extracted() - before == Counter([*TABLES, "t_05"])
    assert "is failed, not published: t_05: " in airflow.log("cloud_run.export")
    xcoms = airflow.xcoms("cloud_run.export")
    assert (xcoms["tables"], xcoms["manifest"]) == (40, f"gs://{stage.bucket}/cloud/_bqdump/runs/{RUN}/manifest.json")
    events = [event["asset"] for event in airflow.events("cloud_run.export")]
    assert sorted(events) == [f"x-bqdump://{stage.bucket}/cloud/{stage.dataset}.{name}" for name in TABLES]


def test_a_drill_that_fails_fails_its_task_with_the_table(airflow: Airflow, stage: Stage) -> None:
    stage.upload("t_11/t_11_000000000000.csv", b"id,name\n1,other\n")
    airflow.command("dags", "trigger", "drill")
    assert airflow.ends("drill.drill")[0] == "failed"
    assert "t_11" in airflow.log("drill.drill")
