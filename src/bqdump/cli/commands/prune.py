"""bqdump prune: deletes runs that the retention policy no longer keeps.

bqdump erase: takes a table out of the runs that are kept.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import click

from bqdump import verbs
from bqdump.cli.choices import run_names
from bqdump.cli.logs import as_json as logs_as_json
from bqdump.cli.logs import labels_of, set_up_work
from bqdump.cli.options import Command, finish, json_option, load_settings, quiet_option, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.streams import tell
from bqdump.core.exit_codes import DONE, TABLES_FAILED
from bqdump.core.retention.erased import Erasures, requested_erasure
from bqdump.core.retention.policy import policy_for
from bqdump.core.retention.pruned import Pruned, RetainedRun
from bqdump.core.settings.settings import RETENTION
from bqdump.core.sizes import counted, named, size_text
from bqdump.core.times import time_text
from bqdump.services.opened import serve

SHOWN_LEFT = 10


@click.command(cls=Command, needs=("bucket",))
@click.argument("runs", nargs=-1, callback=run_names)
@click.option("--now", is_flag=True, help="Delete files at once, not a day later.")
@click.option("--yes", is_flag=True, help="Delete. Without it, only show what would be deleted.")
@json_option(Pruned)
@quiet_option
@settings_options(*RETENTION, "ping", "trust")
def prune(runs: tuple[str, ...], now: bool, yes: bool, quiet: bool, as_json: bool, **options: Any) -> None:
    """Delete the runs that the retention policy no longer keeps, and the leftovers of unfinished runs; or only RUNS.

    A run is kept if any rule keeps it. The published run, unfinished runs, runs with the tag `keep` and the newest
    complete run are always kept. The first prune a day later deletes a run's files that no other run names.

    \b
    Examples:
      bqdump prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12
      bqdump prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --yes
      bqdump prune --keep-within 30d --keep-tag audit --json
      bqdump prune bqdump-x7k2p bqdump-a1b2c --yes
    """
    settings = load_settings(options, ("bucket",))
    if yes:
        # As a job it logs what it does; people see a table.
        set_up_work(labels_of(settings, task="0"), quiet=quiet or not (as_json or logs_as_json()))
    policy_for(settings, runs)

    pruning = partial(verbs.prune, settings=settings, runs=runs, delete=yes, now=now)
    result = finish(serve(settings, lambda at: pruning(at.store_at, at_work=at.at_work)))
    if as_json:
        print_json(result)
    elif result.runs and not (yes and logs_as_json()):
        _print(result, quiet=quiet)
    elif not (quiet or logs_as_json()):
        sys.stdout.write(f"No runs in {settings.target}.\n")


def _print(result: Pruned, *, quiet: bool) -> None:
    if not quiet:
        rows = [_row(run, deleted=result.deleted) for run in result.runs]
        heads: tuple[str, ...] = ("run", "as of", "state", "tables", "size", "would free", "")
        if several := len({run.dataset for run in result.runs if run.dataset}) > 1:
            rows = [(run.dataset, *row) for run, row in zip(result.runs, rows, strict=True)]
            heads = ("dataset", *heads)
        print_table(heads, rows, right=(4, 5, 6) if several else (3, 4, 5))
    for name in result.left[:SHOWN_LEFT]:
        sys.stdout.write(f"left: {name}\n")
    if len(result.left) > SHOWN_LEFT:
        sys.stdout.write(f"left: {counted(len(result.left) - SHOWN_LEFT, 'more object')}\n")
    if quiet:
        return
    for note in result.notes:
        sys.stdout.write(f"{note}\n")
    freed = f"{counted(result.files, 'file')}, {size_text(result.bytes)}"
    if result.later_files:
        freed = f"{freed} now; {counted(result.later_files, 'file')}, {size_text(result.later_bytes)} a day later"
    runs, kept = counted(len(result.removed), "run"), counted(len(result.kept), "run")
    if result.deleted:
        sys.stdout.write(f"Removed {runs} ({freed}); {kept} kept.\n")
    elif result.removed:
        sys.stdout.write(f"Would remove {runs} ({freed}) and keep {kept}. Nothing was deleted: add --yes to delete.\n")
    else:
        sys.stdout.write(f"Nothing to remove: {kept} kept.\n")


def _row(run: RetainedRun, *, deleted: bool) -> tuple[str, ...]:
    alone = "" if run.alone is None else size_text(run.alone)
    size = (size_text(run.bytes), alone) if run.state in ("complete", "partial") else ("", "")
    why = "removed" if deleted else "remove"
    if run.removed and run.reasons:
        why = f"{why}: {', '.join(run.reasons)}"
    elif not run.removed:
        why = f"kept: {', '.join(run.reasons)}"
    return (run.run, time_text(run.snapshot_time), run.state, f"{run.tables:,}" if run.tables else "", *size, why)


@click.command(cls=Command, needs=("bucket",))
@click.argument("table")
@click.option("--before", metavar="TIME", default="", help="Only from runs whose rows are older: a time, a date, 30d.")
@click.option("--reason", metavar="TEXT", default="", help="Reason, such as a ticket; recorded in manifests.")
@click.option("--by", metavar="NAME", default="", help="Name to record (default: the user of this machine).")
@click.option("--yes", is_flag=True, help="Erase. Without it, only show from which runs.")
@json_option(Erasures)
@quiet_option
@settings_options("sign")
def erase(table: str, before: str, reason: str, by: str, yes: bool, quiet: bool, as_json: bool, **options: Any) -> int:
    """Take TABLE out of every kept run, for good: its files, its rows in manifests, its Iceberg snapshots.

    In a set, of every dataset that has it, or of one: sales.orders. The source is not touched: the next run exports the
    table again unless you exclude it. Exits with 3 if the bucket keeps some of the files.

    \b
    Examples:
      bqdump erase customers --reason 'request 4711'
      bqdump erase customers --reason 'request 4711' --yes
      bqdump erase sales.customers --before 2026-01-31 --reason 'request 4711' --yes
    """
    settings = load_settings(options, ("bucket",))
    if yes:
        set_up_work(labels_of(settings, task="0"), quiet=quiet or not (as_json or logs_as_json()))
    erasing = requested_erasure(table, before, reason, by, int(time.time() * 1000))

    result = finish(serve(settings, lambda at: verbs.erase(at.store_at, settings, erasing, delete=yes)))
    if as_json:
        print_json(result)
    elif not quiet:
        _print_erased(result)
    else:
        for line in _held(result):
            tell(f"bqdump: {line}")
    return TABLES_FAILED if any(export.held for export in result.exports) else DONE


def _held(result: Erasures) -> Iterator[str]:
    """The files that the bucket keeps."""
    for held in (held for export in result.exports for held in export.held):
        until = f" until {time_text(held.until)}" if held.until else ""
        yield f"held{until}: {held.name}: {held.reason}"


def _print_erased(result: Erasures) -> None:
    rows = [
        (export.target, export.table, named(export.runs, SHOWN_LEFT), f"{export.files:,}", size_text(export.bytes))
        for export in result.exports
    ]
    print_table(("target", "table", "runs", "files", "size"), rows, right=(3, 4))
    for line in _held(result):
        sys.stdout.write(f"{line}\n")
    for note in result.notes:
        sys.stdout.write(f"{note}\n")
    if result.erased:
        files = counted(sum(export.files for export in result.exports), "file")
        sys.stdout.write(f"Erased {files}, {size_text(sum(export.bytes for export in result.exports))}.\n")
    else:
        sys.stdout.write("Nothing was erased: add --yes to erase. Files that other runs still name stay.\n")
