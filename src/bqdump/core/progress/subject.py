"""What log lines are about, where a process exports several datasets at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

DATASET: ContextVar[str] = ContextVar("DATASET", default="")


@contextmanager
def about(dataset: str) -> Iterator[None]:
    """Log lines within this `with`, and of tasks that start there, are about this dataset."""
    token = DATASET.set(dataset)
    try:
        yield
    finally:
        DATASET.reset(token)
