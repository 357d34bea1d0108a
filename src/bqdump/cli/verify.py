"""bqdump verify: what is stored, held against what the manifest says."""

from __future__ import annotations

import sys
from typing import Any

import click

from bqdump.cli.exit_codes import DIFFERENCE, DONE
from bqdump.cli.options import load_settings, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.wiring import ask_store
from bqdump.core.errors import UsageError
from bqdump.core.sampling import parse_sample
from bqdump.core.sizes import counted, size_text
from bqdump.flow.read_back import Reading
from bqdump.flow.verify import Verified
from bqdump.flow.verify import verify as verify_run
from bqdump.services import open_reader

EVERYTHING = "100%"


@click.command()
@click.argument("run", required=False)
@click.option(
    "--read",
    "share",
    is_flag=False,
    flag_value=EVERYTHING,
    metavar="[=SHARE]",
    help="Read the files as well, decode them and count their rows. =10%: a tenth of the files, another one "
    "after each export, so that ten exports have every file read.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@settings_options
def verify(run: str | None, share: str | None, as_json: bool, **options: Any) -> int:
    """Compare the files of RUN (default: the export that readers see) with its manifest: exit 4 on a difference.

    \b
    Examples:
      bqdump verify --bucket my-exports
      bqdump verify bqdump-x7k2p --json
      bqdump verify --read=10%
    """
    parts = _parts(share) if share else 0
    settings = load_settings(options, ("bucket",))
    reading = _reading(parts)
    try:
        verified = ask_store(settings, lambda store: verify_run(store, settings, run or settings.run_id, reading))
    finally:
        if reading:
            reading.reader.close()
    if as_json:
        print_json(verified)
    else:
        _print(verified)
    return DIFFERENCE if verified.findings else DONE


def _parts(share: str) -> int:
    try:
        return parse_sample(share)
    except ValueError as error:
        hint = f"Before the name of a run write --read={EVERYTHING}."
        raise UsageError("verify", f"--read={share}", str(error), hint) from None


def _reading(parts: int) -> Reading | None:
    return Reading(open_reader(), parts) if parts else None


def _print(verified: Verified) -> None:
    what = (
        f"run {verified.run}, the dataset as of {verified.snapshot_time}: {counted(verified.tables, 'table')}, "
        f"{counted(verified.files, 'file')}, {size_text(verified.bytes)}"
    )
    if verified.findings:
        print_table(
            ("what", "table", "file", "expected", "found"),
            [(f.kind.value, f.table, f.file, f.expected, f.found) for f in verified.findings],
        )
        sys.stdout.write("\n")
    sys.stdout.write(f"{what}\n")
    if read := verified.read:
        some = "every file" if read.parts == 1 else f"the files whose turn it is (1 in {read.parts})"
        sys.stdout.write(
            f"Read {some}: {counted(read.files, 'file')}, {size_text(read.bytes)}, {counted(read.rows, 'row')}.\n"
        )
    if verified.findings:
        sys.stdout.write(f"{counted(len(verified.findings), 'difference')}.\n")
    else:
        sys.stdout.write("Every file is there, with its size, checksum and generation.\n")
