"""bqdump plan: shows what a run would do, without changing anything."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from bqdump import verbs
from bqdump.cli.choices import included, tables_from_option
from bqdump.cli.options import ALL, Command, finish, flags_given, json_option, load_settings, settings_options
from bqdump.cli.output import print_json
from bqdump.cli.plan_parts import cost, enough_tasks, excluded, print_parts, print_set, refuse_datasets
from bqdump.core.documents.manifest_index import unchanged_parts
from bqdump.core.errors import UsageError
from bqdump.core.plan.guards import refuse
from bqdump.core.plan.summary import Planned
from bqdump.core.retention.policy import refuse_idle
from bqdump.core.settings.settings import REQUIRED, Settings
from bqdump.core.settings.task_identity import Identity, identify
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import time_text
from bqdump.services.opened import serve
from bqdump.services.process import run_id

VERBS = {"replace": "replaces the export", "keep": "adds an export"}


@click.command(cls=Command, needs=REQUIRED)
@click.option("--tasks", metavar="N", type=click.IntRange(1, 10_000), default=None, help="Number of tasks to plan for.")
@json_option(Planned)
@tables_from_option("BQDUMP_TABLES_FROM")
@settings_options(*ALL)
def plan(tasks: int | None, as_json: bool, tables_from: str | None, **options: Any) -> None:
    """Show what a run would do, without changing anything. Exits with 2 if a run would be refused.

    \b
    Examples:
      bqdump plan --project my-project --dataset sales --bucket my-exports
      bqdump plan --dataset 'sales,ops_*' --bucket my-exports
      bqdump plan --tasks 30 --json
    """
    settings = included(load_settings(options), tables_from)
    refuse_idle(flags_given(options), settings)
    identity = identify(os.environ)
    name = _name(settings, identity)
    shared = tasks or identity.tasks
    shown = finish(serve(settings, lambda services: verbs.plan(services, settings, name, shared)))
    if as_json:
        print_json(shown)
    elif shown.datasets:
        print_set(settings, shown)
    else:
        print_plan(settings, shown)
    refuse_datasets(shown)
    if not shown.datasets:
        refuse(shown.flags, f"{shown.project}.{shown.dataset}")


def _name(settings: Settings, identity: Identity) -> str:
    """The name that a run would have, "RUN" where that is not known here."""
    try:
        return run_id(settings, identity)
    except UsageError:
        return "RUN"


def print_plan(settings: Settings, shown: Planned) -> None:
    """Print a plan for people: what it costs, its totals, what is special about it, its tables."""
    _print_totals(settings, shown)
    print_parts(shown)


def _print_totals(settings: Settings, shown: Planned) -> None:
    totals = shown.totals
    saved = f", {size_text(totals['bytes_saved'])}: not exported again.\n"
    reused = unchanged_parts(totals["unchanged"], totals["unchanged_partitions"])
    unchanged = f"{reused}{saved}" if reused else ""
    sys.stdout.write(
        f"{cost(settings, shown)}{enough_tasks(shown)}\n"
        f"{counted(totals['tables'], 'table')}, {counted(totals['rows'], 'row')}, {size_text(totals['bytes'])} "
        f"of {shown.project}.{shown.dataset} ({shown.location}) as of {time_text(shown.snapshot_time)}"
        f"{excluded(shown)}.\n"
        f"{unchanged}"
        f"A run {VERBS[shown.mode]} in {settings.target.named} ({settings.path}).\n"
    )
