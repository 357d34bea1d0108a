"""--as-of: a time in place of the name of a run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from bqdump import verbs
from bqdump.cli.logs import logs_json
from bqdump.cli.streams import tell
from bqdump.cli.wiring import finish
from bqdump.core.as_of import as_of_time, only_one
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.times import time_text
from bqdump.services.opened import serve

log = logging.getLogger(__name__)
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
HELP = "Use the newest run that is not later: a time with zone, a date (its end in UTC), yesterday, 3d."


def as_of_option(variable: str = "", help_: str = HELP) -> Callable[[Decorated], Decorated]:
    """Give a command --as-of, which arrives as `as_of`. variable: of the environment that gives it as well."""
    text = f"{help_} [{variable}]" if variable else help_
    return click.option("--as-of", "as_of", metavar="TIME", envvar=variable or None, help=text)


def run_of(
    settings: Settings,
    run: str | None,
    as_of: str | None,
    *,
    files: bool = True,
    quiet: bool = False,
) -> str:
    """The run that is meant, "" for the default; prints which one a time stands for. files: see verbs.run_as_of.

    Raises UsageError for both and for an invalid time, NotFoundError where nothing as old is kept.
    """
    if not as_of:
        return run or ""
    only_one(run or "")
    wanted = as_of_time(as_of, int(time.time() * 1000))
    asking = serve(settings, lambda services: verbs.run_as_of(services.store_at, settings, wanted, files=files))
    chosen = finish(asking)
    said = f"as of {wanted.words}: run {chosen.run}, with snapshot time {time_text(chosen.snapshot_time)}"
    if not quiet:
        _say(said, chosen.run)
    return chosen.run


def _say(said: str, run: str) -> None:
    if logs_json():
        log.info("%s", said, extra=LogEvent.RUN_CHOSEN.extra(run=run))
    else:
        tell(said)
