"""bqdump diff: shows what changed between two exports."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from bqdump import verbs
from bqdump.cli.choices import as_of_option, run_name, run_of
from bqdump.cli.options import Command, finish, json_option, load_settings, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.progress import Lines, error_line, following
from bqdump.cli.streams import tell
from bqdump.core.documents.changes import SAME, SAME_VALUES, TableChange
from bqdump.core.sizes import counted
from bqdump.services.opened import serve


@click.command(cls=Command, needs=("bucket",))
@click.argument("before", required=False, callback=run_name)
@click.argument("after", required=False, callback=run_name)
@as_of_option(help_="In place of BEFORE, a time: see `bqdump restore --help`.")
@click.option(
    "--values",
    is_flag=True,
    help="Compare the values of every column, regardless of row order. Tables with identical files are not read.",
)
@json_option(list[TableChange])
@settings_options("trust")
def diff(before: str | None, after: str | None, as_of: str | None, values: bool, as_json: bool, **options: Any) -> None:
    """Show what changed from run BEFORE (default: the one before) to run AFTER (default: the published run).

    Without --values, the content of tables is compared by file checksums.

    \b
    Examples:
      bqdump diff --bucket my-exports
      bqdump diff bqdump-a1b2c --bucket my-exports
      bqdump diff bqdump-a1b2c bqdump-x7k2p --json
      bqdump diff --as-of 7d --values
    """
    settings = load_settings(options, ("bucket",))
    before = run_of(settings, before, as_of, files=values)
    if not before:
        before = finish(serve(settings, lambda services: verbs.previous_run(services.store_at, settings)))
    with following(quiet=as_json or not values, lines=partial(Lines, say=error_line), stage="reading") as follower:
        ask = partial(verbs.diff, before=before, after=after or "", values=values, tell=follower.hear)
        changes = finish(serve(settings, lambda services: ask(services.store_at, settings)))
    tell(f"changes from run {before} to {f'run {after}' if after else 'the published run'}")
    if as_json:
        print_json(changes)
        return
    _print(changes, SAME_VALUES if values else SAME, values=values)


def _print(changes: Sequence[TableChange], same: str, *, values: bool) -> None:
    if changes:
        rows = [
            (
                change.table,
                change.what,
                f"{change.rows_after - change.rows_before:+,}",
                f"{change.bytes_after - change.bytes_before:+,}",
                change.content,
                change.columns(),
                change.why,
            )
            for change in changes
        ]
        print_table(("table", "what", "rows", "bytes", "content", "columns", "why"), rows, right=(2, 3))
    unclear = sum(change.change == "unclear" for change in changes)
    if unclear and not values:
        may = f"{counted(unclear, 'table')} may have changed: the files do not show it."
        sys.stdout.write(f"{may} --values compares the values.\n")
    elif unclear:
        sys.stdout.write(f"{counted(unclear, 'table')} may have changed, in columns that were not compared by value.\n")
    differ = len(changes) - unclear
    if differ:
        sys.stdout.write(f"{counted(differ, 'table')} {'differs' if differ == 1 else 'differ'}.\n")
    elif not unclear:
        sys.stdout.write(f"{same}\n")
