"""The restores of a place, as they are listed, and what is left after one was ended."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from bqdump.core.restore.documents import Decision, RestoreLayout
from bqdump.core.restore.names import JOB
from bqdump.core.restore.result import NotCreated
from bqdump.core.results import Result, public, rows_of

# running: one of its jobs is at work, or it has written a document within the last minutes. stopped: the same command
# resumes it. abandoned: stopped for longer than unfinished runs are kept. done: everything is restored.
RestoreState = Literal["running", "stopped", "abandoned", "done"]
# A task writes at least this often, except while its jobs are at work, in milliseconds.
QUIET_MS = 5 * 60 * 1000


@public
class ListedRestore(msgspec.Struct, frozen=True, kw_only=True):
    """A restore of which documents exist.

    state: `running`; `stopped`: the same command resumes it; `abandoned`: stopped long ago; `done`.
    run: that it restores.
    source: of a set, the exported dataset, else "".
    project, dataset: the target.
    began, changed: when it was planned, and when its last document was written, None where the store does not say.
    restored: the number of tables and objects that are in place.
    failed: what its executions could not restore, by the last attempt of each.
    """

    restore: str
    state: RestoreState
    run: str
    source: str
    project: str
    dataset: str
    began: datetime
    changed: datetime | None
    restored: int
    failed: tuple[NotCreated, ...] = ()


@public
class AbortedRestore(msgspec.Struct, frozen=True, kw_only=True):
    """A restore that was ended: what was cancelled, dropped and deleted.

    tables: scratch tables.
    files: uploads.
    begun: tables of the target that it has begun and that stay, empty or complete.
    restored: tables that it has restored, which may lack what comes last: foreign keys, policies and expirations.
    left: objects in its folder that it had not named, which stay.
    """

    restore: str
    jobs: int
    tables: int
    files: int
    bytes: int
    documents: int
    begun: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@public
class RestoreList(Result, frozen=True, kw_only=True):
    """The restores of a place, the newest first.

    aborted: the one that was ended on request.
    damaged: those with a document that cannot be read: the problem of each, by its id.
    """

    restores: tuple[ListedRestore, ...]
    aborted: AbortedRestore | None = None
    damaged: Mapping[str, str] = msgspec.field(default_factory=dict)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The restores as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`."""
        return rows_of(self.restores)


def jobs_of(decision: Decision, jobs: Iterable[str]) -> set[str]:
    """Those of these jobs that are a restore's."""
    own = re.compile(JOB.format(restore=re.escape(decision.mark)))
    return {job for job in jobs if own.fullmatch(job)}


class Written(Protocol):
    """An object, and when it was written."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def updated(self) -> int:
        """In milliseconds since 1970 UTC."""


def has_ended(layout: RestoreLayout, objects: Sequence[Written]) -> bool:
    """Whether the last document is the page that an execution writes at its end where something failed."""
    failed = layout.failed_report("").removesuffix(".html")
    pages = [page.updated for page in objects if page.name.startswith(failed)]
    return bool(pages) and max(pages) >= max(page.updated for page in objects)


def state_of(
    *, done: bool, at_work: bool, changed: int, now: int, abandoned_ms: int, ended: bool = False
) -> RestoreState:
    """The state of a restore. changed: when its last document was written, 0 if not known. Times are ms since 1970 UTC.

    abandoned_ms: how long after that it is abandoned; 0: never.
    ended: its last execution has ended, with failures.
    """
    if done:
        return "done"
    if at_work or (now - changed < QUIET_MS and not ended):
        return "running"
    return "abandoned" if 0 < abandoned_ms < now - changed and changed else "stopped"
