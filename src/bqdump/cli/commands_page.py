"""The command reference as Markdown, from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import NamedTuple

import click

from bqdump.cli.exit_codes import MEANINGS
from bqdump.cli.main import bqdump
from bqdump.cli.options import JsonOption
from bqdump.core.settings.settings import BY_NAME

HEAD = """\
# Commands

Made from the code by `python -m bqdump.cli.reference`, compared in tests. `bqdump COMMAND --help` says the same.

A command that works on an export takes every [setting](#settings) as a flag, from the environment, or from
`bqdump.toml`, in that order. What `--json` prints has the schema that is linked. Colours and bars are for terminals,
and `NO_COLOR` turns colours off.
"""


class Found(NamedTuple):
    """A command by the words that call it."""

    words: tuple[str, ...]
    command: click.Command

    @property
    def schema(self) -> str:
        """The file of its document's schema, below docs/."""
        return f"{'-'.join(self.words)}.schema.json"

    @property
    def json(self) -> JsonOption | None:
        """Its --json, None where it has none."""
        return next((option for option in self.command.params if isinstance(option, JsonOption)), None)


def commands(group: click.Group = bqdump, words: tuple[str, ...] = ()) -> Iterator[Found]:
    """Every command and group of commands, in the order of the help."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None  # noqa: S101 (the group has just named it)
        yield Found((*words, name), command)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))


def commands_page(settings: str) -> str:
    """The page. settings: the table of them."""
    parts = [HEAD, f"## Settings\n\n{settings}\n", _exit_codes()]
    parts += [_section(found) for found in commands()]
    return "\n".join(parts)


def _exit_codes() -> str:
    rows = "\n".join(f"| {', '.join(map(str, codes))} | {meaning} |" for codes, meaning in MEANINGS)
    return f"## Exit codes\n\n| code | means |\n|---|---|\n{rows}\n"


def _section(found: Found) -> str:
    name = f"bqdump {' '.join(found.words)}"
    text, examples = _help(found.command)
    # As in a real call: a command remembers the names of its help from the first context that asks.
    context = click.Context(found.command, info_name=name, **bqdump.context_settings)
    usage = " ".join((name, *found.command.collect_usage_pieces(context)))
    parts = [f"## {name}\n\n{text}\n", f"```\n{usage}\n```\n"]
    if examples:
        parts.append(f"```sh\n{examples}\n```\n")
    options = [param for param in found.command.params if isinstance(param, click.Option)]
    takes_settings = any(option.name == "config" for option in options)
    own = [option for option in options if not (takes_settings and option.name in (*BY_NAME, "config"))]
    if own:
        rows = "\n".join(f"| {_names(option)} | {_description(option, context)} |" for option in own)
        parts.append(f"| option | |\n|---|---|\n{rows}\n")
    if takes_settings:
        parts.append("And every [setting](#settings), and `--config FILE`.\n")
    if found.json:
        parts.append(f"`--json` prints [this document]({found.schema}).\n")
    return "\n".join(parts)


def _help(command: click.Command) -> tuple[str, str]:
    """What the command's help says, as one paragraph each, and its examples."""
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]
    lines = inspect.cleandoc(examples.partition("\n")[2]).splitlines()
    return "\n\n".join(paragraphs), "\n".join(lines)


def _names(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.make_metavar(click.Context(click.Command('')))}"
    value = re.sub("(INTEGER|FLOAT)( RANGE)?", "N", value)
    names = [f"`{name}{value}`" for name in (*option.opts, *option.secondary_opts)]
    return ", ".join(names).replace("|", "\\|")


def _description(option: click.Option, context: click.Context) -> str:
    text = option.help or ""
    default = option.get_default(context) if option.show_default else None
    if default not in (None, False):
        text = f"{text} Default: `{default}`.".strip()
    return f"{text} Required.".strip() if option.required else text
