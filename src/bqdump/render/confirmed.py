"""What `bqdump check-service` has seen on the real services, from the files in docs/confirmed/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

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
