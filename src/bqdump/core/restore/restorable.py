"""When an export was last proven restorable, from the notes on drills."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from bqdump.core.documents.drill import Drill
from bqdump.core.results import public
from bqdump.core.sizes import counted
from bqdump.core.times import time_of

# Seconds.
HOUR, DAY = 3600, 24 * 3600
NEVER = "never"


@public
class Restorable(msgspec.Struct, frozen=True):
    """The newest drill that proved an export: when, of which run, with how many tables of those that have rows.

    proven: None if there is none. problem: what the newest drill found instead, "" if that one proved the export.
    all_proven: when a single drill last proved all tables, None if none has; all_run: of which run.
    """

    proven: datetime | None = None
    run: str = ""
    tables: int = 0
    of: int = 0
    problem: str = ""
    all_proven: datetime | None = None
    all_run: str = ""

    def text(self, now: float, run: str = "") -> str:
        """Such as "3 days ago (all 38 tables)"; with what the newest drill found. now: in seconds since 1970 UTC.

        run: the one that is shown; a proof of another one names its run.
        """
        since = f"{ago(now - self.proven.timestamp())} ({self.extent_of(run)})" if self.proven else NEVER
        if self.all_proven and self.all_proven != self.proven:
            of_run = f" of run {self.all_run}" if self.all_run not in ("", self.run) else ""
            since = f"{since}, all tables{of_run} {ago(now - self.all_proven.timestamp())}"
        return f"{since}; the newest drill failed: {self.problem}" if self.problem else since

    def extent_of(self, run: str) -> str:
        """How many tables were proven, in words; and of which run, if it is another one than `run` ("": any)."""
        return self.extent if run in ("", self.run) else f"{self.extent} of run {self.run}"

    @property
    def extent(self) -> str:
        """How many tables were proven, in words."""
        of = counted(self.of, "table")
        if self.tables < self.of:
            return f"{self.tables:,} of {of}"
        return f"all {of}" if self.of > 1 else of


def restorable(drills: Sequence[Drill]) -> Restorable:
    """What these drills, the earliest first, have proven."""
    newest = drills[-1] if drills else None
    problem = "" if newest is None or newest.proven else next(iter(newest.problems), "it has no details")
    proofs = [drill for drill in drills if drill.proven]
    if not proofs:
        return Restorable(problem=problem)
    last = proofs[-1]
    every = [drill for drill in proofs if drill.tables == drill.of]
    all_proven, all_run = (time_of(every[-1].ended), every[-1].run) if every else (None, "")
    return Restorable(time_of(last.ended), last.run, last.tables, last.of, problem, all_proven, all_run)


def by_run(drills: Sequence[Drill]) -> dict[str, Restorable]:
    """The same for each run that was drilled."""
    of_run: dict[str, list[Drill]] = {}
    for drill in drills:
        of_run.setdefault(drill.run, []).append(drill)
    return {run: restorable(some) for run, some in of_run.items()}


def ago(seconds: float) -> str:
    """A time in the past, in words: the largest unit of which it has two, or "just now"."""
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", 60)):
        if seconds >= (2 * length if unit != "minute" else length):
            return f"{counted(int(seconds // length), unit)} ago"
    return "just now"
