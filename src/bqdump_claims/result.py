"""What a check of the services found: the document that `--json` and `--output` write."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

import msgspec

from bqdump.core.results import Result, public, rows_of


@public
class Verdict(enum.StrEnum):
    """How a claim compares with what was observed. observed: bqdump relies on no particular answer."""

    CONFIRMED = "confirmed"
    DIFFERENT = "different"
    OBSERVED = "observed"
    NOT_TRIED = "not tried"


class NotTriedError(Exception):
    """A claim cannot be tried here. The message has the reason."""


@public
class TriedClaim(msgspec.Struct, frozen=True):
    """A claim that was tried. why: the reason why it could not be tried, else ""."""

    id: str
    verdict: Verdict
    claim: str
    page: str
    expected: dict[str, str]
    observed: dict[str, str]
    why: str = ""


@public
class ServiceCheck(Result, frozen=True, kw_only=True):
    """The output of `bqdump check-service --json`. It names no project, dataset, bucket or account.

    google: False if stand-ins answered, such as the local stack; nothing is confirmed then.
    location: of the bucket and the scratch dataset.
    expected_bytes_billed: at most, by the claims.
    left: how many of dataset and prefix could not be deleted.
    """

    version: str
    date: datetime
    google: bool
    location: str
    seconds: float
    expected_bytes_billed: int
    claims: tuple[TriedClaim, ...]
    left: int = 0

    def by_verdict(self, verdict: Verdict) -> list[TriedClaim]:
        """The claims with this verdict."""
        return [claim for claim in self.claims if claim.verdict is verdict]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The claims as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`."""
        return rows_of(self.claims)
