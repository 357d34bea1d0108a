"""The events of a run, a verification or a restore, passed to a listener as they happen.

The events of several datasets in one process as those of one: tables and pieces of work have a dataset's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from bqdump.core.documents.notes import Restored, RestoreFailure
from bqdump.core.documents.run import Failure, Plan, Receipt

Stage = Literal[
    "planning",
    "exporting",
    "publishing",
    "published",
    "superseded",
    "failed",
    "listing",
    "reading",
    "uploading",
    "copying",
    "restoring",
    "finishing",
]


class Started(Struct, frozen=True):
    """A task has started to export a table or, where tasks share it, a piece of it.

    piece: its id.
    bytes: its size.
    """

    piece: str
    table: str
    bytes: int
    task: int


class Advanced(Struct, frozen=True):
    """This process has read `rows` of about `of` rows of a piece in this attempt."""

    piece: str
    rows: int
    of: int


class Looked(Struct, frozen=True):
    """What is started, done and failed, by piece, as read from the bucket."""

    started: Mapping[str, Started]
    receipts: Mapping[str, Receipt]
    failures: Mapping[str, Failure]


class Cleared(Struct, frozen=True):
    """The staged files of an earlier run are deleted."""

    run: str
    files: int
    bytes: int


class Entered(Struct, frozen=True):
    """The run has entered this stage."""

    stage: Stage


class Checking(Struct, frozen=True):
    """Listing, reading, uploading or copying this many files and bytes begins."""

    stage: Literal["listing", "reading", "uploading", "copying"]
    files: int
    bytes: int


class Checked(Struct, frozen=True):
    """This many more files and bytes are done."""

    files: int
    bytes: int


class Restoring(Struct, frozen=True):
    """A restore of this many tables of an exported run, from files of this many bytes, begins."""

    restore: str
    run: str
    tables: int
    bytes: int


class TableStarted(Struct, frozen=True):
    """A task has started to restore a table.

    number: in the plan.
    bytes: of its files.
    """

    number: int
    table: str
    bytes: int
    task: int


class JobEnded(Struct, frozen=True):
    """A job that restores a table has ended.

    number: of the table in the plan. Times: ms since 1970 UTC.
    error: "" for success.
    """

    number: int
    id: str
    attempt: int
    created: int
    started: int
    ended: int
    error: str = ""


class Billed(Struct, frozen=True):
    """BigQuery bills this many bytes for comparing values."""

    bytes: int


class Incomplete(Struct, frozen=True):
    """A restore or drill ends without an error, but something is not restored, or not proven."""

    problem: str


class TaskState(Struct, frozen=True):
    """A task's process has started its attempt (from 0), or the task has ended."""

    task: int
    attempt: int
    state: Literal["running", "succeeded", "failed"]


ExportEvent = Plan | Started | Advanced | Receipt | Failure | Looked
RestoreEvent = Restoring | TableStarted | Restored | RestoreFailure
Event = ExportEvent | RestoreEvent | JobEnded | Billed | Incomplete | Entered | Checking | Checked | TaskState
# May be called from any thread.
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""


Ended = TypeVar("Ended", Receipt, Failure)
OfATable = TableStarted | JobEnded | Restored | RestoreFailure
# More than the tables and objects of any dataset.
MOST_OF_A_RESTORE = 10**9


class Together:
    """Passes the events of each dataset's export or restore on to one listener. Plans are added up as they come."""

    def __init__(self, tell: Listener) -> None:
        self._tell = tell
        self._plans: dict[str, Plan] = {}
        self._restores: dict[str, Restoring] = {}
        self._places: dict[str, int] = {}

    def of(self, dataset: str) -> Listener:
        """The listener of this dataset."""
        first = self._places.setdefault(dataset, len(self._places)) * MOST_OF_A_RESTORE

        def tell(event: Event) -> None:
            if isinstance(event, Plan):
                self._plans[dataset] = event
                self._tell(_sum(self._plans))
            elif isinstance(event, Restoring):
                self._restores[dataset] = event
                self._tell(_sum_of_restores(self._restores))
            elif isinstance(event, TableStarted | JobEnded | Restored | RestoreFailure):
                self._tell(_numbered(event, dataset, first))
            elif not isinstance(event, Entered):
                self._tell(_renamed(event, dataset))

        return tell


def _renamed(event: Event, dataset: str) -> Event:
    match event:
        case Started():
            return replace(event, piece=_name_in(dataset, event.piece), table=_name_in(dataset, event.table))
        case Advanced():
            return replace(event, piece=_name_in(dataset, event.piece))
        case Receipt():
            return _end_in(event, dataset)
        case Failure():
            return _end_in(event, dataset)
        case Looked():
            return Looked(
                {
                    _name_in(dataset, name): replace(
                        unit, piece=_name_in(dataset, unit.piece), table=_name_in(dataset, unit.table)
                    )
                    for name, unit in event.started.items()
                },
                _each(event.receipts, dataset),
                _each(event.failures, dataset),
            )
        case _:
            return event


def _numbered(event: OfATable, dataset: str, first: int) -> Event:
    """An event about a table of a restore, whose number in the plan begins with `first`."""
    match event:
        case TableStarted():
            return replace(event, number=first + event.number, table=_name_in(dataset, event.table))
        case JobEnded():
            return replace(event, number=first + event.number)
        case _:
            return replace(event, number=first + event.number, name=_name_in(dataset, event.name))


def _each(ends: Mapping[str, Ended], dataset: str) -> dict[str, Ended]:
    return {_name_in(dataset, piece): _end_in(end, dataset) for piece, end in ends.items()}


def _end_in(end: Ended, dataset: str) -> Ended:
    return replace(end, unit=_name_in(dataset, end.unit), table=_name_in(dataset, end.table))


def _name_in(dataset: str, name: str) -> str:
    return f"{dataset}.{name}"


def _sum(plans: Mapping[str, Plan]) -> Plan:
    """One plan with the numbers of all of them."""
    every: Sequence[Plan] = list(plans.values())
    return replace(
        every[0],
        tables=sum(plan.tables for plan in every),
        rows=sum(plan.rows for plan in every),
        bytes=sum(plan.bytes for plan in every),
        shares=tuple(share for plan in every for share in plan.shares),
        splits=tuple(
            replace(split, table=_name_in(dataset, split.table))
            for dataset, plan in plans.items()
            for split in plan.splits
        ),
    )


def _sum_of_restores(restores: Mapping[str, Restoring]) -> Restoring:
    """One restore with the numbers of all of them."""
    every = list(restores.values())
    return replace(every[0], tables=sum(piece.tables for piece in every), bytes=sum(piece.bytes for piece in every))
