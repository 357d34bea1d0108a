"""What can keep a local stack from starting, and how one that has lost a process is stopped."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec
import pytest
import requests

from bqdump.core.errors import NotFoundError, UsageError
from bqdump_local import stack as stacks
from bqdump_local import state
from bqdump_local.bigquery.tables.warehouse import Warehouse
from bqdump_local.held import hold

# A server that cannot import any of these.
WITHOUT = """
import sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("arro3", "duckdb", "sqlglot", "starlette", "uvicorn"):
            raise ImportError(f"too early: {name}")


sys.meta_path.insert(0, Refuse())
from bqdump_local import serve

serve.main()
"""


@pytest.mark.parametrize(("service", "ports"), [("storage", 1), ("bigquery", 2)])
def test_a_server_names_its_address_before_it_imports_what_it_serves_with(service: str, ports: int) -> None:
    command = [sys.executable, "-c", WITHOUT, service, "--storage", "http://127.0.0.1:1"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+( 127\.0\.0\.1:\d+)?\n", done.stdout)
    assert len(done.stdout.split()) == ports
    assert "too early: " in done.stderr


MANY = "UNNEST(GENERATE_ARRAY(1, 100000))"


def test_a_server_that_is_stopped_at_work_prints_no_traceback_of_requests_that_it_cuts_off() -> None:
    command = [sys.executable, "-m", "bqdump_local.serve", "bigquery", "--storage", "http://127.0.0.1:1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdout
        assert server.stderr
        assert server.stdin
        address = server.stdout.readline().decode().split()[0]
        query = {"query": f"SELECT COUNT(*) FROM {MANY} a, {MANY} b, {MANY} c", "useLegacySql": False}

        def ask() -> None:
            with suppress(requests.ConnectionError):
                requests.post(f"{address}/bigquery/v2/projects/p/queries", json=query, timeout=120)

        asking = threading.Thread(target=ask)
        asking.start()
        while not (jobs := requests.get(f"{address}/bigquery/v2/projects/p/jobs", timeout=60).json().get("jobs")):
            pass
        assert jobs[0]["state"] in ("PENDING", "RUNNING")
        server.stdin.close()
        assert b"Traceback" not in server.stderr.read()
        asking.join()


@pytest.mark.parametrize("service", ["storage", "bigquery"])
def test_a_port_in_use_is_named(service: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ports = (port, 0) if service == "storage" else (0, port)
        with pytest.raises(UsageError, match=f"it cannot listen on the port {port} .* Choose another port"):
            stacks.start(root=tmp_path, ports=ports)


def test_the_folder_of_another_stack_is_refused(tmp_path: Path) -> None:
    with (
        stacks.running(root=tmp_path / "buckets"),
        pytest.raises(UsageError, match=f"another stack uses the folder {tmp_path}/buckets"),
    ):
        stacks.start(root=tmp_path / "buckets")


def test_the_tables_of_another_stack_are_refused(tmp_path: Path) -> None:
    with (
        stacks.running(data_dir=tmp_path),
        pytest.raises(UsageError, match=f"another stack uses the folder {tmp_path}"),
    ):
        Warehouse(tmp_path)


@pytest.mark.parametrize("end", ["down", "up"])
def test_a_stack_that_has_lost_a_process_can_be_stopped_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    spawn = stacks._spawn

    def spawned(arguments: list[str], detached_log: IO[bytes] | None) -> subprocess.Popen[bytes]:
        started.append(spawn(arguments, detached_log))
        return started[-1]

    monkeypatch.setattr(stacks, "_spawn", spawned)
    try:
        state.up(tmp_path, persist=True, ports=(0, 0), cloud_run_port=0)
        os.kill(started[0].pid, signal.SIGKILL)
        # `up` leaves its processes to whoever stops them; here, they are children of this one.
        os.waitpid(started[0].pid, 0)
        if end == "up":
            again = state.up(tmp_path, persist=True, ports=(0, 0), cloud_run_port=0)
            assert state.find(tmp_path) == again
        state.down(tmp_path)
        with pytest.raises(NotFoundError, match="none is running"):
            state.down(tmp_path)
    finally:
        for process in started[1:]:
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)


def test_two_commands_that_stop_one_stack_at_once_both_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stacks.running() as stack:
        (tmp_path / state.FILE).write_bytes(msgspec.json.encode(stack))
        ended = []

        def end(pids: Sequence[int]) -> None:
            ended.append(pids)
            if len(ended) == 1:
                state.down(tmp_path)

        monkeypatch.setattr(state, "_end", end)
        state.down(tmp_path)
        assert len(ended) == 2
        assert state.find(tmp_path) is None


def test_a_stack_that_is_started_while_another_is_stopped_stays_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stacks.running() as old, stacks.running() as new:
        (tmp_path / state.FILE).write_bytes(msgspec.json.encode(old))
        monkeypatch.setattr(state, "_end", lambda _: (tmp_path / state.FILE).write_bytes(msgspec.json.encode(new)))
        state.down(tmp_path)
        assert state.find(tmp_path) == new


def test_a_folder_without_locks_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold(tmp_path) as file:
        assert not file.closed
