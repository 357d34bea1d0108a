"""The documents about units: what a task claims, reads and gives up.

Plan, receipts and failures, which name tables, are in `core.documents.run`.
"""

from __future__ import annotations

import msgspec

from bqdump.core.documents.fields import Count, UnitId
from bqdump.core.documents.run import Failure, Owner, TablePlan


class Unit(TablePlan, frozen=True, omit_defaults=True):
    """The unit of work: a table, one of its partitions, or a part of it where the plan splits it among tasks.

    rows, bytes: of a part, its share of the table's; of a partition, its own.
    """


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """The task that works on a unit. table, bytes: of the unit, for those who watch the run.

    again: the job of a receipt that the unit has already, from a session that has been retired.
    """

    owner: Owner
    table: str = ""
    bytes: Count = 0
    again: str = ""


class ReadAttempt(msgspec.Struct, frozen=True):
    """An attempt at a unit with the read route, and its owner. nonce: distinguishes attempts of one owner."""

    owner: Owner
    nonce: str


class SharedSession(msgspec.Struct, frozen=True, omit_defaults=True):
    """The read session of a split table: all of its parts read from it.

    schema: of its rows, as an Arrow IPC message. execution: the one that opened it. closed: the parts are settled.
    Without a name: the session before has ended, and the next one is not open yet.
    """

    name: str
    streams: tuple[str, ...]
    schema: bytes
    execution: str
    closed: bool = False

    @property
    def retired(self) -> bool:
        """Whether another session must be opened."""
        return not self.name


class Changed(msgspec.Struct, frozen=True, tag_field="outcome", tag="changed"):
    """A partition that was changed while an extract job read it, so that its files do not count.

    A query reads it as of the snapshot time instead. Stored under the name of the unit's receipt until there is one, so
    that all tasks do the same. job: the extract job.
    """

    unit: UnitId
    job: str


class GivenUp(msgspec.Struct, frozen=True, tag_field="outcome", tag="given up"):
    """A unit that a partial export lacks; no task can finish it any more.

    Stored under the name of the unit's receipt, so that only one of the two exists and all tasks see the same.
    """

    failure: Failure
