"""bqdump report: writes a run's report as an HTML page."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from bqdump import verbs
from bqdump.cli.choices import run_name
from bqdump.cli.options import Command, finish, json_option, load_settings, quiet_option, settings_options
from bqdump.cli.output import print_json, unwritten
from bqdump.services.opened import serve


class Written(msgspec.Struct, frozen=True):
    """Which run's report was written to which file, and the bytes of it."""

    run: str
    file: str
    bytes: int


@click.command(cls=Command, needs=("bucket",))
@click.argument("run", required=False, callback=run_name)
@click.option("--since", metavar="RUN", help="Show what changed since this run.")
@click.option(
    "--drill",
    is_flag=True,
    help="Evidence for an auditor: what was exported when, how drills proved it, and the checksums of all files.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), default=Path("report.html"), show_default=True
)
@json_option(Written, "Print the file's path and size as JSON.")
@quiet_option
@settings_options("trust")
def report(
    run: str | None, since: str | None, drill: bool, output: Path, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Write the report of RUN (default: the published run) to a file.

    \b
    Examples:
      bqdump report --bucket my-exports
      bqdump report bqdump-x7k2p --since bqdump-a1b2c -o changes.html
      bqdump report bqdump-x7k2p --drill -o evidence.html
    """
    settings = load_settings(options, ("bucket",))
    about = partial(verbs.report, run=run or "", since=since or "", drill=drill)
    name, page = finish(serve(settings, lambda services: about(services.store_at, settings)))
    try:
        output.write_bytes(page)
    except OSError as error:
        raise unwritten(output, error) from None
    if as_json:
        print_json(Written(name, str(output), len(page)))
    elif not quiet:
        sys.stdout.write(f"{output}\n")
