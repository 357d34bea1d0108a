"""Every command once, as a process of its own, from `bqdump init` to a drill: on the local stack."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from bqdump.cli.main import COMMANDS
from integration.stage import Stage

BQDUMP = (sys.executable, "-m", "bqdump")
KEEP = ("--path", "{run}/{table}/{table}_*.{ext}", "--format", "parquet")
COPY = ("--to", "./second")


class Journey:
    """Commands in one folder, with the three settings of a stage in the environment."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder, self.environ = folder, os.environ | variables
        self.used = set[str]()

    def call(self, *arguments: str, expect: str) -> str:
        """Run a command that succeeds and prints this, on standard output or standard error; all that it printed."""
        self.used.add(arguments[0])
        ended = subprocess.run(
            [*BQDUMP, *arguments], cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert (ended.returncode, expect in ended.stdout) == (0, True), (arguments, ended.stdout)
        return ended.stdout

    def console(self) -> str:
        """The first page of the console, which Ctrl-C ends."""
        self.used.add("ui")
        command = [*BQDUMP, "ui", "--port", "0"]
        with subprocess.Popen(command, cwd=self.folder, env=self.environ, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            try:
                with urllib.request.urlopen(process.stdout.readline().split()[4], timeout=60) as answer:
                    page: str = answer.read().decode()
            finally:
                process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        return page


def test_every_command_does_its_work_as_a_process(stage: Stage, tmp_path: Path) -> None:
    for name in ("orders", "people"):
        stage.table(name, 4)
    journey = Journey(tmp_path, stage.variables)
    call = journey.call
    call("help", "run", expect="Usage: bqdump run")
    call("completion", "bash", expect="complete")
    three = ("--project", stage.project, "--dataset", stage.dataset, "--bucket", stage.bucket)
    call("init", *three, expect="bqdump.toml")
    call("render", "iam", "--region", "europe-west1", expect="gcloud")
    call("doctor", expect="orders")
    call("keys", "new", "signing", expect="signing.pub")
    call("plan", *KEEP, expect="2 tables, 8 rows")
    call("run", *KEEP, "--run-id", "r1", "--sign", "signing.key", expect="done: 2 tables in 2 files")
    stage.table("orders", 9)
    call("run", *KEEP, "--run-id", "r2", "--sign", "signing.key", expect="done: 2 tables in 2 files")
    call("status", expect="run r2: published")
    call("runs", expect="r1")
    call("ls", expect="people")
    call("verify", "--trust", "signing.pub", expect="Every file is there, with its size, checksum and generation")
    call("diff", expect="orders")
    call("report", "-o", "page.html", expect="page.html")
    assert "orders" in (tmp_path / "page.html").read_text()
    call("sql", "-c", "SELECT COUNT(*) AS rows FROM orders", expect="9")
    assert "Published run" in journey.console()
    call("restore", "--into", f"{stage.project}.restored", expect="restored 2 tables")
    assert stage.sql(f"SELECT COUNT(*) FROM `{stage.project}.restored.orders`") == [(9,)]
    call("restores", expect="restored")
    call("drill", expect="is restorable")
    call("copy", "./second", "--sign", "signing.key", expect="r2")
    call("verify", *COPY, "--trust", "signing.pub", expect="Every file is there")
    call("prune", "r1", "--yes", expect="Removed 1 run")
    erase = ("erase", "people", "--reason", "a request", "--sign", "signing.key", "--yes")
    call(*erase, expect="people")
    assert not [name for name in stage.files() if "/people/" in name]
    call("check-service", "--claims", "csv.*", "--yes", expect="confirmed")
    call("local", "--help", expect="Run a local stack")
    # The demo has a test of its own.
    assert journey.used | {"demo"} == set(COMMANDS)
