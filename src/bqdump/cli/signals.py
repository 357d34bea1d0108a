"""What ends a task from outside: SIGTERM and Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from bqdump.cli.exit_codes import INTERRUPTED, TERMINATED
from bqdump.cli.progress import Follower
from bqdump.core.progress.log_events import LogEvent

log = logging.getLogger(__name__)
Result = TypeVar("Result")


async def until_signal(work: Coroutine[Any, Any, Result], resume: str, follower: Follower) -> Result:
    """How the work ends; on SIGTERM or Ctrl-C the process ends at once, and jobs in flight run on by themselves.

    resume: how to resume it, as a sentence.
    """
    loop = asyncio.get_running_loop()
    working = asyncio.ensure_future(work)
    for number, code in ((signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)):
        loop.add_signal_handler(number, _leave, number, code, resume, follower)
    return await working


def _leave(number: int, code: int, resume: str, follower: Follower) -> None:
    """Everything that counts is in the bucket already: nothing to save, nothing worth waiting for."""
    try:
        message, stopped = "stopped by %s; BigQuery jobs in flight continue. %s", LogEvent.TASK_STOPPED.extra()
        log.warning(message, signal.Signals(number).name, resume, extra=stopped)
        follower.shown.close()
        sys.stdout.flush()
    finally:
        # Even if the output cannot be written.
        os._exit(code)
