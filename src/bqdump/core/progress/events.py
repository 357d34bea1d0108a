"""The events of a run or a verification, passed to a listener as they happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from bqdump.core.documents.run import Failure, Plan, Receipt

Stage = Literal["planning", "exporting", "publishing", "published", "superseded", "failed", "listing", "reading"]


class Started(NamedTuple):
    """A task has started to work on a unit. table, bytes: of the unit."""

    unit: str
    table: str
    bytes: int
    task: int


class Advanced(NamedTuple):
    """This process has read `rows` of about `of` rows of a unit in this attempt."""

    unit: str
    rows: int
    of: int


class Looked(NamedTuple):
    """The state of all units, as read from the bucket: those that are started, done and failed."""

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
    """A verification begins to list, or to read, this many files and bytes."""

    stage: Literal["listing", "reading"]
    files: int
    bytes: int


class Checked(NamedTuple):
    """This many more files and bytes are verified."""

    files: int
    bytes: int


class TaskState(NamedTuple):
    """A task's process has started its attempt (from 0), or the task has ended."""

    task: int
    attempt: int
    state: Literal["running", "succeeded", "failed"]


Event = Plan | Started | Advanced | Receipt | Failure | Looked | Entered | Checking | Checked | TaskState
# May be called from any thread.
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""
