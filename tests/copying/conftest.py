"""Fixtures of copies."""

from __future__ import annotations

import pytest

from copying.scene import Copies


@pytest.fixture(params=["replace", "keep"])
def copies(request: pytest.FixtureRequest) -> Copies:
    """An export that replaces its files, and one with a folder for each run."""
    return Copies(request.param)
