"""bqdump init: writes a bqdump.toml with the settings of a backup."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bqdump.cli.options import Command, quiet_option, some_settings
from bqdump.cli.output import unwritten
from bqdump.core.documents.path_template import parse_template
from bqdump.core.errors import UsageError
from bqdump.core.settings.file import KEEP_RUNS, OF_ONE_RUN, backup, settings_file
from bqdump.core.settings.resolve import flags, parsed, resolve
from bqdump.core.settings.settings import BY_NAME, REQUIRED, RETENTION, SETTINGS
from bqdump.core.sizes import listed
from bqdump.services.process import CONFIG

# What a backup often needs. Every other setting is accepted, too, and described by `bqdump help settings`.
COMMON = (
    *(*REQUIRED, "to", "prefix", "exclude_datasets", "include", "exclude", "format", "compression", "path"),
    *("incremental", "full_every", "max_bytes_billed", "notify", "allow", "prune", "keep_last", "keep_daily"),
    *("keep_weekly", "keep_monthly", "keep_yearly", "keep_within"),
)
# Sections of single tables are written by hand.
OTHERS = tuple(setting.name for setting in SETTINGS if setting.name not in (*COMMON, *OF_ONE_RUN, "tables"))
# Values that a file has as they were given: amounts with their unit, and targets.
AS_GIVEN = ("TIME", "SIZE", "TARGET")


@click.command(cls=Command, needs=REQUIRED)
@some_settings(*COMMON, hidden=OTHERS)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path(CONFIG),
    show_default=True,
    help="File to write.",
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@quiet_option
def init(output: Path, force: bool, quiet: bool, **options: Any) -> None:
    """Write bqdump.toml with backup settings: Parquet, a folder for each run, incremental exports, and a retention
    policy of 7 daily, 4 weekly and 12 monthly runs. Flags change and add settings.

    \b
    Examples:
      bqdump init --project my-project --dataset sales --bucket my-exports
      bqdump init --dataset 'sales,ops_*' --exclude 'tmp_*' --keep-daily 30
    """
    if output.exists() and not force:
        raise UsageError("write", str(output), "the file exists", "Overwrite it with {setting:force}.")
    chosen = backup(_chosen_settings(options, os.environ))
    resolve(flags(chosen), required=())
    try:
        output.write_text(settings_file(chosen), encoding="utf-8")
    except OSError as error:
        raise unwritten(output, error) from None
    if not quiet:
        sys.stdout.write(_next_steps(output, chosen))


def _chosen_settings(options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The flags, and the required settings that only the environment has, as a file should have them."""
    values = {name: value for name, value in options.items() if value not in (None, ())}
    for name in REQUIRED:
        if name not in values and environ.get(BY_NAME[name].env) and not (name == "bucket" and "to" in values):
            values[name] = environ[BY_NAME[name].env]
    chosen = {}
    for name, value in values.items():
        setting = BY_NAME[name]
        text = ",".join(value) if isinstance(value, tuple) else value
        in_use = parsed(setting, text, setting.flag)
        chosen[name] = text if setting.metavar in AS_GIVEN else in_use
    return chosen


def _next_steps(output: Path, chosen: Mapping[str, Any]) -> str:
    missing = [name for name in REQUIRED if name not in chosen and not (name == "bucket" and "to" in chosen)]
    config = "" if str(output) == CONFIG else f" --config {shlex.quote(str(output))}"
    first = f"Set {listed(missing, 'and')} in it. " if missing else ""
    steps = f"{first}Check permissions and risks: bqdump doctor{config}\nThen back up: bqdump run{config}\n"
    if not parse_template(chosen["path"]).keeps:
        hint = f"Each run replaces the last one's files. To keep every run: --path '{KEEP_RUNS}'"
        return f"Wrote {output}. {hint}\n{steps}"
    rules = ", ".join(f"{BY_NAME[name].flag} {chosen[name]}" for name in RETENTION if name in chosen)
    return f"Wrote {output}. Each run has its own folder ({rules or 'none is deleted'}).\n{steps}"
