"""bqdump init: writes a commented bqdump.toml, from flags or by asking."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import click

from bqdump.cli.errors import described
from bqdump.cli.options import completing, quiet_option
from bqdump.core.errors import UsageError
from bqdump.core.formats.formats import FORMATS
from bqdump.core.settings.file import settings_file
from bqdump.core.settings.path_template import DEFAULT
from bqdump.core.settings.resolve import flags, parsed, resolve
from bqdump.core.settings.settings import BY_NAME, REQUIRED
from bqdump.core.sizes import listed
from bqdump.services.config import CONFIG

KEEP = "{run}/{table}/{table}_*.{ext}"
PROMPTED = (*REQUIRED, "prefix", "format", "compression")


def _prompted_options(command: Any) -> Any:
    for name in reversed(PROMPTED):
        setting = BY_NAME[name]
        complete = completing(name)
        command = click.option(
            setting.flag, name, metavar=setting.metavar, help=described(setting), shell_complete=complete
        )(command)
    return command


@click.command()
@_prompted_options
@click.option("--keep/--replace", default=None, help="Keep the files of every run, or replace those of the last one.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), default=Path(CONFIG), show_default=True
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@quiet_option
def init(output: Path, force: bool, quiet: bool, keep: bool | None, **options: str | None) -> None:
    """Write a bqdump.toml that describes every setting. Asks for required settings that no flag gives.

    \b
    Examples:
      bqdump init
      bqdump init --project my-project --dataset sales --bucket my-exports --format parquet --compression zstd
    """
    if output.exists() and not force:
        raise UsageError("write", str(output), "the file exists", "Overwrite it with {setting:force}.")
    given = {name: value for name, value in options.items() if value is not None}
    # Before anything is asked: what is asked depends on it.
    for name, value in given.items():
        if value:
            parsed(BY_NAME[name], value, BY_NAME[name].flag)
    if any(name not in given for name in REQUIRED):
        given, keep = _ask(given, keep)
    kept = {name: value for name, value in given.items() if value != "" or name in REQUIRED}
    chosen = {name: parsed(BY_NAME[name], value, BY_NAME[name].flag) for name, value in kept.items()}
    if keep is not None:
        chosen["path"] = KEEP if keep else DEFAULT
    resolve(flags(chosen))
    try:
        output.write_text(settings_file(chosen), encoding="utf-8")
    except OSError as error:
        raise UsageError("write", str(output), error.strerror or str(error)) from None
    if not quiet:
        sys.stdout.write(f"{output} written. To see what a run would do: bqdump plan\n")


def _ask(given: Mapping[str, str], keep: bool | None) -> tuple[dict[str, str], bool]:
    """What is given and what the person at the terminal answers; what the environment says is proposed."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        missing = " and ".join(BY_NAME[name].flag for name in REQUIRED if name not in given)
        raise UsageError("ask", "", f"missing: {missing}, and standard input is not a terminal", "Use the flags.")
    answers = dict(given)
    for name in PROMPTED:
        if name not in answers:
            setting = BY_NAME[name]
            proposed = os.environ.get(setting.env) or ("" if name in REQUIRED else _default(name))
            answers[name] = click.prompt(
                described(setting),
                default=proposed if proposed or name not in REQUIRED else None,
                err=True,
                show_default=bool(proposed),
                value_proc=_checked(name, answers),
            )
    if keep is None:
        keep = click.confirm(
            "Keep the files of every run (otherwise each run replaces those of the last one)?", err=True
        )
    return answers, keep


def _default(name: str) -> str:
    return {"prefix": "", "format": "csv", "compression": "none"}[name]


def _checked(name: str, answers: Mapping[str, str]) -> Callable[[str], str]:
    """An answer that the setting's parser accepts; click asks again for any other."""

    def check(text: str) -> str:
        try:
            value = BY_NAME[name].parse(text)
        except ValueError as error:
            raise click.UsageError(f"invalid value {text!r}: {error}") from None
        codecs: Collection[str] = (value,)
        if name == "compression":
            codecs = FORMATS[BY_NAME["format"].parse(answers["format"] or _default("format"))].codecs
        if value not in codecs:
            raise click.UsageError(f"invalid value {text!r}: {answers['format']} takes {listed(tuple(codecs))}")
        return text

    return check
