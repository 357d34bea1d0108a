"""A plugin of pytest that records which functions of the product each test reaches, also in processes that it starts.

It reads `MUTATION_REACHED`, the file in which functions are noted (see at_start), and appends a line for each test to
the file beside it.
"""

from __future__ import annotations

import builtins
import json
import os
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from mutations import reach
from mutations.at_start.sitecustomize import CALL

FIRST_CASES = 2


class Recording:
    """Of one process of pytest."""

    def __init__(self) -> None:
        # A worker of pytest-xdist has a file of its own, which its children inherit.
        here = Path(os.environ["MUTATION_REACHED"])
        worker = os.environ.get("PYTEST_XDIST_WORKER", "")
        self._notes = here.with_name(f"{here.name}{worker}")
        os.environ["MUTATION_REACHED"] = str(self._notes)
        self._records = here.with_name(f"records{worker}.jsonl")
        self._shared = set[str]()
        self._notes.touch()

    def _taken(self) -> list[str]:
        """What was reached since the last call."""
        reached = sorted(set(self._notes.read_text().splitlines()))
        os.truncate(self._notes, 0)
        getattr(builtins, CALL).__self__.known.clear()
        return reached

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Record a test."""
        self._taken()
        self._shared.clear()
        started = time.perf_counter()
        result = yield
        line = {"test": item.nodeid, "seconds": round(time.perf_counter() - started, 3), "reached": self._taken()}
        with self._records.open("a") as records:
            records.write(json.dumps(line | {"shared": sorted(self._shared)}) + "\n")
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        """Record a fixture that several tests share."""
        if fixturedef.scope == "function":
            return (yield)
        before = self._taken()
        try:
            return (yield)
        finally:
            reached = self._taken()
            self._shared.update(reached)
            with self._notes.open("a") as notes:
                notes.writelines(f"{function}\n" for function in (*before, *reached))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """The first cases of a test stand for all of them."""
        seen = Counter[str]()
        taken, left = list[pytest.Item](), list[pytest.Item]()
        for item in items:
            test = reach.test_of(item.nodeid)
            seen[test] += 1
            (taken if seen[test] <= FIRST_CASES else left).append(item)
        items[:] = taken
        config.hook.pytest_deselected(items=left)


def pytest_configure(config: pytest.Config) -> None:
    """Begin, except in the process that only gives tests to workers."""
    if not getattr(config.option, "numprocesses", None) or "PYTEST_XDIST_WORKER" in os.environ:
        config.pluginmanager.register(Recording())
