"""Fixtures of copies."""

from __future__ import annotations

import pytest

from bqdump.ports.store import Abilities
from copying.scene import Copies


@pytest.fixture(params=["replace", "keep", "keep, listed without checksums"])
def copies(request: pytest.FixtureRequest) -> Copies:
    """An export that replaces its files, one with a folder for each run, and one that is copied to a place like S3."""
    mode, _, bare = request.param.partition(",")
    return Copies(mode, Abilities(listed_checksums=not bare, late_generations=bool(bare)))
