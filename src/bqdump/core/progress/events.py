"""What happens in a run or a verification, told as it happens to whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from bqdump.core.documents.run import Failure, Plan, Receipt

Stage = Literal["planning", "exporting", "publishing", "published", "superseded", "failed", "listing", "reading"]


class Started(NamedTuple):
    """A task is at work on a unit: a table of so many bytes."""

    unit: str
    table: str
    bytes: int
    task: int


class Advanced(NamedTuple):
    """A unit of about `of` rows is being read by this process, which has come to so many of them in this attempt."""

    unit: str
    rows: int
    of: int


class Looked(NamedTuple):
    """What a look around has shown, by unit: who works on it, what is done, what has failed."""

    started: Mapping[str, Started]
    receipts: Mapping[str, Receipt]
    failures: Mapping[str, Failure]


class Cleared(NamedTuple):
    """The staged files of an earlier run that never published them have been deleted."""

    run: str
    files: int
    bytes: int


class Entered(NamedTuple):
    """The run has come to this stage."""

    stage: Stage


class Checking(NamedTuple):
    """A verification comes to so many files of so many bytes: listed, or read as well."""

    stage: Literal["listing", "reading"]
    files: int
    bytes: int


class Checked(NamedTuple):
    """So many more of its files are done, and so many more of their bytes."""

    files: int
    bytes: int


class TaskState(NamedTuple):
    """A task's process: its attempt (from 0) has begun, or the task has ended."""

    task: int
    attempt: int
    state: Literal["running", "succeeded", "failed"]


Event = Plan | Started | Advanced | Receipt | Failure | Looked | Entered | Checking | Checked | TaskState
# May be called in any thread.
Listener = Callable[[Event], None]


def nobody(event: Event) -> None:
    """The listener where nobody listens."""
