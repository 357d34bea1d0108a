"""Exports and commands as in the cloud: no emulator variable, Google's own hosts by TLS, tokens of many kinds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from integration.googles_hosts import READ, REST, STORAGE, GooglesHosts, googles_hosts
from integration.googles_tokens import IAM, OAUTH, TOKEN
from integration.in_the_cloud import call, impersonation_file, key_file, run_tasks, user_file, variables
from integration.stage import Stage, csv_rows, expected_rows

KEPT = "{run}/{table}/{table}_*.{ext}"


@pytest.fixture
def google(stage: Stage, tmp_path: Path) -> Iterator[GooglesHosts]:
    """Google's hosts in front of the stage."""
    with googles_hosts(stage.stack, tmp_path) as made:
        yield made


@pytest.mark.parametrize(("route", "hosts"), [("extract", {REST, STORAGE}), ("read", {REST, STORAGE, READ})])
def test_tables_are_exported_from_googles_hosts(
    stage: Stage, google: GooglesHosts, route: str, hosts: set[str]
) -> None:
    tables = ("first", "second")
    for name in tables:
        stage.table(name, 500)
    ran = run_tasks(stage, google, "--route", route)
    assert ran.codes == [0, 0], ran.text
    assert set(google.connected) == hosts
    assert google.unsigned == []
    assert google.tokens.asked
    assert [file.name for table in stage.manifest().tables for file in table.files] == [
        f"{name}/{name}_000000000000.csv" for name in tables
    ]
    for name in tables:
        assert csv_rows(stage.read(f"{name}/{name}_000000000000.csv")) == expected_rows(name, 500)
    assert TOKEN not in ran.text
    assert not any(TOKEN.encode() in stage.read(name) for name in stage.objects())


def test_commands_work_on_googles_hosts(stage: Stage, google: GooglesHosts) -> None:
    stage.table("first", 500)
    for arguments in (
        ("doctor",), ("run", "--run-id", "r1", "--route", "query", "--path", KEPT), ("runs",), ("verify", "--source"),
    ):  # fmt: skip
        done = call(stage, google, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert TOKEN not in done.stdout + done.stderr
    assert google.unsigned == []


def test_the_console_reads_googles_hosts(stage: Stage, google: GooglesHosts) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bqdump", "ui", "--port", "0"], cwd=stage.folder, stdout=subprocess.PIPE, text=True,
        env={"PATH": os.environ["PATH"], **variables(stage, google)},
    )  # fmt: skip
    with process:
        try:
            assert process.stdout
            address = process.stdout.readline().split()[4]
            with urllib.request.urlopen(address, timeout=20) as answer:
                assert stage.bucket in answer.read().decode()
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("credentials", "hosts"),
    [(user_file, {OAUTH}), (impersonation_file, {OAUTH, IAM})],
)
def test_a_file_signs_in(
    stage: Stage, google: GooglesHosts, tmp_path: Path, credentials: Callable[[Path], dict[str, str]], hosts: set[str]
) -> None:
    stage.table("first")
    done = call(stage, google, "doctor", env=credentials(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(google.connected) == {REST, STORAGE, *hosts}
    assert google.unsigned == []


def test_the_read_route_signs_in_by_a_key_file(stage: Stage, google: GooglesHosts, tmp_path: Path) -> None:
    stage.table("first")
    ran = run_tasks(stage, google, "--route", "read", tasks=1, **key_file(tmp_path))
    assert ran.codes == [0], ran.text
    assert READ in google.connected


def test_tokens_that_are_refused_or_expire_during_a_run_are_replaced(stage: Stage, google: GooglesHosts) -> None:
    stage.table("first")
    google.tokens.seconds = 1
    rules = [{"operation": "^bigquery", "status": 401, "times": 2}]
    requests.put(f"{stage.stack.bigquery}/_local/faults", json={"rules": rules}, timeout=10).raise_for_status()
    try:
        ran = run_tasks(stage, google, tasks=1)
    finally:
        requests.delete(f"{stage.stack.bigquery}/_local/faults", timeout=10).raise_for_status()
    assert ran.codes == [0], ran.text
    assert sum("/token" in path for path in google.tokens.asked) > 10


def test_a_file_of_several_parts_is_uploaded_to_googles_host(stage: Stage, google: GooglesHosts) -> None:
    stage.sql("CREATE TABLE wide AS SELECT id, REPEAT('x', 7000000) AS text FROM UNNEST([1, 2, 3]) AS id")
    ran = run_tasks(stage, google, "--route", "read", tasks=1)
    assert ran.codes == [0], ran.text
    (file,) = stage.manifest().tables[0].files
    assert file.size > 2 * (8 << 20)
    assert re.findall(rb"(?m)^\d", stage.read(file.name)) == [b"1", b"2", b"3"]
    assert google.connected[STORAGE] < 10
