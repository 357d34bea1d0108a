"""Sets of datasets on ports in memory."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_waiting(no_waiting: None) -> None:
    """See the fixture."""
