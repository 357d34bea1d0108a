"""The size of benchmarks. With BENCHMARK=tiny, each is small enough for a test of whether it works."""

from __future__ import annotations

import os
from typing import TypeVar

Value = TypeVar("Value")
TINY = os.environ.get("BENCHMARK") == "tiny"


def sized(whole: Value, tiny: Value) -> Value:
    """The size to use: `whole` for measurements, `tiny` for the test."""
    return tiny if TINY else whole
