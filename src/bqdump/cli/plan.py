"""bqdump plan: shows what a run would do, without changing anything."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from typing import Any

import click

from bqdump import verbs
from bqdump.cli.options import ALL, Command, flags_given, json_option, load_settings, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.plan_set import print_altered, print_set, refuse_datasets
from bqdump.cli.wiring import serve, serve_set
from bqdump.core.documents.origin import unchanged_parts
from bqdump.core.errors import UsageError
from bqdump.core.plan.guards import refuse, sentence
from bqdump.core.plan.removal import WHY
from bqdump.core.plan.summary import Planned, PlannedTable
from bqdump.core.retention.policy import refuse_idle
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.task_identity import Identity, identify
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import time_text
from bqdump.services.place import run_id

# More tables that are exported for one reason are not listed.
MANY = 5
VERBS = {"replace": "replaces the export", "keep": "adds an export"}


@click.command(cls=Command)
@click.option("--tasks", type=click.IntRange(1, 10_000), default=None, help="Number of tasks to plan for.")
@json_option(Planned)
@settings_options(*ALL)
def plan(tasks: int | None, as_json: bool, **options: Any) -> None:
    """Show what a run would do, without changing anything. Exits with 2 if a run would be refused.

    \b
    Examples:
      bqdump plan --project my-project --dataset sales --bucket my-exports
      bqdump plan --dataset 'sales,ops_*' --bucket my-exports
      bqdump plan --tasks 30 --json
    """
    settings = load_settings(options)
    refuse_idle(flags_given(options), settings)
    identity = identify(os.environ)
    name = _name(settings, identity)
    shared = tasks or identity.tasks
    if settings.names_several:
        work = partial(verbs.plan_set, settings=settings, name=name, tasks=shared)
        shown = asyncio.run(serve_set(settings, work))
    else:
        shown = asyncio.run(serve(settings, lambda at: verbs.plan(at, settings, name, shared)))
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
    """Print a plan for people: its tables, what it leaves out, and its totals."""
    if shown.tables or not shown.unchanged:
        _print_tables(shown)
    if reasons := [(t.table, t.reason) for t in shown.tables if t.reason]:
        same = {reason for _, reason in reasons}
        sys.stdout.write("\nExported, although the export is incremental:\n")
        if len(reasons) > MANY and len(same) == 1:
            reasons = [(f"all {len(reasons):,}", reasons[0][1])]
        print_table(("table", "why"), reasons)
    if shown.unchanged:
        sys.stdout.write("\n" if shown.tables else "")
        sys.stdout.write("Unchanged, so not exported again:\n")
        print_table(
            ("table", "rows", "bytes", "files", "since run"),
            [(u.table, f"{u.rows:,}", size_text(u.bytes), f"{u.files:,}", u.run) for u in shown.unchanged],
            right=(1, 2, 3),
        )
    if others := [(t.table, t.route, _bill(t), t.why) for t in shown.tables if t.route != "extract" or t.bills]:
        sys.stdout.write("\nNot exported by a free extract job:\n")
        print_table(("table", "route", "bills", "why"), others, right=(2,))
    if shown.skipped:
        sys.stdout.write("\nNot exported:\n")
        print_table(("object", "why"), [(item["table"], item["reason"]) for item in shown.skipped])
    if shown.removed:
        sys.stdout.write("\nRemoved from the published export:\n")
        print_table(
            ("table", "why", "rows", "as of", "run"),
            [
                (one.table, WHY[one.reason], "?" if one.rows is None else f"{one.rows:,}", one.snapshot_text, one.run)
                for one in shown.removed
            ],
            right=(2,),
        )
    if shown.kept:
        sys.stdout.write(f"\nExcluded, so carried over from run {shown.over}:\n")
        print_table(("table",), [(table,) for table in shown.kept])
    print_altered(shown.altered)
    if shown.flags:
        sys.stdout.write("\nWarnings:\n")
        print_table(
            ("what", "table", "why", "allowed"),
            [
                (flag.risk.value, flag.table or "all", sentence(flag), "yes" if flag.allowed else "no")
                for flag in shown.flags
            ],
        )
    _print_totals(settings, shown)


def _print_totals(settings: Settings, shown: Planned) -> None:
    totals = shown.totals
    shares = [share["bytes"] for share in shown.shares] or [0]
    saved = f", {size_text(totals['bytes_saved'])}: not exported again.\n"
    reused = unchanged_parts(totals["unchanged"], totals["unchanged_partitions"])
    unchanged = f"{reused}{saved}" if reused else ""
    dealt = (
        f"{counted(len(shown.shares), 'share')} of {size_text(min(shares))} to {size_text(max(shares))}; "
        f"recommended: {counted(shown.recommended_tasks, 'task')}.\n"
    )
    excluded = f", {totals['excluded']:,} excluded by --include/--exclude" if totals["excluded"] else ""
    least = "at least " if any(table.bills_at_least for table in shown.tables) else ""
    bill = f"Its queries will bill {least}{size_text(totals['bills'])}.\n" if totals["bills"] or least else ""
    sys.stdout.write(
        f"\n{counted(totals['tables'], 'table')}, {counted(totals['rows'], 'row')}, {size_text(totals['bytes'])} "
        f"of {shown.project}.{shown.dataset} ({shown.location}) as of {time_text(shown.snapshot_time)}{excluded}.\n"
        f"{unchanged}"
        f"{bill}{dealt if shown.shares or not unchanged else ''}"
        f"A run {VERBS[shown.mode]} in {settings.target} ({settings.path}).\n"
    )


def _print_tables(shown: Planned) -> None:
    print_table(
        ("table", "kind", "route", "rows", "bytes", "files", "task"),
        [
            (
                t.table,
                t.kind.lower(),
                t.route,
                f"{t.rows:,}",
                size_text(t.bytes),
                _files(t),
                f"{t.share} and {t.parts - 1} more" if t.parts > 1 else str(t.share),
            )
            for t in shown.tables
        ],
        right=(3, 4, 5, 6),
    )


def _files(table: PlannedTable) -> str:
    if not table.partitions:
        return f"{table.files:,}"
    unchanged = f" ({table.unchanged_partitions:,} unchanged)" if table.unchanged_partitions else ""
    return f"{table.files:,} in {counted(table.partitions, 'partition')}{unchanged}"


def _bill(table: PlannedTable) -> str:
    if table.bills is None:
        return ""
    return f"{'≥ ' if table.bills_at_least else ''}{size_text(table.bills)}"
