"""The report of a restore: one self-contained HTML page. Pure: a result in, a page out."""

from __future__ import annotations

from bqdump.core.restore.result import Restoration
from bqdump.core.sizes import size_text
from bqdump.core.times import milliseconds_of
from bqdump.pages.document import document
from bqdump.pages.text import count_text

# As many rows as a browser shows without delay; restored.json has them all.
ROWS = 2000


def render_restored(result: Restoration) -> bytes:
    """The page: the verdict first, then totals, what is not restored, and the tables, the largest first."""
    return document(
        "restored.html",
        f"{result.project}.{result.dataset}",
        about=result,
        snapshot=milliseconds_of(result.snapshot_time),
        totals=[
            ("tables", count_text(len(result.tables))),
            ("other objects", count_text(len(result.objects))),
            ("rows", count_text(result.rows)),
            ("size", size_text(result.bytes)),
            ("billed", size_text(result.bytes_billed)),
            ("failed", count_text(len(result.failed))),
        ],
        rows=sorted(result.tables, key=lambda table: -table.bytes)[:ROWS],
    )
