"""bqdump local: a local BigQuery, Cloud Storage and Cloud Run, and a runner of tasks."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bqdump.cli.execution import run_tasks
from bqdump.cli.options import Subcommands, quiet_option
from bqdump.cli.streams import tell
from bqdump.core.errors import UsageError, install_hint
from bqdump.core.exit_codes import DONE, TABLES_FAILED, UNEXPECTED
from bqdump.core.settings import values as parse
from bqdump.core.settings.amounts import duration
from bqdump.core.settings.settings import PROJECT as PROJECT_ID
from bqdump.core.settings.settings import SETTINGS
from bqdump.core.settings.target import DATASET as DATASET_ID
from bqdump.core.sizes import counted
from bqdump.services.process import read_config

# Where the files of the stack are.
FOLDER = Path(".bqdump-local")
PROJECT, DATASET, SOURCE, TARGET = "local-project", "TEST_DATA", "source-data", "target-data"


def needs_local_stack() -> None:
    """Raise UsageError when the extra is not installed."""
    try:
        import duckdb  # noqa: F401
        import starlette  # noqa: F401
    except ImportError:
        raise UsageError("start", "the local stack", "it is not installed", install_hint("local")) from None


@click.group(cls=Subcommands)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=FOLDER,
    show_default=True,
    help="Folder of the stack's files.",
)
@click.pass_context
def local(context: click.Context, folder: Path) -> None:
    """Run a local stack: stand-ins for BigQuery, Cloud Storage and Cloud Run for Google's own clients.

    \b
    Examples:
      eval "$(bqdump local up)"
      bqdump local seed
      bqdump local execute --tasks 10
      bqdump local down
    """
    needs_local_stack()
    context.obj = folder


@local.command()
@click.option("--persist", is_flag=True, help="Keep datasets and objects for the next start.")
@click.option(
    "--bigquery-port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port to listen on (default: any free port).",
)
@click.option(
    "--storage-port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port to listen on (default: any free port).",
)
@click.option(
    "--cloud-run-port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port to listen on (default: any free port).",
)
@click.pass_obj
def up(folder: Path, persist: bool, bigquery_port: int, storage_port: int, cloud_run_port: int) -> None:
    """Start the stack in the background, and print the variables that point clients to it.

    If it runs already, print the variables again, for another terminal.

    \b
    Examples:
      eval "$(bqdump local up)"
      bqdump local --folder /tmp/stack up --persist
    """
    from bqdump_local import state

    ports = (storage_port, bigquery_port)
    running = None if persist or any((*ports, cloud_run_port)) else state.find(folder)
    stack = running or state.up(folder, persist=persist, ports=ports, cloud_run_port=cloud_run_port)
    for name, value in stack.variables().items():
        sys.stdout.write(f"export {name}={value}\n")
    # Google's client for Cloud Run takes its address as an option; there is no variable that it reads.
    sys.stdout.write(f"export CLOUD_RUN_ADDRESS={stack.cloud_run}\n")
    at = f" --folder {shlex.quote(str(folder))}" if folder != FOLDER else ""
    if sys.stdout.isatty():
        sys.stderr.write(f'To set these variables in this shell: eval "$(bqdump local{at} up)"\n')
    if running:
        sys.stderr.write("Already running. ")
    sys.stderr.write(f"Objects are files below {folder / 'buckets'}/. Stop the stack: bqdump local{at} down\n")


@local.command()
@click.option("--project", metavar="ID", help=f"Default on the local stack: {PROJECT}.")
@click.option("--dataset", metavar="NAME", help=f"Default on the local stack: {DATASET}.")
@click.option(
    "--bucket",
    metavar="NAME",
    help=f"Local stack: where CSV files are uploaded to (default: {SOURCE}). Google Cloud: the bucket to export to.",
)
@click.option("--target", metavar="NAME", help=f"Local stack: a bucket to export to (default: {TARGET}).")
@click.option("--cloud", is_flag=True, help="On Google Cloud instead of the local stack: the dummy tables only.")
@click.option("--location", metavar="NAME", help="Google Cloud: of a new dataset and bucket (default: US).")
@click.option("--yes", is_flag=True, help="Google Cloud: do not ask.")
@click.pass_obj
def seed(folder: Path, /, cloud: bool, **options: Any) -> int:
    """Create sample data: 30 dummy tables, special ones, and flights from New York in 2013.

    \b
    Examples:
      bqdump local seed
      bqdump local seed --dataset sales --target my-exports
      bqdump local seed --cloud --project my-project --dataset dummy --bucket my-exports
    """
    check_place(cloud, options)
    if cloud:
        return _seed_cloud(options)
    from bqdump_local import seed as data
    from bqdump_local import state

    defaults = {"project": PROJECT, "dataset": DATASET, "bucket": SOURCE, "target": TARGET}
    place: dict[str, Any] = {name: options[name] or default for name, default in defaults.items()}
    tables = data.seed(state.the_stack(folder), **place)
    sys.stdout.write(
        f"{counted(len(tables), 'table')} in {place['project']}.{place['dataset']}; target: gs://{place['target']}\n"
    )
    return DONE


# Of what is made.
PARSERS = {"project": PROJECT_ID, "dataset": DATASET_ID, "bucket": parse.bucket, "target": parse.bucket}


def check_place(cloud: bool, options: dict[str, Any]) -> None:
    """Nothing is made on Google Cloud that was not named. Raises UsageError."""
    required, other = (("project", "dataset", "bucket"), ("target",)) if cloud else ((), ("location", "yes"))
    where = "with --cloud" if cloud else "without --cloud"
    if missing := [f"--{name}" for name in required if not options[name]]:
        raise UsageError("make data", missing[0], f"required {where}", "Give project, dataset and bucket.")
    if flags := [f"--{name}" for name in other if options[name]]:
        raise UsageError("make data", flags[0], f"not allowed {where}")
    for name, parser in PARSERS.items():
        try:
            parser(options[name] or "unnamed")
        except ValueError as error:
            raise UsageError("make data", f"--{name}", f"invalid value {options[name]!r}: {error}") from None


def _seed_cloud(options: dict[str, Any]) -> int:
    from bqdump_local import cloud_data as data
    from bqdump_local.seed import DUMMY_ROWS

    place = data.Place(options["project"], options["dataset"], options["bucket"], options["location"] or "US")
    with data.connected(place.project) as clients:
        missing = data.look(clients, place)
        if not missing:
            sys.stdout.write(f"Everything exists in {place.name} and gs://{place.bucket} already.\n")
            return DONE
        sys.stdout.write(f"To be created by {clients.address}, in {missing.location}:\n")
        sys.stdout.write(f"  dataset {place.name}\n" if missing.dataset else "")
        sys.stdout.write(f"  bucket gs://{place.bucket}\n" if missing.bucket else "")
        for source in missing.tables:
            sys.stdout.write(f"  table {place.name}.{source.table}, {DUMMY_ROWS:,} rows\n")
        if not options["yes"] and not click.confirm("Continue?"):
            sys.stdout.write("Nothing was created.\n")
            return UNEXPECTED
        data.make(clients, place, missing)
        sys.stdout.write(
            f"Done. Export it with: bqdump run --project {place.project} --dataset {place.dataset} "
            f"--bucket {place.bucket}\nRemove it with: deploy/teardown.sh\n"
        )
    return DONE


def _seconds(text: str) -> float:
    """The timeout of a task. Raises UsageError."""
    try:
        return duration(text) or 0
    except ValueError as error:
        raise UsageError("read the arguments", "--task-timeout", f"invalid value {text!r}: {error}") from None


@local.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--tasks", metavar="N", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Number of tasks."
)
@click.option(
    "--parallelism", metavar="N", type=click.IntRange(1), default=None, help="Number of tasks at a time (default: all)."
)
@click.option(
    "--max-retries",
    metavar="N",
    type=click.IntRange(0, 10),
    default=3,
    show_default=True,
    help="Retries of a failed task.",
)
@click.option(
    "--task-timeout", metavar="TIME", default="10m", show_default=True, help="Timeout of a task, such as 90s or 2h."
)
@click.option(
    "--seed", "order", metavar="N", type=int, default=None, help="Seed of the random order in which tasks start."
)
@click.option(
    "--engine",
    type=click.Choice(["cloud-run", "kubernetes", "gcp-batch", "aws-batch"]),
    default="cloud-run",
    show_default=True,
    help="Engine whose variables the tasks get.",
)
@quiet_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def execute(folder: Path, /, arguments: tuple[str, ...], quiet: bool, **options: Any) -> int:
    """Run `bqdump run ARGUMENTS` as Cloud Run does: several tasks, with retries, variables and exit codes.

    With `restore` or `copy` as the first argument, the tasks share the restore or copy. Settings come from the
    environment and bqdump.toml; the default is the data of `local seed`.

    \b
    Examples:
      bqdump local execute --tasks 10
      bqdump local execute --tasks 3 --max-retries 0 -- --format parquet --prefix nightly
      bqdump local execute --tasks 3 -- restore --into restored
    """
    from bqdump_local import state

    stack = state.the_stack(folder)
    execution = run_tasks(
        arguments,
        settings_of_tasks(arguments, os.environ, read_config(os.environ.get("BQDUMP_CONFIG"))) | stack.variables(),
        quiet=quiet,
        tasks=options["tasks"],
        parallelism=options["parallelism"],
        max_retries=options["max_retries"],
        task_timeout=_seconds(options["task_timeout"]),
        seed=options["order"],
        engine=options["engine"],
    )
    done = (
        f"execution {execution.name}: {execution.succeeded} of {counted(len(execution.tasks), 'task')} succeeded "
        f"in {execution.seconds:.1f} s"
    )
    if not quiet:
        sys.stdout.write(f"{done}\n")
    elif not execution.ok:
        tell(f"bqdump: {done}")
    return 0 if execution.ok else TABLES_FAILED


def settings_of_tasks(
    arguments: Sequence[str], environ: Mapping[str, str], config: Mapping[str, Any]
) -> dict[str, str]:
    """The settings of the environment, and what `local seed` has made where nothing else names it."""
    defaults = {"PROJECT_ID": PROJECT, "SOURCE_DATASET": DATASET, "DESTINATION_BUCKET": TARGET}
    variables = {name: value for name, value in environ.items() if name in defaults or name.startswith("BQDUMP_")}
    # An export goes to one place.
    if variables.get("BQDUMP_TO") or "to" in config or any(word.partition("=")[0] == "--to" for word in arguments):
        del defaults["DESTINATION_BUCKET"]
    in_file = {setting.env for setting in SETTINGS if setting.name in config}
    return {name: value for name, value in defaults.items() if name not in in_file} | variables


@local.command()
@click.pass_obj
def down(folder: Path) -> None:
    """Stop the stack.

    \b
    Examples:
      bqdump local down
    """
    from bqdump_local import state

    state.down(folder)
    sys.stdout.write("The local stack has stopped.\n")
