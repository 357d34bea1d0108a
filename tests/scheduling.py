"""`python -m tests.scheduling`: repeats the tests most sensitive to how processes and threads take turns.

Each round runs them on one core, then next to processes that take all cores; threads switch as often as Python can.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SENSITIVE = (
    "tests/adapters/test_lean_imports.py",
    "tests/adapters/test_telemetry.py",
    "tests/adapters/test_webhook.py",
    "tests/cli/test_watching.py",
    "tests/export/test_overlapping_publishers.py",
    "tests/integration/test_killed_tasks.py",
    "tests/integration/test_streams.py",
    "tests/local/test_execute.py",
    "tests/local/test_first_statements.py",
)
PYTEST = "import sys; sys.setswitchinterval(1e-6); import pytest; sys.exit(pytest.main(sys.argv[1:]))"


def on_one_core() -> None:
    """Let this process and its children use one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@contextmanager
def busy() -> Iterator[None]:
    """Every core has something else to do within this block."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def passes(prepare: Callable[[], None] | None = None) -> bool:
    """Run the tests once. prepare: called in the process that runs them."""
    command = [sys.executable, "-c", PYTEST, "-q", "-p", "no:cacheprovider", *SENSITIVE]
    return subprocess.run(command, cwd=ROOT, preexec_fn=prepare, check=False).returncode == 0


def main() -> int:
    """The number of runs that failed, at most 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.scheduling", description=__doc__)
    parser.add_argument("--times", type=int, default=2, metavar="N", help="how many rounds (default: 2)")
    failed = 0
    for _ in range(parser.parse_args().times):
        failed += not passes(on_one_core)
        with busy():
            failed += not passes()
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
