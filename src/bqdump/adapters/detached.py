"""Calls that may be given up: of something outside that must not keep a process from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

Result = TypeVar("Result")
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
