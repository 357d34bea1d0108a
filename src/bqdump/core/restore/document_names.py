"""The names of a restore's documents, each with a type."""

from __future__ import annotations

from typing import NamedTuple

from bqdump.core.documents.document import Document
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.notes import RestoreFailure
from bqdump.core.documents.run import Owner
from bqdump.core.restore.documents import Decision, Execution, Restored, SetExecution, Uploads
from bqdump.core.restore.result import Restoration


class RestoreLayout(NamedTuple):
    """Object names for one restore; `root` ends with a slash."""

    root: str

    @property
    def plan(self) -> Document[Decision]:
        """What was decided."""
        return Document(f"{self.root}plan.json", Decision, "page")

    @property
    def done(self) -> str:
        """The folder of what is restored."""
        return f"{self.root}done/"

    def receipt(self, number: int) -> Document[Restored]:
        """The proof that the table or object of this number is restored."""
        return Document(f"{self.done}{number:06d}.json", Restored, "note")

    @property
    def failures(self) -> str:
        """The folder of failures."""
        return f"{self.root}failures/"

    def failure(self, number: int, attempt: int, execution: str) -> Document[RestoreFailure]:
        """Why an attempt failed, as this execution has met it: a failure binds its own execution only."""
        return Document(f"{self.failures}{number:06d}/{attempt}-{execution}.json", RestoreFailure, "note")

    @property
    def files(self) -> str:
        """The folder of uploaded files, while the restore loads them."""
        return f"{self.root}files/"

    @property
    def finisher(self) -> Document[Owner]:
        """Which task restores what follows the tables."""
        return Document(f"{self.root}finisher.json", Owner)

    @property
    def result(self) -> Document[Restoration]:
        """The result of a restore that is complete."""
        return Document(f"{self.root}restored.json", Restoration)

    @property
    def report(self) -> str:
        """The same for people: a page."""
        return f"{self.root}report.html"

    def failed_report(self, execution: str) -> str:
        """The page about an execution in which something failed."""
        return f"{self.root}failed-{execution}.html"


class Restores(NamedTuple):
    """Object names of all restores of an export."""

    layout: Layout

    @property
    def restores(self) -> str:
        """The folder of all restores."""
        return f"{self.layout.state}restores/"

    @property
    def executions(self) -> str:
        """The folder of the notes which restore an execution takes part in."""
        return f"{self.layout.state}executions/"

    def execution(self, execution: str) -> Document[Execution]:
        """Which restore this execution takes part in."""
        return Document(f"{self.executions}{execution}.json", Execution)

    def set_execution(self, execution: str) -> Document[SetExecution]:
        """Which datasets of a set this execution restores."""
        return Document(f"{self.executions}sets/{execution}.json", SetExecution)

    @property
    def uploading(self) -> str:
        """The folder of lists of uploads, one for each restore that has uploaded files."""
        return f"{self.layout.state}uploads/"

    def uploads(self, mark: str) -> Document[Uploads]:
        """What the restore with this mark may upload."""
        return Document(f"{self.uploading}{mark}.json", Uploads)

    def restore(self, restore: str) -> RestoreLayout:
        """The names of one restore."""
        return RestoreLayout(f"{self.restores}{restore}/")
