"""bqdump help: the help of a command, a topic (formats, retention, settings, exit codes), or a page of docs.

bqdump completion: the shell script that completes commands, flags and values of settings.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from bqdump.cli.exit_codes import MEANINGS
from bqdump.cli.main import COMMANDS, bqdump
from bqdump.cli.options import setting_record
from bqdump.cli.setup.doc_pages import find_page, page_names
from bqdump.cli.setup.man import manual
from bqdump.core.errors import UsageError
from bqdump.core.formats.fidelity import CELLS
from bqdump.core.formats.formats import FORMATS
from bqdump.core.settings.settings import BY_NAME, RULES, SETTINGS, Settings
from bqdump.core.settings.target import Target
from bqdump.core.wording import close_name

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
@click.option("--man", is_flag=True, help="Print the manual page of COMMAND, in roff.")
@click.argument("command", nargs=-1)
def help(command: tuple[str, ...], man: bool) -> None:  # noqa: A001 (the name of the command)
    """Show the help of COMMAND, or a topic: settings, formats, retention, exit-codes.

    Also a page of the documentation, or one section of it.

    \b
    Examples:
      bqdump help run
      bqdump help local up
      bqdump help settings
      bqdump help retention
      bqdump help disaster
      bqdump help docs/operate.md#a-drill-failed
      bqdump help --man run | man -l -
    """
    words = " ".join(command)
    topic = None if man else TOPICS.get(words)
    if topic:
        sys.stdout.write(topic())
    elif not man and words not in COMMANDS and (page := find_page(words)):
        click.echo_via_pager(page.rstrip())
    else:
        context = _context(command)
        sys.stdout.write(manual(context) if man else context.get_help() + "\n")


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


def formats_text() -> str:
    """What each format holds, and brings back."""
    formatter = click.HelpFormatter(max_width=100)
    formatter.write_text(
        "For backups: parquet, which restores every value exactly. A column that the format cannot hold fails the run, "
        "unless --on-unsupported skips it or exports it as a string."
    )
    with formatter.section("Formats (--format) and codecs (--compression)"):
        formatter.write_dl([(name, f"{', '.join(FORMATS[name].codecs)}. {_lacks(name)}") for name in FORMATS])
    formatter.write("\nWith the query route, parquet has no zstd.\n")
    return formatter.getvalue()


def _lacks(format_: str) -> str:
    """Which types a format cannot hold, or changes, when extract jobs write it."""
    cells = CELLS["extract"][format_]
    missing = [type_ for type_, cell in cells.items() if cell.holds == "no"]
    changed = [type_ for type_, cell in cells.items() if cell.holds != "no" and cell.altered]
    parts = [f"cannot hold {', '.join(missing)}"] if missing else []
    parts += [f"changes some values of {', '.join(changed)}"] if changed else []
    text = "; ".join(parts) or "restores every value exactly"
    return f"{text[0].upper()}{text[1:]}."


def retention_text() -> str:
    """The rules of retention, and what is kept in any case."""
    formatter = click.HelpFormatter(max_width=100)
    formatter.write_text(
        "A run is kept if any rule keeps it. The published run, unfinished runs, runs with the tag keep and the newest "
        "complete run are always kept. Days, weeks, months and years are those of the snapshot time, in UTC."
    )
    with formatter.section("Rules"):
        formatter.write_dl([setting_record(BY_NAME[name]) for name in RULES])
    with formatter.section("Unfinished runs"):
        formatter.write_dl([setting_record(BY_NAME["abandoned_after"])])
    formatter.write(
        "\nTry a policy, then apply it:\n"
        "  bqdump prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12\n"
        "  bqdump prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --yes\n"
    )
    return formatter.getvalue()


def exit_codes_text() -> str:
    """What each exit code means."""
    formatter = click.HelpFormatter(max_width=100)
    with formatter.section("Exit codes"):
        formatter.write_dl([(", ".join(map(str, codes)), meaning) for codes, meaning in MEANINGS])
    return formatter.getvalue()


TOPICS: dict[str, Callable[[], str]] = {
    "settings": settings_text,
    "formats": formats_text,
    "retention": retention_text,
    "exit-codes": exit_codes_text,
}


def _context(words: tuple[str, ...]) -> click.Context:
    context = click.Context(bqdump, info_name="bqdump", **bqdump.context_settings)
    for word in words:
        group = context.command
        subcommand = group.get_command(context, word) if isinstance(group, click.Group) else None
        if subcommand is None:
            known = [*group.list_commands(context), *TOPICS] if isinstance(group, click.Group) else []
            known += page_names() if context.parent is None else []
            close = close_name(word, known)
            hint = (
                f"Did you mean `{' '.join(('bqdump help', *words[: words.index(word)], close))}`?"
                if close
                else f"{{call:help}} lists all commands. Topics: {', '.join(TOPICS)}."
            )
            raise UsageError("show the help of", " ".join(words), "unknown command", hint)
        context = click.Context(subcommand, parent=context, info_name=word)
    return context


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
