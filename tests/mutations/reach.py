"""Which tests reach which function, recorded once for each file of tests, until that file changes.

What a test reaches is what its first two cases reach, and the fixtures that it shares with other tests. A change of the
product may let a test reach more or less than was recorded: without the folder, everything is recorded anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
AT_START = TESTS / "mutations" / "at_start"
# Neither is about the product's own functions.
NEVER = ("benchmarks", "browser", "local", "mutations", "suite", "witness")


class Reached(NamedTuple):
    """What one test reaches, and how long its first case took."""

    seconds: float
    functions: frozenset[str]


def test_of(nodeid: str) -> str:
    """The test of which this is a case."""
    return nodeid.partition("[")[0]


def files() -> list[Path]:
    """The files of tests that may reach the product."""
    return sorted(path for path in TESTS.rglob("test_*.py") if path.relative_to(TESTS).parts[0] not in NEVER)


class Record(NamedTuple):
    """What is stored of a file of tests. tests: how long each takes, and its functions by their place in the list."""

    digest: str
    functions: list[str]
    tests: dict[str, tuple[float, list[int]]]


class Reach:
    """The records, in a folder: one for each file of tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tests = dict[str, Reached]()
        self.unrecorded = list[Path]()
        for file in files():
            place = self._place(file)
            found = Record(*json.loads(place.read_text())) if place.exists() else None
            if found is None or found.digest != _digest(file):
                self.unrecorded.append(file)
            else:
                for test, (seconds, reached) in found.tests.items():
                    self.tests[test] = Reached(seconds, frozenset(found.functions[number] for number in reached))

    def _place(self, file: Path) -> Path:
        return self._folder / (file.relative_to(TESTS).as_posix().replace("/", "+") + ".json")

    def record(self, chosen: Sequence[Path], workers: int) -> None:
        """Run the tests of these files, and store what they reach."""
        notes = self._folder / "notes"
        notes.mkdir(parents=True, exist_ok=True)
        for old in notes.iterdir():
            old.unlink()
        environment = os.environ | {
            "MUTATION_REACHED": str(notes / "reached"),
            "PYTHONPATH": f"{AT_START}{os.pathsep}{TESTS}",
            "PYTHONPYCACHEPREFIX": str(self._folder / "compiled"),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "mutations.recording",
            "-p",
            "no:cacheprovider",
            "--tb=no",
        ]
        command += ["-n", str(workers), "--dist", "loadfile"] if workers > 1 else []
        subprocess.run([*command, *map(str, chosen)], cwd=ROOT, env=environment, check=False, stdout=subprocess.DEVNULL)
        lines = [
            json.loads(line) for records in notes.glob("records*.jsonl") for line in records.read_text().splitlines()
        ]
        for file in chosen:
            name = file.relative_to(ROOT).as_posix()
            self._store(file, [line for line in lines if line["test"].startswith(f"{name}::")])

    def _store(self, file: Path, lines: list[dict[str, Any]]) -> None:
        # A test that came later had the fixtures of its file already.
        shared = {function for line in lines for function in line["shared"]}
        seconds, reached = dict[str, float](), defaultdict[str, set[str]](set)
        for line in lines:
            test = test_of(line["test"])
            seconds.setdefault(test, line["seconds"])
            reached[test] |= {*line["reached"], *shared}
        functions = sorted({function for found in reached.values() for function in found})
        numbers = {function: number for number, function in enumerate(functions)}
        tests = {test: (seconds[test], sorted(map(numbers.__getitem__, reached[test]))) for test in reached}
        self._place(file).write_text(json.dumps(Record(_digest(file), functions, tests)))


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
