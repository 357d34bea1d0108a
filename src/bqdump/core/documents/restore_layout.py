"""The names of a restore's documents, each with a type."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bqdump.core.documents.document import Document
from bqdump.core.documents.run import Owner

if TYPE_CHECKING:
    from bqdump.core.documents.restore import Decision, Restored, RestoreFailure
    from bqdump.core.restore.result import Restoration


class RestoreLayout(NamedTuple):
    """Object names for one restore; `root` ends with a slash."""

    root: str

    @property
    def plan(self) -> Document[Decision]:
        """What was decided."""
        from bqdump.core.documents.restore import Decision

        return Document(f"{self.root}plan.json", Decision, "page")

    @property
    def done(self) -> str:
        """The folder of what is restored."""
        return f"{self.root}done/"

    def receipt(self, number: int) -> Document[Restored]:
        """The proof that the table or object of this number is restored."""
        from bqdump.core.documents.restore import Restored

        return Document(f"{self.done}{number:06d}.json", Restored, "note")

    @property
    def failures(self) -> str:
        """The folder of failures."""
        return f"{self.root}failures/"

    def failure(self, number: int, attempt: int, execution: str) -> Document[RestoreFailure]:
        """Why an attempt failed, as this execution has met it: a failure binds its own execution only."""
        from bqdump.core.documents.restore import RestoreFailure

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
        from bqdump.core.restore.result import Restoration

        return Document(f"{self.root}restored.json", Restoration)

    @property
    def report(self) -> str:
        """The same for people: a page."""
        return f"{self.root}report.html"

    def failed_report(self, execution: str) -> str:
        """The page about an execution in which something failed."""
        return f"{self.root}failed-{execution}.html"
