"""Prune is tested on ports in memory."""

from __future__ import annotations

import pytest

from retain.scene import Scene


@pytest.fixture(autouse=True)
def _no_waiting(no_waiting: None) -> None:
    """See the fixture."""


@pytest.fixture
def scene() -> Scene:
    return Scene()
