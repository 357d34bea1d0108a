"""The documents of a run, from plan to receipt, frozen: each is stored, and the next step needs nothing else.

What readers follow is in `core.manifest`.

Sizes are bytes, counts are rows or files, times are milliseconds since 1970 UTC unless they are text (RFC 3339).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bqdump.core.plan.shape import WHOLE, Shape
from bqdump.core.results import public
from bqdump.core.risks import Risk
from bqdump.core.times import time_in

FORMAT_VERSION = 1

# What BigQuery and Cloud Storage count fits into 63 bits.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Attempt = Annotated[int, Meta(ge=0, le=999)]
# Up to the end of the year 9999, the last that can be written as text.
Time = Annotated[int, Meta(ge=0, lt=253_402_300_800_000)]
# Python's $ stands before a line break at the end, too.
RunId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$(?!\n)")]
UnitId = Annotated[str, Meta(pattern=r"^[0-9]{5,9}-[0-9]{5,9}$(?!\n)")]
Nonce = Annotated[str, Meta(pattern=r"^[0-9a-f]{1,32}$(?!\n)")]

# Whether an export replaces the files of the one before, or each run keeps a folder of its own.
Mode = Literal["replace", "keep"]

# When a table is read: at the plan's snapshot time, or when its job runs (views have no past, for example).
Moment = Literal["snapshot", "job"]


class Share(msgspec.Struct, frozen=True, array_like=True):
    """Where one task's part of the units lies in the units object, and how much it is.

    crc32: of these bytes. A part of an object is read without a checksum of Cloud Storage's.
    """

    offset: Count
    length: Count
    units: Count
    bytes: Count
    crc32: Count


class Split(msgspec.Struct, frozen=True, array_like=True):
    """A table that several units share: each has its part of the streams of one read session, in this order."""

    table: str
    units: tuple[UnitId, ...]


@public
class Skipped(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object of the dataset that is not exported, and why. asked: the user wants it so (`--on-unsupported skip`)."""

    table: str
    kind: str
    reason: str
    asked: bool = False


# Why a table of the published export is not in the next one.
RemovalReason = Literal["excluded", "dropped", "dataset-empty", "skipped"]


@public
class Removed(msgspec.Struct, frozen=True):
    """A table that an export removes from the published one, why, and what that had: of which run, as of when.

    rows: as exported where that is known, else as planned; None for a table whose last export failed.
    """

    table: str
    reason: RemovalReason
    run: RunId
    snapshot_text: str = msgspec.field(name="snapshot_time")
    rows: Count | None

    @property
    def snapshot_time(self) -> datetime | None:
        """The snapshot time of that run."""
        return time_in(self.snapshot_text)


@public
class Flag(msgspec.Struct, frozen=True):
    """One risk that an export has met, about one table, or (table "") about all of it.

    columns: those that it is about. allowed: the run went on all the same, because a setting says so or the risk
    loses nothing; False is found in drafts only, for a run that is not allowed plans nothing.
    """

    risk: Risk
    table: str
    columns: tuple[str, ...]
    detail: str
    allowed: bool


class Unit(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is exported at once: a table, or a part of it where the plan splits it among tasks.

    `rows` and `bytes` are what BigQuery said while planning; of a part its share of them.

    `pattern` is the final object name with one `*`, below the bucket. `why` tells why it goes by its route.
    `format` and `compression` are those of the settings where they are empty. `bills`: the bytes that its query will
    bill, by a dry run; more where `bills_at_least`.
    """

    id: UnitId
    table: str
    kind: str
    route: str
    rows: Count
    bytes: Count
    pattern: str
    definition: msgspec.Raw
    why: str = ""
    format: str = ""
    compression: str = ""
    shape: Shape = WHOLE
    moment: Moment = "snapshot"
    bills: Count | None = None
    bills_at_least: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The frozen list of units of a run; the units themselves lie in the object `units`, one JSON line each.

    splits: the tables of which each unit is a part only. planned: when planning began, by BigQuery's clock; 0 in plans
    of versions that did not tell.
    over: the published run that it was compared with, "" for none. removed: tables of that run which the export does
    not have any more. kept: tables that it carries over as they are.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    tool: str
    nonce: Nonce
    project: str
    dataset: str
    location: str
    snapshot: Time
    mode: Mode
    settings: dict[str, Any]
    digest: str
    units: str
    shares: tuple[Share, ...]
    tables: Count
    rows: Count
    bytes: Count
    skipped: tuple[Skipped, ...]
    excluded: Count
    bills: Count = 0
    flags: tuple[Flag, ...] = ()
    splits: tuple[Split, ...] = ()
    planned: Time = 0
    over: str = ""
    removed: tuple[Removed, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def unit_count(self) -> int:
        """How many units it has: one for each table, or several."""
        return sum(share.units for share in self.shares)

    @property
    def began(self) -> int:
        """When the run began, as far as its plan tells: a snapshot time of the user's may be days before."""
        return self.planned or self.snapshot

    @property
    def age(self) -> tuple[int, str]:
        """What orders runs: the later moment wins, the run id breaks a tie."""
        return (self.snapshot, self.run)

    @property
    def job_prefix(self) -> str:
        """What the ids of all jobs of the run begin with."""
        return f"bqdump_{self.run}_{self.nonce}_"

    def has(self, unit: str) -> bool:
        """Whether the plan has a unit of this id."""
        share, _, number = unit.partition("-")
        if not (share.isdecimal() and number.isdecimal() and int(share) < len(self.shares)):
            return False
        return int(number) < self.shares[int(share)].units


@public
class Owner(msgspec.Struct, frozen=True):
    """One task of one execution; a restarted task is the same owner."""

    execution: str
    task: Count


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who works on a unit, and for those who look on: a table of so many bytes, as planned.

    again: the unit has a receipt already, of a session that has been retired.
    """

    owner: Owner
    table: str = ""
    bytes: Count = 0
    again: str = ""


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="outcome", tag="done"):
    """The proof that a unit is done: the job that did it, its number of files, its times as BigQuery tells them.

    rows: how many were exported, where the route tells it. billed: bytes that its query has billed.
    risks: what exporting it has told of, beyond planning, and the settings allow. first: the number of its first
    file.
    """

    unit: UnitId
    table: str
    job: str
    attempt: Attempt
    files: Count
    created: Time
    started: Time
    ended: Time
    task: Count
    rows: Count | None = None
    billed: Count | None = None
    risks: tuple[Risk, ...] = ()
    first: Count = 0


class Reading(msgspec.Struct, frozen=True):
    """An attempt at a unit by the read route, and whose it is; `nonce` tells tries of one owner apart."""

    owner: Owner
    nonce: str


class SharedSession(msgspec.Struct, frozen=True, omit_defaults=True):
    """The read session of a table that several units share: the one by which all of its parts are read.

    schema: of its rows, as an Arrow IPC message. execution: whose task has opened it. closed: the parts are settled.
    Without a name: the one before has ended, and nobody has opened another one yet.
    """

    name: str
    streams: tuple[str, ...]
    schema: bytes
    execution: str
    closed: bool = False

    @property
    def retired(self) -> bool:
        """Whether another session is to be opened."""
        return not self.name


@public
class Failure(msgspec.Struct, frozen=True):
    """Why an attempt at a unit failed for good, in one sentence; binding within its execution."""

    unit: UnitId
    table: str
    job: str
    attempt: Attempt
    reason: str
    message: str
    owner: Owner


class GivenUp(msgspec.Struct, frozen=True, tag_field="outcome", tag="given up"):
    """The other end of a unit: a partial export goes without it, and nobody can finish it any more.

    Stored under the name of the unit's receipt, so that there is one of the two, and every task sees the same.
    """

    failure: Failure
