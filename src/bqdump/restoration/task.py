"""The context of every step of a restore: the ports, the settings, what was requested, and the task's identity."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from bqdump.check.read_back import ReadOptions
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import File, Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.progress.events import Listener, ignore
from bqdump.core.restore.documents import Decision, RestoreLayout, Restores
from bqdump.core.restore.plan import Options, RestorePlan
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.destination import Destination
from bqdump.ports.signer import Signer
from bqdump.ports.store import ObjectStore


class Via(NamedTuple):
    """A bucket for the documents of the restore, so that the export's may be read-only, and for uploaded files."""

    store: ObjectStore
    target: Target


class Request(NamedTuple):
    """What is restored.

    run: "" for the published run.
    yes: the source dataset itself may be changed.
    compares: whether values are compared with the files as well.
    reading: what the files are read with for that, None in a plan.
    on_bill: called with the bytes billed for that.
    spent: what other datasets have billed.
    again: tables are replaced again that a finished restore of the same has replaced.
    """

    options: Options
    run: str = ""
    yes: bool = False
    compares: bool = False
    reading: ReadOptions | None = None
    on_bill: Callable[[int], None] = lambda bytes_billed: None
    spent: int = 0
    finish_run: bool = False
    again: bool = False


class Task(NamedTuple):
    """One task of a restore: `owner.task` of `tasks`.

    store: where the export is.
    tell: is called with each event.
    documents: where the documents of the restore are instead of there, for a restore that nothing resumes.
    dataset: of a set, the exported dataset; else "".
    signer: signs the note on a drill.
    """

    store: ObjectStore
    destination: Destination
    settings: Settings
    request: Request
    owner: Owner
    tasks: int
    via: Via | None = None
    tell: Listener = ignore
    documents: ObjectStore | None = None
    dataset: str = ""
    signer: Signer | None = None

    def requesting(self, **changes: Any) -> Task:
        """The same task with these changes of its request."""
        return self._replace(request=self.request._replace(**changes))

    @property
    def state(self) -> ObjectStore:
        """Where the documents of restores are."""
        return self.documents or self.bucket

    @property
    def bucket(self) -> ObjectStore:
        """Where files are uploaded to, if the export is not in a bucket."""
        return self.via.store if self.via else self.store

    @property
    def layout(self) -> Layout:
        """The names of these documents."""
        return Layout(self.via.target.prefix) if self.via else self.settings.layout

    @property
    def uploads_files(self) -> bool:
        """Whether load jobs read copies of the files, as BigQuery cannot read the target of the export."""
        return not self.settings.target.bucket


class RunningRestore(NamedTuple):
    """A task with what was decided, and what follows from it.

    uploads: room for the files uploaded at a time.
    comparing: room for comparisons, as one reads files with all of this machine.
    known: see find_rivals.
    resumed: an earlier start, or another task, may have restored a part.
    """

    task: Task
    decision: Decision
    manifest: Manifest
    plan: RestorePlan
    uploads: asyncio.Semaphore
    comparing: asyncio.Semaphore
    known: dict[str, frozenset[str]]
    resumed: bool = False

    @property
    def state(self) -> ObjectStore:
        """Where the documents of the restore are."""
        return self.task.state

    @property
    def destination(self) -> Destination:
        """The warehouse that receives the tables."""
        return self.task.destination

    @property
    def layout(self) -> RestoreLayout:
        """The names of the documents of this restore."""
        return Restores(self.task.layout).of(self.decision)

    @property
    def id(self) -> str:
        """The restore's id."""
        return self.decision.restore

    @property
    def mark(self) -> str:
        """What its jobs, its scratch tables and the labels of tables in progress carry."""
        return self.decision.mark

    @property
    def owner(self) -> Owner:
        """Which task of which execution this is."""
        return self.task.owner

    @property
    def target(self) -> Dataset:
        """The dataset that receives the tables."""
        return self.plan.target

    @property
    def labels(self) -> dict[str, str]:
        """The labels of all jobs."""
        return self.task.settings.labels

    @property
    def uploads_files(self) -> bool:
        """See Task."""
        return self.task.uploads_files

    def uploaded(self, name: str) -> str:
        """The object that a file is uploaded to."""
        return f"{self.layout.files}{name}"

    def addresses(self, files: tuple[File, ...]) -> tuple[str, ...]:
        """Where load jobs find files: gs://…"""
        if self.task.via and self.uploads_files:
            return tuple(self.task.via.target.uri(self.uploaded(file.name)) for file in files)
        return tuple(self.task.settings.target.uri(file.name) for file in files)
