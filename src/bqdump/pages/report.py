"""The report of a run: one HTML page that needs nothing else. Pure: a manifest in, a page out."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from bqdump.core.documents.changes import TableChange
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.progress.events import Cleared
from bqdump.core.sizes import counted, size_text
from bqdump.pages.document import document
from bqdump.pages.elements import (
    NOTHING,
    Cell,
    Column,
    code,
    duration,
    filter_box,
    heading,
    link,
    number,
    size,
    table,
)
from bqdump.pages.gantt import bar, gantt, own_bars, remarks
from bqdump.pages.links import folder_address, job_address
from bqdump.pages.sections import (
    changes_section,
    cleared_section,
    failed_section,
    flags_section,
    out_of_time_section,
    removed_section,
    rows_of,
    settings_section,
    skipped_section,
    totals,
    verdict,
)

# What a browser shows without effort; the manifest has them all.
ROWS = 2000
COLUMNS = (
    Column("table"), Column("rows", number=True), Column("size", number=True), Column("files", number=True),
    Column("time", number=True), Column("rate", number=True), Column("task", number=True), Column("job", css="line"),
    Column("remarks", css="wide"),
)  # fmt: skip


def render_report(
    manifest: Manifest,
    changes: Sequence[TableChange] | None = None,
    root: str | None = None,
    cleared: Sequence[Cleared] = (),
) -> bytes:
    """The page. changes: what differs from the export before, None when there was none. root: see folder_address.

    cleared: the runs whose staged files were deleted after this one was published.
    """
    sections = (
        _chart(manifest.tables),
        _tables(manifest, root),
        failed_section(manifest),
        removed_section(manifest.removed),
        out_of_time_section(manifest.tables),
        skipped_section(manifest.skipped),
        flags_section(manifest.flags),
        changes_section(changes, ROWS),
        cleared_section(cleared),
        settings_section(manifest.settings),
    )
    return document(
        f"{manifest.project}.{manifest.dataset}",
        (verdict(manifest), totals(manifest), _contents(manifest, changes), *sections),
    )


def _contents(manifest: Manifest, changes: Sequence[TableChange] | None) -> Markup:
    """Links to the sections below."""
    entries = [("time", "Where the time went")] if manifest.tables else []
    entries += [("tables", "Tables")] if manifest.tables else []
    entries += [("failed", f"Failed: {len(manifest.failed):,}")] if manifest.failed else []
    entries += [("removed", f"Removed: {len(manifest.removed):,}")] if manifest.removed else []
    entries += [("skipped", f"Not exported: {len(manifest.skipped):,}")] if manifest.skipped else []
    entries += [("flags", f"To be aware of: {len(manifest.flags):,}")] if manifest.flags else []
    entries += [("changes", f"Changes: {len(changes):,}")] if changes else []
    links = NOTHING.join(link(f"#{anchor}", title) for anchor, title in entries)
    return Markup('<nav class="on-page" aria-label="On this page">{}</nav>').format(links) if links else NOTHING


def _chart(tables: Sequence[TableEntry]) -> Markup:
    chart = gantt(own_bars(tables))
    return heading("Where the time went", "time") + chart if chart else NOTHING


def _tables(manifest: Manifest, root: str | None) -> Markup:
    if not manifest.tables:
        return NOTHING
    largest = sorted(manifest.tables, key=lambda entry: -_size(entry))[:ROWS]
    title, label = ("Tables", "Filter by name")
    if len(largest) < len(manifest.tables):
        title, label = f"The {ROWS:,} largest tables", f"Filter these {ROWS:,} by name"
    shown = table(title, COLUMNS, (_row(manifest, entry, root) for entry in largest), tools="filter")
    return heading(title, "tables", len(manifest.tables)) + filter_box("filter", label) + shown


def _row(manifest: Manifest, entry: TableEntry, root: str | None) -> tuple[Cell | Markup | str, ...]:
    drawn, took, files = bar(entry), entry.ended - entry.created, len(entry.files)
    folder: Markup | str = f"{files:,}"
    if files:
        place = "the folder" if manifest.settings.get("to") else "Cloud Storage"
        folder = link(folder_address(manifest.settings, entry.files[0].name, root), f"{files:,}",
                      f"{counted(files, 'file')} of {entry.table} in {place}")  # fmt: skip
    jobs = (
        link(job_address(manifest.settings, manifest.location, job), code(f"{entry.unit}_{drawn.attempt}"))
        for job in entry.jobs
    )  # fmt: skip
    return (
        code(entry.table), number(rows_of(entry)), size(_size(entry)), Cell(folder, files), duration(took),
        Cell(_rate(_size(entry), took), _size(entry) / took if took else 0), number(entry.task),
        Markup(" ").join(jobs), remarks(entry),
    )  # fmt: skip


def _size(entry: TableEntry) -> int:
    return sum(file.size for file in entry.files)


def _rate(count: int, milliseconds: int) -> str:
    return f"{size_text(1000 * count / milliseconds)}/s" if milliseconds > 0 else "–"
