"""The settings as options of a command, and from flags, environment and bqdump.toml to Settings."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from bqdump.cli import logs
from bqdump.core.formats.formats import FORMATS
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import REQUIRED, SETTINGS, Settings, resolve
from bqdump.core.settings.values import ROUTES
from bqdump.services import CONFIG, read_config

log = logging.getLogger(__name__)
Command = TypeVar("Command", bound=Callable[..., Any])
SWITCHES = tuple(setting.name for setting in SETTINGS if setting.metavar == "BOOL")
# Variables that are no settings.
OTHER_VARIABLES = ("BQDUMP_CONFIG", "BQDUMP_DEBUG", "BQDUMP_TASK_COUNT", "BQDUMP_JOB", "BQDUMP_LOG_FORMAT")
# What Kubernetes sets where a service is called bqdump.
SERVICE_LINK = re.compile(r"BQDUMP_(SERVICE_|PORT(_|$))")
# What a shell can complete; the settings themselves say what is right.
CHOICES: dict[str, Sequence[str]] = {
    "format": tuple(FORMATS),
    "compression": tuple(sorted({codec for kind in FORMATS.values() for codec in kind.codecs})),
    "route": ROUTES,
}
LISTS = ("include", "exclude", "route", "labels")


def settings_options(command: Command) -> Command:
    """Give a command every setting as a flag, and --config. They arrive as keyword arguments; None: not given."""
    for setting in reversed(SETTINGS):
        names = f"{setting.flag}/--no-{setting.flag[2:]}" if setting.name in SWITCHES else setting.flag
        option: dict[str, Any] = {"help": f"{setting.help} [{setting.env}]", "default": None}
        if setting.name in LISTS:
            option |= {"multiple": True, "metavar": setting.metavar}
        elif setting.name not in SWITCHES:
            option |= {"metavar": setting.metavar}
        command = click.option(names, setting.name, **option, **completing(setting.name))(command)
    command = log_options(command)
    return click.option(
        "--config",
        metavar="FILE",
        default=None,
        help="Read settings from here (default: bqdump.toml, if there is one).",
    )(command)


def completing(name: str) -> dict[str, Any]:
    """What an option needs so that a shell completes this setting's values; nothing where any value is possible."""
    if name not in CHOICES:
        return {}

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        return [choice for choice in CHOICES[name] if choice.startswith(incomplete)]

    return {"shell_complete": complete}


class JsonOption(click.Option):
    """--json, with the type of the document that it prints: what docs/*.schema.json are made from."""

    def __init__(self, *arguments: Any, document: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.document = document


def json_option(document: Any, help: str = "Print JSON.") -> Callable[[Command], Command]:  # noqa: A002 (click's word)
    """Give a command --json, which arrives as `as_json`. document: the type of what is printed then."""
    return click.option("--json", "as_json", is_flag=True, cls=JsonOption, document=document, help=help)


def quiet_option(command: Command) -> Command:
    """Give a command --quiet, which arrives as `quiet`."""
    return click.option("--quiet", "-q", is_flag=True, help="Print only warnings and errors.")(command)


def log_options(command: Command) -> Command:
    """Give a command -v and --log-format, which take effect before the command starts and do not arrive there."""

    def choose(context: click.Context, _parameter: click.Parameter, _value: object) -> None:
        given = context.meta.setdefault("bqdump.logs", {})
        given[_parameter.name] = _value
        logs.choose(logs.Choice(given.get("log_format", "auto"), given.get("verbose", 0)))
        logs.set_up_errors()

    option: dict[str, Any] = {"expose_value": False, "is_eager": True, "callback": choose}
    command = click.option(
        "--log-format",
        type=click.Choice(logs.FORMATS),
        default="auto",
        envvar="BQDUMP_LOG_FORMAT",
        help="Format of log lines (auto: text on a terminal, else JSON for `run`). [BQDUMP_LOG_FORMAT]",
        **option,
    )(command)
    return click.option(
        "--verbose", "-v", count=True, help="Log details; -vv: also those of Google's client libraries.", **option
    )(command)


def load_settings(
    options: Mapping[str, Any], required: Sequence[str] = REQUIRED, environ: Mapping[str, str] = os.environ
) -> Settings:
    """The settings of this invocation; `required` are those that the command needs. Raises UsageError."""
    flags = {
        name: ",".join(value) if name in LISTS and value is not None else value
        for name, value in options.items()
        if value not in (None, ())
    }
    warn_of_unknown(environ)
    file = flags.pop("config", None) or environ.get("BQDUMP_CONFIG")
    return resolve(flags, environ, read_config(file), file or CONFIG, required)


def warn_of_unknown(environ: Mapping[str, str]) -> None:
    """Tell of variables that look like settings and are none: a misspelt one would be lost in silence."""
    known = (*(setting.env for setting in SETTINGS), *OTHER_VARIABLES)
    for name in sorted(environ):
        if name.startswith("BQDUMP_") and name not in known and not SERVICE_LINK.match(name):
            import difflib

            close = difflib.get_close_matches(name[7:], [one.removeprefix("BQDUMP_") for one in known], n=1)
            guess = next((one for one in known if close and one.endswith(close[0])), "")
            hint = f"; did you mean {guess}?" if guess else ""
            log.warning("unknown setting %s%s", name, hint, extra=LogEvent.SETTING_UNKNOWN.extra())
