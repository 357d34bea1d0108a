"""How long a task takes from its start to its first request: bqdump against the imports of the naive script.

Run: python benchmarks/start_up.py [rounds]. Both interpreters run in turn, so that both meet the same machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

# Where Google Cloud Logging is installed the naive script imports that too, which would only add to its time.
NAIVE = "from google.cloud import bigquery, storage"
BQDUMP = """
from bqdump.cli.wiring import import_lean
import_lean()
import bqdump.cli.run, bqdump.adapters.bigquery, bqdump.adapters.gcs, bqdump.adapters.retry, bqdump.adapters.limits
"""


def cpu_seconds(code: str) -> float:
    """CPU seconds of a fresh interpreter that runs the code."""
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True)
    after = os.times()
    return (after.children_user + after.children_system) - (before.children_user + before.children_system)


def main() -> None:
    """Print both medians as a ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    cpu_seconds(NAIVE)
    cpu_seconds(BQDUMP)
    pairs = [(cpu_seconds(NAIVE), cpu_seconds(BQDUMP)) for _ in range(rounds)]
    naive, ours = statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
    print(f"naive imports {naive:.2f} s CPU, bqdump {ours:.2f} s CPU: {ours / naive:.2f} of the naive script")


if __name__ == "__main__":
    main()
