"""The result of a drill: printed as JSON, returned by the Python API, and in short the note on it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from bqdump.core.documents.drill import Drill
from bqdump.core.documents.notes import shortened
from bqdump.core.restore.plan import NotRestored
from bqdump.core.restore.result import NotCreated
from bqdump.core.results import Result, public
from bqdump.core.times import milliseconds_of
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
    project, dataset: the scratch dataset; of a set, those of all datasets, separated by commas. tables: those that came
    back with the export's values, of `of` tables with rows. objects: the number of views and routines that came back.
    rows, bytes: of these tables and their files.
    not_restored: what no restore of this run brings back, and why. last: the last table in alphabetical order, after
    which the next drill goes on; "" if this one restored all. altered: by table, the values that the format does not
    bring back exactly, which no comparison can see.
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
