"""A terminal that is recorded: commands run in a pseudo-terminal, and what its screen shows as a picture in SVG.

Of control sequences it knows those that bqdump's progress uses: colors, one line up, erasing a line, carriage return.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

COLUMNS = 118
CHARACTER, LINE, MARGIN = 7.9, 20, 18
SEQUENCE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\r\n|\r|\n|[^\x1b\r\n]+|\x1b.")
# Of bright and normal colors: red, green, yellow, magenta, cyan; a prompt is bold.
COLORS = {"31": "red", "32": "green", "33": "yellow", "35": "magenta", "36": "cyan", "90": "dim", "91": "red"}
LIGHT = {"back": "#ffffff", "frame": "#d0d7de", "text": "#1f2328", "dim": "#59636e", "red": "#cf222e"} | {
    "green": "#1a7f37", "yellow": "#9a6700", "magenta": "#8250df", "cyan": "#1b7c83"
}  # fmt: skip
DARK = {"back": "#0d1117", "frame": "#3d444d", "text": "#f0f6fc", "dim": "#9198a1", "red": "#ff7b72"} | {
    "green": "#3fb950", "yellow": "#d29922", "magenta": "#d2a8ff", "cyan": "#56d4dd"
}  # fmt: skip


class Cell(NamedTuple):
    """A character and how it looks: classes of the picture."""

    text: str
    style: str


Screen = list[list[Cell]]


def recorded(command: str, environ: Mapping[str, str], folder: str, code: int = 0) -> Screen:
    """What the screen shows once a command has ended with this exit code, below its prompt."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, **environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": "60"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    started = subprocess.Popen(
        ["sh", "-c", command], stdin=terminal, stdout=terminal, stderr=terminal, env=environment, cwd=folder
    )
    os.close(terminal)
    written = b""
    try:
        while part := os.read(controller, 65_536):
            written += part
    except OSError:
        # The end of a pseudo-terminal whose other side is closed.
        pass
    os.close(controller)
    assert started.wait() == code
    return [*prompt(command), *screen(written.decode())]


def prompt(command: str) -> Screen:
    """A command as it is typed."""
    return [[Cell("$ ", "dim"), Cell(command, "bold")]]


def screen(written: str) -> Screen:
    """What a terminal shows after this was written to it, in lines that may be longer than it."""
    lines: list[list[Cell]] = [[]]
    row = column = 0
    style = ""
    for found in SEQUENCE.finditer(written):
        text, (arguments, kind) = found[0], (found[1], found[2])
        if text == "\r\n":
            row, column = row + 1, 0
        elif text == "\r":
            column = 0
        elif text == "\n":
            row += 1
        elif kind == "m":
            style = _style(style, arguments)
        elif kind == "A":
            row = max(0, row - int(arguments or 1))
        elif kind == "K":
            lines[row] = []
        elif not kind and not text.startswith("\x1b"):
            cells = [Cell(character, style) for character in text]
            lines[row] += [Cell(" ", "")] * (column - len(lines[row]))
            lines[row][column : column + len(cells)] = cells
            column += len(cells)
        lines += [[] for _ in range(row + 1 - len(lines))]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _style(style: str, arguments: str) -> str:
    """The style after a sequence of colors."""
    for one in (arguments or "0").split(";"):
        if one == "0":
            style = ""
        elif one == "1":
            style = f"{style} bold".strip()
        elif one == "2":
            style = f"{style} dim".strip()
        elif one in COLORS:
            style = f"{style} {COLORS[one]}".strip()
    return style


def shortened(shown: Screen, pattern: str) -> Screen:
    """A screen with one line in place of the lines that match: it has their number."""
    left: Screen = []
    matching = [line for line in shown if re.search(pattern, "".join(cell.text for cell in line))]
    for line in shown:
        if line not in matching:
            left.append(line)
        elif line is matching[0]:
            left.append([Cell(f"… {len(matching)} lines: one for each table and view", "dim")])
    return left


def svg(shown: Screen, title: str, colors: Mapping[str, str]) -> str:
    """A picture of a screen; its text can be read by programs that read pages aloud."""
    lines = [part for line in shown for part in _wrapped(line)]
    width, height = COLUMNS * CHARACTER + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    styles = "".join(f".{name}{{fill:{color}}}" for name, color in colors.items() if name not in ("back", "frame"))
    texts = "\n".join(
        f'<text class="text" x="{MARGIN}" y="{MARGIN + number * LINE + 14}" xml:space="preserve">{_spans(line)}</text>'
        for number, line in enumerate(lines)
        if line
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}">\n'
        f"<title>{escape(title)}</title>\n"
        "<style>text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace}"
        f".bold{{font-weight:600}}{styles}</style>\n"
        f'<rect x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="8" fill="{colors["back"]}" '
        f'stroke="{colors["frame"]}"/>\n{texts}\n</svg>\n'
    )


def _wrapped(line: list[Cell]) -> list[list[Cell]]:
    """A line as the terminal breaks it, at a space where there is one; an empty line stays."""
    cells = [Cell(character, cell.style) for cell in line for character in cell.text]
    parts = []
    while len(cells) > COLUMNS:
        cut = next((at for at in range(COLUMNS, COLUMNS // 2, -1) if cells[at].text == " "), COLUMNS)
        parts.append(cells[:cut])
        cells = cells[cut:]
        cells = [Cell(" ", ""), *cells] if cells[0].text == " " else cells
    return [*parts, cells]


def _spans(line: list[Cell]) -> str:
    spans: list[list[str]] = []
    for cell in line:
        if spans and spans[-1][0] == cell.style:
            spans[-1][1] += cell.text
        else:
            spans.append([cell.style, cell.text])
    return "".join(
        f'<tspan class="{style}">{escape(text, quote=False)}</tspan>' if style else escape(text, quote=False)
        for style, text in spans
    )
