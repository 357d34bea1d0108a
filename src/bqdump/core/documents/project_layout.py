"""The names of the documents of a set's run, each with a type."""

from __future__ import annotations

import re
from typing import NamedTuple

from bqdump.core.documents.document import Document
from bqdump.core.documents.project import DatasetFailure, Ended, Listings, ProjectPlan, Ready
from bqdump.core.documents.run import Owner

# What is below the folder of a set's run, as ProjectLayout names it.
DOCUMENTS = re.compile(
    r"(plan|planner)\.json|listing-[0-9a-f]{1,32}\.json|report\.html"
    r"|(planned|ready|ended)/\d+\.json|failures/\d+/[^/]+\.json",
    re.DOTALL,
)


class ProjectLayout(NamedTuple):
    """Object names for one run of a set; `root` ends with a slash."""

    root: str

    @property
    def plan(self) -> Document[ProjectPlan]:
        """The frozen list of datasets."""
        return Document(f"{self.root}plan.json", ProjectPlan, "page")

    def listing(self, nonce: str) -> Document[Listings]:
        """The tables of each dataset at the snapshot time."""
        return Document(f"{self.root}listing-{nonce}.json", Listings)

    @property
    def planner(self) -> Document[Owner]:
        """Which task plans the datasets, one after another, while the others work on those that are planned."""
        return Document(f"{self.root}planner.json", Owner)

    def planned(self, number: int) -> Document[Ready]:
        """The note that a dataset has its plan."""
        return Document(f"{self.root}planned/{number:05d}.json", Ready, "note")

    def ready(self, number: int) -> Document[Ready]:
        """The note that every table of a dataset is exported, where all are published together."""
        return Document(f"{self.root}ready/{number:05d}.json", Ready, "note")

    def ended(self, number: int) -> Document[Ended]:
        """The note that a dataset's export has ended."""
        return Document(f"{self.root}ended/{number:05d}.json", Ended, "note")

    def failure(self, number: int, execution: str) -> Document[DatasetFailure]:
        """Why a dataset cannot be exported, as this execution has met it."""
        return Document(f"{self.root}failures/{number:05d}/{execution}.json", DatasetFailure, "note")

    @property
    def report(self) -> str:
        """The page that lists the datasets."""
        return f"{self.root}report.html"


def is_document(name: str, run: ProjectLayout) -> bool:
    """Whether an object of this name is one of the documents of a set's run."""
    return name.startswith(run.root) and DOCUMENTS.fullmatch(name, len(run.root)) is not None
