"""The time from a task's start to its first request: bqdump compared with the naive script.

Run: python -m benchmarks.start_up [rounds]. Each command is a new process in an environment with the image's packages
and their bytecode. Its first request goes to a socket of this process, which records the time and ends it. The commands
take turns, so that all run under the same conditions.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import NamedTuple

from benchmarks.size import TINY

ROOT = Path(__file__).parent.parent
# The script logs to Cloud Logging with Google's client. It is measured with and without that client.
LOGGING = "google-cloud-logging==3.17.0"
# Run with -P, as the modules next to it are not its own, such as `copy`.
NAIVE = ROOT / "benchmarks/naive_task.py"


class Started(NamedTuple):
    """The time from the start of a process to its first request: wall time and CPU time in seconds."""

    wall: float
    cpu: float


def make_environment(folder: Path) -> Path:
    """Create an environment with the image's packages, the script's logging client, and bqdump with its entry point.

    Returns its Python.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin/python"
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python), "--compile-bytecode"]
    subprocess.run([*install, "--require-hashes", "--no-deps", "-r", ROOT / "requirements/runtime.txt"], check=True)
    subprocess.run([*install, LOGGING], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    shutil.copytree(ROOT / "src/bqdump", packages / "bqdump", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([python, "-m", "compileall", "-q", packages / "bqdump"], check=True)
    entry = python.with_name("bqdump")
    entry.write_text(f"#!{python}\nimport sys\nfrom bqdump.__main__ import main\nsys.exit(main())\n")
    entry.chmod(0o755)
    return python


def to_first_request(command: list[str | Path], listener: socket.socket, folder: Path) -> Started:
    """Start a command in a folder, where it finds no settings, and end it when its first request arrives."""
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environ = os.environ | {
        "STORAGE_EMULATOR_HOST": address,
        "BIGQUERY_EMULATOR_HOST": address,
        "PROJECT_ID": "p-1",
        "SOURCE_DATASET": "d",
        "DESTINATION_BUCKET": "bbb",
        "CLOUD_RUN_EXECUTION": "e",
        "CLOUD_RUN_TASK_INDEX": "0",
        "CLOUD_RUN_TASK_COUNT": "1",
    }
    started = time.monotonic()
    child = subprocess.Popen(command, env=environ, cwd=folder, stdout=subprocess.DEVNULL)
    connection = first_request(child, listener)
    connection.recv(1)
    wall = time.monotonic() - started
    child.send_signal(signal.SIGKILL)
    _, _, used = os.wait4(child.pid, 0)
    child.returncode = 0
    connection.close()
    return Started(wall, used.ru_utime + used.ru_stime)


def first_request(child: subprocess.Popen[bytes], listener: socket.socket) -> socket.socket:
    """The connection of a process's first request. Raises RuntimeError if the process ends without one."""
    while True:
        ready, _, _ = select.select([listener], [], [], 1.0)
        if ready:
            return listener.accept()[0]
        if child.poll() is not None:
            raise RuntimeError(f"{child.args!r} ended with {child.returncode}, before its first request")


def main() -> None:
    """Print medians, and ratios of bqdump's to the others."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as scratch, socket.create_server(("127.0.0.1", 0)) as listener:
        # A test uses this environment, since a new one would need a package index.
        environment, folder = Path(scratch, "environment"), Path(scratch, "empty")
        folder.mkdir()
        python = Path(sys.executable) if TINY else make_environment(environment)
        commands: dict[str, list[str | Path]] = {
            "naive script": [
                python,
                "-P",
                "-c",
                f"import google.cloud.logging, runpy; runpy.run_path({str(NAIVE)!r}, run_name='__main__')",
            ],
            "without its logging": [python, "-P", NAIVE],
            "bqdump run": [python.with_name("bqdump"), "run"],
        }
        if TINY:
            del commands["naive script"]
        measured: dict[str, list[Started]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, command in commands.items():
                started = to_first_request(command, listener, folder)
                if number:
                    measured[name].append(started)
    ours = measured["bqdump run"]
    print(f"{'':20}  wall s  cpu s  bqdump: wall  cpu")
    for name, all_ in measured.items():
        wall, cpu = (statistics.median(getattr(one, kind) for one in all_) for kind in ("wall", "cpu"))
        pairs = list(zip(ours, all_, strict=True))
        ratios = [statistics.median(getattr(a, kind) / getattr(b, kind) for a, b in pairs) for kind in ("wall", "cpu")]
        print(f"{name:20}  {wall:6.3f} {cpu:6.3f}        {ratios[0]:5.2f} {ratios[1]:5.2f}")


if __name__ == "__main__":
    main()
