"""One local stack for all tests of a session, and a stage of its own for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bqdump_local.stack import Stack, running
from integration.stage import Stage


@pytest.fixture(scope="session")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stand-in keeps objects as files."""
    return tmp_path_factory.mktemp("buckets")


@pytest.fixture(scope="session")
def stack(buckets: Path) -> Iterator[Stack]:
    """Both stand-ins as processes."""
    with running(root=buckets) as started:
        yield started


@pytest.fixture
def stage(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A project, a dataset and a bucket of the test's own; this process's clients are led to the stack."""
    for name, value in stack.variables().items():
        monkeypatch.setenv(name, value)
    made = Stage(stack, tmp_path)
    try:
        yield made
    finally:
        made.close()
