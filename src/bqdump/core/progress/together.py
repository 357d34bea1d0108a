"""The events of several datasets in one process as those of one: tables and pieces of work have a dataset's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec.structs import replace

from bqdump.core.documents.notes import RestoreFailure
from bqdump.core.documents.run import Failure, Plan, Receipt
from bqdump.core.progress.events import (
    Advanced,
    Entered,
    Event,
    JobEnded,
    Listener,
    Looked,
    Restoring,
    Started,
    TableStarted,
)
from bqdump.core.restore.documents import Restored

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
            return event._replace(piece=_in(dataset, event.piece), table=_in(dataset, event.table))
        case Advanced():
            return event._replace(piece=_in(dataset, event.piece))
        case Receipt():
            return _of(event, dataset)
        case Failure():
            return _of(event, dataset)
        case Looked():
            return Looked(
                {_in(dataset, name): unit._replace(piece=_in(dataset, unit.piece), table=_in(dataset, unit.table))
                 for name, unit in event.started.items()},
                _each(event.receipts, dataset),
                _each(event.failures, dataset),
            )  # fmt: skip
        case _:
            return event


def _numbered(event: OfATable, dataset: str, first: int) -> Event:
    """An event about a table of a restore, whose number in the plan begins with `first`."""
    match event:
        case TableStarted():
            return event._replace(number=first + event.number, table=_in(dataset, event.table))
        case JobEnded():
            return event._replace(number=first + event.number)
        case _:
            return replace(event, number=first + event.number, name=_in(dataset, event.name))


def _each(ends: Mapping[str, Ended], dataset: str) -> dict[str, Ended]:
    return {_in(dataset, piece): _of(end, dataset) for piece, end in ends.items()}


def _of(end: Ended, dataset: str) -> Ended:
    return replace(end, unit=_in(dataset, end.unit), table=_in(dataset, end.table))


def _in(dataset: str, name: str) -> str:
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
            replace(split, table=_in(dataset, split.table)) for dataset, plan in plans.items() for split in plan.splits
        ),
    )


def _sum_of_restores(restores: Mapping[str, Restoring]) -> Restoring:
    """One restore with the numbers of all of them."""
    every = list(restores.values())
    return every[0]._replace(tables=sum(piece.tables for piece in every), bytes=sum(piece.bytes for piece in every))
