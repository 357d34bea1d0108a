"""The small documents of a target that are about no single run: whose it is, and which runs there are.

The log: a note for each complete run, created once, when everything of its run is stored, and never changed. Its name
begins with the snapshot time, so that a listing is in the order of the runs. What is published is the newest one whose
run can be read.

What else publishing writes: latest.json, made from the log, and which run may write final names now.

The note on a drill: what it proved about an export. One listing returns the notes of all drills.

Sizes are bytes, counts are rows or objects, times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from bqdump.core.documents.document import FORMAT_VERSION, Count, ExportDocument, Mode, RunDocument, RunId, Time
from bqdump.core.documents.manifest import IcebergFile, Totals
from bqdump.core.times import milliseconds_of, time_of

if TYPE_CHECKING:
    from bqdump.core.documents.manifest_index import Contents

# In place of a dataset's name: all datasets of the project that are exported as a set, below this prefix.
SET = "*"


def source_of(project: str, dataset: str) -> str:
    """A dataset, or a set, in words."""
    return f"a set of datasets of {project}" if dataset == SET else f"{project}.{dataset}"


class PrefixOwner(msgspec.Struct, frozen=True):
    """The dataset, or the set, that a prefix belongs to, which run claimed it, and when by that machine's clock.

    released: nothing was planned, so the next dataset may have the prefix.
    """

    project: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]{0,100}$(?!\n)")]
    dataset: Annotated[str, Meta(pattern=r"^(?:\w{1,1024}|\*)$(?!\n)")]
    run: RunId
    claimed: Time
    released: bool = False
    format_version: int = FORMAT_VERSION

    @property
    def source(self) -> tuple[str, str]:
        """Project and dataset."""
        return self.project, self.dataset

    @property
    def owns(self) -> str:
        """The owner in words."""
        return source_of(self.project, self.dataset)


class Newest(msgspec.Struct, frozen=True):
    """The run that was planned last."""

    run: RunId
    format_version: int = FORMAT_VERSION


class Stages(msgspec.Struct, frozen=True):
    """A run that may have staged files: written before its plan, removed when its staging is known to be empty."""

    run: RunId


class Pointer(RunDocument, msgspec.Struct, frozen=True):
    """A run as `latest.json` names it."""

    run: RunId
    snapshot: Time
    manifest: str


class Erasing(msgspec.Struct, frozen=True):
    """An erasure that has begun: no run may be planned until it has ended.

    before: only exports whose rows are older are concerned (ms), 0 for all.
    given: what was written for that, as 30d is another time once it is repeated.
    at, by, reason: see Erased.
    """

    table: str
    at: Time
    by: str
    reason: str
    before: Time = 0
    given: str = ""


class Latest(ExportDocument, msgspec.Struct, frozen=True, kw_only=True):
    """The published run.

    uncleared: earlier runs whose stale files may not be deleted yet, also such that were never published.
    dataset: SET for a set, whose manifest says which exports belong together.
    number, over, oldest_snapshot_time: as in the manifest; of a set, how many datasets its run has published.
    carried: the number of its tables that are carried over.
    iceberg: the document with the metadata file of each Iceberg table, "" where the run has none.
    locked: this document is never written again; those below `pointers` show which run is published.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    number: Count = 0
    dataset: str
    project: str
    snapshot_time: str
    snapshot: Time
    status: Literal["complete", "partial"]
    mode: Mode
    manifest: str
    manifest_generation: Count
    uncleared: tuple[Pointer, ...] = ()
    over: str = ""
    carried: Count = 0
    oldest_snapshot_time: str = ""
    iceberg: str = ""
    locked: bool = False

    @property
    def of_set(self) -> bool:
        """Whether it is about a set of datasets."""
        return self.dataset == SET


# What the name of an entry begins with, and the run that follows.
NAME = re.compile(r"(?P<time>[0-9]{8}T[0-9]{6}\.[0-9]{3}Z)-(?P<run>[A-Za-z0-9][A-Za-z0-9_-]{0,99})\.json")


class LogEntry(ExportDocument, msgspec.Struct, frozen=True, kw_only=True):
    """A complete run in a few numbers.

    number, over, oldest_snapshot_time: as in the manifest.
    digest: SHA-256 of the manifest as it was stored, in hex.
    generation: of the manifest as it was stored.
    rows: the sum over its tables.
    begun, ended: the first creation and the last end of its own jobs (ms), 0 without jobs.
    iceberg: whether runs/<run>/iceberg.json names its Iceberg tables.
    locked: it is a copy whose objects are locked.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    number: Count = 0
    dataset: str
    project: str
    snapshot_time: str
    snapshot: Time
    status: Literal["complete", "partial"]
    mode: Mode
    digest: str
    generation: Count
    over: str = ""
    totals: Totals
    rows: Count
    skipped: Count
    failed: Count
    begun: Time
    ended: Time
    oldest_snapshot_time: str = ""
    iceberg: bool = False
    locked: bool = False


def entry_of(
    contents: Contents, manifest: bytes, generation: int, *, iceberg: bool = False, locked: bool = False
) -> LogEntry:
    """The entry of a run. contents, generation: of this manifest."""
    own = [line for line in contents.tables if line.carried is None]
    return LogEntry(
        run=contents.run,
        number=contents.number,
        dataset=contents.dataset,
        project=contents.project,
        snapshot_time=contents.snapshot_time,
        snapshot=contents.snapshot,
        status=contents.status,
        mode=contents.mode,
        digest=hashlib.sha256(manifest).hexdigest(),
        generation=generation,
        over=contents.over,
        totals=contents.totals,
        rows=sum(line.rows for line in contents.tables),
        skipped=len(contents.skipped),
        failed=len(contents.failed),
        begun=min((line.created for line in own), default=0),
        ended=max((line.ended for line in own), default=0),
        oldest_snapshot_time=contents.oldest_snapshot_time,
        iceberg=iceberg,
        locked=locked,
    )


def time_in_name(time: str) -> int | None:
    """The snapshot time (ms) that the name of an entry begins with; None where it is not a time."""
    with suppress(ValueError):
        return milliseconds_of(datetime.strptime(time, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC))
    return None


def entry_name(run: str, snapshot: int) -> str:
    """The name of a run's entry in the folder of the log."""
    return f"{time_of(snapshot):%Y%m%dT%H%M%S}.{snapshot % 1000:03d}Z-{run}.json"


class IcebergTables(msgspec.Struct, frozen=True, kw_only=True):
    """The Iceberg tables of a run: the metadata file of each, by the name of the table.

    It begins as the manifest has them. Prune moves it to files without the snapshots of deleted runs.

    rewritten: the files that prune has written, which are deleted with the run.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    tables: dict[str, str]
    rewritten: tuple[IcebergFile, ...] = ()


class Publishing(RunDocument, msgspec.Struct, frozen=True, omit_defaults=True):
    """The run that may write final names.

    manifest: the name of its intent.
    ready: set once all of its files are in place: the next latest.json, whichever task writes it.
    over: the runs that it has taken over from, which were never published: what they have placed is stale.
    """

    run: RunId
    snapshot: Time
    manifest: str
    ready: Latest | None = None
    over: tuple[Pointer, ...] = ()

    def runs(self, latest: Latest | None) -> set[str]:
        """The runs that may still be published: none once a later one is, which need not replace files itself."""
        if latest and latest.age > self.age:
            return set()
        return {pointer.run for pointer in (self, self.ready) if pointer}


class Intent(msgspec.Struct, frozen=True):
    """The final object names that a run is about to write."""

    run: RunId
    names: tuple[str, ...]
    format_version: int = FORMAT_VERSION


class Proofs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a drill found, by table: a fingerprint of the files that it restored.

    proven: of tables that came back with the export's values. different: of those that did not.
    """

    format_version: int = FORMAT_VERSION
    proven: dict[str, str]
    different: dict[str, str] = msgspec.field(default_factory=dict)


class Drill(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A restore into a scratch dataset that was compared with the export, and dropped.

    snapshot: of the run.
    began, ended: by BigQuery's clock.
    restored: when the last table was in place, by the same clock, before values were compared; 0 where none was.
    dataset: project and name of the scratch dataset.
    tables: the number of tables that came back with the export's values, of `of` tables that have rows in the export.
    objects: views and routines that came back.
    different: the number of tables with other rows or values than the export.
    failed: the number of tables and objects that could not be restored.
    problems: the first of these, in words.
    last: in a drill of some tables the last of them in alphabetical order, after which the next drill goes on.
    proofs: the SHA-256 of its Proofs, "" where no table is among them.
    altogether: the number of the run's tables that it and the drills before it have proven, with the same files.
    oldest: the end of the oldest of these drills.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    snapshot: Time
    dataset: str
    tool: str
    began: Time
    ended: Time
    restored: Time = 0
    tables: Count
    of: Count
    objects: Count = 0
    rows: Count = 0
    bytes: Count = 0
    billed: Count = 0
    different: Count = 0
    failed: Count = 0
    problems: tuple[str, ...] = ()
    last: str = ""
    proofs: str = ""
    altogether: Count = 0
    oldest: Time = 0

    @property
    def proven(self) -> bool:
        """Whether everything that it restored came back."""
        return not (self.different or self.failed)
