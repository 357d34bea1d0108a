"""bqdump help: the help of a command, or all settings.

bqdump completion: the shell script that completes commands, flags and values of settings.
"""

from __future__ import annotations

import sys

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from bqdump.cli.main import bqdump
from bqdump.cli.options import setting_record
from bqdump.core.errors import UsageError
from bqdump.core.settings.settings import SETTINGS, Settings
from bqdump.core.settings.target import Target
from bqdump.core.wording import close_name

TOPIC = "settings"
SET_UP = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }"
# As options.settings_options and options.log_options describe them.
OTHERS = [
    ("--config FILE", "Read settings from this file. [BQDUMP_CONFIG; default: bqdump.toml, if it exists]"),
    ("-v, --verbose", "Log details; -vv: also those of Google's client libraries."),
    (
        "--log-format FORMAT",
        "Format of log lines: auto (JSON on Cloud Run, Kubernetes, Batch; else text), json, text. [BQDUMP_LOG_FORMAT]",
    ),
]


@click.command()
@click.argument("command", nargs=-1)
def help(command: tuple[str, ...]) -> None:  # noqa: A001 (the name of the command)
    """Show the help of COMMAND, or all settings.

    \b
    Examples:
      bqdump help run
      bqdump help local up
      bqdump help settings
    """
    sys.stdout.write(settings_text() if command == (TOPIC,) else _help_of(command))


def settings_text() -> str:
    """All settings, with variables and defaults."""
    defaults = Settings(project="", dataset="", target=Target())
    formatter = click.HelpFormatter(max_width=100)
    formatter.write_text("Flags take precedence over environment variables, and variables over bqdump.toml.")
    with formatter.section("Settings"):
        formatter.write_dl([setting_record(setting, getattr(defaults, setting.name, "")) for setting in SETTINGS])
    with formatter.section("Other common options"):
        formatter.write_dl(OTHERS)
    return formatter.getvalue()


def _help_of(words: tuple[str, ...]) -> str:
    context = click.Context(bqdump, info_name="bqdump")
    for word in words:
        group = context.command
        subcommand = group.get_command(context, word) if isinstance(group, click.Group) else None
        if subcommand is None:
            known = [*group.list_commands(context), TOPIC] if isinstance(group, click.Group) else []
            close = close_name(word, known)
            hint = (
                f"Did you mean {' '.join(('bqdump help', *words[: words.index(word)], close))}?"
                if close
                else "{call:help} lists all commands."
            )
            raise UsageError("show the help of", " ".join(words), "unknown command", hint)
        context = click.Context(subcommand, parent=context, info_name=word)
    return context.get_help() + "\n"


SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    Examples:
      echo 'eval "$(bqdump completion bash)"' >> ~/.bashrc
      echo 'eval "$(bqdump completion zsh)"' >> ~/.zshrc
      bqdump completion fish > ~/.config/fish/completions/bqdump.fish
    """
    script = SHELLS[shell](click.Command("bqdump"), {}, "bqdump", "_BQDUMP_COMPLETE").source()
    # Zsh has compdef only once its completion is set up, which no file of a new account does.
    sys.stdout.write(script.replace("    compdef", f"    {SET_UP}\n    compdef") + "\n")
