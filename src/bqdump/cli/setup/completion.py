"""bqdump completion: the shell script that completes commands, flags and values of settings."""

from __future__ import annotations

import sys

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

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
    sys.stdout.write(SHELLS[shell](click.Command("bqdump"), {}, "bqdump", "_BQDUMP_COMPLETE").source() + "\n")
