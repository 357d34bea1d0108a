"""The parts of a plan as people read it, of one dataset and of several: the bill, what is special, the tables.

bqdump plan for several datasets: a line for each, and all of them together.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bqdump.cli.errors import words
from bqdump.cli.output import print_section, print_table
from bqdump.core.documents.manifest_index import unchanged_tables
from bqdump.core.errors import PLAN, UsageError
from bqdump.core.plan.altered import AlteredColumn, folded
from bqdump.core.plan.guards import sentence
from bqdump.core.plan.removal import why_removed
from bqdump.core.plan.summary import Planned, PlannedTable
from bqdump.core.prices import money_text, price_text
from bqdump.core.sets.selection import WHY as WHY_DATASET
from bqdump.core.sets.selection import new_by_pattern
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, named, rows_text, size_text
from bqdump.core.times import time_text
from bqdump.core.wording import fill

# More tables that are exported for one reason are not listed.
MANY = 5


def cost(settings: Settings, shown: Planned) -> str:
    """What the run takes, in one sentence: free jobs, what queries bill, what is read."""
    billed = [table for table in shown.tables if table.bills is not None]
    free = [table for table in shown.tables if table.route == "extract" and table.bills is None]
    read = len(shown.tables) - len(billed) - len(free)
    jobs = counted(sum(max(1, table.partitions - table.unchanged_partitions) for table in free), "extract job")
    bill = size_text(shown.totals["bills"])
    at_least = any(table.bills_at_least for table in billed)
    least = "at least " if at_least else ""
    money = f"{money_text(shown.usd, at_least=at_least)} {_price(settings, shown, billed)}"
    parts = [
        f"{jobs}, free" if free else "",
        f"{counted(len(billed), 'query job')}, billed for {least}{bill}: {money}" if billed else "",
        f"{counted(read, 'table')} read with the Storage Read API" if read else "",
    ]
    if free and not billed and not read:
        return f"Free: {jobs}, {size_text(shown.totals['bytes'])}."
    return f"{'; '.join(filter(None, parts)) or 'Nothing to export'}."


def _price(settings: Settings, shown: Planned, billed: Sequence[PlannedTable]) -> str:
    """The price that the bill is based on."""
    where = {dataset.dataset: dataset.location for dataset in shown.datasets}
    locations = {where[table.table.partition(".")[0]] for table in billed} if where else {shown.location}
    return fill(price_text(locations, settings.price_per_tib), words())


def enough_tasks(shown: Planned) -> str:
    """How many tasks a run needs, "" where it exports nothing."""
    if shown.totals["unchanged"] and not shown.shares:
        return ""
    return " One task is enough." if shown.recommended_tasks == 1 else f" {shown.recommended_tasks:,} tasks are enough."


def excluded(shown: Planned) -> str:
    """The number of tables that the patterns leave out, as the end of a sentence."""
    number = shown.totals["excluded"]
    return f", {number:,} excluded by --include/--exclude" if number else ""


def print_parts(shown: Planned) -> None:
    """Print what is special about the plan, and its tables."""
    reasons = [(t.table, t.reason) for t in shown.tables if t.reason]
    if len(reasons) > MANY and len({reason for _, reason in reasons}) == 1:
        reasons = [(f"all {len(reasons):,}", reasons[0][1])]
    print_section("Not reused from an earlier run:", ("table", "why"), reasons)
    unchanged = [(u.table, f"{u.rows:,}", size_text(u.bytes), f"{u.files:,}", u.run) for u in shown.unchanged]
    heads = ("table", "rows", "bytes", "files", "since run")
    print_section("Unchanged, so not exported again:", heads, unchanged, right=(1, 2, 3))
    billed = [(t.table, t.route, _bill(t), t.why) for t in shown.tables if t.route != "extract" or t.bills]
    print_section("Not exported by a free extract job:", ("table", "route", "bills", "why"), billed, right=(2,))
    labels = [
        (use.setting, use.pattern, counted(len(use.tables), "table"), named(use.tables, 3)) for use in shown.by_label
    ]
    print_section("By label:", ("setting", "label", "matches", "tables"), labels)
    skipped = [(item["table"], item["reason"]) for item in shown.skipped]
    print_section("Not exported:", ("object", "why"), skipped)
    removed = [
        (t.table, why_removed(t, dict(skipped)), rows_text(t.rows), t.snapshot_text, t.run) for t in shown.removed
    ]
    heads = ("table", "why", "rows", "as of", "run")
    print_section("Removed from the published export:", heads, removed, right=(2,))
    print_section(f"Excluded, so carried over from run {shown.over}:", ("table",), [(table,) for table in shown.kept])
    print_altered(shown.altered)
    flags = [(f.risk.value, f.table or "all", sentence(f), "yes" if f.allowed else "no") for f in shown.flags]
    print_section("Warnings:", ("what", "table", "why", "allowed"), flags)
    _print_tables(shown)


def print_altered(altered: Sequence[AlteredColumn]) -> None:
    """Print the columns that come back with other values, by table."""
    rows = [(change.table, change.format, change.change, ", ".join(change.columns)) for change in folded(altered)]
    print_section("Columns whose values change in a restore:", ("table", "format", "change", "columns"), rows)


def _print_tables(shown: Planned) -> None:
    print_section(
        "Exported:",
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
    known = [dataset.dataset for dataset in shown.datasets if dataset.over or dataset.problem or not shown.over]
    if new := new_by_pattern([dataset.dataset for dataset in shown.datasets], known, settings):
        sys.stdout.write(f"{fill(new, words())}\n")
    sys.stdout.write(f"Each dataset is exported below a folder of its own in {settings.target}.\n\n")
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
    problems = [(dataset.dataset, dataset.problem) for dataset in shown.datasets if dataset.problem]
    print_section("Not exported as the settings are:", ("dataset", "why"), problems)
    skipped = [(dataset.dataset, dataset.reason) for dataset in shown.skipped_datasets]
    print_section("Not exported:", ("dataset", "why"), skipped)
    left = [(d.dataset, WHY_DATASET[d.reason], d.run) for d in shown.removed_datasets]
    print_section("Not in the set any more (their exports stay):", ("dataset", "why", "last run"), left)
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
    raise UsageError(PLAN, f"project {shown.project}", cause)
