"""The sections of a page about a run: its verdict, what failed, was not exported, or changed, and how it was set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from bqdump.core.documents.changes import SAME, TableChange
from bqdump.core.documents.manifest import Manifest, TableEntry, mixed_times
from bqdump.core.documents.manifest_index import Contents, Line
from bqdump.core.documents.run import (
    Failure,
    Flag,
    Removed,
    Skipped,
)
from bqdump.core.plan.guards import sentence
from bqdump.core.plan.removal import WHY
from bqdump.core.progress.events import Cleared
from bqdump.core.risks import Risk
from bqdump.core.sizes import counted, size_text
from bqdump.pages.elements import (
    NOTHING,
    Cell,
    Column,
    badge,
    code,
    duration_text,
    facts,
    heading,
    link,
    moment,
    number,
    table,
    tiles,
    visible,
)
from bqdump.pages.gantt import own_bars, span
from bqdump.pages.links import job_address

# Risks that leave a table without something that it has in BigQuery.
LACKING = (
    Risk.ROW_POLICIES, Risk.UNSEEN_ROW_POLICIES, Risk.MASKED_COLUMNS, Risk.STREAMING_BUFFER,
    Risk.LEFT_OUT_COLUMNS, Risk.UNAPPLIED_CHANGES, Risk.UNSEEN_CHANGES, Risk.PSEUDO_COLUMNS,
)  # fmt: skip
CHANGED = {"added": "good", "removed": "bad", "changed": "", "content changed": "", "unclear": "warn"}


def verdict(manifest: Manifest | Contents) -> Markup:
    """The first thing to know, and of which moment and run it is true."""
    exported, failed = counted(manifest.totals.tables, "table"), len(manifest.failed)
    if failed:
        tone, word = "bad", "Partial"
        told = f"{counted(failed, 'table')} failed; {exported} {_are(manifest.totals.tables)} whole and published."
    else:
        tone, word, told = "good", "Complete", f"{exported}, each of them whole."
        if lacking := {flag.table for flag in manifest.flags if flag.risk in LACKING}:
            which = "any" if "" in lacking else f"{len(lacking):,}"
            tone, told = "warn", f"{exported}, {which} of which may lack rows or values, as the settings allow."
    if manifest.skipped:
        told += f" {counted(len(manifest.skipped), 'object')} {_are(len(manifest.skipped))} not exported."
    if older := mixed_times(manifest.totals.carried, manifest.oldest_snapshot_time):
        told += f" {older}."
    return Markup(
        '<div class="verdict {}"><strong>{}.</strong> {}</div>'
        '<p class="soft small">The dataset as of {} · run {} · {} · bqdump {}</p>'
    ).format(tone, word, told, moment(manifest.snapshot), code(manifest.run), manifest.location, manifest.tool)


def totals(whole: Manifest | Contents) -> Markup:
    """The numbers of a run. Rows as exported where that is known, else as planned."""
    begun, ended = span(own_bars(whole.tables))
    numbers, took = whole.totals, ended - begun
    rate = f"{size_text(1000 * numbers.bytes / took)}/s" if took > 0 else "–"
    shown = [
        ("tables", f"{numbers.tables:,}"),
        ("rows", f"{sum(map(rows_of, whole.tables)):,}"),
        ("files", f"{numbers.files:,}"),
        ("size of the files", size_text(numbers.bytes)),
        ("first job to last", duration_text(took)),
        ("rate", rate),
    ]
    return tiles(shown + ([("billed by queries", size_text(numbers.billed))] if numbers.billed else []))


def rows_of(entry: TableEntry | Line) -> int:
    """A table's rows: as exported where that is known, else as planned."""
    if isinstance(entry, Line):
        return entry.rows
    return entry.planned_rows if entry.rows is None else entry.rows


def failed_section(manifest: Manifest | Contents) -> Markup:
    """Which tables failed, and why."""
    if not manifest.failed:
        return NOTHING
    rows = [
        (code(failure.table), failure.reason, visible(failure.message),
         link(job_address(manifest.settings, manifest.location, failure.job), code(failure.job)))
        for failure in manifest.failed
    ]  # fmt: skip
    columns = (Column("table"), Column("reason"), Column("message", css="wide"), Column("job", css="wide"))
    return heading("Failed", "failed", len(rows)) + table("Failed", columns, rows)


def failures_table(failed: Sequence[Failure]) -> Markup:
    """The same of a run that has no manifest."""
    rows = [(code(one.table), one.reason, visible(one.message), code(one.job)) for one in failed]
    columns = (Column("table"), Column("reason"), Column("message", css="wide"), Column("job", css="wide"))
    return heading("Failed", "failed", len(rows)) + table("Failed", columns, rows) if rows else NOTHING


def skipped_section(skipped: Sequence[Skipped]) -> Markup:
    """What of the dataset was not exported, and why."""
    if not skipped:
        return NOTHING
    rows = [(code(item.table), item.kind.lower().replace("_", " "), visible(item.reason)) for item in skipped]
    columns = (Column("object"), Column("kind"), Column("why", css="wide"))
    return heading("Not exported", "skipped", len(rows)) + table("Not exported", columns, rows)


def removed_section(removed: Sequence[Removed]) -> Markup:
    """Which tables of the export before are not in this one, why, and where they are recorded."""
    if not removed:
        return NOTHING
    rows = [
        (code(one.table), WHY[one.reason], "–" if one.rows is None else number(one.rows), one.snapshot_time,
         code(one.run))
        for one in removed
    ]  # fmt: skip
    columns = (Column("table"), Column("why", css="wide"), Column("rows", number=True), Column("as of"), Column("run"))
    title = "Removed from the published export"
    return heading(title, "removed", len(rows)) + table(title, columns, rows)


def out_of_time_section(entries: Sequence[TableEntry | Line]) -> Markup:
    """What was exported, but not as it was at the snapshot time."""
    rows = [
        (code(one.table), one.kind.lower().replace("_", " "), moment(one.started), visible(one.why))
        for one in entries if one.moment == "job"
    ]  # fmt: skip
    if not rows:
        return NOTHING
    title = "Not as of the snapshot time"
    columns = (Column("object"), Column("kind"), Column("read at"), Column("why", css="wide"))
    return heading(title, "moments", len(rows)) + table(title, columns, rows)


def flags_section(flags: Sequence[Flag]) -> Markup:
    """The risks that the export met, and that were allowed."""
    if not flags:
        return NOTHING
    rows = [
        (flag.risk.value.replace("-", " "), code(flag.table) if flag.table else "all", visible(sentence(flag)))
        for flag in flags
    ]
    columns = (Column("what"), Column("table"), Column("why", css="wide"))
    return heading("To be aware of", "flags", len(rows)) + table("To be aware of", columns, rows)


def changes_section(
    changes: Sequence[TableChange] | None, most: int, since: Markup | str = "the export before"
) -> Markup:
    """What differs from an earlier export; nothing when there was none."""
    if changes is None:
        return NOTHING
    title = Markup("Changes since {}").format(since)
    if not changes:
        return Markup('<h2 id="changes">{}</h2><p class="soft">{}</p>').format(title, SAME)
    rows = [
        (code(change.table), badge(change.what, CHANGED[change.what]),
         _step(change.rows_before, change.rows_after, f"{change.rows_before:,} → {change.rows_after:,}"),
         _step(change.bytes_before, change.bytes_after,
               f"{size_text(change.bytes_before)} → {size_text(change.bytes_after)}"),
         column_changes(change), change.content, visible(change.why))
        for change in changes[:most]
    ]  # fmt: skip
    columns = (Column("table"), Column("what"), Column("rows", number=True), Column("size in BigQuery", number=True),
               Column("columns", css="wide"), Column("content"), Column("why", css="wide"))  # fmt: skip
    more = Markup("")
    if len(changes) > most:
        more = Markup('<p class="soft small">The first {} of {}; bqdump diff lists them all.</p>').format(
            f"{most:,}", f"{len(changes):,}"
        )
    shown = table("Changes", columns, rows)
    count = Markup(' <span class="count">{}</span>').format(f"{len(changes):,}")
    return Markup('<h2 id="changes">{}{}</h2>{}{}').format(title, count, more, shown)


def values_hint(changes: Sequence[TableChange], before: str, after: str) -> Markup:
    """How to compare the values of the tables whose bytes prove nothing; nothing where there are none."""
    if not (unclear := sum(change.content == "unclear" for change in changes)):
        return NOTHING
    return Markup(
        '<p class="soft small">The files do not show whether values changed in {}: {} compares them.</p>'
    ).format(counted(unclear, "table"), code(f"bqdump diff {before} {after} --values"))


def cleared_section(cleared: Sequence[Cleared]) -> Markup:
    """Whose staged files were deleted."""
    if not cleared:
        return NOTHING
    rows = [(code(one.run), f"{one.files:,}", size_text(one.bytes)) for one in cleared]
    title = "Staged files of unfinished runs, deleted"
    columns = (Column("run"), Column("files", number=True), Column("size", number=True))
    return heading(title, "cleared", len(rows)) + table(title, columns, rows)


def settings_section(settings: Mapping[str, Any]) -> Markup:
    """With which settings the run was planned; those that say nothing are left out."""
    pairs = [
        (name.replace("_", " "), code(_setting(value)))
        for name, value in sorted(settings.items())
        if value not in ("", [], {}, None)
    ]
    return heading("Settings", "settings") + facts(pairs) if pairs else NOTHING


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{key}={content}" for key, content in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _step(before: int, after: int, words: str) -> Cell:
    """A number before and after, and by how much of itself it has grown or shrunk."""
    if before == after:
        return Cell(Markup('<span class="soft">same</span>'), 0)
    share = f"{100 * (after - before) / before:+,.0f} %".replace("-", "−") if before and after else ""
    return Cell(Markup('{} <span class="soft">{}</span>').format(words, share), after - before)


def column_changes(change: TableChange) -> Markup:
    """The columns that came, went or changed, "" where none did."""
    marks = (("+", "added", change.columns_added), ("−", "removed", change.columns_removed),
             ("~", "changed", change.columns_changed))  # fmt: skip
    return Markup(", ").join(
        Markup('<span aria-hidden="true">{}</span><span class="out">{} </span>{}').format(mark, word, code(name))
        for mark, word, names in marks
        for name in names
    )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
