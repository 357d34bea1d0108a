"""The report of a run: one self-contained HTML page. Pure: a manifest in, a page out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bqdump.core.documents.changes import TableChange
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.progress.events import Cleared
from bqdump.core.restore.drilled import NEVER, Restorable
from bqdump.core.times import time_text
from bqdump.pages.document import document
from bqdump.pages.gantt import bar, gantt, own_bars
from bqdump.pages.summary import chosen, rows_of, size_of, totals, verdict

# As many rows as a browser shows without delay; the manifest has them all.
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
    """The page. changes: differences from the previous export, None when there was none. root: see folder_address.

    cleared: the runs whose staged files were deleted after this one was published. proven: what drills have proven,
    None in a page that is stored, where it would grow old.
    """
    largest = sorted(map(_row, manifest.tables), key=lambda row: -row.size)[:ROWS]
    return document(
        "report.html",
        f"{manifest.project}.{manifest.dataset}",
        about=manifest,
        verdict=verdict(manifest),
        totals=[*totals(manifest), *_proof(proven, manifest.run)],
        chart=gantt(own_bars(manifest.tables)),
        rows=largest,
        root=root,
        changes=changes,
        most_changes=ROWS,
        cleared=cleared,
        settings=chosen(manifest.settings),
    )


def _proof(proven: Restorable | None, run: str) -> list[tuple[str, str]]:
    if proven is None:
        return []
    date = f"{time_text(proven.proven)[:10]} ({proven.extent_of(run)})" if proven.proven else NEVER
    return [("last proven restorable", f"{date}; the newest drill failed" if proven.problem else date)]


def _row(entry: TableEntry) -> Row:
    size, took = size_of(entry), entry.ended - entry.created
    return Row(entry, rows_of(entry), size, took, bar(entry).attempt)
