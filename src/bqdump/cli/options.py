"""Options of commands: the settings, logs, JSON; and from flags, environment and bqdump.toml to Settings.

How commands do what takes ports: in a process that imports no more than it needs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any, TypeVar

import click

from bqdump.adapters.lean_imports import import_lean
from bqdump.cli import logs
from bqdump.cli.errors import described, remember
from bqdump.core.errors import NotFoundError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.resolve import MissingError, Required, environment, file, flags, places, resolve
from bqdump.core.settings.settings import BY_NAME, REQUIRED, RULES, SETTINGS, Setting, Settings
from bqdump.core.sizes import size_text
from bqdump.core.wording import close_name
from bqdump.services.process import CONFIG, read_config

log = logging.getLogger(__name__)
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
# Variables that are neither settings of an export nor options of a restore.
OTHER_VARIABLES = (
    *("BQDUMP_CONFIG", "BQDUMP_DEBUG", "BQDUMP_TASK_COUNT", "BQDUMP_JOB", "BQDUMP_LOG_FORMAT"),
    *("BQDUMP_NOTIFY_SECRET", "BQDUMP_EXECUTION", "BQDUMP_RESTORE_AS_OF", "BQDUMP_DRILL_AS_OF"),
    *("BQDUMP_TABLES_FROM", "BQDUMP_RESTORE_TABLES_FROM", "BQDUMP_DRILL_TABLES_FROM"),
)
# Variables that Kubernetes sets where a service is called bqdump.
SERVICE_LINK = r"BQDUMP_(SERVICE_|PORT(_|$))"
# Settings of every command that opens a target: one line of its help.
COMMON = ("project", "job_project", "bucket", "to", "prefix", "endpoint", "patience")
# The place of an export: one of them is enough.
PLACE = ("bucket", "to")
# Options that say what is read and written. Of one that is given twice, the first would be ignored.
NAMED_ONCE = ("project", "dataset", "into", "bucket", "to", "prefix")
# What a first backup sets: described by the help of commands that take more settings than these.
OFTEN = (
    *("prefix", "include", "exclude", "incremental", "route", "format", "compression", "path", "run_id"),
    *("max_bytes_billed", "notify", "allow", "prune", "keep_daily", "keep_weekly", "keep_monthly"),
)
# Settings of a plan. Adding one to SETTINGS is enough.
ALL = tuple(setting.name for setting in SETTINGS if setting.name not in COMMON)


class CommonOption(click.Option):
    """An option of all commands."""


class SettingOption(click.Option):
    """A setting that the command uses, listed apart from the command's own options."""


class Command(click.Command):
    """A command whose help fits on a screen or two: what it needs, its own options, the settings that matter most.

    It names the others, which `bqdump help settings` describes. needs: settings and options without which the
    command does nothing.
    """

    def __init__(self, *arguments: Any, needs: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.needs = needs

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click.Command. Refuses a dataset or a place that is named twice, and a long option after one hyphen."""
        flags = [word.partition("=")[0] for word in args if word.startswith("-")]
        if typed := next((flag for flag in flags if any(f"-{flag}" in option.opts for option in self.params)), None):
            raise click.NoSuchOption(typed, ctx=ctx)
        _, _, parameters = self.make_parser(ctx).parse_args(args=list(args))
        given = [parameter.name for parameter in parameters if isinstance(parameter, click.Option)]
        if twice := next((name for name in NAMED_ONCE if given.count(name) > 1), None):
            raise click.BadOptionUsage(f"--{twice}", "was given twice", ctx)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click.Command."""
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        # A target is a bucket, or any other place.
        needs = {*self.needs, "to"} if "bucket" in self.needs else {*self.needs}
        settings: list[click.Option] = [
            option for option in options if isinstance(option, (SettingOption, CommonOption))
        ]
        own = [option for option in options if option not in settings]
        few = sum(isinstance(setting, SettingOption) for setting in settings) <= len(OFTEN)
        used = [
            setting for setting in settings if setting.name in OFTEN or (few and isinstance(setting, SettingOption))
        ]
        unlisted = {*needs, *(RULES if any(setting.name in RULES for setting in used) else ())}
        names = [setting.opts[0] for setting in settings if setting not in used and setting.name not in unlisted]
        either = [option for option in options if option.name in PLACE and option.name in needs]
        needed = [option for option in options if option.name in needs and option not in either]
        sections = {
            "Required": needed,
            # One of them is enough, and anything else but both is refused.
            f"{'Also required' if needed else 'Required'}, one of": either,
            "Options": [option for option in own if option.name not in needs],
            "Settings": [setting for setting in used if setting.name not in needs],
        }
        for title, rows in sections.items():
            if records := [
                record for option in rows if option.name not in RULES and (record := option.get_help_record(ctx))
            ]:
                if any(option.name in RULES for option in rows):
                    records.append(("--keep-… N", "Rules of retention, such as --keep-daily 7: bqdump help retention"))
                with formatter.section(title):
                    formatter.write_dl(records)
        if names:
            with formatter.section("More settings, described by bqdump help settings"):
                indent = " " * formatter.current_indent
                lines = wrap(
                    ", ".join(names),
                    formatter.width,
                    initial_indent=indent,
                    subsequent_indent=indent,
                    break_on_hyphens=False,
                )
                formatter.write("\n".join(lines) + "\n")


def settings_options(*names: str) -> Callable[[Decorated], Decorated]:
    """Give a command the common options and these settings as flags. Arrive as keyword arguments; None: not given."""

    def decorate(command: Decorated) -> Decorated:
        for setting in reversed(SETTINGS):
            if setting.name in (*COMMON, *names):
                command = _option(setting, CommonOption if setting.name in COMMON else SettingOption)(command)
        command = log_options(command)
        help_ = "Read settings from this file (default: bqdump.toml, if it exists)."
        return click.option("--config", metavar="FILE", default=None, help=help_, cls=CommonOption)(command)

    return decorate


def some_settings(*names: str, hidden: Sequence[str] = ()) -> Callable[[Decorated], Decorated]:
    """Give a command these settings as flags, as settings_options does. hidden: settings that its help leaves out."""

    def decorate(command: Decorated) -> Decorated:
        for setting in reversed(SETTINGS):
            if setting.name in (*names, *hidden):
                command = _option(setting, SettingOption, hidden=setting.name in hidden)(command)
        return command

    return decorate


def _option(setting: Setting, kind: type[click.Option], *, hidden: bool = False) -> Callable[[Decorated], Decorated]:
    flag = f"{setting.flag}/--no-{setting.flag[2:]}" if setting.switch else setting.flag
    metavar = None if setting.switch else setting.metavar
    return click.option(
        flag,
        setting.name,
        cls=kind,
        help=setting_record(setting)[1],
        default=None,
        metavar=metavar,
        multiple=setting.repeated,
        shell_complete=completing(setting.name),
        hidden=hidden,
    )


def setting_record(setting: Setting, default: Any = None) -> tuple[str, str]:
    """A setting as a row of a help text: flag and description."""
    shown = str(default).lower() if isinstance(default, bool) else default
    if shown and setting.metavar == "SIZE":
        shown = size_text(default).replace(" ", "")
    extra = f"{setting.env}; default: {shown}" if shown not in (None, "", (), {}, 0) else setting.env
    return f"{setting.flag} {setting.metavar}", f"{described(setting)} [{extra}]"


Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def completing(name: str) -> Completer | None:
    """What completes the values of a setting in a shell; None if any value is possible."""
    choices = BY_NAME[name].choices

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete if choices else None


class Subcommands(click.Group):
    """A group whose help has the first sentence of each command, uncut."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click.Group."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(1000)) for name, each in self.commands.items()])


class JsonOption(click.Option):
    """--json, with the type of the document that it prints: what docs/*.schema.json are made from."""

    def __init__(self, *arguments: Any, document: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._document = document

    @property
    def document(self) -> Any:
        """The type. Where it was given by its full name, it is imported now."""
        if not isinstance(self._document, str):
            return self._document
        from pkgutil import resolve_name

        return resolve_name(self._document)


def json_option(document: Any, help: str = "Print JSON.") -> Callable[[Decorated], Decorated]:  # noqa: A002 (click's word)
    """Give a command --json, which arrives as `as_json`. document: the type of what is printed then.

    A command that is often started gives the full name of the type, which is imported when it is needed.
    """
    return click.option("--json", "as_json", is_flag=True, cls=JsonOption, document=document, help=help)


def quiet_option(command: Decorated) -> Decorated:
    """Give a command --quiet, which arrives as `quiet`."""
    return click.option("--quiet", "-q", is_flag=True, help="Print only warnings and errors.")(command)


def log_options(command: Decorated) -> Decorated:
    """Give a command -v and --log-format, which take effect before the command starts and do not arrive there."""

    def choose(context: click.Context, _parameter: click.Parameter, _value: object) -> None:
        chosen = context.meta.setdefault("bqdump.logs", {})
        chosen[_parameter.name] = _value
        logs.choose(logs.Choice(chosen.get("log_format", "auto"), chosen.get("verbose", 0)))
        logs.set_up_errors()

    option: dict[str, Any] = {"cls": CommonOption, "expose_value": False, "is_eager": True, "callback": choose}
    command = click.option(
        "--log-format",
        type=click.Choice(logs.FORMATS),
        default="auto",
        envvar="BQDUMP_LOG_FORMAT",
        help="Format of log lines (auto: JSON on Cloud Run, Kubernetes and Batch, else text). [BQDUMP_LOG_FORMAT]",
        **option,
    )(command)
    return click.option(
        "--verbose", "-v", count=True, help="Log details; -vv: also those of Google's client libraries.", **option
    )(command)


def flags_given(options: Mapping[str, Any]) -> list[str]:
    """The names of the settings that flags give."""
    return [name for name, value in options.items() if value not in (None, ())]


def load_settings(
    options: Mapping[str, Any], required: Required = REQUIRED, environ: Mapping[str, str] = os.environ
) -> Settings:
    """The settings of this invocation. required: those that the command cannot do without. Raises UsageError."""
    typed = {name: value for name, value in options.items() if value not in (None, ())}
    values = {name: ",".join(value) if isinstance(value, tuple) else value for name, value in typed.items()}
    warn_of_unknown(environ)
    name = values.pop("config", None) or environ.get("BQDUMP_CONFIG")
    config = read_config(name)
    sources = flags(values), environment(environ), file(config, name or CONFIG)
    remember(places(*sources), typed)
    try:
        settings = resolve(*sources, required=required)
    except MissingError as error:
        if not config and not Path(name or CONFIG).exists():
            error.hint = f"There is no {CONFIG} in this folder. To write one: bqdump init"
        raise
    if required == ("bucket",):
        _refuse_missing_folder(settings.target.folder)
    return settings


def _refuse_missing_folder(folder: str) -> None:
    """Raise NotFoundError where an export is to be read from a folder ("": from a bucket) that does not exist."""
    path = Path(folder)
    if not folder or path.exists() or any(parent.is_file() for parent in path.parents):
        return
    # A word without a slash may be meant as a bucket.
    hint = f"A bucket is written gs://{folder}." if folder == path.name else "To export there: {call:run}"
    raise NotFoundError("find", folder, "there is no such folder", hint)


def warn_of_unknown(environ: Mapping[str, str]) -> None:
    """Warn of variables that look like settings and are not: a misspelt one has no effect."""
    known = [*(setting.env for setting in SETTINGS), *OTHER_VARIABLES]
    others = [name for name in sorted(environ) if name.startswith("BQDUMP_") and name not in known]
    if not others:
        return
    from bqdump.core.restore.request import DRILL_SETTINGS, RESTORE_SETTINGS

    known += (setting.env for setting in (*RESTORE_SETTINGS, *DRILL_SETTINGS))
    for name in others:
        if name not in known and not re.match(SERVICE_LINK, name):
            setting = BY_NAME.get(name.removeprefix("BQDUMP_").lower())
            close = close_name(name[7:], [variable.removeprefix("BQDUMP_") for variable in known])
            guess = setting.env if setting else next((word for word in known if close and word.endswith(close)), "")
            hint = f"; did you mean {guess}?" if guess else ""
            log.warning("unknown setting %s%s", name, hint, extra=LogEvent.SETTING_UNKNOWN.extra())


Result = TypeVar("Result")


def finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work in an event loop of its own."""
    import_lean()
    return asyncio.run(work)
