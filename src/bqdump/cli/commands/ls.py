"""bqdump ls: lists what a run holds."""

from __future__ import annotations

import sys
from typing import Any

import click

from bqdump import verbs
from bqdump.cli.choices import as_of_option, run_name, run_of, tables_from_option, with_names
from bqdump.cli.options import Command, finish, json_option, load_settings, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.core.listing import ListedTable, Listing, Patterns
from bqdump.core.restore.result import with_objects
from bqdump.core.settings.values import patterns
from bqdump.core.sizes import counted, kind_text, rows_text, size_text
from bqdump.core.times import time_text
from bqdump.services.opened import serve


@click.command(cls=Command, needs=("bucket",))
@click.argument("run", required=False, callback=run_name)
@as_of_option()
@click.option("--include", multiple=True, metavar="PATTERN,…", help="List only what matches (* and ? allowed).")
@tables_from_option()
@click.option("--exclude", multiple=True, metavar="PATTERN,…", help="Leave out what matches.")
@json_option(Listing)
@settings_options()
def ls(
    run: str | None,
    as_of: str | None,
    include: tuple[str, ...],
    tables_from: str | None,
    exclude: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """List what RUN (default: the published run) holds: tables, views, routines, and what was left out and why.

    \b
    Examples:
      bqdump ls --bucket my-exports
      bqdump ls --include 'orders*'
    """
    settings = load_settings(options, ("bucket",))
    name = run_of(settings, run, as_of, files=False)
    chosen = Patterns(with_names(patterns(",".join(include)), tables_from), patterns(",".join(exclude)))
    shown = finish(serve(settings, lambda services: verbs.ls(services.store_at, settings, name, chosen)))
    if as_json:
        print_json(shown)
    else:
        _print(shown)


def _print(shown: Listing) -> None:
    _print_datasets(shown)
    _print_tables(shown)
    objects = [(object_.name, kind_text(object_.kind), object_.table) for object_ in shown.objects]
    if objects:
        print_table(("object", "kind", "of table"), objects)
        sys.stdout.write("\n")
    left_out = [(object_.name, kind_text(object_.kind), object_.reason) for object_ in shown.left_out]
    if left_out:
        sys.stdout.write("Left out:\n")
        print_table(("object", "kind", "why"), left_out)
        sys.stdout.write("\n")
    dataset = f"{counted(len(shown.datasets), 'dataset')} of {shown.project}" if shown.datasets else shown.dataset
    where = f" ({shown.location})" if shown.location else ""
    counts, rows = with_objects(len(shown.tables), len(shown.objects)), counted(shown.rows, "row")
    sys.stdout.write(f"Run {shown.run} of {dataset}{where} as of {time_text(shown.snapshot_time)}: ")
    sys.stdout.write(f"{counts}, {rows}, {size_text(shown.bytes)}.\n")
    if shown.state == "partial":
        sys.stdout.write("It is partial: tables whose export failed are missing.\n")
    if shown.replaced:
        sys.stdout.write("Later runs have replaced its files: it cannot be restored.\n")


def _print_datasets(shown: Listing) -> None:
    if shown.datasets:
        print_table(
            ("dataset", "run", "location", "as of", "tables", "objects", "rows", "size", "note"),
            [
                (
                    member.dataset,
                    member.run,
                    member.location,
                    time_text(member.snapshot_time),
                    f"{member.tables:,}",
                    f"{member.objects:,}",
                    f"{member.rows:,}",
                    size_text(member.bytes),
                    member.note,
                )
                for member in shown.datasets
            ],
            right=(4, 5, 6, 7),
        )
        sys.stdout.write("\n")


def _print_tables(shown: Listing) -> None:
    if shown.tables:
        print_table(
            ("table", "kind", "rows", "size", "files", "format", "route", "note"),
            [
                (
                    table.table,
                    kind_text(table.kind),
                    rows_text(table.rows),
                    size_text(table.bytes),
                    f"{table.files:,}",
                    table.format,
                    table.route,
                    _note(table, shown),
                )
                for table in shown.tables
            ],
            right=(2, 3, 4),
        )
        sys.stdout.write("\n")


def _note(table: ListedTable, shown: Listing) -> str:
    carried = f"exported by run {table.carried_from}" if table.carried_from else ""
    if carried and table.snapshot_time < shown.snapshot_time:
        carried = f"{carried}, as of {time_text(table.snapshot_time)}"
    partitions = counted(table.partitions, "partition") if table.partitions else ""
    return "; ".join(filter(None, (partitions, carried, table.differs)))
