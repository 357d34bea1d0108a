"""bqdump report: a run's report as a page."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from bqdump.cli.options import load_settings, settings_options
from bqdump.cli.wiring import open_store
from bqdump.core.changes import compare
from bqdump.core.report import render_report
from bqdump.core.settings import Settings
from bqdump.flow.verify import read_manifest


@click.command()
@click.argument("run", required=False)
@click.option("--since", metavar="RUN", help="Show what changed since this run.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), default=Path("report.html"),
              show_default=True)  # fmt: skip
@settings_options
def report(run: str | None, since: str | None, output: Path, **options: Any) -> None:
    """Write the report of RUN (default: the export that readers see) to a file.

    \b
    Examples:
      bqdump report --bucket my-exports
      bqdump report bqdump-x7k2p --since bqdump-a1b2c -o changes.html
    """
    settings = load_settings(options, ("bucket",))
    output.write_bytes(asyncio.run(_report(settings, run or settings.run_id, since)))
    sys.stdout.write(f"{output}\n")


async def _report(settings: Settings, run: str, since: str | None) -> bytes:
    store = open_store(settings)
    try:
        manifest = await read_manifest(store, settings, run)
        changes = compare(await read_manifest(store, settings, since), manifest) if since else None
        return render_report(manifest, changes)
    finally:
        await store.close()
