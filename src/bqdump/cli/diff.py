"""bqdump diff: what changed from one export to another."""

from __future__ import annotations

import sys
from typing import Any

import click

from bqdump.cli.options import json_option, load_settings, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.wiring import ask_store
from bqdump.core.changes import TableChange, compare
from bqdump.core.sizes import counted
from bqdump.flow.published import read_manifest
from bqdump.ports.store import ObjectStore


@click.command()
@click.argument("before")
@click.argument("after", required=False)
@json_option(list[TableChange])
@settings_options
def diff(before: str, after: str | None, as_json: bool, **options: Any) -> None:
    """Show which tables and columns changed from run BEFORE to run AFTER (default: the one that readers see).

    \b
    Examples:
      bqdump diff bqdump-a1b2c --bucket my-exports
      bqdump diff bqdump-a1b2c bqdump-x7k2p --json
    """
    settings = load_settings(options, ("bucket",))

    async def ask(store: ObjectStore) -> list[TableChange]:
        old = await read_manifest(store, settings, before)
        return compare(old, await read_manifest(store, settings, after or ""))

    changes = ask_store(settings, ask)
    if as_json:
        print_json(changes)
        return
    if changes:
        rows = [
            (change.table, change.change, f"{change.rows_after - change.rows_before:+,}",
             f"{change.bytes_after - change.bytes_before:+,}", change.columns())
            for change in changes
        ]  # fmt: skip
        print_table(("table", "what", "rows", "bytes", "columns"), rows, right=(2, 3))
    verb = "differs" if len(changes) == 1 else "differ"
    sys.stdout.write(f"{counted(len(changes), 'table')} {verb}.\n" if changes else "Nothing differs.\n")
