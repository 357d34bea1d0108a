"""bqdump ui as people start it: as a command, on a bucket, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from integration.stage import Stage
from observe.test_trust import public


def start(stage: Stage, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "bqdump", "ui", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, env={"PATH": os.environ["PATH"], **stage.variables}, cwd=stage.folder, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    line = process.stdout.readline()
    return process, line.split()[4] if line else ""


def read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=20) as answer:
        text: str = answer.read().decode()
    return text


@pytest.mark.parametrize(("signal_", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_it_serves_a_bucket_until_a_signal(stage: Stage, signal_: signal.Signals, code: int) -> None:
    stage.table("people", 4)
    stage.run_tasks(2, execution="first")
    process, address = start(stage)
    with process:
        try:
            assert "Published run" in read(address)
            assert "people/people_000000000000.csv" in read(f"{address}runs/first/tables/people")
            assert "<td>people-4</td>" in read(f"{address}runs/first/tables/people/files/0")
            assert "All files are complete." in read(f"{address}runs/first/verify")
        finally:
            process.send_signal(signal_)
        assert process.wait(20) == code
        assert process.stderr
        assert process.stderr.read() == ""


def test_with_a_key_to_trust_a_run_that_is_not_signed_is_not_trusted(stage: Stage, tmp_path: Path) -> None:
    stage.table("people", 4)
    stage.run_tasks(1, execution="first")
    process, address = start(stage, "--trust", public(tmp_path))
    with process:
        try:
            assert "is not trusted:</strong> it is not signed." in read(address)
            assert "<strong>Not trusted.</strong> Reason: it is not signed." in read(f"{address}runs/first")
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
