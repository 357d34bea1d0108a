"""bqdump status: how far a run is, from the bucket alone."""

from __future__ import annotations

import sys
from typing import Any

import click

from bqdump.cli.options import load_settings, settings_options
from bqdump.cli.output import print_json
from bqdump.cli.wiring import ask_store
from bqdump.core.sizes import counted, size_text
from bqdump.flow.status import Status, newest_run
from bqdump.flow.status import status as read_status
from bqdump.ports import ObjectStore


@click.command()
@click.argument("run", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@settings_options
def status(run: str | None, as_json: bool, **options: Any) -> None:
    """Show how far RUN is (default: the run that was planned last), from the bucket alone.

    \b
    Examples:
      bqdump status --bucket my-exports
      bqdump status bqdump-x7k2p --json
    """
    settings = load_settings(options, ("bucket",))
    name = run or settings.run_id

    async def ask(store: ObjectStore) -> Status:
        return await read_status(store, settings, name or await newest_run(store, settings))

    found = ask_store(settings, ask)
    if as_json:
        print_json(found)
    else:
        sys.stdout.write(_text(found))


def _text(found: Status) -> str:
    lines = [
        f"run {found.run}: {found.state}"
        + (f", the dataset as of {found.snapshot_time}" if found.snapshot_time else "")
    ]
    if found.tables:
        lines.append(
            f"  {found.done} of {counted(found.tables, 'table')} done, {found.working} being exported, "
            f"{found.waiting} waiting, {len(found.failed)} failed; {size_text(found.bytes)} in all"
        )
    lines += [f"  {failure.table}: {failure.reason}: {failure.message}" for failure in found.failed]
    if found.latest != found.run:
        lines.append(f"  readers see run {found.latest}" if found.latest else "  nothing has been published here yet")
    return "\n".join(lines) + "\n"
