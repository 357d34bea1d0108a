"""The report of a run: one HTML page that needs nothing else. Pure: a manifest in, a page out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from bqdump.core.changes import TableChange
from bqdump.core.documents import Manifest, TableEntry
from bqdump.core.sizes import counted, size_text

# What a browser shows without effort; the manifest has them all.
ROWS = 2000
BARS = 400
CHART_WIDTH = 960
ROW_HEIGHT = 18

STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--soft:#57606a;--line:#d0d7de;--bar:#0a66c2}
:root{--good:#116329;--bad:#a40e26}
@media(prefers-color-scheme:dark){
:root{--ink:#e6edf3;--paper:#0d1117;--soft:#9da7b3;--line:#30363d;--bar:#58a6ff;--good:#56d364;--bad:#ff7b72}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:64rem;padding:1.5rem 1rem 4rem;font:16px/1.5 system-ui,sans-serif}
body{color:var(--ink);background:var(--paper)}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2.25rem 0 .5rem}
p{margin:.25rem 0}.soft{color:var(--soft)}.good{color:var(--good)}.bad{color:var(--bad)}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:1rem;margin:1.25rem 0}
dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-size:1.35rem;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td code{overflow-wrap:anywhere}svg{display:block;width:100%;min-width:34rem;height:auto}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}svg rect{fill:var(--bar)}svg line{stroke:var(--line)}
:focus-visible{outline:2px solid var(--bar);outline-offset:2px}
@media print{body{max-width:none}.scroll{overflow:visible}svg{min-width:0}}
"""


def render_report(manifest: Manifest, changes: Sequence[TableChange] | None = None) -> bytes:
    """The page. changes: what differs from the export before, None when there was none."""
    title = f"Export of {manifest.project}.{manifest.dataset}"
    parts = [
        f"<h1>{escape(title)}: {_verdict(manifest)}</h1>",
        _subtitle(manifest),
        _totals(manifest),
        _failed(manifest),
        _chart(manifest.tables),
        _tables(manifest),
        _skipped(manifest),
        _changes(changes),
    ]
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
    )
    return (head + "\n".join(filter(None, parts)) + "</main></body></html>\n").encode()


def _verdict(manifest: Manifest) -> str:
    if manifest.status == "complete":
        return '<span class="good">complete</span>'
    return f'<span class="bad">partial, {counted(len(manifest.failed), "table")} failed</span>'


def _subtitle(manifest: Manifest) -> str:
    moment = f'<time datetime="{manifest.snapshot_time}">{manifest.snapshot_time}</time>'
    where = f"run {_code(manifest.run)}, bqdump {escape(manifest.tool)}, {escape(manifest.location)}"
    return f'<p class="soft">The dataset as of {moment}, {where}</p>'


def _totals(manifest: Manifest) -> str:
    totals = manifest.totals
    began, ended = _span(manifest.tables)
    facts = (
        ("tables", f"{totals.tables:,}"),
        ("rows", f"{totals.planned_rows:,}"),
        ("files", f"{totals.files:,}"),
        ("size of the files", size_text(totals.bytes)),
        ("first job to last", f"{(ended - began) / 1000:,.1f} s"),
        ("skipped", f"{len(manifest.skipped):,}"),
    )
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts) + "</dl>"


def _failed(manifest: Manifest) -> str:
    rows = [(_code(f.table), escape(f.reason), escape(f.message), _code(f.job)) for f in manifest.failed]
    return _section("Failed", ("table", "reason", "message", "job"), rows)


def _chart(tables: Sequence[TableEntry]) -> str:
    """Where the time went: a lane for each task, a bar for each job from its creation to its end."""
    if not tables:
        return ""
    began, ended = _span(tables)
    scale = (CHART_WIDTH - 60) / max(1, ended - began)
    shown = sorted(tables, key=lambda t: t.created - t.ended)[:BARS]
    lanes = {task: lane for lane, task in enumerate(sorted({table.task for table in shown}))}
    height = len(lanes) * ROW_HEIGHT + 24
    marks = [f'<text x="0" y="{lane * ROW_HEIGHT + 13}">task {task}</text>' for task, lane in lanes.items()]
    for table in shown:
        x, width = 60 + (table.created - began) * scale, max(1.5, (table.ended - table.created) * scale)
        tip = f"{table.table}: {(table.ended - table.created) / 1000:.1f} s, {counted(len(table.files), 'file')}"
        marks.append(
            f'<rect x="{x:.1f}" y="{lanes[table.task] * ROW_HEIGHT + 3}" width="{width:.1f}" height="{ROW_HEIGHT - 6}" '
            f'rx="2" opacity=".7"><title>{escape(tip)}</title></rect>'
        )
    axis = "".join(
        f'<text x="{60 + (CHART_WIDTH - 110) * part / 4:.0f}" y="{height - 4}">'
        f"{(ended - began) / 1000 * part / 4:.1f} s</text>"
        for part in range(5)
    )
    label = f"Jobs of {counted(len(lanes), 'task')} over {(ended - began) / 1000:.1f} seconds"
    more = f'<p class="soft">The {BARS} longest of {counted(len(tables), "job")}.</p>' if len(tables) > BARS else ""
    return (
        f'<h2>Where the time went</h2>{more}<div class="scroll" tabindex="0" role="region" aria-label="Chart of jobs">'
        f'<svg viewBox="0 0 {CHART_WIDTH} {height}" role="img" aria-label="{label}">{"".join(marks)}{axis}</svg></div>'
    )


def _tables(manifest: Manifest) -> str:
    largest = sorted(manifest.tables, key=lambda table: -_size(table))[:ROWS]
    rows = [
        (_code(t.table), f"{t.planned_rows:,}", size_text(_size(t)), f"{len(t.files):,}",
         f"{(t.ended - t.created) / 1000:.1f} s", _rate(t), str(t.task), _code(t.files[0].name if t.files else ""))
        for t in largest
    ]  # fmt: skip
    title = "Tables" if len(largest) == len(manifest.tables) else f"The {ROWS:,} largest tables"
    return _section(
        title, ("table", "rows", "size", "files", "time", "rate", "task", "first file"), rows, numbers=range(1, 7)
    )


def _skipped(manifest: Manifest) -> str:
    rows = [(_code(item.table), escape(item.kind.lower()), escape(item.reason)) for item in manifest.skipped]
    return _section("Not exported", ("object", "kind", "why"), rows)


def _changes(changes: Sequence[TableChange] | None) -> str:
    if changes is None:
        return ""
    if not changes:
        return '<h2>Changes</h2><p class="soft">Nothing differs from the export before.</p>'
    rows = [
        (_code(c.table), c.change, f"{c.rows_after - c.rows_before:+,}", f"{c.bytes_after - c.bytes_before:+,}",
         escape(c.columns()))
        for c in changes[:ROWS]
    ]  # fmt: skip
    return _section(
        "Changes since the export before", ("table", "what", "rows", "bytes", "columns"), rows, numbers=(2, 3)
    )


def _section(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A heading and a table of cells that are HTML already; nothing without rows."""
    if not rows:
        return ""
    right = set(numbers)
    css = [' class="n"' if column in right else "" for column in range(len(header))]
    head = "".join(f'<th scope="col"{css[column]}>{name}</th>' for column, name in enumerate(header))
    body = "".join(
        "<tr>" + "".join(f"<td{css[column]}>{cell}</td>" for column, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return (
        f'<h2>{title}</h2><div class="scroll" tabindex="0" role="region" aria-label="{title}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _size(table: TableEntry) -> int:
    return sum(file.size for file in table.files)


def _rate(table: TableEntry) -> str:
    seconds = (table.ended - table.created) / 1000
    return f"{size_text(_size(table) / seconds)}/s" if seconds > 0 else ""


def _span(tables: Sequence[TableEntry]) -> tuple[int, int]:
    """The first creation and the last end of a job, in milliseconds."""
    if not tables:
        return 0, 0
    return min(table.created for table in tables), max(table.ended for table in tables)
