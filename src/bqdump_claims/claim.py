"""A claim: one sentence about BigQuery or Cloud Storage that bqdump relies on, and how to try it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from bqdump_claims.scratch import Scratch

# What was found, by a word for each part of it.
Observed = Mapping[str, str]


class Claim(NamedTuple):
    """What bqdump relies on, and how to try it.

    id: the subject and the point, such as `csv.STRING.extract`.
    page: where it is documented, below docs/.
    expected: what is observed if the claim is true; other keys of what is observed are evidence only. Empty: bqdump
        relies on no answer, so the claim is only observed.
    observe: tries it.
    reads: the tables that its queries and DML statements read or write, by a name for what several claims share; each
        is billed with 10 MB at most, as all are small.
    """

    id: str
    sentence: str
    page: str
    expected: Observed
    observe: Callable[[Scratch], Awaitable[Observed]]
    reads: Mapping[str, int] = {}

    @property
    def subject(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]
