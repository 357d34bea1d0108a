"""Output of commands: tables, plain columns if standard output is not a terminal, and JSON."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from bqdump.core.errors import UsageError
from bqdump.core.times import time_text

# What would break a table or act on the terminal: line breaks as an arrow, other control characters as their symbols.
VISIBLE = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
    0x7F: "␡",
    **dict.fromkeys((0x0A, 0x2028, 0x2029), "↵"),
}


def unwritten(output: Path, error: OSError) -> UsageError:
    """The error about a file that could not be written."""
    folder = output.parent
    hint = "" if folder.exists() else f"Create the folder first: mkdir -p {shlex.quote(str(folder))}"
    return UsageError("write", str(output), error.strerror or str(error), hint)


def write_whole(output: Path, text: str) -> None:
    """Write a file so that whoever reads it finds all of it, or what it was before. Raises UsageError."""
    # Collectors read names that end as the file's.
    part = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        part.write_text(text, "utf-8")
        part.replace(output)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise unwritten(output, error) from None


def print_json(document: Any) -> None:
    """Print a document as JSON."""
    sys.stdout.write(json_text(document) + "\n")


def json_text(document: Any, indent: int | None = 2) -> str:
    """A document as JSON, with its times written as in the documents of a bucket. indent: None for one line."""
    plain = msgspec.to_builtins(document, builtin_types=(datetime,))
    separators = None if indent else (",", ":")
    return json.dumps(plain, default=time_text, ensure_ascii=False, indent=indent, separators=separators)


def print_json_line(document: Any) -> None:
    """Print a document as one line of JSON, at once."""
    say(json_text(document, None))


def say(line: str) -> None:
    """Print a line and flush it, so that readers of a pipe see it at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print rows under a header, each on one line. `right`: the columns that are numbers."""
    header, *rows = [[cell.translate(VISIBLE) for cell in line] for line in (header, *rows)]
    if sys.stdout.isatty():
        _print_rich(header, rows, right)
        return
    widths = [max(len(line[column]) for line in (header, *rows)) for column in range(len(header))]
    for line in (header, *rows):
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def print_section(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print a table below a blank line and its title; nothing where there are no rows."""
    if rows:
        sys.stdout.write(f"\n{title}\n")
        print_table(header, rows, right)


# A text of fewer words is not broken into several lines, and none becomes narrower than this.
PROSE_WORDS, PROSE_WIDTH = 4, 24
INDENT = 4


def _print_rich(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> None:
    """Print a table on a terminal. No name or number is ever cut: it may be what is pasted into the next command.

    Where the terminal is too narrow, long texts are wrapped; where that is not enough, a row continues in the next
    lines, indented.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    every = (header, *rows)
    widths = [max(cell_len(line[column]) for line in every) for column in range(len(header))]
    prose = [any(len(line[column].split()) >= PROSE_WORDS for line in every) for column in range(len(header))]
    least = [min(width, PROSE_WIDTH) if long else width for width, long in zip(widths, prose, strict=True)]
    if sum(least) + 2 * (len(least) - 1) > console.width:
        for line in every:
            style = "bold" if line is header else ""
            for text in _continued(line, widths, right, console.width):
                # Words may be wrapped, a name may not.
                console.print(Text(text, style=style), soft_wrap=" " not in text.strip())
        return
    table = Table(box=None, pad_edge=False)
    for column, name in enumerate(header):
        table.add_column(name, justify="right" if column in right else "left", no_wrap=not prose[column])
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _continued(line: Sequence[str], widths: Sequence[int], right: Sequence[int], width: int) -> list[str]:
    """The cells of a row in as many lines as it takes, each cell below that of the row before."""
    lines, used = [""], 0
    for column, (cell, natural) in enumerate(zip(line, widths, strict=True)):
        if used and used + natural > width:
            lines.append(" " * INDENT)
            used = INDENT
        lines[-1] += (_padded(cell, natural, left=column in right)) + "  "
        used += natural + 2
    return [text.rstrip() for text in lines if text.strip()]


def _padded(cell: str, width: int, *, left: bool) -> str:
    from rich.cells import cell_len

    padding = " " * (width - cell_len(cell))
    return padding + cell if left else cell + padding
