"""One check of the doctor, and the list that it fills."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from bqdump.core.errors import (
    NO_ANSWER,
    BqdumpError,
    DeniedError,
    JobsDeniedError,
    NotFoundError,
    PerimeterError,
    TargetError,
    UsageError,
)
from bqdump.core.results import public
from bqdump.core.wording import PYTHON, Words, fill

Answer = TypeVar("Answer")


@public
class CheckOutcome(enum.StrEnum):
    """How a check ended. untried: it could not run because another check failed."""

    OK = "ok"
    WARNING = "warning"
    DENIED = "denied"
    MISSING = "missing"
    REFUSED = "refused"
    UNTRIED = "untried"


@public
class Check(msgspec.Struct, frozen=True):
    """One check.

    permission: the one that it needs, "" for none.
    detail: the finding, in words.
    """

    name: str
    on: str
    outcome: CheckOutcome
    detail: str
    permission: str = ""


# In this order, as an error may be of two of these classes.
OUTCOMES: dict[type[BqdumpError], CheckOutcome] = {
    PerimeterError: CheckOutcome.REFUSED,
    DeniedError: CheckOutcome.DENIED,
    NotFoundError: CheckOutcome.MISSING,
}


class Checks:
    """What has been checked so far, in `made`. words: name settings."""

    def __init__(self, words: Words = PYTHON) -> None:
        self._words = words
        self.made: list[Check] = []

    async def ask(
        self,
        name: str,
        on: str,
        permission: str,
        question: Callable[[], Awaitable[Answer]],
        detail: Callable[[Answer], str] = lambda _: "",
        instead: str = "",
    ) -> Answer | None:
        """The result, None if access is denied or something is missing. instead: the text to report in that case."""
        try:
            answer = await question()
        except NO_ANSWER:
            raise
        except BqdumpError as error:
            if isinstance(error, JobsDeniedError):
                # A query is denied for want of it, too.
                permission = "bigquery.jobs.create"
            outcome = next((o for kind, o in OUTCOMES.items() if isinstance(error, kind)), CheckOutcome.REFUSED)
            self.note(name, on, outcome, "; ".join(filter(None, (self._finding(error), instead))), permission)
            return None
        self.note(name, on, CheckOutcome.OK, detail(answer), permission)
        return answer

    def _finding(self, error: BqdumpError) -> str:
        if isinstance(error, UsageError):
            return error.sentence(self._words)
        # The role for a missing permission is among the cures.
        hinted = isinstance(error, (PerimeterError, TargetError)) and error.hint
        return f"{error.cause.rstrip('.')}. {error.hint}" if hinted else error.cause

    def note(self, name: str, on: str, outcome: CheckOutcome, detail: str, permission: str = "") -> None:
        """Add a check. detail may name settings as placeholders."""
        self.made.append(Check(name, on, outcome, fill(detail, self._words), permission))
