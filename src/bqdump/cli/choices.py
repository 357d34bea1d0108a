"""Names of runs, as arguments, and --as-of: a time in place of one.

--tables-from: a file of names, in addition to --include.

The options of a restore, as flags and as environment variables.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec.structs import replace

from bqdump import verbs
from bqdump.cli.errors import described
from bqdump.cli.logs import logs_json
from bqdump.cli.options import finish
from bqdump.cli.streams import tell
from bqdump.core.errors import UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.resolve import BLANK, READ, is_blank
from bqdump.core.settings.settings import Setting, Settings
from bqdump.core.settings.target import QUALIFIED
from bqdump.core.settings.values import patterns, run_id
from bqdump.core.times import as_of_time, only_one, time_text
from bqdump.services.opened import serve

if TYPE_CHECKING:
    from bqdump.core.sets.restoring import Choice

log = logging.getLogger(__name__)
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
HELP = "Use the newest run that is not later: a time with zone, a date (its end in UTC), yesterday, 3d."


def run_name(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The name of a run, as an argument. Raises click.BadParameter."""
    try:
        return value and run_id(value)
    except ValueError as error:
        cause = f"{value!r} is not the name of a run: {error}"
        raise click.BadParameter(f"{cause}{_place_in(context, str(value))}", param=parameter) from None


def _place_in(context: click.Context, value: str) -> str:
    """How a place or a dataset is named that was given in place of a run, "" for neither."""
    if "/" in value:
        return f". A place is named with --to {value}"
    into = any("--into" in parameter.opts for parameter in context.command.params)
    return f". A dataset is named with --into {value}" if into and re.fullmatch(QUALIFIED, value) else ""


def run_names(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """The names of runs, as arguments, each once. Raises click.BadParameter."""
    return tuple(dict.fromkeys(name for text in value if (name := run_name(context, parameter, text))))


def _refusing_blank(variable: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback of an option that chooses what is restored. click takes an empty variable for one that is not set."""

    def check(_context: click.Context, _option: click.Parameter, value: Any) -> Any:
        if not value and is_blank(os.environ.get(variable)):
            raise UsageError(READ, "", "empty value", BLANK, place=variable)
        return value

    return check


def as_of_option(variable: str = "", help_: str = HELP) -> Callable[[Decorated], Decorated]:
    """Give a command --as-of, which arrives as `as_of`. variable: of the environment that gives it as well."""
    text = f"{help_} [{variable}]" if variable else help_
    check = _refusing_blank(variable)
    return click.option("--as-of", "as_of", metavar="TIME", envvar=variable or None, help=text, callback=check)


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


SETTING = "tables_from"
TABLES_FROM_HELP = "Also include the names in this file, one per line (-: standard input)."
STDIN = "-"


def tables_from_option(variable: str = "") -> Callable[[Decorated], Decorated]:
    """Give a command --tables-from, which arrives as `tables_from`. variable: of the environment that gives it, too."""
    text = f"{TABLES_FROM_HELP} [{variable}]" if variable else TABLES_FROM_HELP
    check = _refusing_blank(variable)
    return click.option("--tables-from", SETTING, metavar="FILE", envvar=variable or None, help=text, callback=check)


def included(settings: Settings, file: str | None) -> Settings:
    """The settings of an export, which also includes the names in a file. Raises like with_names."""
    return replace(settings, include=with_names(settings.include, file))


def with_names(include: Iterable[str], file: str | None) -> tuple[str, ...]:
    """The patterns to include, with the names in a file. Raises UsageError if it cannot be read, or names nothing."""
    if file is None:
        return tuple(include)
    names = [name for line in _read(file).splitlines() for name in patterns(line.partition("#")[0])]
    if not names:
        # Without a pattern, everything would be included.
        raise UsageError("read the names of tables", file, "it names no table", setting=SETTING)
    return (*include, *dict.fromkeys(names))


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        hint = "Name a file with one table or pattern a line, or - for standard input."
        raise UsageError("read the names of tables", file, cause, hint, setting=SETTING) from None


# What is no option of one dataset's restore.
DATASETS = ("datasets", "exclude_datasets")
OF_THE_COMMAND = ("verify", "yes", "finish_run", "again", *DATASETS)


def restore_options(*settings: Setting) -> Callable[[Decorated], Decorated]:
    """Give a command these settings as flags. They arrive as keyword arguments."""

    def decorate(command: Decorated) -> Decorated:
        for setting in reversed(settings):
            shape: dict[str, Any] = {"metavar": setting.metavar, "multiple": setting.repeated}
            if setting.repeated:
                shape["callback"] = _refusing_blank(setting.env)
            if setting.switch:
                shape = {"is_flag": True, "default": False}
            elif setting.parse is int:
                shape["type"] = int
            help_ = f"{described(setting)} [{setting.env}]"
            command = click.option(setting.flag, setting.name, envvar=setting.env, help=help_, **shape)(command)
        return command

    return decorate


def take(options: dict[str, Any]) -> dict[str, Any]:
    """Take what core.restore.request.requested expects out of a command's options."""
    from bqdump.core.restore.request import RESTORE_SETTINGS

    names = (setting.name for setting in RESTORE_SETTINGS)
    taken = {name: options.pop(name) for name in names if name not in OF_THE_COMMAND}
    lists = {name: ",".join(taken[name]) if taken[name] else () for name in ("include", "exclude", "partitions")}
    return taken | lists | {name: taken[name] or "" for name in ("into", "via", "as_")}


def take_choice(options: dict[str, Any]) -> Choice:
    """Take out which datasets of a set are restored."""
    from bqdump.core.sets.restoring import Choice

    return Choice(*(patterns(",".join(options.pop(name))) for name in DATASETS))
