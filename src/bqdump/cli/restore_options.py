"""The options of a restore, as flags and as environment variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bqdump.core.restore.request import RESTORE_SETTINGS
from bqdump.core.sets.restoring import Choice
from bqdump.core.settings.settings import Setting
from bqdump.core.settings.values import patterns

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
NAMES = tuple(setting.name for setting in RESTORE_SETTINGS)
# What is no option of one dataset's restore.
DATASETS = ("datasets", "exclude_datasets")
OF_THE_COMMAND = ("verify", "yes", "finish_run", *DATASETS)


def restore_options(*settings: Setting) -> Callable[[Decorated], Decorated]:
    """Give a command these settings as flags. They arrive as keyword arguments."""

    def decorate(command: Decorated) -> Decorated:
        for setting in reversed(settings):
            shape: dict[str, Any] = {"metavar": setting.metavar, "multiple": setting.repeated}
            if setting.switch:
                shape = {"is_flag": True, "default": False}
            elif setting.parse is int:
                shape["type"] = int
            help_ = f"{setting.help} [{setting.env}]"
            command = click.option(setting.flag, setting.name, envvar=setting.env, help=help_, **shape)(command)
        return command

    return decorate


def take(options: dict[str, Any]) -> dict[str, Any]:
    """Take what core.restore.request.requested expects out of a command's options."""
    taken = {name: options.pop(name) for name in NAMES if name not in OF_THE_COMMAND}
    lists = {name: ",".join(taken[name]) for name in ("include", "exclude")}
    return taken | lists | {name: taken[name] or "" for name in ("into", "via", "as_")}


def take_choice(options: dict[str, Any]) -> Choice:
    """Take out which datasets of a set are restored."""
    return Choice(*(patterns(",".join(options.pop(name))) for name in DATASETS))
