"""How large a benchmark is. BENCHMARK=tiny makes each so small that a test can see that it still works."""

from __future__ import annotations

import os
from typing import TypeVar

Value = TypeVar("Value")
TINY = os.environ.get("BENCHMARK") == "tiny"


def sized(whole: Value, tiny: Value) -> Value:
    """What a benchmark takes: `whole` for figures, `tiny` for the test."""
    return tiny if TINY else whole
