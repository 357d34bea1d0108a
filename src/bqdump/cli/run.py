"""bqdump run: this task's part of an export, and its publication when everything is done."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Any

import click

from bqdump.cli.exit_codes import DONE, INTERRUPTED, TERMINATED
from bqdump.cli.logs import set_up
from bqdump.cli.options import load_settings, settings_options
from bqdump.cli.wiring import open_services
from bqdump.core.identity import identify
from bqdump.core.settings import Settings, moment_text
from bqdump.core.sizes import counted, size_text
from bqdump.flow.run import Outcome
from bqdump.flow.run import run as run_task
from bqdump.flow.task import Task
from bqdump.services import owner, run_id

log = logging.getLogger(__name__)


@click.command()
@settings_options
def run(**options: Any) -> int:
    """Export the dataset: alone, or as one task of many (Cloud Run, Kubernetes, Google Batch, AWS Batch).

    \b
    Examples:
      bqdump run --project my-project --dataset sales --bucket my-exports
      bqdump run --format parquet --compression zstd --prefix nightly
      bqdump run --run-id 20260131T030000Z       # finish what a run has left
    """
    set_up({}, sys.stdout)
    settings = load_settings(options)
    identity = identify(os.environ)
    name = run_id(settings, identity)
    set_up({"run": name, "task": str(identity.task), "dataset": settings.dataset}, sys.stdout)
    me = owner(identity, name)
    return asyncio.run(_until_signal(_run(settings, name, me, identity.tasks)))


async def _run(settings: Settings, name: str, me: Any, tasks: int) -> int:
    services = open_services(settings, tasks)
    try:
        outcome = await run_task(Task(services.store, services.warehouse, settings, name, me, tasks))
    finally:
        await services.close()
    _tell(settings, outcome)
    return DONE


def _tell(settings: Settings, outcome: Outcome) -> None:
    target = f"gs://{settings.bucket}/{settings.prefix}"
    moment = moment_text(outcome.plan.snapshot)
    if outcome.result == "superseded":
        log.warning("run %s was not published: a later export is what readers see in %s", outcome.plan.run, target)
    elif outcome.result == "published" and outcome.totals:
        totals = outcome.totals
        log.info("done: %s in %s, %s, the dataset as of %s, in %s", counted(totals.tables, "table"),
                 counted(totals.files, "file"), size_text(totals.bytes), moment, target)  # fmt: skip
    for failure in outcome.failed:
        log.warning("%s is not part of this export: %s", failure.table, failure.message)


async def _until_signal(work: Any) -> int:
    """The work's exit code; on SIGTERM or Ctrl-C the process ends at once, and jobs in flight run on by themselves."""
    loop = asyncio.get_running_loop()
    working = asyncio.ensure_future(work)
    for number, code in ((signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)):
        loop.add_signal_handler(number, _leave, number, code)
    return int(await working)


def _leave(number: int, code: int) -> None:
    """Everything that counts is in the bucket already: nothing to save, nothing worth waiting for."""
    try:
        log.warning("stopped by %s: jobs in flight go on, the same run can be resumed", signal.Signals(number).name)
        sys.stdout.flush()
    finally:
        # Also where nobody reads what is written any more.
        os._exit(code)
