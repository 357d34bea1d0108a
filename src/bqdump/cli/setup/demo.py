"""bqdump demo: a full export and a restore on a local stack, with sample data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bqdump.cli.execution import run_tasks
from bqdump.cli.logs import readable
from bqdump.cli.options import quiet_option
from bqdump.cli.setup.local import needs_local_stack

if TYPE_CHECKING:
    from bqdump_local.processes import TaskLine


@click.command()
@click.option(
    "--tasks", metavar="N", type=click.IntRange(1, 100), default=10, show_default=True, help="Number of task processes."
)
@quiet_option
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("bqdump-demo"),
    show_default=True,
    help="Folder for the files; removes those of an earlier demo.",
)
def demo(tasks: int, folder: Path, quiet: bool) -> int:
    """Back up a dataset for three nights, lose it and restore it, on a local stack: sample data, the settings that
    `bqdump init` writes, several tasks, a restore that compares every value.

    \b
    Examples:
      bqdump demo
      bqdump demo --tasks 3 --folder /tmp/demo
    """
    needs_local_stack()
    from bqdump_local.demo import run_demo

    return run_demo(tasks, folder, partial(run_tasks, (), quiet=quiet, shown=_shown), quiet=quiet)


def _shown(line: TaskLine) -> str | None:
    """Of what the tasks say: what is worth a warning."""
    shown = readable(line.text, quiet=True)
    return shown and f"  task {line.task}: {shown}"
