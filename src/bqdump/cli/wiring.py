"""How commands do what takes ports: in a process that imports no more than it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from bqdump.adapters.lean_imports import import_lean

Result = TypeVar("Result")


def finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work in an event loop of its own."""
    import_lean()
    return asyncio.run(work)
