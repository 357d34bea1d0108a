"""The events of a run, a verification or a restore, passed to a listener as they happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from bqdump.core.documents.notes import RestoreFailure
from bqdump.core.documents.run import Failure, Plan, Receipt
from bqdump.core.restore.documents import Restored

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


class Started(NamedTuple):
    """A task has started to export a table or, where tasks share it, a piece of it. piece: its id. bytes: its size."""

    piece: str
    table: str
    bytes: int
    task: int


class Advanced(NamedTuple):
    """This process has read `rows` of about `of` rows of a piece in this attempt."""

    piece: str
    rows: int
    of: int


class Looked(NamedTuple):
    """What is started, done and failed, by piece, as read from the bucket."""

    started: Mapping[str, Started]
    receipts: Mapping[str, Receipt]
    failures: Mapping[str, Failure]


class Cleared(NamedTuple):
    """The staged files of an earlier run, which was never published, are deleted."""

    run: str
    files: int
    bytes: int


class Entered(NamedTuple):
    """The run has entered this stage."""

    stage: Stage


class Checking(NamedTuple):
    """Listing, reading, uploading or copying this many files and bytes begins."""

    stage: Literal["listing", "reading", "uploading", "copying"]
    files: int
    bytes: int


class Checked(NamedTuple):
    """This many more files and bytes are done."""

    files: int
    bytes: int


class Restoring(NamedTuple):
    """A restore of this many tables of an exported run, from files of this many bytes, begins."""

    restore: str
    run: str
    tables: int
    bytes: int


class TableStarted(NamedTuple):
    """A task has started to restore a table. number: in the plan. bytes: of its files."""

    number: int
    table: str
    bytes: int
    task: int


class JobEnded(NamedTuple):
    """A job that restores a table has ended. number: of the table in the plan. Times: ms since 1970 UTC.

    error: "" for success.
    """

    number: int
    id: str
    attempt: int
    created: int
    started: int
    ended: int
    error: str = ""


class Billed(NamedTuple):
    """BigQuery bills this many bytes for comparing values."""

    bytes: int


class Incomplete(NamedTuple):
    """A restore or drill ends without an error, but something is not restored, or not proven."""

    problem: str


class TaskState(NamedTuple):
    """A task's process has started its attempt (from 0), or the task has ended."""

    task: int
    attempt: int
    state: Literal["running", "succeeded", "failed"]


OfExport = Plan | Started | Advanced | Receipt | Failure | Looked
OfRestore = Restoring | TableStarted | Restored | RestoreFailure
Event = OfExport | OfRestore | JobEnded | Billed | Incomplete | Entered | Checking | Checked | TaskState
# May be called from any thread.
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""
