"""The table of types, formats and routes in docs/formats.md."""

from __future__ import annotations

from itertools import groupby

from bqdump.core.formats.fidelity import CELLS, SERVER, Cell
from bqdump.core.formats.types import TYPES

TITLES = {"csv": "CSV", "json": "JSON, newline-delimited", "avro": "Avro", "parquet": "Parquet"}
HEAD = "| type | route | in the file | lost | loads back |\n|---|---|---|---|---|"


def type_tables() -> str:
    """One Markdown table per format; routes that write a type in the same form share a line."""
    return "\n\n".join(f"### {TITLES[format_]}\n\n{_absent(format_)}{HEAD}\n{_lines(format_)}" for format_ in SERVER)


def _writes(route: str, format_: str) -> bool:
    return any(cell.holds != "no" for cell in CELLS[route][format_].values())


def _absent(format_: str) -> str:
    """A note on routes that do not write this format."""
    reasons = dict.fromkeys(
        cell.lost for route in CELLS if not _writes(route, format_) for cell in CELLS[route][format_].values()
    )
    return "".join(f"Note: {reason}.\n\n" for reason in reasons)


def _lines(format_: str) -> str:
    routes = [route for route in CELLS if _writes(route, format_)]
    return "\n".join(
        _line(type_, ", ".join(alike), cell)
        for type_ in TYPES
        for cell, alike in groupby(routes, key=lambda route: CELLS[route][format_][type_])
    )


def _line(type_: str, routes: str, cell: Cell) -> str:
    mark = "" if cell.sure else " †"
    part = f"; {_text(cell.open)} †" if cell.open else ""
    if cell.holds == "no":
        return f"| {type_} | {routes} | **no**{mark} | {cell.lost} | |"
    back = cell.back or "by its schema"
    return "| " + " | ".join((type_, routes, _text(cell.file) + part + mark, _text(cell.lost), _text(back))) + " |"


def _text(words: str) -> str:
    return words.replace("|", "\\|").replace("<", "&lt;")
