"""The documents of a set: several datasets of a project that are exported at one snapshot time.

Each dataset is an export of its own, below a folder of its own; these documents name the exports that belong together.
Counts are tables, rows or files, sizes are bytes, times are milliseconds since 1970 UTC, or strings in RFC 3339.

The names of the documents of a set's run, each with a type.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bqdump.core.documents.document import (
    FORMAT_VERSION,
    At,
    Count,
    Document,
    Nonce,
    Notes,
    Path,
    RunDocument,
    RunId,
    Time,
)
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import SET
from bqdump.core.documents.unchanged import Reading
from bqdump.core.documents.units import Claim, Folders
from bqdump.core.results import public
from bqdump.core.tables.catalog import Listed

Name = Annotated[str, Meta(pattern=r"^\w{1,1024}$(?!\n)")]
# Why a dataset of the last set is not in the next one.
LeavingReason = Literal["excluded", "dropped", "skipped"]
DatasetState = Literal["published", "superseded", "failed"]


class Member(msgspec.Struct, frozen=True):
    """A dataset of a set, and how many tables the patterns chose when it was listed. problem: why it was not listed."""

    dataset: Name
    location: str
    tables: Count
    problem: str = ""


@public
class SkippedDataset(msgspec.Struct, frozen=True):
    """A dataset that the patterns match and that is not exported, and why."""

    dataset: Name
    reason: str


@public
class RemovedDataset(msgspec.Struct, frozen=True):
    """A dataset of the last set that the next one does not have, and why.

    run, snapshot_time: of its export.

    The export stays where it is.
    """

    dataset: Name
    reason: LeavingReason
    run: str
    snapshot_time: str


class SetPlan(RunDocument, msgspec.Struct, frozen=True, kw_only=True):
    """The frozen list of datasets that one run exports to one target.

    names: the setting `dataset`.
    listing: the object with their tables, as they were listed at the snapshot time.
    over: the set that it was compared with, "" for none.
    planned: when planning began, by BigQuery's clock.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    tool: str
    nonce: Nonce
    project: str
    names: str
    snapshot: Time
    settings: dict[str, Any]
    digest: str
    listing: str
    datasets: tuple[Member, ...]
    skipped: tuple[SkippedDataset, ...] = ()
    removed: tuple[RemovedDataset, ...] = ()
    over: str = ""
    planned: Time = 0


class Listings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The tables of each dataset of a set, in the order of the plan.

    early: readings of tables from before the snapshot time, by name, of each dataset; empty where none was taken.
    """

    datasets: tuple[tuple[Listed, ...], ...]
    early: tuple[dict[str, Reading], ...] = ()

    def early_of(self, number: int) -> dict[str, Reading]:
        """Those of the dataset of this number in the plan."""
        return self.early[number] if self.early else {}


class DatasetPlanned(msgspec.Struct, frozen=True):
    """A dataset has its plan. number: in the set's plan."""

    number: Count
    bills: Count = 0


class Ended(msgspec.Struct, frozen=True, omit_defaults=True):
    """The export of a dataset has ended; published, or a later run is. The fields are those of DatasetEntry."""

    number: Count
    state: Literal["published", "superseded"]
    run: RunId
    snapshot: Time
    manifest_generation: Count
    status: Literal["complete", "partial"]
    tables: Count = 0
    rows: Count = 0
    files: Count = 0
    bytes: Count = 0


class DatasetFailure(msgspec.Struct, frozen=True):
    """Why a dataset cannot be exported, in one sentence. It binds the tasks of its own execution only."""

    number: Count
    message: str
    owner: Owner

    @property
    def attempt(self) -> int:
        """An execution has one at each dataset."""
        return 0


@public
class DatasetEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset of a set.

    run, snapshot_time, manifest: of its published export; "" where it has none.
    state: `superseded`: a later run of this dataset is published. `failed`: the set's run has not published it, for
        the reason in `problem`; `run` is the one that was published before.
    manifest: the name of the object.
    rows: exported rows, of tables for which they are known.
    """

    dataset: Name
    location: str
    state: DatasetState
    run: str
    snapshot_time: str
    manifest: str
    manifest_generation: Count
    status: Literal["complete", "partial", ""] = ""
    tables: Count = 0
    rows: Count = 0
    files: Count = 0
    bytes: Count = 0
    problem: str = ""


class SetManifest(RunDocument, msgspec.Struct, frozen=True, kw_only=True):
    """The exports that belong together: of all datasets of a set, by one run, at one snapshot time.

    status: `partial` if the run has not published every one of them.
    prefix: of the set; each dataset's export is below `{prefix}{dataset}/`.
    removed: datasets of the set before that this one does not have.
    locked: this document is never written again; the pointers of the place show which set is published.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    tool: str
    status: Literal["complete", "partial"]
    project: str
    prefix: str
    snapshot_time: str
    snapshot: Time
    datasets: tuple[DatasetEntry, ...]
    skipped: tuple[SkippedDataset, ...] = ()
    removed: tuple[RemovedDataset, ...] = ()
    locked: bool = False

    @property
    def dataset(self) -> str:
        """In place of a dataset's name: all of them together."""
        return SET

    @property
    def published(self) -> int:
        """How many datasets the run has published."""
        return sum(entry.run == self.run for entry in self.datasets)

    @property
    def digest(self) -> str:
        """What tells the manifests of one run apart, of which a later one may have more datasets."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


# What is below the folder of a set's run, as SetLayout names it.
DOCUMENTS = re.compile(
    r"(plan|planner)\.json|listing-[0-9a-f]{1,32}\.json|report\.html"
    r"|notified/[^/]+\.json|(planned|receipts)/\d+\.json|failures/\d+/[^/]+\.json|[0-9a-f]{16}/(manifest|signature(-[0-9a-f]{16})?)\.json",
    re.DOTALL,
)


class SetLayout(msgspec.Struct, frozen=True):
    """Object names for one run of a set; `root` ends with a slash."""

    root: str

    # The frozen list of datasets.
    plan = At("plan.json", SetPlan, "page")
    # Which task plans the datasets, one after another, while the others work on those that are planned.
    planner = At("planner.json", Owner)
    # The page that lists the datasets.
    report = Path("report.html")
    # The folder of notes on datasets that have their plans.
    plans = Path("planned/")
    # The folder of notes on datasets whose exports have ended.
    receipts = Path("receipts/")
    # The folder of failures.
    failures = Path("failures/")

    @property
    def pool(self) -> Folders[Ended, DatasetFailure]:
        """The notes on its datasets. Nobody claims any."""
        claims = Notes(f"{self.root}claims/", Claim)
        return Folders(claims, Notes(self.receipts, Ended), Notes(self.failures, DatasetFailure))

    def item_of(self, note: str) -> int | None:
        """The number of the dataset that a note is about."""
        number = note.removeprefix(self.root).partition("/")[2].partition("/")[0].removesuffix(".json")
        return int(number) if number.isdecimal() else None

    def listing(self, nonce: str) -> Document[Listings]:
        """The tables of each dataset at the snapshot time."""
        return Document(f"{self.root}listing-{nonce}.json", Listings)

    def planned(self, number: int) -> Document[DatasetPlanned]:
        """The note that a dataset has its plan."""
        return Document(f"{self.plans}{number:05d}.json", DatasetPlanned, "note")

    def receipt(self, number: int) -> Document[Ended]:
        """The note that a dataset's export has ended."""
        return Document(f"{self.receipts}{number:05d}.json", Ended, "note")

    def failure(self, number: int, execution: str) -> Document[DatasetFailure]:
        """Why a dataset cannot be exported, as this execution has met it."""
        return Document(f"{self.failures}{number:05d}/{execution}.json", DatasetFailure, "note")

    def notified(self, event: str, execution: str) -> Document[Owner]:
        """See RunLayout."""
        return Document(f"{self.root}notified/{event}-{execution}.json", Owner)

    def posted(self, event: str) -> Document[Owner]:
        """See RunLayout."""
        return Document(f"{self.root}notified/{event}.json", Owner)

    def manifest(self, digest: str) -> Document[SetManifest]:
        """Which exports belong together, where objects are locked. Its signature is beside it."""
        return Document(f"{self.root}{digest}/manifest.json", SetManifest, "page")


def is_document(name: str, run: SetLayout) -> bool:
    """Whether an object of this name is one of the documents of a set's run."""
    return name.startswith(run.root) and DOCUMENTS.fullmatch(name, len(run.root)) is not None
