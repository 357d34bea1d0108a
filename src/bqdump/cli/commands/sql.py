"""bqdump sql: DuckDB over an export, with every table as a view."""

from __future__ import annotations

import base64
import csv
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import click

from bqdump import verbs
from bqdump.check.query import Export
from bqdump.cli.choices import as_of_option, run_name, run_of
from bqdump.cli.errors import sentence
from bqdump.cli.options import Command, finish, json_option, load_settings, settings_options
from bqdump.cli.output import json_text, print_json, print_table
from bqdump.cli.streams import tell
from bqdump.core.documents.manifest import TableEntry
from bqdump.core.errors import BqdumpError, UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import time_of, time_text
from bqdump.core.wording import placeholder
from bqdump.ports.data_reader import Answer
from bqdump.services.opened import serve
from bqdump.services.opening import open_shell

HELP = "End statements with a semicolon. .tables lists the tables, .exit or Ctrl-D ends."
# Rows of a result.
ON_A_TERMINAL = 100
DONE = "done; a statement never changes the export"
ALL = "For all: `bqdump sql -c SQL | less`, or --csv or --json."
PROMPT, MORE = "bqdump> ", "   ...> "
# No run can have this name.
STATEMENT = re.compile(r"\S\s+\S")
Ask = Callable[[str], Answer]


def run_or_statement(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The name of a run, or what can only be a statement. Raises click.BadParameter."""
    return value if value and STATEMENT.search(value) else run_name(context, parameter, value)


@click.command(cls=Command, needs=("bucket",))
@click.argument("run", required=False, callback=run_or_statement)
@as_of_option()
@click.option("--command", "-c", "commands", multiple=True, metavar="SQL", help="Run this statement, then exit.")
@click.option("--csv", "as_csv", is_flag=True, help="Print results as CSV.")
@json_option(Answer, "Print the result of the last statement as JSON.")
@settings_options("trust", "newest_within")
def sql(
    run: str | None, as_of: str | None, commands: tuple[str, ...], as_csv: bool, as_json: bool, **options: Any
) -> None:
    """Query RUN (default: the published run) with DuckDB. Every table is a view, whatever the format of its files.

    Files are compared with the manifest when a statement names their table, and kept in the folder for temporary files
    until the command ends. A terminal shows the first 100 rows of a result.

    \b
    Examples:
      bqdump sql --bucket my-exports
      bqdump sql -c "SELECT carrier, count(*) FROM flights GROUP BY ALL" --csv
      bqdump sql bqdump-x7k2p --to ./exports < report.sql
    """
    if as_csv and as_json:
        raise UsageError("print", "the result", "--csv and --json exclude each other")
    settings = load_settings(options, () if run and STATEMENT.search(run) else ("bucket",))
    if run and STATEMENT.search(run):
        hint = f"To execute it: {placeholder('sql', {'command': run})}"
        raise UsageError("query", repr(run), "this is a statement, not the name of a run", hint)
    if any(not command.strip() for command in commands):
        raise UsageError("query", "--command", "it is empty", 'Write a statement: --command "SELECT 1".')
    run = run_of(settings, run, as_of)
    shell = open_shell()
    show = _print_csv if as_csv else _print_table
    try:
        export = finish(serve(settings, lambda at: verbs.sql(at.store, settings, shell, run, _reading)))
        ask = _asking(settings, export)
        if as_json:
            answers = [ask(statement) for statement in commands or [sys.stdin.read()]]
            columns, rows = answers[-1].columns, answers[-1].rows
            print_json(Answer(columns=columns, rows=_plain(rows)))
        elif commands or not sys.stdin.isatty():
            for statement in commands or [sys.stdin.read()]:
                show(ask(statement))
        else:
            _interact(export, ask, show)
    finally:
        shell.close()


def _asking(settings: Settings, export: Export) -> Ask:
    def ask(statement: str) -> Answer:
        if export.shell.needed(statement):
            finish(serve(settings, lambda at: export.attach(at.store, statement)))
        return export.shell.run(statement)

    return ask


def _reading(entry: TableEntry) -> None:
    size = sum(file.size for file in entry.files)
    tell(f"reading {entry.table}: {counted(len(entry.files), 'file')}, {size_text(size)}")


def _interact(export: Export, ask: Ask, show: Callable[[Answer], None]) -> None:
    with suppress(ImportError):
        # It gives `input` a history and editing keys.
        import readline  # noqa: F401
    manifest = export.manifest
    tables = counted(len(manifest.tables), "table")
    tell(f"Run {manifest.run}, the dataset as of {time_text(time_of(manifest.snapshot))}: {tables}. {HELP}")
    for statement in _statements():
        try:
            if statement == ".tables":
                print_table(("table", "rows", "size"), [_line(entry) for entry in manifest.tables], right=(1, 2))
            elif statement.startswith("."):
                tell(HELP)
            else:
                show(ask(statement))
        except BqdumpError as error:
            tell(sentence(error))


def _line(entry: TableEntry) -> tuple[str, str, str]:
    return entry.table, "" if entry.rows is None else str(entry.rows), size_text(sum(file.size for file in entry.files))


def _statements() -> Iterator[str]:
    """What is typed, statement after statement. Ctrl-C drops one."""
    lines: list[str] = []
    while True:
        try:
            line = input(MORE if lines else PROMPT)
        except EOFError:
            sys.stdout.write("\n")
            return
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            lines = []
            continue
        if not lines and line.strip().lower() in (".exit", ".quit", "exit", "quit"):
            return
        lines += [line] if line.strip() else []
        if lines and (line.rstrip().endswith(";") or (len(lines) == 1 and line.startswith("."))):
            yield "\n".join(lines).strip()
            lines = []


def _print_table(answer: Answer) -> None:
    if answer.columns:
        shown = answer.rows[:ON_A_TERMINAL] if sys.stdout.isatty() else answer.rows
        print_table(answer.columns, [["NULL" if cell is None else _text(cell) for cell in row] for row in shown])
        told = counted(len(answer.rows), "row")
        tell(told if len(shown) == len(answer.rows) else f"{told}, of which the first {len(shown)} are shown. {ALL}")
    else:
        tell(DONE)


def _print_csv(answer: Answer) -> None:
    if answer.columns:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows([["" if cell is None else _text(cell) for cell in row] for row in answer.rows])


def _text(cell: Any) -> str:
    """A value in a table or in CSV: bytes in base64 and nested values as JSON, as in exported files."""
    if isinstance(cell, bytes):
        return base64.b64encode(cell).decode()
    return json_text(_plain(cell), None) if isinstance(cell, list | tuple | dict) else str(cell)


def _plain(cell: Any) -> Any:
    """The same value without what JSON does not have. A DATETIME has no time zone."""
    if isinstance(cell, dict):
        return {str(key): _plain(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_plain(value) for value in cell]
    if isinstance(cell, datetime) and not cell.tzinfo:
        return cell.isoformat()
    return str(cell) if isinstance(cell, float) and not math.isfinite(cell) else cell
