"""The command line: imports a command when it is used, and turns errors into exit codes."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import click

from bqdump.cli import command
from bqdump.cli.errors import forget, sentence
from bqdump.cli.exit_codes import INTERRUPTED
from bqdump.cli.logs import Choice, choose, logs_json, set_up_errors
from bqdump.cli.process import end_in_order, version_line
from bqdump.cli.streams import OutputError, silence, tell
from bqdump.core.errors import BqdumpError, UntrustedError, UsageError, first_of, open_files_error, out_of_files
from bqdump.core.exit_codes import UNEXPECTED, USAGE, exit_code
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import BY_NAME
from bqdump.core.wording import close_name

log = logging.getLogger("bqdump")

GROUPS = {
    "Export": {
        "init": "Write bqdump.toml with backup settings.",
        "doctor": "Check permissions and risks before a run.",
        "plan": "Show what a run would do, without changing anything.",
        "run": "Export the dataset, alone or as one task of several.",
        "status": "Show the progress of a run, read from the target only.",
    },
    "Check": {
        "runs": "List the runs of a target.",
        "ls": "List what a run holds: tables, views, routines, and what was left out.",
        "verify": "Compare the stored files with the manifest.",
        "diff": "Show what changed between two exports.",
        "report": "Write a run's self-contained HTML report.",
        "ui": "Browse runs, tables and files: a read-only console on localhost.",
        "sql": "Query an export with DuckDB.",
    },
    "Restore": {
        "restore": "Restore an export into a dataset.",
        "restores": "List restores; end one.",
        "drill": "Prove that an export can be restored: restore, compare, drop.",
    },
    "Keep": {
        "copy": "Copy runs to another bucket, to S3 or to a folder, proven file by file.",
        "prune": "Delete runs that the retention policy no longer keeps.",
        "erase": "Take a table out of all kept runs, for good.",
        "keys": "Make keys that sign manifests.",
    },
    "Deploy": {
        "render": "Generate deployment files from your settings: job, workflow, schedule, grants, Terraform.",
        "check-service": "Test what bqdump relies on against BigQuery and Cloud Storage.",
    },
    "Try": {
        "demo": "Run a full export locally, with sample data.",
        "local": "Run a local stack: stand-ins for BigQuery, Cloud Storage and Cloud Run.",
    },
    "Other": {
        "completion": "Print the completion script of a shell.",
        "help": "Show the help of a command, a topic (settings, formats, retention, exit-codes), or a page of docs.",
    },
}
# Commands of similar tools, by the one that does the same here.
SYNONYMS = {
    **dict.fromkeys(("backup", "export", "dump"), "run"),
    **dict.fromkeys(("list", "snapshots", "history"), "runs"),
    **dict.fromkeys(("show", "describe", "tables", "find", "cat"), "ls"),
    **dict.fromkeys(("cp", "sync", "mirror", "clone"), "copy"),
    **dict.fromkeys(("import", "load", "recover"), "restore"),
    **dict.fromkeys(("delete", "forget", "cleanup", "rm", "remove"), "prune"),
    **dict.fromkeys(("check", "validate"), "verify"),
    **dict.fromkeys(("console", "serve", "web"), "ui"),
    **dict.fromkeys(("config", "setup"), "init"),
    **dict.fromkeys(("query", "select"), "sql"),
    **dict.fromkeys(("cost", "estimate", "price", "preview", "dry-run"), "plan"),
    **dict.fromkeys(("test", "prove"), "drill"),
    **dict.fromkeys(("logs", "log", "progress", "watch"), "status"),
    **dict.fromkeys(("stats", "size", "usage", "du"), "runs --storage"),
    **dict.fromkeys(("growth", "grow"), "runs --growth"),
    **dict.fromkeys(("settings", "options"), "help settings"),
    **{topic: f"help {topic}" for topic in ("formats", "retention", "exit-codes")},
    **dict.fromkeys(("login", "auth"), "gcloud auth application-default login"),
    **dict.fromkeys(("schedule", "cron"), "render scheduler"),
    **dict.fromkeys(("deploy", "cloud-run"), "render job"),
    **{name: f"render {name}" for name in ("job", "iam", "alerts", "workflow", "kubernetes", "terraform")},
    "tag": "runs --tag TAG RUN",
    "version": "bqdump --version",
    "lock": "copy DEST --lock 35d",
}
COMMANDS = {name: description for group in GROUPS.values() for name, description in group.items()}


class Commands(click.Group):
    """A group that imports a command's module only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in COMMANDS:
            return None
        loaded = command(cmd_name)
        end_in_order()
        return loaded

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command that the arguments name. Raises UsageError with a guess for an unknown one."""
        if args and args[0] not in COMMANDS:
            close = SYNONYMS.get(args[0]) or close_name(args[0], COMMANDS)
            hint = f"Did you mean {close}?" if close else f"Commands: {', '.join(COMMANDS)}."
            raise UsageError("run", args[0], "unknown command", hint)
        name, loaded, rest = super().resolve_command(ctx, args)
        if loaded:
            refuse_empty(loaded, rest)
        return name, loaded, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by what they are for, without importing them."""
        widest = max(map(len, COMMANDS))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), description) for name, description in commands.items()])


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(version_line())
        context.exit()


def refuse_empty(loaded: click.Command, arguments: Sequence[str]) -> None:
    """Raise UsageError for an empty argument: of a shell variable that is not set. It would stand for everything.

    Settings of an export may be empty: they are set back to that.
    """
    options = {flag: option for option in loaded.params for flag in option.opts}
    # What comes after this is no option.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if not all(map(str.strip, arguments[end + 1 :])):
        raise UsageError("run", "an argument", f"it is empty. {UNSET}")
    for before, argument in pairwise(["", *arguments[:end]]):
        flag, equals, value = argument.partition("=")
        option = options.get(flag if equals else before)
        if isinstance(option, click.Option) and not option.is_flag:
            if not (value if equals else argument).strip() and (option.envvar or option.name not in BY_NAME):
                raise UsageError("run", "", f"it is empty. {UNSET}", place=flag if equals else before)
        elif not argument.strip() and (option or not before.startswith("-")):
            raise UsageError("run", "an argument", f"it is empty. {UNSET}")


UNSET = "Leave it out, or give it a value: a variable of the shell may not be set."


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def bqdump() -> None:
    """Back up BigQuery datasets to Cloud Storage: one snapshot time, published when complete, restorable.

    \b
    A backup of a dataset:
      bqdump init --project my-project --dataset sales --bucket my-exports
      bqdump run
    Try it without a cloud account:
      bqdump demo
    """


def start(arguments: Sequence[str]) -> int:
    """Run a command, report its error in one sentence, and return its exit code."""
    code = _run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has closed it.
        silence(sys.stdout)
        return code or UNEXPECTED
    except (OSError, OutputError) as error:
        # Otherwise the exit would flush the buffer again, and end with a code of its own.
        silence(sys.stdout)
        return code or _refuse(error if isinstance(error, OutputError) else OutputError(error))
    return code


def _run(arguments: Sequence[str]) -> int:
    choose(Choice())
    set_up_errors()
    forget()
    try:
        result = bqdump.main(list(arguments), prog_name="bqdump", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stdout.write(f"{error.ctx.get_help()}\n" if error.ctx else "")
        return 0
    except click.ClickException as error:
        _report(error)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has closed it.
        silence(sys.stdout)
        return UNEXPECTED
    except ExceptionGroup as group:
        return _refuse(first_of(group))
    except Exception as error:
        return _refuse(error)
    return result if isinstance(result, int) else 0


def _refuse(error: BaseException) -> int:
    """Report the error that ended the command; returns the exit code."""
    if not isinstance(error, BqdumpError) and out_of_files(error):
        error = open_files_error()
    if isinstance(error, BqdumpError):
        _report(error)
        return exit_code(error)
    _report_unexpected(error)
    return UNEXPECTED


def _report(error: BaseException) -> None:
    if logs_json():
        failed, untrusted = LogEvent.COMMAND_FAILED.extra(), LogEvent.NOT_TRUSTED.extra()
        log.error("%s", sentence(error), extra=untrusted if isinstance(error, UntrustedError) else failed)
    else:
        tell(f"bqdump: {sentence(error)}")


def _report_unexpected(error: BaseException) -> None:
    """Report a bug: with its stack trace in JSON logs, in one sentence elsewhere."""
    what = f"unexpected {type(error).__name__}: {error}"
    if logs_json():
        log.critical("%s", what, exc_info=error, extra=LogEvent.UNEXPECTED_ERROR.extra())
    elif os.environ.get("BQDUMP_DEBUG"):
        traceback.print_exception(error)
    else:
        tell(f"bqdump: {what}. This is a bug: please report it with what BQDUMP_DEBUG=1 shows.")
