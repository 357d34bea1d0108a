"""bqdump plan for several datasets: a line for each, and all of them together."""

from __future__ import annotations

import sys

from bqdump.cli.errors import words
from bqdump.cli.output import print_table
from bqdump.cli.plan_parts import cost, enough_tasks, excluded, print_parts
from bqdump.core.documents.manifest_index import unchanged_tables
from bqdump.core.errors import UsageError
from bqdump.core.plan.summary import Planned
from bqdump.core.prices import money_text
from bqdump.core.sets.selection import WHY
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, named, size_text
from bqdump.core.times import time_text
from bqdump.core.wording import fill

# Refused datasets that the error names.
NAMED = 3


def print_set(settings: Settings, shown: Planned) -> None:
    """Print the plan of several datasets."""
    totals = shown.totals
    tables, rows = counted(totals["tables"], "table"), counted(totals["rows"], "row")
    sys.stdout.write(
        f"{cost(settings, shown)}{enough_tasks(shown)}\n"
        f"{counted(len(shown.datasets), 'dataset')} of project {shown.project}: {tables}, {rows}, "
        f"{size_text(totals['bytes'])} as of {time_text(shown.snapshot_time)}{excluded(shown)}.\n"
    )
    if totals["unchanged"]:
        saved = size_text(totals["bytes_saved"])
        sys.stdout.write(f"{unchanged_tables(totals['unchanged'])}, {saved}: not exported again.\n")
    place = f"{settings.target}" if settings.target else ", ".join(settings.locations.values())
    sys.stdout.write(f"Each dataset is exported below a folder of its own in {place}.\n\n")
    print_table(
        ("dataset", "location", "tables", "rows", "bytes", "bills", "cost", "refused"),
        [
            (
                dataset.dataset,
                dataset.location,
                f"{dataset.tables:,}",
                f"{dataset.rows:,}",
                size_text(dataset.bytes),
                size_text(dataset.bills) if dataset.bills else "",
                money_text(dataset.usd) if dataset.bills else "",
                "yes" if dataset.problem else "",
            )
            for dataset in shown.datasets
        ],
        right=(2, 3, 4, 5, 6),
    )
    if problems := [(dataset.dataset, dataset.problem) for dataset in shown.datasets if dataset.problem]:
        sys.stdout.write("\nNot exported as the settings are:\n")
        print_table(("dataset", "why"), problems)
    if shown.skipped_datasets:
        sys.stdout.write("\nNot exported:\n")
        print_table(("dataset", "why"), [(dataset.dataset, dataset.reason) for dataset in shown.skipped_datasets])
    if shown.removed_datasets:
        sys.stdout.write("\nNot in the set any more (their exports stay):\n")
        left = [
            (dataset.dataset, fill(WHY[dataset.reason], words()), dataset.run) for dataset in shown.removed_datasets
        ]
        print_table(("dataset", "why", "last run"), left)
    print_parts(shown)


def refuse_datasets(shown: Planned) -> None:
    """Raise UsageError where a run would not export every dataset."""
    refused = [dataset for dataset in shown.datasets if dataset.problem]
    if not refused:
        return
    problems = named(
        [f"{dataset.dataset}: {dataset.problem.rstrip('.')}" for dataset in refused], NAMED, separator="; "
    )
    cause = f"{len(refused)} of {counted(len(shown.datasets), 'dataset')} would not be exported ({problems})"
    raise UsageError("plan the export", f"project {shown.project}", cause)
