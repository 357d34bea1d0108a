"""bqdump local: a BigQuery and a Cloud Storage to try things on, and a runner of tasks."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from bqdump.cli.execution import run_tasks
from bqdump.cli.exit_codes import UNITS_FAILED
from bqdump.cli.options import quiet_option
from bqdump.core.errors import UsageError

PROJECT, DATASET, SOURCE, TARGET = "local-project", "TEST_DATA", "source-data", "target-data"


def needs_local_stack() -> None:
    """Raise UsageError when the extra is not installed."""
    try:
        import duckdb  # noqa: F401
        import starlette  # noqa: F401
    except ImportError:
        raise UsageError(
            "start", "the local stack", "it is not installed", "Install it: pip install 'bqdump[local]'"
        ) from None


@click.group()
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path(".bqdump-local"),
              show_default=True, help="Where the stack keeps its files.")  # fmt: skip
@click.pass_context
def local(context: click.Context, folder: Path) -> None:
    """A local stack: stand-ins for BigQuery, Cloud Storage and Cloud Run that Google's own clients talk to.

    \b
    Examples:
      bqdump local up
      bqdump local seed
      bqdump local execute --tasks 10
      bqdump local down
    """
    needs_local_stack()
    context.obj = folder


@local.command()
@click.option("--persist", is_flag=True, help="Keep datasets and objects for the next time.")
@click.option("--bigquery-port", type=click.IntRange(0, 65535), default=0, help="Default: any free port.")
@click.option("--storage-port", type=click.IntRange(0, 65535), default=0, help="Default: any free port.")
@click.option("--cloud-run-port", type=click.IntRange(0, 65535), default=0, help="Default: any free port.")
@click.pass_obj
def up(folder: Path, persist: bool, bigquery_port: int, storage_port: int, cloud_run_port: int) -> None:
    """Start the stack in the background, and print the variables that lead clients to it."""
    from bqdump_local import state

    stack = state.up(folder, persist=persist, ports=(storage_port, bigquery_port), cloud_run_port=cloud_run_port)
    for name, value in stack.variables().items():
        sys.stdout.write(f"export {name}={value}\n")
    # Google's client for Cloud Run takes its address as an option; there is no variable that it reads.
    sys.stdout.write(f"export CLOUD_RUN_ADDRESS={stack.cloud_run}\n")
    sys.stderr.write(f"Objects are files below {folder / 'buckets'}/. End the stack: bqdump local down\n")


@local.command()
@click.option("--project", default=PROJECT, show_default=True)
@click.option("--dataset", default=DATASET, show_default=True)
@click.option("--bucket", default=SOURCE, show_default=True, help="Where the CSV files are uploaded to.")
@click.option("--target", default=TARGET, show_default=True, help="A bucket to export to.")
@click.pass_obj
def seed(folder: Path, project: str, dataset: str, bucket: str, target: str) -> None:
    """Make data to export: 30 dummy tables, special ones, and flights from New York in 2013."""
    from bqdump_local import seed as data
    from bqdump_local import state

    tables = data.seed(state.the_stack(folder), project=project, dataset=dataset, bucket=bucket, target=target)
    sys.stdout.write(f"{len(tables)} tables in {project}.{dataset}; gs://{target} is there to export to\n")


@local.command(context_settings={"ignore_unknown_options": True})
@click.option("--tasks", type=click.IntRange(1, 10_000), default=1, show_default=True)
@click.option("--parallelism", type=click.IntRange(1), default=None, help="How many at once (default: all).")
@click.option("--max-retries", type=click.IntRange(0, 10), default=3, show_default=True)
@click.option("--task-timeout", type=click.FloatRange(1), default=600.0, show_default=True, help="Seconds.")
@click.option("--seed", "order", type=int, default=None, help="Start the tasks in this random order.")
@click.option("--engine", type=click.Choice(["cloud-run", "kubernetes", "gcp-batch", "aws-batch"]),
              default="cloud-run", show_default=True, help="Whose variables the tasks get.")  # fmt: skip
@quiet_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def execute(folder: Path, /, arguments: tuple[str, ...], quiet: bool, **options: Any) -> int:
    """Run `bqdump run ARGUMENTS` as Cloud Run would: as many tasks, with retries, variables and exit codes.

    Settings are read from the environment; those that are missing name what `local seed` has made.
    """
    from bqdump_local import state

    stack = state.the_stack(folder)
    defaults = {"PROJECT_ID": PROJECT, "SOURCE_DATASET": DATASET, "DESTINATION_BUCKET": TARGET}
    given = {name: value for name, value in os.environ.items() if name in defaults or name.startswith("BQDUMP_")}
    execution = run_tasks(
        arguments, defaults | given | stack.variables(), quiet=quiet, tasks=options["tasks"],
        parallelism=options["parallelism"], max_retries=options["max_retries"], task_timeout=options["task_timeout"],
        seed=options["order"], engine=options["engine"],
    )  # fmt: skip
    if quiet:
        return 0 if execution.ok else UNITS_FAILED
    sys.stdout.write(
        f"execution {execution.name}: {execution.succeeded} of {len(execution.tasks)} tasks succeeded "
        f"in {execution.seconds:.1f} s\n"
    )
    return 0 if execution.ok else UNITS_FAILED


@local.command()
@click.pass_obj
def down(folder: Path) -> None:
    """End the stack."""
    from bqdump_local import state

    state.down(folder)
    sys.stdout.write("The local stack has ended.\n")
