"""--tables-from: a file of names, in addition to --include."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from bqdump.core.errors import UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.values import patterns

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
SETTING = "tables_from"
HELP = "Also include the names in this file, one per line (-: standard input)."
STDIN = "-"


def tables_from_option(variable: str = "") -> Callable[[Decorated], Decorated]:
    """Give a command --tables-from, which arrives as `tables_from`. variable: of the environment that gives it, too."""
    text = f"{HELP} [{variable}]" if variable else HELP
    return click.option("--tables-from", SETTING, metavar="FILE", envvar=variable or None, help=text)


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
        raise UsageError("read the names of tables", file, cause, setting=SETTING) from None
