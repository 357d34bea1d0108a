"""Faulty functions of retention: each makes of a sound one what a known bug would have made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Sound = Callable[..., Any]


def does_nothing(_: Sound) -> Sound:
    """It does nothing."""

    async def faulty(*_: Any, **__: Any) -> None:
        return None

    return faulty


def marks_nothing(_: Sound) -> Sound:
    """No file is kept for a manifest's sake."""

    def faulty(*_: Any) -> None:
        return None

    return faulty
