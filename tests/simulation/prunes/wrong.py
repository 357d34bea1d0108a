"""Faulty functions of retention: each makes of a sound one what a known bug would have made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Sound = Callable[..., Any]


def finds_nobody(_: Sound) -> Sound:
    """No run relies on another one's files."""

    async def faulty(*_: Any) -> str:
        return ""

    return faulty


def never(_: Sound) -> Sound:
    """It is never so."""

    async def faulty(*_: Any) -> bool:
        return False

    return faulty


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
