"""Parts of pages: tables, tiles, times, numbers. Everything goes through Markup.format, so nothing needs escaping."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from markupsafe import Markup

from bqdump.core.sizes import size_text

NOTHING = Markup("")
# Control characters would make the page invalid HTML: they are shown by their pictures.
_CONTROLS = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {0x7F: 0x2421}


class Column(NamedTuple):
    """A column's heading; `number`: right-aligned, sorted by value."""

    name: str
    number: bool = False
    css: str = ""


class Cell(NamedTuple):
    """What a cell shows, and the value that it is sorted by where that is not the text."""

    shown: Markup | str
    value: float | None = None


def visible(text: str) -> str:
    """The text with control characters made visible."""
    return text.translate(_CONTROLS)


def code(text: str) -> Markup:
    """A name or an id."""
    return Markup("<code>{}</code>").format(visible(text))


def link(address: str, shown: Markup | str, label: str = "") -> Markup:
    """A link, or only what it shows where there is no address.

    label: what it is called where `shown` says too little alone.
    """
    if not address:
        return Markup("{}").format(shown)
    if label:
        return Markup('<a href="{}" aria-label="{}">{}</a>').format(address, visible(label), shown)
    return Markup('<a href="{}">{}</a>').format(address, shown)


def number(count: float) -> Cell:
    """A count."""
    return Cell(f"{count:,}", count)


def size(count: float) -> Cell:
    """A number of bytes."""
    return Cell(size_text(count), count)


def duration(milliseconds: float) -> Cell:
    """A time that something took."""
    return Cell(duration_text(milliseconds), milliseconds)


def duration_text(milliseconds: float) -> str:
    """A time that something took, in at most two units."""
    seconds = milliseconds / 1000
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def moment(milliseconds: int) -> Markup:
    """A moment, in UTC to the second."""
    when = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        when.isoformat(timespec="milliseconds").replace("+00:00", "Z"), f"{when:%Y-%m-%d %H:%M:%S} UTC"
    )


def badge(text: str, tone: str = "") -> Markup:
    """A word that stands out. tone: good, bad, warn or none."""
    return Markup('<span class="badge {}">{}</span>').format(tone, text)


def tiles(facts: Iterable[tuple[str, str]]) -> Markup:
    """Numbers with their names."""
    made = (Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, value) for name, value in facts)
    return Markup('<dl class="tiles">{}</dl>').format(NOTHING.join(made))


def facts(pairs: Iterable[tuple[str, Markup | str]]) -> Markup:
    """Names and what they stand for, a line each."""
    made = (Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in pairs)
    return Markup('<dl class="facts">{}</dl>').format(NOTHING.join(made))


def heading(title: str, anchor: str, count: int | None = None) -> Markup:
    """The heading of a section."""
    shown = NOTHING if count is None else Markup(' <span class="count">{}</span>').format(f"{count:,}")
    return Markup('<h2 id="{}">{}{}</h2>').format(anchor, title, shown)


def table(
    label: str, columns: Sequence[Column], rows: Iterable[Sequence[Cell | Markup | str]], heads: Iterable[Markup] = (),
    tools: str = "",
) -> Markup:  # fmt: skip
    """A table in a frame that scrolls; the first cell of a row is its heading.

    heads: the cells of its header where they are more than text. tools: the id of the filter box that the report's
    script connects with the table; naming it makes the table sortable there.
    """
    shown = NOTHING.join(heads) or NOTHING.join(
        Markup('<th scope="col"{}>{}</th>').format(_css(column), column.name) for column in columns
    )
    body = Markup("\n").join(_row(row, columns) for row in rows)
    sortable = Markup(' data-sortable="{}"').format(tools) if tools else NOTHING
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table{}>'
        "<thead><tr>{}</tr></thead><tbody>\n{}</tbody></table></div>"
    ).format(label, sortable, shown, body)


def filter_box(anchor: str, label: str) -> Markup:
    """A search field for the report's script, which shows it: without the script it would do nothing."""
    return Markup(
        '<div class="tools" id="{}" hidden><label for="{}-text" class="out">{}</label>'
        '<input type="search" id="{}-text" placeholder="{}" autocomplete="off"> '
        '<span class="soft small" role="status"></span></div>'
    ).format(anchor, anchor, label, anchor, label)


def source_hash(text: str) -> str:
    """How a Content-Security-Policy names an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _css(column: Column) -> Markup:
    names = " ".join(filter(None, ("n" if column.number else "", column.css)))
    return Markup(' class="{}"').format(names) if names else NOTHING


def _row(row: Sequence[Cell | Markup | str], columns: Sequence[Column]) -> Markup:
    first, *others = zip(row, columns, strict=True)
    cells = (_cell("td", "", cell, column) for cell, column in others)
    return Markup("<tr>{}{}</tr>").format(_cell("th", "row", *first), NOTHING.join(cells))


def _cell(tag: str, scope: str, cell: Cell | Markup | str, column: Column) -> Markup:
    shown, value = cell if isinstance(cell, Cell) else (cell, None)
    sort = NOTHING if value is None else Markup(' data-v="{:.10g}"').format(value)
    row = Markup(' scope="{}"').format(scope) if scope else NOTHING
    return Markup("<{}{}{}{}>{}</{}>").format(tag, row, _css(column), sort, shown, tag)
