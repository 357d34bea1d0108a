"""Drills: which tables one of them restores, what it has proved, and when an export was last proven restorable.

The result is printed as JSON and returned by the Python API; a short note on it is stored with the export. Tables are
restored all, or some in turn, so that consecutive drills restore every table.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from bqdump.core.dealing import parse_sample
from bqdump.core.documents.notes import shortened
from bqdump.core.documents.target import Drill, Proofs
from bqdump.core.errors import UsageError
from bqdump.core.restore.plan import NotRestored
from bqdump.core.restore.result import NotCreated, name_in
from bqdump.core.results import Result, public
from bqdump.core.sizes import counted
from bqdump.core.times import milliseconds_of, time_of
from bqdump.core.version import VERSION

# Reasons of failures that show other rows, values or files than the manifest has.
DIFFERENCES = ("rows", "values", "files")
# Of the first problems, the note has the beginnings.
PROBLEMS, LETTERS = 3, 200
DrillState = Literal["proven", "different", "incomplete"]


@public
class Drilled(Result, frozen=True, kw_only=True):
    """What a drill proved about a run.

    state: `proven`: everything that it restored came back; `different`: a table has other rows or values than the
        export, or files of the export are missing or changed; `incomplete`: something could not be restored.
    project, dataset: the scratch dataset; of a set, those of all datasets, separated by commas.
    tables: those that came back with the export's values, of `of` tables with rows.
    objects: the number of views and routines that came back.
    rows, bytes: of these tables and their files.
    not_restored: what no restore of this run brings back, and why.
    last: the last table in alphabetical order, after which the next drill goes on; "" if this one restored all.
    altered: by table, the values that the format does not bring back exactly, which no comparison can see.
    """

    run: str
    state: DrillState
    snapshot_time: datetime
    project: str
    dataset: str
    tables: tuple[str, ...]
    of: int
    objects: int
    rows: int
    bytes: int
    bytes_billed: int
    seconds: float
    began: datetime
    different: tuple[NotCreated, ...] = ()
    failed: tuple[NotCreated, ...] = ()
    not_restored: tuple[NotRestored, ...] = ()
    last: str = ""
    altered: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def problems(self) -> tuple[str, ...]:
        """Each difference and failure in words."""
        return tuple(f"{failure.name}: {failure.message}" for failure in (*self.different, *self.failed))

    @property
    def proves(self) -> bool:
        """Whether no problem was found, and tables came back if the export has any: views alone prove no rows."""
        return not self.problems and bool(self.tables or not self.of)


def note_on(done: Drilled) -> Drill:
    """The note on a drill, which is small whatever the drill found."""
    began = milliseconds_of(done.began)
    return Drill(
        run=done.run,
        snapshot=milliseconds_of(done.snapshot_time),
        dataset=f"{done.project}.{done.dataset}",
        tool=VERSION,
        began=began,
        ended=began + round(done.seconds * 1000),
        tables=len(done.tables),
        of=done.of,
        objects=done.objects,
        rows=done.rows,
        bytes=done.bytes,
        billed=done.bytes_billed,
        different=len(done.different),
        failed=len(done.failed),
        problems=tuple(shortened(text, LETTERS, LETTERS) for text in done.problems[:PROBLEMS]),
        last=done.last,
    )


def state_of(different: tuple[NotCreated, ...], failed: tuple[NotCreated, ...]) -> DrillState:
    """The state of a drill that found these."""
    return "different" if different else "incomplete" if failed else "proven"


def split(failures: tuple[NotCreated, ...]) -> tuple[tuple[NotCreated, ...], tuple[NotCreated, ...]]:
    """Of the failures of a restore the differences, and the others."""
    different = tuple(failure for failure in failures if failure.reason in DIFFERENCES)
    return different, tuple(failure for failure in failures if failure not in different)


DRILL = "drill"


class Sample(NamedTuple):
    """How much of an export one drill restores.

    tables: that many, 0 for all.
    parts: one in this many, 1 for all.
    """

    tables: int = 0
    parts: int = 1

    def size(self, total: int) -> int:
        """The number of tables, of `total`; at least one."""
        return min(total, self.tables or max(1, -(-total // self.parts)))


def sample_of(tables: int | None, sample: str) -> Sample:
    """The sample that is requested. Raises UsageError."""
    if tables is not None and sample:
        raise UsageError(
            DRILL, "", "cannot be used together with {setting:sample}", "Use one of them.", setting="tables"
        )
    if tables is not None and tables < 1:
        raise UsageError(DRILL, str(tables), "expected at least 1 table", setting="tables")
    try:
        return Sample(tables or 0, parse_sample(sample) if sample else 1)
    except ValueError as error:
        raise UsageError(DRILL, repr(sample), str(error), setting="sample") from None


def in_turn(names: Sequence[str], size: int, after: str) -> tuple[str, ...]:
    """`size` of the names: those that follow `after` in alphabetical order, and after the last the first.

    Names that come or go between two drills do not disturb the turn.
    """
    ordered = sorted(names)
    start = bisect_right(ordered, after)
    return tuple([*ordered[start:], *ordered[:start]][:size])


# Seconds.
HOUR, DAY = 3600, 24 * 3600
NEVER = "never"


@public
class Restorable(msgspec.Struct, frozen=True):
    """How many tables of a run drills have proven, of those that have rows, and when.

    A proof of a table counts for every run that has the same files of it.

    proven: when the newest drill among these ended, None if there is none.
    run: the run that it restored; of a set, "".
    oldest: when the oldest one ended.
    problem: what the newest drill of the run found instead, "" if that one proved the export.
    other: where no table is proven, the run that a drill has last proven, "" if there is none.
    other_proven: when.
    """

    proven: datetime | None = None
    run: str = ""
    tables: int = 0
    of: int = 0
    problem: str = ""
    oldest: datetime | None = None
    other: str = ""
    other_proven: datetime | None = None

    @property
    def complete(self) -> bool:
        """Whether every table is proven."""
        return self.proven is not None and self.tables >= self.of

    def text(self, now: float) -> str:
        """Such as "38 of 38 tables, the oldest proof 6 days old"; with what the newest drill found.

        now: in seconds since 1970 UTC.
        """
        found = self.short(now)
        if self.other and self.other_proven:
            found = f"{found}; run {self.other} was, {ago(now - self.other_proven.timestamp())}"
        return f"{found}; the newest drill failed: {self.problem}" if self.problem else found

    def short(self, now: float) -> str:
        """The same without other runs and problems."""
        if self.proven is None:
            return NEVER
        newest, oldest = (ago(now - (at or self.proven).timestamp()) for at in (self.proven, self.oldest))
        age = newest if newest == oldest else f"the oldest proof {oldest.removesuffix(' ago')} old"
        return f"{self.extent}, {age}"

    @property
    def extent(self) -> str:
        """How many tables were proven, in words."""
        return f"{self.tables:,} of {counted(self.of, 'table')}"


class TableProof(NamedTuple):
    """When a table was last proven (ms), and the run that the drill restored."""

    at: int
    run: str


class Proof(NamedTuple):
    """What drills have proven of a run, and when each of its tables was last proven."""

    restorable: Restorable
    tables: Mapping[str, TableProof]


def add_up(wanted: Mapping[str, str], drills: Sequence[tuple[Drill, Proofs]]) -> dict[str, TableProof]:
    """When each of these tables was last proven. wanted: the fingerprints of their files. drills: the earliest first.

    A drill that found a table different takes away what earlier ones have proven of it.
    """
    proven: dict[str, TableProof] = {}
    for drill, proofs in drills:
        for table, files in proofs.proven.items():
            if wanted.get(table) == files:
                proven[table] = TableProof(drill.ended, drill.run)
        for table, files in proofs.different.items():
            if wanted.get(table) == files:
                proven.pop(table, None)
    return proven


def restorable(
    proven: Mapping[str, TableProof], of: int, own: Sequence[Drill], every: Sequence[Drill] = ()
) -> Restorable:
    """What drills have proven of a run that has `of` tables.

    own: the drills of the run; every: those of all runs; both the earliest first.
    """
    problem = problem_of(own)
    if not proven:
        last = next((drill for drill in reversed(every) if drill.proven and drill.tables), None)
        if last is None or last in own:
            return Restorable(of=of, problem=problem)
        return Restorable(of=of, problem=problem, other=last.run, other_proven=time_of(last.ended))
    newest, oldest = max(proven.values()), min(proven.values())
    return Restorable(time_of(newest.at), newest.run, len(proven), of, problem, time_of(oldest.at))


def problem_of(drills: Sequence[Drill]) -> str:
    """What the newest of these drills found; "" if it proved something, or there is none."""
    drills = [drill for drill in drills if drill.tables or not (drill.of and drill.proven)]
    newest = drills[-1] if drills else None
    return "" if newest is None or newest.proven else next(iter(newest.problems), "it has no details")


def by_run(drills: Sequence[Drill]) -> dict[tuple[str, int], Restorable]:
    """What drills have proven of each run that was drilled, by its id and its snapshot time, from their notes alone.

    Once a run is pruned, another one may have its id.
    """
    of_run: dict[tuple[str, int], list[Drill]] = {}
    for drill in drills:
        of_run.setdefault((drill.run, drill.snapshot), []).append(drill)
    return {run: _noted(some) for run, some in of_run.items()}


def _noted(drills: Sequence[Drill]) -> Restorable:
    problem, last = problem_of(drills), next((drill for drill in reversed(drills) if drill.proofs), None)
    if last is None or not last.altogether:
        return Restorable(problem=problem)
    at, oldest = time_of(last.ended), time_of(last.oldest)
    return Restorable(at, last.run, last.altogether, last.of, problem, oldest)


def of_the_rest(proof: Restorable, tables: int) -> Restorable:
    """What drills have proven of a run that has this many tables now, where some were erased since.

    Notes do not name tables, so each that was erased is taken for one that was proven.
    """
    erased = proof.of - tables
    if erased <= 0 or proof.proven is None:
        return proof
    if proof.tables > erased:
        return replace(proof, tables=proof.tables - erased, of=tables)
    return Restorable(of=tables, problem=proof.problem)


def ago(seconds: float) -> str:
    """A time in the past, in words: the largest unit of which it has two, or "just now"."""
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", 60)):
        if seconds >= (2 * length if unit != "minute" else length):
            return f"{counted(int(seconds // length), unit)} ago"
    return "just now"


WORST_DRILL: tuple[DrillState, ...] = ("different", "incomplete", "proven")


def drilled_together(run: str, done: Mapping[str, Drilled], failed: Sequence[NotCreated]) -> Drilled:
    """One result for a set: tables have their dataset's name. done: the results by dataset."""
    every = [_named_drill(name, drilled) for name, drilled in done.items()]
    states = {drill.state for drill in every} | ({"incomplete"} if failed else set())
    return Drilled(
        run=run,
        state=next(state for state in WORST_DRILL if state in states),
        snapshot_time=min(drill.snapshot_time for drill in every),
        project=every[0].project,
        dataset=",".join(drill.dataset for drill in every),
        tables=tuple(table for drill in every for table in drill.tables),
        of=sum(drill.of for drill in every),
        objects=sum(drill.objects for drill in every),
        rows=sum(drill.rows for drill in every),
        bytes=sum(drill.bytes for drill in every),
        bytes_billed=sum(drill.bytes_billed for drill in every),
        seconds=round(sum(drill.seconds for drill in every), 3),
        began=min(drill.began for drill in every),
        different=tuple(failure for drill in every for failure in drill.different),
        failed=(*(failure for drill in every for failure in drill.failed), *failed),
        not_restored=tuple(lost for drill in every for lost in drill.not_restored),
        altered={table: values for drill in every for table, values in drill.altered.items()},
    )


def _named_drill(dataset: str, drilled: Drilled) -> Drilled:
    return replace(
        drilled,
        tables=tuple(f"{dataset}.{table}" for table in drilled.tables),
        different=tuple(
            replace(failure, name=name_in(dataset, failure.name, failure.kind)) for failure in drilled.different
        ),
        failed=tuple(replace(failure, name=name_in(dataset, failure.name, failure.kind)) for failure in drilled.failed),
        not_restored=tuple(replace(lost, name=name_in(dataset, lost.name, lost.kind)) for lost in drilled.not_restored),
        altered={f"{dataset}.{table}": values for table, values in drilled.altered.items()},
    )
