"""The command line. Commands are imported when they are called for, and errors become exit codes here."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from bqdump import __version__
from bqdump.cli.exit_codes import INTERRUPTED, UNEXPECTED, USAGE, exit_code
from bqdump.cli.logs import Choice, choose, logs_json, set_up_errors
from bqdump.cli.streams import OutputError, silence, tell
from bqdump.core.errors import BqdumpError, first_of
from bqdump.core.progress.log_events import LogEvent

log = logging.getLogger("bqdump")

COMMANDS = {
    "init": "Write a bqdump.toml, from flags or a few questions.",
    "run": "Export the dataset: one task, or this task of many.",
    "plan": "Show what a run would do, without changing anything.",
    "doctor": "Check permissions and risks before a run.",
    "status": "Show how far a run is, from the bucket alone.",
    "runs": "List the runs of a bucket over time.",
    "diff": "Show what changed from one export to another.",
    "report": "Write a run's report, a page that needs nothing else.",
    "ui": "Look at runs, tables and files in a browser, on this machine.",
    "verify": "Compare what is stored with what the manifest says.",
    "render": "Print what deploys this export: job, workflow, schedule, grants, Terraform.",
    "local": "A local stack: BigQuery, Cloud Storage and Cloud Run stand-ins, and a runner of tasks.",
    "demo": "The whole job on a local stack, with data to look at.",
    "completion": "Print what a shell needs to complete commands and flags.",
}


class Commands(click.Group):
    """A group that imports a command's module only when the command is used, and guesses what was meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"bqdump.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 (each module defines it)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command that the arguments name; a misspelt one gets a guess."""
        if args and args[0] not in COMMANDS:
            import difflib

            if close := difflib.get_close_matches(args[0], COMMANDS, n=1):
                ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bqdump", message="%(prog)s %(version)s")
def bqdump() -> None:
    """Export every table of a BigQuery dataset to Cloud Storage: one moment, in parallel, published when whole.

    \b
    Three settings are enough:
      PROJECT_ID=my-project SOURCE_DATASET=sales DESTINATION_BUCKET=my-exports bqdump run
    Try it without a cloud:
      bqdump demo
    """


def start(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code. Every error has been told by then, in one sentence."""
    code = _run(arguments)
    try:
        sys.stdout.flush()
    except (OSError, OutputError) as error:
        # The exit would find what is left in the buffer, and end with a code of its own.
        silence(sys.stdout)
        return code or _refuse(error if isinstance(error, OutputError) else OutputError(error))
    return code


def _run(arguments: Sequence[str]) -> int:
    choose(Choice())
    set_up_errors()
    try:
        result = bqdump.main(list(arguments), prog_name="bqdump", standalone_mode=False)
    except click.ClickException as error:
        try:
            error.show()
        except OSError:
            silence(sys.stderr)
        return USAGE
    except click.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough.
        silence(sys.stdout)
        return UNEXPECTED
    except ExceptionGroup as group:
        return _refuse(first_of(group))
    except Exception as error:
        return _refuse(error)
    return result if isinstance(result, int) else 0


def _refuse(error: BaseException) -> int:
    """Report what has ended the command; returns the exit code."""
    if isinstance(error, BqdumpError):
        _report(error)
        return exit_code(error)
    _report_unexpected(error)
    return UNEXPECTED


def _report(error: BqdumpError) -> None:
    if logs_json():
        log.error("%s", error, extra=LogEvent.COMMAND_FAILED.extra())
    else:
        tell(f"bqdump: {error}")


def _report_unexpected(error: BaseException) -> None:
    """Report a bug: with its stack trace in JSON logs, in one sentence elsewhere."""
    what = f"unexpected {type(error).__name__}: {error}"
    if logs_json():
        log.critical("%s", what, exc_info=error, extra=LogEvent.UNEXPECTED_ERROR.extra())
    elif os.environ.get("BQDUMP_DEBUG"):
        traceback.print_exception(error)
    else:
        tell(f"bqdump: {what}. This is a bug: please report it with what BQDUMP_DEBUG=1 shows.")
