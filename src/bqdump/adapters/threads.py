"""Threads for clients whose calls block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

# Concurrent requests per API: 100 per second of 200 ms each, for the two methods that planning uses.
THREADS = 40


class Threads:
    """Runs a client's blocking calls in threads, which start as they are needed."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=name)

    async def call(self, function: Callable[[], Result]) -> Result:
        """The function's result. Its exceptions are raised here."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def start(self, function: Callable[[], Result]) -> Future[Result]:
        """Start the function now."""
        return self._pool.submit(function)

    def close(self) -> None:
        """Start nothing more, without waiting for calls in progress."""
        self._pool.shutdown(wait=False, cancel_futures=True)
