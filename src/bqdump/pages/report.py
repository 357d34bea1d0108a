"""The report of a run: one self-contained HTML page. Pure: a manifest in, a page out.

The report of a run that published nothing (yet): what is done, what failed, and how to resume. Pure.

The report of a restore: one self-contained HTML page. Pure: a result in, a page out.

The report of a set: one page that lists its datasets, with links to the report of each one. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from bqdump.core.documents.changes import TableChange
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.run import Failure, Plan, Receipt
from bqdump.core.documents.sets import DatasetEntry, SetManifest
from bqdump.core.progress.events import Cleared
from bqdump.core.restore.drill import NEVER, Restorable
from bqdump.core.restore.result import Restoration, RestoredTable
from bqdump.core.settings.file import resume_command
from bqdump.core.settings.target import Target
from bqdump.core.sizes import size_text
from bqdump.core.times import milliseconds_of, time_text
from bqdump.pages.gantt import bar, gantt, own_bars
from bqdump.pages.summary import chosen, rows_of, size_of, totals, verdict
from bqdump.pages.templating import document
from bqdump.pages.text import CONSOLE, count_text

# As many rows as a browser shows without delay; the manifest, and the result of a restore, have them all.
ROWS = 2000


class Row(NamedTuple):
    """A table, and what is shown of it besides its own fields."""

    entry: TableEntry
    rows: int
    size: int
    took: int
    attempt: int


def render_report(
    manifest: Manifest,
    changes: Sequence[TableChange] | None = None,
    root: str | None = None,
    cleared: Sequence[Cleared] = (),
    proven: Restorable | None = None,
) -> bytes:
    """The page.

    changes: differences from the previous export, None when there was none.
    root: see folder_address.
    cleared: the runs whose staged files were deleted after this one was published.
    proven: what drills have proven, None in a page that is stored, where it would grow old.
    """
    largest = sorted(map(_row, manifest.tables), key=lambda row: -row.size)[:ROWS]
    return document(
        "report.html",
        f"{manifest.project}.{manifest.dataset}",
        about=manifest,
        verdict=verdict(manifest),
        totals=[*totals(manifest), *_proof(proven)],
        chart=gantt(own_bars(manifest.tables)),
        rows=largest,
        root=root,
        changes=changes,
        most_changes=ROWS,
        cleared=cleared,
        settings=chosen(manifest.settings),
    )


def _proof(proven: Restorable | None) -> list[tuple[str, str]]:
    if proven is None:
        return []
    found = [("proven restorable", proven.extent if proven.proven else NEVER)]
    found += [("oldest proof", time_text(proven.oldest)[:10])] if proven.oldest else []
    return [*found, *([("newest drill", "failed")] if proven.problem else [])]


def _row(entry: TableEntry) -> Row:
    size, took = size_of(entry), entry.ended - entry.created
    return Row(entry, rows_of(entry), size, took, bar(entry).attempt)


def render_unpublished(plan: Plan, done: int, receipts: Sequence[Receipt], failed: Sequence[Failure]) -> bytes:
    """The page: the verdict first, then totals, failures, the timeline, and what was not exported.

    done: the number of tables.
    failed: one failure for each table.
    receipts: for the timeline.
    """
    return document(
        "unpublished.html",
        f"{plan.project}.{plan.dataset}",
        about=plan,
        done=done,
        failed=failed,
        chart=gantt([bar(receipt) for receipt in receipts]),
        settings=chosen(plan.settings),
        resume=resume_command(plan.run, plan.settings),
    )


def render_restored(result: Restoration) -> bytes:
    """The page: the verdict first, then totals, what is not restored, and the tables, the largest first."""
    return document(
        "restored.html",
        f"{result.project}.{result.dataset}",
        about=result,
        snapshot=milliseconds_of(result.snapshot_time),
        totals=restored_totals(result),
        rows=largest_restored(result),
    )


def restored_totals(result: Restoration) -> list[tuple[str, str]]:
    """What a restore has brought back, in numbers."""
    return [
        ("tables", count_text(len(result.tables))),
        ("other objects", count_text(len(result.objects))),
        ("rows", count_text(result.rows)),
        ("size", size_text(result.bytes)),
        ("billed", size_text(result.bytes_billed)),
        ("failed", count_text(len(result.failed))),
    ]


def largest_restored(result: Restoration) -> list[RestoredTable]:
    """The tables of a page about a restore, the largest first."""
    return sorted(result.tables, key=lambda table: -table.bytes)[:ROWS]


# From [prefix/]_bqdump/manifests/<run>/ to [prefix/].
WAY_UP = "../../../"


def render_set(manifest: SetManifest, target: Target | None = None, locked: int = 0) -> bytes:
    """The page about a set.

    target: None for links that are relative to where the run stores its report. locked: until when all are, 0 for not.
    """
    addresses = {entry.dataset: _address(manifest, entry, target) for entry in manifest.datasets}
    problems = problems_of(manifest)
    return document(
        "project.html", manifest.project, about=manifest, addresses=addresses, problems=problems, locked=locked
    )


def problems_of(manifest: SetManifest) -> list[tuple[str, str]]:
    """The datasets that the run has not published, and why."""
    return [(dataset.dataset, dataset.problem) for dataset in manifest.datasets if dataset.state == "failed"]


def _address(manifest: SetManifest, entry: DatasetEntry, target: Target | None) -> str:
    if not entry.run:
        return ""
    name = Layout(f"{entry.dataset}/").run(entry.run).report
    if target is None:
        return WAY_UP + quote(name)
    if target.bucket:
        return f"{CONSOLE}/storage/browser/_details/{quote(target.bucket, safe='')}/{quote(manifest.prefix + name)}"
    return f"file://{quote(f'{target.folder}/{manifest.prefix}{name}')}" if target.folder else ""
