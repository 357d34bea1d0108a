"""The settings as options of a command, and from flags, environment and bqdump.toml to Settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from bqdump.core.errors import UsageError
from bqdump.core.settings import REQUIRED, SETTINGS, Settings, resolve

Command = TypeVar("Command", bound=Callable[..., Any])
CONFIG = "bqdump.toml"
SWITCHES = tuple(setting.name for setting in SETTINGS if setting.metavar == "BOOL")
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
        command = click.option(names, setting.name, **option)(command)
    return click.option(
        "--config",
        metavar="FILE",
        default=None,
        help="Read settings from here (default: bqdump.toml, if there is one).",
    )(command)


def quiet_option(command: Command) -> Command:
    """Give a command --quiet, which arrives as `quiet`."""
    return click.option("--quiet", "-q", is_flag=True, help="Tell of warnings and errors only.")(command)


def load_settings(
    options: Mapping[str, Any], required: Sequence[str] = REQUIRED, environ: Mapping[str, str] = os.environ
) -> Settings:
    """The settings of this invocation; `required` are those that the command needs. Raises UsageError."""
    flags = {
        name: ",".join(value) if name in LISTS and value is not None else value
        for name, value in options.items()
        if value not in (None, ())
    }
    file = flags.pop("config", None) or environ.get("BQDUMP_CONFIG")
    return resolve(flags, environ, read_config(file), file or CONFIG, required)


def read_config(file: str | None) -> dict[str, Any]:
    """What the file says; nothing when no file was asked for and the usual one is not there. Raises UsageError."""
    path = Path(file or CONFIG)
    if not file and not path.exists():
        return {}
    import tomllib

    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError("read the settings", str(path), f"it is not valid TOML: {error}") from None
    except OSError as error:
        raise UsageError("read the settings", str(path), error.strerror or str(error)) from None
