"""bqdump demo: the whole job on a local stack, with data to look at."""

from __future__ import annotations

from pathlib import Path

import click

from bqdump.cli.local import needs_local_stack


@click.command()
@click.option("--tasks", type=click.IntRange(1, 100), default=10, show_default=True, help="Task processes.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path("bqdump-demo"),
              show_default=True, help="Where the files go; what an earlier demo left is removed.")  # fmt: skip
def demo(tasks: int, folder: Path) -> int:
    """Start a local stack, make data, export it with several task processes, and stop the stack again.

    \b
    Examples:
      bqdump demo
      bqdump demo --tasks 3 --folder /tmp/demo
    """
    needs_local_stack()
    from bqdump_local.demo import run_demo

    return run_demo(tasks, folder)
