"""bqdump run: this task's part of an export, and its publication when everything is done."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import click

from bqdump.cli.exit_codes import DONE, INTERRUPTED, TERMINATED
from bqdump.cli.logs import set_up
from bqdump.cli.options import load_settings, quiet_option, settings_options
from bqdump.cli.progress import Follower, following
from bqdump.cli.wiring import open_services
from bqdump.core.documents import Owner
from bqdump.core.identity import identify
from bqdump.core.settings import Settings, moment_text
from bqdump.core.sizes import counted, size_text
from bqdump.flow.run import Outcome
from bqdump.flow.run import run as run_task
from bqdump.flow.task import Task
from bqdump.services import owner, run_id

log = logging.getLogger(__name__)


@click.command()
@quiet_option
@settings_options
def run(quiet: bool, **options: Any) -> int:
    """Export the dataset: alone, or as one task of many (Cloud Run, Kubernetes, Google Batch, AWS Batch).

    \b
    Examples:
      bqdump run --project my-project --dataset sales --bucket my-exports
      bqdump run --format parquet --compression zstd --prefix nightly
      bqdump run --run-id 20260131T030000Z       # finish what a run has left
    """
    level = logging.WARNING if quiet else logging.INFO
    set_up({}, sys.stdout, level=level)
    settings = load_settings(options)
    identity = identify(os.environ)
    name = run_id(settings, identity)
    labels = {"run": name, "task": str(identity.task), "dataset": settings.dataset}
    me = owner(identity, name)
    with following(quiet=quiet) as follower:
        set_up(labels, sys.stdout, level=level, print_line=follower.shown.print)
        outcome = asyncio.run(_until_signal(_run(settings, name, me, identity.tasks, follower), follower))
    _tell(settings, outcome)
    return DONE


async def _run(settings: Settings, name: str, me: Owner, tasks: int, follower: Follower) -> Outcome:
    services = open_services(settings, tasks)
    try:
        return await run_task(
            Task(services.store, services.warehouse, settings, name, me, tasks, follower.hear, services.reading.open)
        )
    finally:
        await services.close()


def _tell(settings: Settings, outcome: Outcome) -> None:
    target = settings.target
    moment = moment_text(outcome.plan.snapshot)
    if outcome.result == "superseded":
        log.warning("run %s was not published: a later export is what readers see in %s", outcome.plan.run, target)
    elif outcome.result == "published" and outcome.totals:
        totals = outcome.totals
        log.info("done: %s in %s, %s, the dataset as of %s, in %s", counted(totals.tables, "table"),
                 counted(totals.files, "file"), size_text(totals.bytes), moment, target)  # fmt: skip
    for failure in outcome.failed:
        log.warning("%s is not part of this export: %s", failure.table, failure.message)


async def _until_signal(work: Coroutine[Any, Any, Outcome], follower: Follower) -> Outcome:
    """How the work ends; on SIGTERM or Ctrl-C the process ends at once, and jobs in flight run on by themselves."""
    loop = asyncio.get_running_loop()
    working = asyncio.ensure_future(work)
    for number, code in ((signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)):
        loop.add_signal_handler(number, _leave, number, code, follower)
    return await working


def _leave(number: int, code: int, follower: Follower) -> None:
    """Everything that counts is in the bucket already: nothing to save, nothing worth waiting for."""
    try:
        log.warning("stopped by %s: jobs in flight go on, the same run can be resumed", signal.Signals(number).name)
        follower.shown.close()
        sys.stdout.flush()
    finally:
        # Also where nobody reads what is written any more.
        os._exit(code)
