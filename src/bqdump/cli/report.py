"""bqdump report: a run's report as a page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bqdump.cli.options import load_settings, settings_options
from bqdump.cli.wiring import ask_store
from bqdump.core.changes import compare
from bqdump.flow.verify import read_manifest
from bqdump.pages.report import render_report
from bqdump.ports import ObjectStore


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

    async def ask(store: ObjectStore) -> bytes:
        manifest = await read_manifest(store, settings, run or settings.run_id)
        return render_report(
            manifest, compare(await read_manifest(store, settings, since), manifest) if since else None
        )

    output.write_bytes(ask_store(settings, ask))
    sys.stdout.write(f"{output}\n")
