"""bqdump runs: lists the runs of a target."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from bqdump import verbs
from bqdump.cli.choices import run_name
from bqdump.cli.errors import words
from bqdump.cli.options import Command, finish, json_option, load_settings, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.streams import tell
from bqdump.core.documents.manifest_index import mixed_times
from bqdump.core.errors import UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.values import given_tags
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import time_text
from bqdump.core.wording import fill
from bqdump.observe.earlier import Growth, with_growth
from bqdump.observe.history import RunLine
from bqdump.observe.sets import ALL
from bqdump.services.opened import serve

DATASETS = {ALL: "all"}
LAST = ("proven restorable", "tags")


@click.command(cls=Command, needs=("bucket",))
@click.argument("run", required=False, callback=run_name)
@click.option(
    "--tag", "add", multiple=True, metavar="NAME", help="Add a tag to RUN; `keep` keeps it from being pruned."
)
@click.option("--untag", "remove", multiple=True, metavar="NAME", help="Remove a tag from RUN.")
@click.option("--storage", is_flag=True, help="Also show what removing each run would free (reads all manifests).")
@click.option("--growth", is_flag=True, help="Show what grew in RUN (default: the published run), by table.")
@click.option(
    "--since",
    metavar="RUN|DATE|TIME",
    default="",
    help="With --growth: since this run, date, or time before RUN such as 7d (default: since the run before).",
)
@json_option(list[RunLine])
@settings_options("trust")
def runs(
    run: str | None,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    storage: bool,
    growth: bool,
    since: str,
    as_json: bool,
    **options: Any,
) -> None:
    """List the runs of a target, latest snapshot time first; * marks the published run. With --tag: tag RUN first.

    \b
    Examples:
      bqdump runs --bucket my-exports
      bqdump runs --growth --since 7d
      bqdump runs --storage --json
      bqdump runs --tag keep 20260131T030000Z
    """
    settings = load_settings(options, ("bucket",))
    if since and not growth:
        raise UsageError("list runs", "--since", "it is for what grew", "Add --growth.")
    if add or remove or (run and not growth):
        _tag(settings, run or "", add, remove)
    grew = None
    if growth:
        grew = finish(serve(settings, lambda at: verbs.growth(at.store_at, settings, run or "", since)))
    if grew and not as_json:
        _print_growth(grew)
        return
    lines = finish(serve(settings, lambda services: verbs.runs(services.store_at, settings, storage=storage)))
    if as_json:
        print_json(with_growth(lines, grew) if grew else lines)
    elif lines:
        _print_runs(lines, storage=storage)
    else:
        sys.stdout.write(fill(f"No runs in {settings.target} yet. Start one: {{call:run}}\n", words()))


def _print_growth(grew: Growth) -> None:
    """Print what grew: all together, then the tables."""
    rows, size = sum(table.rows for table in grew.tables), sum(table.bytes for table in grew.tables)
    sys.stdout.write(
        f"Run {grew.run} since run {grew.since} ({time_text(grew.since_time)}): {counted(rows, 'row', '+,')}, "
        f"{_more(size)} in {len(grew.tables):,} of {counted(grew.of, 'table')}.\n"
    )
    if grew.tables:
        sys.stdout.write("\n")
        print_table(
            ("table", "rows", "change", "bytes", "change", ""),
            [
                (
                    table.table,
                    f"{table.rows_after:,}",
                    f"{table.rows:+,}",
                    size_text(table.bytes_after),
                    _more(table.bytes),
                    "new" if table.new else "gone" if table.gone else "",
                )
                for table in grew.tables
            ],
            right=(1, 2, 3, 4),
        )


def _more(size: int) -> str:
    return f"{'+' if size >= 0 else '-'}{size_text(abs(size))}"


def _print_runs(lines: Sequence[RunLine], *, storage: bool) -> None:
    now = time.time()
    several = any(line.dataset for line in lines)
    rows = [
        (
            "*" if line.published else "",
            line.run,
            *([DATASETS.get(line.dataset, line.dataset)] if several else []),
            line.state,
            time_text(line.snapshot_time),
            *_numbers(line),
            *((_size(line.alone), _size(line.shared)) if storage else ()),
            _proof(line, now),
            ", ".join(line.tags),
        )
        for line in lines
    ]
    sizes = ("would free", "shared") if storage else ()
    heads: tuple[str, ...] = ("", "run", "state", "as of", "tables", "unchanged", "files", "bytes", *sizes, *LAST)
    if several:
        heads = (*heads[:2], "dataset", *heads[2:])
    print_table(heads, rows, right=range(5 if several else 4, (9 if several else 8) + len(sizes)))
    for line in lines:
        if older := mixed_times(line.carried, time_text(line.oldest_snapshot_time)):
            sys.stdout.write(f"run {line.run}: {older}\n")
        if line.drill_problem:
            sys.stdout.write(f"run {line.run}: the newest drill failed: {line.drill_problem}\n")
        if line.problem:
            part = f" of {line.dataset}" if line.dataset not in ("", ALL) else ""
            tell(f"bqdump: run {line.run}{part}: {line.problem}")


def _size(count: int | None) -> str:
    return "" if count is None else size_text(count)


def _tag(settings: Settings, run: str, add: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Change the tags of a run. Raises UsageError without a run, or without a tag."""
    if not (add or remove):
        raise UsageError("list runs", run, "this lists all runs; to tag one, add --tag NAME")
    if not run:
        raise UsageError(
            "tag", "--tag" if add else "--untag", "no run given", "For example: bqdump runs --tag keep RUN"
        )
    try:
        adding, removing = given_tags(add), given_tags(remove)
    except ValueError as error:
        raise UsageError("tag", f"run {run}", str(error)) from None
    finish(serve(settings, lambda services: verbs.tag(services.store_at, settings, run, adding, removing)))


def _numbers(line: RunLine) -> tuple[str, str, str, str]:
    """Tables, unchanged ones, files and bytes; nothing of a run that cannot be read."""
    if line.state == "unreadable":
        return "", "", "", ""
    return f"{line.tables:,}", f"{line.reused:,}", f"{line.files:,}", size_text(line.bytes)


def _proof(line: RunLine, now: float) -> str:
    """When the run was last proven restorable; nothing for a run that is neither drilled nor published, or of a set."""
    expected = line.published and line.dataset != ALL
    if not (line.proven or line.drill_problem or expected):
        return ""
    return f"{line.restorable.short(now)}{'; drill failed' if line.drill_problem else ''}"
