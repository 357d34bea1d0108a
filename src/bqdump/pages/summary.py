"""The result of a run in a sentence and a few numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.manifest_index import Contents, Line, earlier_bytes, mixed_times, unchanged_tables
from bqdump.core.risks import Risk
from bqdump.core.sizes import counted, size_text
from bqdump.pages.gantt import own_bars, span
from bqdump.pages.text import count_text, duration_text, rate_text

# Risks under which a table may be exported without some of its rows or values.
LACKING = {
    Risk.ROW_POLICIES,
    Risk.UNSEEN_ROW_POLICIES,
    Risk.MASKED_COLUMNS,
    Risk.STREAMING_BUFFER,
    Risk.LEFT_OUT_COLUMNS,
    Risk.UNAPPLIED_CHANGES,
    Risk.UNSEEN_CHANGES,
    Risk.PSEUDO_COLUMNS,
}


class Verdict(NamedTuple):
    """The result of a run. tone: good, warn, bad or ""."""

    tone: str
    word: str
    sentence: str


def verdict(manifest: Manifest | Contents) -> Verdict:
    """The result of a run that has a manifest."""
    of = manifest.totals
    exported, failed = counted(of.tables - of.reused, "table"), len(manifest.failed)
    if failed:
        tone, word, details = "bad", "Partial", f"{counted(failed, 'table')} failed; {exported} exported and published."
    elif lacking := {flag.table for flag in manifest.flags if flag.risk in LACKING or not flag.risk.known}:
        which = "any table" if "" in lacking else counted(len(lacking), "table")
        details = f"{exported} exported; {which} may lack rows or values, as the settings allow."
        tone, word = "warn", "Complete"
    else:
        tone, word, details = "good", "Complete", f"{exported} exported."
    if unchanged := unchanged_tables(of.reused):
        details += f" {unchanged}."
    if manifest.skipped:
        details += f" {counted(len(manifest.skipped), 'object')} not exported."
    if older := mixed_times(of.carried, manifest.oldest_snapshot_time):
        details += f" {older}."
    return Verdict(tone, word, details)


def totals(run: Manifest | Contents) -> list[tuple[str, str]]:
    """The numbers of a run, by name. Rows as exported where that is known, else as planned."""
    begun, ended = span(own_bars(run.tables))
    numbers, took = run.totals, ended - begun
    shown = [
        ("tables", count_text(numbers.tables)),
        ("rows", count_text(sum(map(rows_of, run.tables)))),
        ("files", count_text(numbers.files)),
        ("file size", size_text(numbers.bytes)),
        *_shared(run),
        ("duration", duration_text(took)),
        ("rate", rate_text(sum(size_of(table) for table in run.tables if not table.carried), took)),
    ]
    return [*shown, ("billed by queries", size_text(numbers.billed))] if numbers.billed else shown


def _shared(run: Manifest | Contents) -> list[tuple[str, str]]:
    """The part of the file size that earlier runs name as well. Removing the run frees at most the rest."""
    earlier = sum(table.earlier if isinstance(table, Line) else earlier_bytes(table) for table in run.tables)
    if not earlier:
        return []
    own = run.totals.bytes - earlier
    return [("exported by this run", size_text(own)), ("shared with earlier runs", size_text(earlier))]


def rows_of(entry: TableEntry | Line) -> int:
    """A table's rows: as exported where that is known, else as planned."""
    if isinstance(entry, Line):
        return entry.rows
    return entry.planned_rows if entry.rows is None else entry.rows


def size_of(entry: TableEntry | Line) -> int:
    """The bytes of a table's files."""
    return entry.size if isinstance(entry, Line) else sum(file.size for file in entry.files)


def chosen(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The settings of a run that are not empty, by name."""
    return list(_chosen(settings))


def _chosen(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in sorted(settings.items()):
        if value not in ("", [], {}, None):
            yield name.replace("_", " "), _setting(value)


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{key}={content}" for key, content in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
