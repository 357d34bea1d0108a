"""The local stack: the stand-ins as processes on free loopback ports."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from bqdump.core.errors import BqdumpError

# Removing a temporary folder of many thousand objects takes its time.
STOP_SECONDS = 30


class Stack(NamedTuple):
    """Addresses of a running stack, and the processes behind them. `cloud_run` is "" where it was not asked for."""

    storage: str
    bigquery: str
    pids: tuple[int, ...] = ()
    storage_read: str = ""
    cloud_run: str = ""

    def variables(self) -> dict[str, str]:
        """The environment that leads Google's clients to the stack."""
        return {
            "STORAGE_EMULATOR_HOST": self.storage,
            "BIGQUERY_EMULATOR_HOST": self.bigquery,
            "BIGQUERY_STORAGE_GRPC_ENDPOINT": self.storage_read,
        }

    def jobs(self, **settings: Any) -> None:
        """Change how the BigQuery stand-in's jobs behave: delays, file sizes, faults."""
        _put(f"{self.bigquery}/_local/jobs", settings)

    def requests(self) -> dict[str, dict[str, int]]:
        """Requests by operation, counted since the start or the last reset, of both services."""
        return {service: _get(f"{url}/_local/requests") for service, url in (("storage", self.storage),
                                                                            ("bigquery", self.bigquery))}  # fmt: skip


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
    """Start the stand-ins and wait until they listen; Cloud Run's only where it gets a port (0: any).

    root: the folder of the buckets; data_dir: where tables live on, with the buckets' metadata. Without a
    detached_log they end when this process does.
    """
    storage = _spawn(["storage", "--port", str(ports[0]), *_path("--root", root), *(["--persist"] if data_dir else [])],
                     detached_log)  # fmt: skip
    processes = [storage]
    try:
        address = _address(storage)
        bigquery = _spawn(
            ["bigquery", "--port", str(ports[1]), "--storage", address, *_path("--data-dir", data_dir)], detached_log
        )
        processes.append(bigquery)
        tables, _, reads = _address(bigquery).partition(" ")
        stack = Stack(address, tables, storage_read=reads)
        if cloud_run_port is not None:
            others = ["--storage", address, "--bigquery", tables, "--storage-read", reads]
            run = _spawn(["cloud-run", "--port", str(cloud_run_port), *others], detached_log)
            processes.append(run)
            stack = stack._replace(cloud_run=_address(run))
        return stack._replace(pids=tuple(process.pid for process in processes)), processes
    except BaseException:
        stop(processes)
        raise


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """End the processes, and wait for them."""
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
    """A stack that runs as long as the `with` block."""
    stack, processes = start(root=root, data_dir=data_dir)
    try:
        yield stack
    finally:
        stop(processes)


def _path(flag: str, path: Path | None) -> list[str]:
    return [flag, str(path)] if path else []


def _spawn(arguments: list[str], detached_log: IO[bytes] | None) -> subprocess.Popen[bytes]:
    # A session of their own: Ctrl-C reaches who started them, and that one stops them in order.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "bqdump_local.serve", *arguments, *(["--detached"] if detached_log else [])],
        stdin=subprocess.DEVNULL if detached_log else subprocess.PIPE, stdout=subprocess.PIPE, stderr=detached_log,
        start_new_session=True,
    )  # fmt: skip


def _address(process: subprocess.Popen[bytes]) -> str:
    line = process.stdout.readline().decode().strip() if process.stdout else ""
    if not line:
        code = process.wait(STOP_SECONDS)
        raise BqdumpError("start", "the local stack", f"a server ended with exit code {code}", "Its message is above.")
    return line
