"""bqdump runs: lists the runs of a target."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from bqdump import verbs
from bqdump.cli.options import Command, json_option, load_settings, settings_options
from bqdump.cli.output import print_json, print_table
from bqdump.cli.streams import tell
from bqdump.cli.wiring import ask_store
from bqdump.core.documents.manifest import mixed_times
from bqdump.core.sizes import size_text
from bqdump.core.times import time_text
from bqdump.observe.history import RunLine


@click.command(cls=Command)
@json_option(list[RunLine])
@settings_options()
def runs(as_json: bool, **options: Any) -> None:
    """List the runs of a target, latest snapshot time first; * marks the published run.

    \b
    Examples:
      bqdump runs --bucket my-exports
      bqdump runs --prefix nightly --json
    """
    settings = load_settings(options, ("bucket",))
    lines = ask_store(settings, lambda store: verbs.runs(store, settings))
    if as_json:
        print_json(lines)
    elif lines:
        now = time.time()
        rows = [
            (
                "*" if line.published else "",
                line.run,
                line.state,
                time_text(line.snapshot_time),
                *(("", "", "") if line.problem else (f"{line.tables:,}", f"{line.files:,}", size_text(line.bytes))),
                _proof(line, now),
            )
            for line in lines
        ]
        heads = ("", "run", "state", "as of", "tables", "files", "bytes", "proven restorable")
        print_table(heads, rows, right=(4, 5, 6))
        for line in lines:
            if older := mixed_times(line.carried, time_text(line.oldest_snapshot_time)):
                sys.stdout.write(f"run {line.run}: {older}\n")
            if line.problem:
                tell(f"bqdump: run {line.run}: {line.problem}")
    else:
        sys.stdout.write(f"No runs in {settings.target} yet. Start one: bqdump run\n")


def _proof(line: RunLine, now: float) -> str:
    """When the run was last proven restorable; nothing for runs that are neither drilled nor published."""
    return line.restorable.text(now) if line.proven or line.drill_problem or line.published else ""
