"""What ends a task from outside: SIGTERM and Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from msgspec import Struct

from bqdump.cli.exit_codes import INTERRUPTED, TERMINATED
from bqdump.cli.progress import Follower
from bqdump.core.progress.events import Stage
from bqdump.core.progress.log_events import LogEvent

log = logging.getLogger(__name__)
NONE: Mapping[Stage, str] = {}
UNPROVEN = "Nothing is recorded; repeat the command."
Result = TypeVar("Result")


async def until_signal(
    work: Coroutine[Any, Any, Result], resume: str, follower: Follower, late: Mapping[Stage, str] = NONE
) -> Result:
    """How the work ends; on SIGTERM or Ctrl-C the process ends at once, and jobs in flight run on by themselves.

    resume: how to resume it, as a sentence.
    late: what is said instead in stages in which no jobs are left.
    """
    loop = asyncio.get_running_loop()
    working = asyncio.ensure_future(work)

    def leave(number: int, code: int) -> None:
        stage = follower.view().stage
        _leave(number, code, late.get(stage, resume), follower, jobs=stage not in late)

    for number, code in ((signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)):
        loop.add_signal_handler(number, leave, number, code)
    return await working


class Endings(Struct, frozen=True):
    """What to say at the end, as sentences: after cleaning up, and after a second signal, without it.

    jobs: whether BigQuery has jobs that continue.
    """

    clean: str
    at_once: str
    jobs: bool = True


REPEATED = Endings(UNPROVEN, UNPROVEN)


async def until_stopped(work: Coroutine[Any, Any, Result], follower: Follower, say: Endings = REPEATED) -> Result:
    """How the work ends; on SIGTERM or Ctrl-C it is cancelled, cleans up, and the process ends.

    A second signal ends the process at once, without that.
    """
    loop = asyncio.get_running_loop()
    working = asyncio.ensure_future(work)
    received: list[tuple[int, int]] = []

    def stop(number: int, code: int) -> None:
        if received:
            _leave(number, code, say.at_once, follower, jobs=say.jobs)
        received.append((number, code))
        working.cancel()

    for number, code in ((signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)):
        loop.add_signal_handler(number, stop, number, code)
    try:
        return await working
    finally:
        if received and working.cancelled():
            _leave(*received[0], say.clean, follower, jobs=say.jobs)


def _leave(number: int, code: int, resume: str, follower: Follower, *, jobs: bool = True) -> None:
    """Everything that counts is in the bucket already: nothing to save, nothing worth waiting for."""
    try:
        running = "; BigQuery jobs in flight continue" if jobs else ""
        name, stopped = signal.Signals(number).name, LogEvent.TASK_STOPPED.extra()
        log.warning("stopped by %s%s. %s", name, running, resume, extra=stopped)
        follower.shown.close()
        sys.stdout.flush()
    finally:
        # Even if the output cannot be written.
        os._exit(code)
