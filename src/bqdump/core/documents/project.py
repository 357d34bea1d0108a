"""The documents of a set: several datasets of a project that are exported at one snapshot time.

Each dataset is an export of its own, below a folder of its own; these documents name the exports that belong together.
Counts are tables, rows or files, sizes are bytes, times are milliseconds since 1970 UTC, or strings in RFC 3339.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bqdump.core.documents.fields import FORMAT_VERSION, Count, Nonce, RunId, Time
from bqdump.core.documents.run import OfRun, Owner
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
    """A dataset of the last set that the next one does not have, and why. run, snapshot_time: of its export.

    The export stays where it is.
    """

    dataset: Name
    reason: LeavingReason
    run: str
    snapshot_time: str


class ProjectPlan(OfRun, msgspec.Struct, frozen=True, kw_only=True):
    """The frozen list of datasets that one run exports to one target.

    names: the setting `dataset`. listing: the object with their tables, as they were listed at the snapshot time.
    over: the set that it was compared with, "" for none. planned: when planning began, by BigQuery's clock.
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
    together: bool
    listing: str
    datasets: tuple[Member, ...]
    skipped: tuple[SkippedDataset, ...] = ()
    removed: tuple[RemovedDataset, ...] = ()
    over: str = ""
    planned: Time = 0


class Listings(msgspec.Struct, frozen=True):
    """The tables of each dataset of a set, in the order of the plan."""

    datasets: tuple[tuple[Listed, ...], ...]


class Ready(msgspec.Struct, frozen=True):
    """A dataset has its plan, or every table of it is exported: see the folder. number: in the set's plan."""

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


@public
class DatasetEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset of a set. run, snapshot_time, manifest: of its published export; "" where it has none.

    state: `superseded`: a later run of this dataset is published. `failed`: the set's run has not published it, for the
    reason in `problem`; `run` is the one that was published before.
    manifest: the name of the object. rows: exported rows, of tables for which they are known.
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


class Project(OfRun, msgspec.Struct, frozen=True, kw_only=True):
    """The exports that belong together: of all datasets of a set, by one run, at one snapshot time.

    status: `partial` if the run has not published every one of them. prefix: of the set; each dataset's export is below
    `{prefix}{dataset}/`. removed: datasets of the set before that this one does not have.
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
