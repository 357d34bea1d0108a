"""bqdump verify: what is stored, held against what the manifest says."""

from __future__ import annotations

import sys
from typing import Any

import click

from bqdump.cli.exit_codes import DIFFERENCE, DONE
from bqdump.cli.options import load_settings, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.wiring import ask_store
from bqdump.core.sizes import counted, size_text
from bqdump.flow.verify import Verified
from bqdump.flow.verify import verify as verify_run


@click.command()
@click.argument("run", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@settings_options
def verify(run: str | None, as_json: bool, **options: Any) -> int:
    """Compare the files of RUN (default: the export that readers see) with its manifest: exit 4 on a difference.

    \b
    Examples:
      bqdump verify --bucket my-exports
      bqdump verify bqdump-x7k2p --json
    """
    settings = load_settings(options, ("bucket",))
    verified = ask_store(settings, lambda store: verify_run(store, settings, run or settings.run_id))
    if as_json:
        print_json(verified)
    else:
        _print(verified)
    return DIFFERENCE if verified.findings else DONE


def _print(verified: Verified) -> None:
    what = (
        f"run {verified.run}, the dataset as of {verified.snapshot_time}: {counted(verified.tables, 'table')}, "
        f"{counted(verified.files, 'file')}, {size_text(verified.bytes)}"
    )
    if not verified.findings:
        sys.stdout.write(f"{what}\nEvery file is there, with its size, checksum and generation.\n")
        return
    print_table(
        ("what", "table", "file", "manifest", "stored"),
        [(f.kind.value, f.table, f.file, f.expected, f.found) for f in verified.findings],
    )
    sys.stdout.write(f"\n{what}\n{counted(len(verified.findings), 'difference')}.\n")
