"""Errors in the words of the command line: `bqdump: <what>: <cause>. <fix>`, for all errors."""

from __future__ import annotations

from collections.abc import Mapping

import click

from bqdump.core.errors import BqdumpError
from bqdump.core.settings.settings import BY_NAME, Setting
from bqdump.core.wording import Commands, Words, fill


class Flags(Commands):
    """Also where settings were given: as flags, as variables or as keys of a file. places: by name."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def place(self, name: str) -> str:
        """See Words."""
        return self._places.get(name) or self.setting(name, "")

    def required(self, name: str) -> str:
        """See Words."""
        return f"{self.setting(name, '')} ({BY_NAME[name].env})"


_places: dict[str, str] = {}


def remember(places: Mapping[str, str]) -> None:
    """Take note of where the settings of this invocation were given, for the errors about them."""
    _places.clear()
    _places.update(places)


def words() -> Words:
    """The words of this invocation."""
    return Flags(_places)


def described(setting: Setting) -> str:
    """What a setting means."""
    return fill(setting.help, Flags({}))


def sentence(error: BaseException) -> str:
    """An error in one sentence."""
    if isinstance(error, BqdumpError):
        return error.sentence(words())
    return _of_the_parser(error) if isinstance(error, click.ClickException) else str(error)


def _of_the_parser(error: click.ClickException) -> str:
    """What click found wrong with the arguments."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    fix = f"{context.command_path} --help shows what is possible." if context else ""
    what, cause = "", error.format_message()
    if isinstance(error, click.NoSuchOption):
        what, cause = error.option_name, "unknown option"
        if error.possibilities:
            import difflib

            fix = f"Did you mean {difflib.get_close_matches(error.option_name, error.possibilities, 1, 0)[0]}?"
    elif isinstance(error, click.MissingParameter):
        what, cause = _name(error.param), "missing"
    elif isinstance(error, click.BadParameter):
        what, cause = _name(error.param), error.message
    elif isinstance(error, click.BadOptionUsage):
        what, cause = error.option_name, error.message.replace(f"Option {error.option_name!r} ", "")
    cause = cause[:1].lower() + cause[1:].rstrip(".")
    return f"{what and f'{what}: '}{cause}. {fix}".rstrip()


def _name(parameter: click.Parameter | None) -> str:
    if isinstance(parameter, click.Option):
        return parameter.opts[0]
    return parameter.human_readable_name if parameter else ""
