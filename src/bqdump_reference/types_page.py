"""The table of types, formats and routes in docs/formats.md.

What `bqdump check-service` has seen on the real services, from the files in docs/confirmed/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec

from bqdump.core.formats.fidelity import CELLS, SERVER, Back, Cell
from bqdump.core.formats.types import TYPES

DOUBT = "†"


class Confirmed(NamedTuple):
    """The newest answer of the services about a claim: the day (2026-01-31), and whether it is as documented."""

    day: str
    same: bool


NONE: Mapping[str, Confirmed] = {}


class _Claim(msgspec.Struct):
    id: str
    verdict: str


class _Check(msgspec.Struct):
    date: datetime
    google: bool
    claims: list[_Claim]


_CHECK = msgspec.json.Decoder(_Check)


def read_confirmed(folder: Path) -> dict[str, Confirmed]:
    """The newest answers about each claim that files of `bqdump check-service --output` in a folder have.

    Files of stand-ins confirm nothing. Raises ValueError, with its name, for any other file.
    """
    checks = sorted((_read(path) for path in folder.glob("*.json")), key=lambda check: check.date)
    return {
        claim.id: Confirmed(f"{check.date:%Y-%m-%d}", claim.verdict == "confirmed")
        for check in checks
        if check.google
        for claim in check.claims
        if claim.verdict in ("confirmed", "different")
    }


def _read(path: Path) -> _Check:
    try:
        return _CHECK.decode(path.read_bytes())
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path.name} is not a file of bqdump check-service --output: {error}") from None


def mark(confirmed: Mapping[str, Confirmed], claims: Sequence[str]) -> str:
    """What stands behind a point of the documentation: a doubt, until all of its claims are answered."""
    seen = [confirmed[claim] for claim in claims if claim in confirmed]
    if other := [test.day for test in seen if not test.same]:
        return f"(**BigQuery differs**, seen on {max(other)})"
    if len(seen) < len(claims):
        return DOUBT
    return f"(confirmed on {min(test.day for test in seen)})"


TITLES = {"csv": "CSV", "json": "JSON, newline-delimited", "avro": "Avro", "parquet": "Parquet"}
NOTES = {"preserveAsciiControlCharacters": " for NUL"}
HEAD = "| type | route | in the file | lost | loads back |\n|---|---|---|---|---|"


def type_tables(confirmed: Mapping[str, Confirmed] = NONE) -> str:
    """One Markdown table per format; routes that write a type in the same form share a line.

    confirmed: what `bqdump check-service` has seen on the services, by claim.
    """
    return "\n\n".join(
        f"### {TITLES[format_]}\n\n{_absent(format_)}{HEAD}\n{_lines(format_, confirmed)}" for format_ in SERVER
    )


def _writes(route: str, format_: str) -> bool:
    return any(cell.holds != "no" for cell in CELLS[route][format_].values())


def _absent(format_: str) -> str:
    """A note on routes that do not write this format."""
    reasons = dict.fromkeys(
        cell.lost for route in CELLS if not _writes(route, format_) for cell in CELLS[route][format_].values()
    )
    return "".join(f"Note: {reason}.\n\n" for reason in reasons)


def _lines(format_: str, confirmed: Mapping[str, Confirmed]) -> str:
    routes = [route for route in CELLS if _writes(route, format_)]
    return "\n".join(
        _line(type_, alike, cell, mark(confirmed, [f"{format_}.{type_}.{route}" for route in alike]))
        for type_ in TYPES
        for cell, alike in _alike(format_, routes, type_)
    )


def _alike(format_: str, routes: list[str], type_: str) -> Iterator[tuple[Cell, list[str]]]:
    """The routes that write a type in the same form."""
    for cell, alike in groupby(routes, key=lambda route: CELLS[route][format_][type_]):
        yield cell, list(alike)


def _line(type_: str, alike: list[str], cell: Cell, seen: str) -> str:
    """A row. seen: stands behind what is not sure."""
    routes = ", ".join(alike)
    doubt = "" if cell.sure else f" {seen}"
    part = f"; {_text(cell.open)} {seen}" if cell.open else ""
    if cell.holds == "no":
        return f"| {type_} | {routes} | **no**{doubt} | {cell.lost} | |"
    cells = (type_, routes, _text(cell.file) + part + doubt, _text(cell.lost), _text(_back(cell.back)))
    return "| " + " | ".join(cells) + " |"


def _back(back: Back) -> str:
    cast = f"load as STRING, then `{back.cast.partition('(')[0]}`" if back.cast else ""
    words = ": ".join(filter(None, (back.words, cast)))
    return "; ".join(filter(None, (words, ", ".join(_options(back.options)))))


def _options(options: Mapping[str, object]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _options(value)
        else:
            yield f"`{name}`" + (f" {' and '.join(value)}" if isinstance(value, list) else NOTES.get(name, ""))


def _text(words: str) -> str:
    return words.replace("|", "\\|").replace("<", "&lt;")
