"""What may be in one of two places: the export of one dataset, or those of a set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from bqdump.core.errors import NotFoundError

Answer = TypeVar("Answer")


async def first_found(first: Callable[[], Awaitable[Answer]], second: Callable[[], Awaitable[Answer]]) -> Answer:
    """The first answer, or the second one where the first finds nothing. Raises the first NotFoundError."""
    try:
        return await first()
    except NotFoundError:
        with suppress(NotFoundError):
            return await second()
        raise
