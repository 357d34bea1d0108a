"""The command line: commands, exit codes, and what is wired to what."""

from __future__ import annotations

# Not from `typing`: see bqdump.cli.process.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import click

# Commands of `setup`; the others are in `commands`.
# Commands in the module of another one.
BESIDE = {"completion": "help", "erase": "prune"}
SETUP = ("check_service", "completion", "demo", "doctor", "help", "init", "keys", "local", "render")


def command(name: str) -> click.Command:
    """The command of this name. Its module is imported now."""
    from importlib import import_module

    module = name.replace("-", "_")
    place = f"{'setup' if module in SETUP else 'commands'}.{BESIDE.get(module, module)}"
    loaded: click.Command = getattr(import_module(f"{__name__}.{place}"), module)
    return loaded
