"""Faults to inject into a stand-in's requests."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from bqdump_local.broken_answers import SPOILED, UNANSWERED


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """A fault to inject.

    operation, path: regular expressions that must match in the operation's name, and in the decoded path and query.
    probability: the share of matching requests that are affected.
    times: the maximum number of them.
    seconds: the delay before the answer.
    status: an HTTP status, or one of these words. "reset" and "close" end the connection without an answer,
    "reset-body" and "close-body" in the middle of the answer's body; "flip" changes one bit of the body; "shuffle"
    reverses the answers of a batch; "empty" leaves the body out. Without a status, the rule only delays.
    reason, message: the reason and the message in the error with an HTTP status.
    after: carry the request out first. Damaged answers imply that.
    rows: the number of rows after which a stream of rows (`bigquery.storage.readRows`) breaks.
    """

    operation: str = ""
    path: str = ""
    status: int | str | None = None
    reason: str = ""
    message: str = ""
    probability: float = 1.0
    times: int | None = None
    seconds: float = 0.0
    after: bool = False
    rows: int = 0

    def matches(self, operation: str, target: str) -> bool:
        """Whether the rule applies to a request."""
        return re.search(self.operation, operation) is not None and re.search(self.path, target) is not None

    def check(self) -> None:
        """Raise ValueError for an invalid rule."""
        words = (*UNANSWERED, *SPOILED)
        if isinstance(self.status, str) and self.status not in words:
            raise ValueError(f"status must be a number or one of {', '.join(words)}, not {self.status!r}")
        if isinstance(self.status, int) and not 400 <= self.status <= 599:
            raise ValueError(f"status must be from 400 to 599, not {self.status}")
        try:
            re.compile(self.operation)
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error


class Faults(msgspec.Struct, forbid_unknown_fields=True):
    """Rules in the order in which they are tried, and the seed for their probabilities."""

    rules: list[Rule] = msgspec.field(default_factory=list)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The fault to inject into one request."""

    seconds: float = 0.0
    status: int | str | None = None
    reason: str = ""
    message: str = ""
    after: bool = False
    rows: int = 0
