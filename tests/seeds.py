"""`python -m tests.seeds --times N`: repeats the tests in memory, each time with another seed and in another order.

A failure prints the seed with which it repeats: see tests/chance.py. Folders or tests may be named.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from chance import HASHES, new_seed
from tiers import MEMORY

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = [f"tests/{folder}" for folder in (*MEMORY, "cli", "ui")]


def passes(seed: int, tests: list[str]) -> bool:
    """Run the tests once. The points at which they try something are those of `make test`."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "auto", "--tier", "test"]
    environ = os.environ | {HASHES: str(seed % 2**32)}
    options = ["--shuffle", "--seed", str(seed)]
    return subprocess.run([*command, *options, *tests], cwd=ROOT, env=environ, check=False).returncode == 0


def main() -> int:
    """The number of seeds with which a test failed, at most 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.seeds", description=__doc__)
    parser.add_argument("--times", type=int, default=10, metavar="N", help="how many seeds (default: 10)")
    parser.add_argument("--first", type=int, metavar="SEED", help="the first one (default: any)")
    parser.add_argument("tests", nargs="*", default=FOLDERS, help="folders or tests (default: those in memory)")
    given = parser.parse_args()
    first = new_seed() if given.first is None else given.first
    failed = [seed for seed in range(first, first + given.times) if not passes(seed, given.tests)]
    sys.stdout.write(f"{given.times} seeds from {first}, failed with: {failed or 'none'}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
