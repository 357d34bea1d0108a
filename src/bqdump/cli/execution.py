"""An execution of tasks on this machine: shows their output and the progress of their run."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from bqdump.adapters.lean_imports import import_lean
from bqdump.cli.logs import readable
from bqdump.cli.options import load_settings
from bqdump.cli.progress import Follower, Nothing, draws, following
from bqdump.cli.streams import tell
from bqdump.core.errors import BqdumpError
from bqdump.core.settings.settings import Settings
from bqdump.observe.follow import Pace, follow
from bqdump.services.opened import opened

if TYPE_CHECKING:
    from bqdump_local.execute import Execution
    from bqdump_local.processes import TaskLine

# The bucket is a local folder: listing it is cheap.
PACE = Pace(0.3, 2.0)
RUN, RESTORE, COPY = "run", "restore", "copy"


def command_of(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The command that tasks run, by default `run`, which takes no names; and its arguments."""
    if arguments and arguments[0] in (RUN, RESTORE, COPY):
        return arguments[0], arguments[1:]
    return RUN, arguments


def run_tasks(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    quiet: bool = False,
    shown: Callable[[TaskLine], str | None] | None = None,
    **options: Any,
) -> Execution:
    """Run `bqdump run ARGUMENTS` (or `restore …`, `copy …`) as tasks, and show them on standard error.

    environ: the settings and the addresses of the local stack.
    shown: what to print for a line, None for nothing.
    options: see bqdump_local.execute.execute.
    """
    command, arguments = command_of(arguments)
    # The bucket shows the progress of a run.
    bars = draws() and not quiet and command == RUN
    shown = shown or partial(_readable, quiet=quiet, bars=bars)
    with following(quiet=quiet, lines=Nothing) as follower:
        print_line = follower.shown.print or tell

        def show(line: TaskLine) -> None:
            if (text := shown(line)) is not None:
                print_line(text)

        return asyncio.run(_watched([command, *arguments], environ, show, follower, watch=bars, **options))


def _readable(line: TaskLine, *, quiet: bool, bars: bool) -> str | None:
    text = readable(line.text, quiet=quiet, bars=bars)
    return text and f"task {line.task}: {text}"


async def _watched(
    words: Sequence[str], environ: Mapping[str, str], show: Any, follower: Follower, *, watch: bool, **options: Any
) -> Execution:
    from bqdump_local.execute import execute

    name = f"bqdump-{secrets.token_hex(3)}"
    watching = asyncio.create_task(_watch(words[1:], environ, name, follower)) if watch else None
    try:
        return await execute(
            [sys.executable, "-P", "-m", "bqdump", *words],
            env=environ,
            execution=name,
            on_output=show,
            on_state=follower.hear,
            **options,
        )
    finally:
        if watching:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def _watch(arguments: Sequence[str], environ: Mapping[str, str], execution: str, follower: Follower) -> None:
    """Follow the tasks' run in the bucket. Errors are ignored here: the tasks report theirs."""
    with suppress(BqdumpError):
        settings = _settings(arguments, environ)
        if settings.names_several:
            return
        os.environ.update(environ)
        import_lean()
        run = settings.run_id or execution
        async with opened(settings) as services:
            async for _ in follow(services.store, settings, run, tell=follower.hear, pace=PACE, wait=True):
                pass


def _settings(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """The settings of the tasks. Raises BqdumpError, as they will."""
    import click

    from bqdump.cli.commands.run import run

    try:
        options = run.make_context("run", list(arguments), resilient_parsing=False).params
    except (click.ClickException, click.exceptions.Exit):
        raise BqdumpError("read", "the arguments of the tasks", "they are wrong, or ask for help") from None
    options.pop("quiet", None)
    return load_settings(options, environ=environ)
