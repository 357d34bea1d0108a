"""bqdump plan: shows what a run would do, without changing anything."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from bqdump import verbs
from bqdump.cli.options import ALL, Command, flags_given, json_option, load_settings, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.plan_set import print_altered, print_set, refuse_datasets
from bqdump.cli.wiring import finish
from bqdump.core.documents.origin import unchanged_parts
from bqdump.core.errors import UsageError
from bqdump.core.plan.guards import refuse, sentence
from bqdump.core.plan.removal import WHY
from bqdump.core.plan.summary import Planned, PlannedTable
from bqdump.core.retention.policy import refuse_idle
from bqdump.core.settings.settings import REQUIRED, Settings
from bqdump.core.settings.task_identity import Identity, identify
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import time_text
from bqdump.services.opened import serve
from bqdump.services.place import run_id

# More tables that are exported for one reason are not listed.
MANY = 5
VERBS = {"replace": "replaces the export", "keep": "adds an export"}


@click.command(cls=Command, needs=REQUIRED)
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
    work = verbs.plan_set if settings.names_several else verbs.plan
    shown = finish(serve(settings, lambda services: work(services, settings, name, shared)))
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
    if reasons := [(t.table, t.reason) for t in shown.tables if t.reason]:
        same = {reason for _, reason in reasons}
        sys.stdout.write("\nExported, although the export is incremental:\n")
        if len(reasons) > MANY and len(same) == 1:
            reasons = [(f"all {len(reasons):,}", reasons[0][1])]
        print_table(("table", "why"), reasons)
    if shown.unchanged:
        sys.stdout.write("\nUnchanged, so not exported again:\n")
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
    if shown.tables:
        sys.stdout.write("\nExported:\n")
        _print_tables(shown)


def _cost(shown: Planned) -> str:
    """What the run takes, in one sentence: free jobs, what queries bill, what is read."""
    billed = [table for table in shown.tables if table.bills is not None]
    free = [table for table in shown.tables if table.route == "extract" and table.bills is None]
    read = len(shown.tables) - len(billed) - len(free)
    jobs = counted(sum(max(1, table.partitions - table.unchanged_partitions) for table in free), "extract job")
    least = "at least " if any(table.bills_at_least for table in billed) else ""
    parts = [
        f"{jobs}, free" if free else "",
        f"{counted(len(billed), 'query job')}, billed for {least}{size_text(shown.totals['bills'])}" if billed else "",
        f"{counted(read, 'table')} read with the Storage Read API" if read else "",
    ]
    if free and not billed and not read:
        return f"Free: {jobs}, {size_text(shown.totals['bytes'])}."
    return f"{'; '.join(filter(None, parts)) or 'Nothing to export'}."


def _print_totals(settings: Settings, shown: Planned) -> None:
    totals = shown.totals
    saved = f", {size_text(totals['bytes_saved'])}: not exported again.\n"
    reused = unchanged_parts(totals["unchanged"], totals["unchanged_partitions"])
    unchanged = f"{reused}{saved}" if reused else ""
    tasks = "One task is" if shown.recommended_tasks == 1 else f"{shown.recommended_tasks:,} tasks are"
    enough = f" {tasks} enough." if shown.shares or not unchanged else ""
    excluded = f", {totals['excluded']:,} excluded by --include/--exclude" if totals["excluded"] else ""
    sys.stdout.write(
        f"{_cost(shown)}{enough}\n"
        f"{counted(totals['tables'], 'table')}, {counted(totals['rows'], 'row')}, {size_text(totals['bytes'])} "
        f"of {shown.project}.{shown.dataset} ({shown.location}) as of {time_text(shown.snapshot_time)}{excluded}.\n"
        f"{unchanged}"
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
