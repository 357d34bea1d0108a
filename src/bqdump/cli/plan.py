"""bqdump plan: what a run would do, without changing anything."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import click
import msgspec

from bqdump.cli.options import load_settings, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.wiring import open_services, run_id
from bqdump.core.documents import Plan, Unit
from bqdump.core.errors import UsageError
from bqdump.core.identity import identify
from bqdump.core.plan import read_units, recommended_tasks
from bqdump.core.settings import Settings, moment_text
from bqdump.core.sizes import counted, size_text
from bqdump.flow.planning import check_target, draft_plan

# BigQuery starts a new file at about 1 GB of logical bytes.
FILE_BYTES = 1_000_000_000


class PlannedTable(msgspec.Struct, frozen=True):
    """One table of a plan as `--json` shows it. `files`: how many are to be expected at least."""

    table: str
    kind: str
    route: str
    rows: int
    bytes: int
    files: int
    share: int
    path: str


class Planned(msgspec.Struct, frozen=True):
    """A plan as `--json` shows it. Shares: bytes by task."""

    project: str
    dataset: str
    location: str
    snapshot_time: str
    mode: str
    totals: dict[str, int]
    recommended_tasks: int
    shares: list[dict[str, int]]
    tables: list[PlannedTable]
    skipped: list[dict[str, str]]


@click.command()
@click.option("--tasks", type=click.IntRange(1, 10_000), default=None, help="Plan for so many tasks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@settings_options
def plan(tasks: int | None, as_json: bool, **options: Any) -> None:
    """Show what a run would do, without changing anything.

    \b
    Examples:
      bqdump plan --project my-project --dataset sales --bucket my-exports
      bqdump plan --tasks 30 --json
    """
    settings = load_settings(options)
    drafted, units = asyncio.run(_draft(settings, tasks or identify(os.environ).tasks))
    shown = _planned(drafted, read_units(units))
    if as_json:
        print_json(shown)
    else:
        _print(settings, shown)


async def _draft(settings: Settings, tasks: int) -> tuple[Plan, bytes]:
    services = open_services(settings, 1)
    try:
        await check_target(services.store, settings)
        try:
            name = run_id(settings, identify(os.environ))
        except UsageError:
            name = "RUN"
        return await draft_plan(services.warehouse, settings, name, tasks)
    finally:
        await services.close()


def _planned(drafted: Plan, units: list[Unit]) -> Planned:
    tables = [
        PlannedTable(unit.table, unit.kind, unit.route, unit.rows, unit.bytes, max(1, -(-unit.bytes // FILE_BYTES)),
                     int(unit.id.split("-")[0]), unit.pattern)
        for unit in sorted(units, key=lambda unit: unit.table)
    ]  # fmt: skip
    return Planned(
        project=drafted.project,
        dataset=drafted.dataset,
        location=drafted.location,
        snapshot_time=moment_text(drafted.snapshot),
        mode=drafted.mode,
        totals={"tables": drafted.tables, "rows": drafted.rows, "bytes": drafted.bytes,
                "files": sum(table.files for table in tables), "excluded": drafted.excluded},
        recommended_tasks=recommended_tasks(drafted.tables),
        shares=[{"units": share.units, "bytes": share.bytes} for share in drafted.shares],
        tables=tables,
        skipped=[{"table": item.table, "kind": item.kind, "reason": item.reason} for item in drafted.skipped],
    )  # fmt: skip


def _print(settings: Settings, shown: Planned) -> None:
    print_table(
        ("table", "kind", "route", "rows", "bytes", "files", "task"),
        [(t.table, t.kind.lower(), t.route, f"{t.rows:,}", size_text(t.bytes), f"{t.files:,}", str(t.share))
         for t in shown.tables],
        right=(3, 4, 5, 6),
    )  # fmt: skip
    if shown.skipped:
        sys.stdout.write("\nNot exported:\n")
        print_table(("object", "why"), [(item["table"], item["reason"]) for item in shown.skipped])
    totals = shown.totals
    excluded = f", {totals['excluded']:,} left out by your patterns" if totals["excluded"] else ""
    shares = [share["bytes"] for share in shown.shares] or [0]
    verb = "replaces the export" if shown.mode == "replace" else "adds an export"
    sys.stdout.write(
        f"\n{counted(totals['tables'], 'table')}, {counted(totals['rows'], 'row')}, {size_text(totals['bytes'])} "
        f"of {shown.project}.{shown.dataset} ({shown.location}) as of {shown.snapshot_time}{excluded}.\n"
        f"{counted(len(shown.shares), 'share')} of {size_text(min(shares))} to {size_text(max(shares))}; "
        f"{counted(shown.recommended_tasks, 'task')} would do.\n"
        f"A run {verb} in gs://{settings.bucket}/{settings.prefix} ({settings.path}).\n"
    )
