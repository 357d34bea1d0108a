"""A scheduler is killed in the middle of a night: the alarm comes within the objective, from services of their own.

What the ping service, the alert policy and Prometheus do with what they have got follows from their rules, at times
that this test names: nothing of bqdump runs any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from bqdump.core.times import parse_time
from bqdump.render.alerts import overdue_hours
from bqdump.render.deployment import check
from deploy.log_query import entries
from integration.stage import Stage, until
from integration.test_alerts import deployment, overdue, watched
from loopback import serving

HOUR = 3600.0
RPO = 26 * HOUR


class Watcher:
    """A check of healthchecks.io: a success is expected each period, and each start ends within the grace time."""

    period, grace = 24 * HOUR, 1 * HOUR

    def __init__(self) -> None:
        self.url, self.pings = "", list[tuple[float, str]]()

    @property
    def paths(self) -> list[str]:
        return [path for _, path in self.pings]

    def alarm_at(self) -> float:
        """When it alerts unless another ping comes."""
        succeeded = max(at for at, path in self.pings if path == "")
        open_starts = [at for at, path in self.pings if path == "/start" and at > succeeded]
        return min([succeeded + self.period + self.grace, *(at + self.grace for at in open_starts)])


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    made = Watcher()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            made.pings.append((time.time(), self.path.removeprefix("/uuid")))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with serving(Handler) as address:
        made.url = f"{address}/uuid"
        yield made


class Scheduler:
    """A process that exports, drills and writes metrics whenever a night comes, until it is killed with all of that."""

    def __init__(self, stage: Stage, metrics: Path, ping: str) -> None:
        bqdump = f"{shlex.quote(sys.executable)} -m bqdump"
        night = f"{bqdump} run --ping {ping} --path '{{run}}/{{table}}_*.{{ext}}' --format parquet"
        then = f"{bqdump} drill && {bqdump} status --metrics {shlex.quote(str(metrics))} --quiet"
        self._lines = (stage.folder / "lines").open("w+")
        self._process = subprocess.Popen(
            ["sh", "-c", f"while read night; do {night} && {then}; echo $?; done"],
            env=stage.variables | {"BQDUMP_LOG_FORMAT": "json"}, cwd=stage.folder, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._lines, start_new_session=True,
        )  # fmt: skip

    def begin_night(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("night\n")

    def end_of_night(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    @property
    def log(self) -> list[str]:
        """The lines so far."""
        return Path(self._lines.name).read_text().splitlines()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._lines.close()


def test_the_alarm_comes_within_the_objective_once_the_scheduler_is_killed(
    stage: Stage, watcher: Watcher, tmp_path: Path
) -> None:
    stage.table("orders")
    metrics = tmp_path / "bqdump.prom"
    scheduler = Scheduler(stage, metrics, watcher.url)
    try:
        scheduler.begin_night()
        assert scheduler.end_of_night() == "0", "\n".join(scheduler.log)
        assert watcher.paths == ["/start", ""]
        lines = scheduler.log
        stage.stack.jobs(pending_seconds=600.0)
        scheduler.begin_night()
        until(lambda: watcher.paths == ["/start", "", "/start"] or None, "the second night pings its start")
    finally:
        scheduler.kill()
    assert watcher.paths == ["/start", "", "/start"]
    snapshot = stage.latest().snapshot / 1000

    # The ping service: no success came, and the second start has no end.
    alarm = watcher.alarm_at()
    assert alarm <= watcher.pings[-1][0] + watcher.grace
    watcher.pings.pop()
    assert alarm < watcher.alarm_at() < snapshot + RPO

    # The alert policy: nothing was published in the hours that it looks back on.
    deployed = deployment(stage)
    deployed = check(replace(deployed, settings=replace(deployed.settings, rpo=int(RPO))))
    title = {f"bqdump: no recent export of {stage.dataset}"}
    logged = {parse_time(json.loads(line)["time"]) / 1000: line for line in lines if line.startswith('{"severity"')}

    def fires(now: float) -> bool:
        since = now - overdue_hours(deployed) * HOUR
        seen = [line for at, line in logged.items() if since < at <= now]
        return overdue(deployed, watched(deployed), entries("\n".join(seen), "bqdump")) == title

    published = max(at for at, line in logged.items() if json.loads(line)["event"] == "run_published")
    assert not fires(published + 24 * HOUR)
    # It is evaluated every 5 minutes, and must hold for 10.
    assert fires(published + 25 * HOUR)
    assert published + 25 * HOUR + 900 < snapshot + RPO

    # Prometheus: the timestamp that was written last goes on to age.
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(metrics.read_text())
        for sample in family.samples
    }
    assert values["bqdump_recovery_point_timestamp_seconds"] == pytest.approx(snapshot)
    assert values["bqdump_proven_tables"] == 1

    # And whoever asks from elsewhere gets an exit code.
    assert stage.command("status", "--rpo", "26h").code == 0
    asked = stage.command("status", "--rpo", "1s", "--quiet")
    assert asked.code == 4
    assert "more than --rpo 1s. Export it again: bqdump run" in asked.text
