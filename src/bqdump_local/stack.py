"""The local stack: the stand-ins as processes on free loopback ports."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from bqdump.core.errors import BqdumpError, UsageError
from bqdump_local import clock

# Removing a temporary folder with thousands of objects takes a while.
STOP_SECONDS = 30


class Stack(NamedTuple):
    """The addresses of a running stack, and its processes. cloud_run: "" unless requested."""

    storage: str
    bigquery: str
    pids: tuple[int, ...] = ()
    storage_read: str = ""
    cloud_run: str = ""

    def variables(self) -> dict[str, str]:
        """The environment variables that point Google's clients to the stack."""
        return {
            "STORAGE_EMULATOR_HOST": self.storage,
            "BIGQUERY_EMULATOR_HOST": self.bigquery,
            "BIGQUERY_STORAGE_GRPC_ENDPOINT": self.storage_read,
        }

    def jobs(self, **settings: Any) -> None:
        """Change the behaviour of the BigQuery stand-in's jobs: delays, file sizes, faults."""
        _put(f"{self.bigquery}/_local/jobs", settings)

    def clock(self, offset_seconds: float) -> None:
        """Set the clock of all services, so many seconds from that of this machine."""
        _put(f"{self.storage}/_local/clock", {"offset_seconds": offset_seconds})

    def requests(self) -> dict[str, dict[str, int]]:
        """The number of requests to both services by operation, since the start or the last reset."""
        return {
            "storage": _get(f"{self.storage}/_local/requests"),
            "bigquery": _get(f"{self.bigquery}/_local/requests"),
        }


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 (an address of our own)
        return json.load(answer)


def _put(url: str, document: Any) -> None:
    request = urllib.request.Request(url, json.dumps(document).encode(), method="PUT")  # noqa: S310
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310
        pass


def start(
    *,
    root: Path | None = None,
    data_dir: Path | None = None,
    ports: tuple[int, int] = (0, 0),
    cloud_run_port: int | None = None,
    detached_log: IO[bytes] | None = None,
) -> tuple[Stack, list[subprocess.Popen[bytes]]]:
    """Start the stand-ins and wait until they listen. Cloud Run starts only if it has a port (0: any).

    root: the folder for the buckets.
    data_dir: the folder for tables and the metadata of the buckets.
    detached_log: a log file for stand-ins that outlive this process; without it, they end with this process.
    """
    processes: list[subprocess.Popen[bytes]] = []

    def spawn(service: str, port: int, *arguments: str) -> str:
        """Start a process that uses the clock; returns what it says first."""
        shared = ["--port", str(port), "--clock", str(Path(folder) / "clock")]
        processes.append(_spawn([service, *shared, *arguments], detached_log))
        return _address(processes[-1])

    # Each process has opened the file before it says where it listens.
    with tempfile.TemporaryDirectory(prefix="bqdump-clock-", ignore_cleanup_errors=True) as folder:
        clock.write(Path(folder) / "clock")
        try:
            persist = ["--persist"] if data_dir else []
            storage = spawn("storage", ports[0], *_path("--root", root), *persist)
            bigquery = spawn("bigquery", ports[1], "--storage", storage, *_path("--data-dir", data_dir))
            tables, _, reads = bigquery.partition(" ")
            run = ""
            if cloud_run_port is not None:
                addresses = ("--storage", storage, "--bigquery", tables, "--storage-read", reads)
                run = spawn("cloud-run", cloud_run_port, *addresses)
            pids = tuple(process.pid for process in processes)
            return Stack(storage, tables, pids, reads, run), processes
        except BaseException:
            stop(processes)
            raise


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """End the processes, and wait for their end."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


@contextmanager
def running(*, root: Path | None = None, data_dir: Path | None = None) -> Iterator[Stack]:
    """A stack that runs during the `with` block."""
    stack, processes = start(root=root, data_dir=data_dir)
    try:
        yield stack
    finally:
        stop(processes)


def _path(flag: str, path: Path | None) -> list[str]:
    return [flag, str(path)] if path else []


def _spawn(arguments: list[str], detached_log: IO[bytes] | None) -> subprocess.Popen[bytes]:
    # In a separate session, Ctrl-C reaches only the process that started them, which stops them in order.
    detached = ["--detached"] if detached_log else []
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "bqdump_local.serve", *arguments, *detached],
        stdin=subprocess.DEVNULL if detached_log else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=detached_log,
        start_new_session=True,
    )


def _address(process: subprocess.Popen[bytes]) -> str:
    line = process.stdout.readline().decode().strip() if process.stdout else ""
    if line.startswith("["):
        process.wait(STOP_SECONDS)
        raise UsageError("start", "the local stack", *json.loads(line))
    if not line:
        code = process.wait(STOP_SECONDS)
        raise BqdumpError("start", "the local stack", f"a server ended with exit code {code}", "See its message above.")
    return line
