"""Threads for clients whose calls block.

Calls that may be given up: of something outside that must not keep a process from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

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


Call = ParamSpec("Call")


class Detached(Executor):
    """Runs each call in a daemon thread, for whose end neither an event loop nor the interpreter waits."""

    def submit(self, fn: Callable[Call, Result], /, *args: Call.args, **kwargs: Call.kwargs) -> Future[Result]:
        """See the base class."""
        future: Future[Result] = Future()
        threading.Thread(target=_run, args=(future, lambda: fn(*args, **kwargs)), daemon=True).start()
        return future


def _run(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
