"""bqdump demo: a full export and a restore on a local stack, with sample data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bqdump.cli.execution import run_tasks
from bqdump.cli.logs import event_of, readable
from bqdump.cli.options import quiet_option
from bqdump.cli.setup.local import needs_local_stack
from bqdump.core.progress.log_events import LogEvent

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
    """Run exports, a restore and a drill locally: start a local stack, create sample data, export it with several
    tasks, restore three tables and compare them, export twice more with --incremental, drill some tables.

    \b
    Examples:
      bqdump demo
      bqdump demo --tasks 3 --folder /tmp/demo
    """
    needs_local_stack()
    from bqdump_local.demo import run_demo

    return run_demo(tasks, folder, partial(run_tasks, (), quiet=quiet, shown=_shown), quiet=quiet)


def _shown(line: TaskLine) -> str | None:
    """Of what the tasks say: the plan, and what is worth a warning."""
    planned = event_of(line.text) == LogEvent.RUN_PLANNED
    shown = readable(line.text, quiet=not planned)
    return shown and f"  task {line.task}: {shown}"
