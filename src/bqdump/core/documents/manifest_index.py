"""The index of a manifest, made from the manifest.

A manifest has the definition of every table and the name of every file: 1 KB or more for each table. The index has a
line of numbers for each table, with the place of its entry in the manifest.

The origin of a manifest's tables: when and with which settings each was exported, and phrases about many of them.
"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bqdump.core.documents.document import LARGEST, Count, ReadAt, Time
from bqdump.core.documents.fingerprints import Seen, Side, fingerprint
from bqdump.core.documents.manifest import Carried, Head, Manifest, TableEntry
from bqdump.core.sizes import counted

# A place within a manifest, in bytes.
Place = Annotated[int, Meta(ge=0, le=LARGEST)]


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A table of an export. `rows` as exported where that is known, else as planned; `bytes` as planned.

    size: of the files.
    schema: a fingerprint of its columns.
    offset, length: the place of its entry in the manifest, in bytes.
    why: why it was not read at the snapshot time, where read_at is "job".
    content, made, modified, look, steady, at, empty: see `fingerprints.Side`.
    carried: set where an earlier run exported it.
    earlier: bytes of files that earlier runs exported.
    """

    table: str
    kind: str
    route: str
    unit: str
    rows: Count
    bytes: Count
    files: Count
    size: Count
    created: Time
    started: Time
    ended: Time
    task: Count
    attempt: Count
    schema: str
    offset: Place
    length: Place
    read_at: ReadAt = "snapshot"
    why: str = ""
    content: str = ""
    made: str = ""
    modified: Time = 0
    carried: Carried | None = None
    earlier: Count = 0
    look: str = ""
    steady: bool = False
    at: Time = 0
    empty: bool = False

    @property
    def side(self) -> Side:
        """Its values for a comparison with the same table of another export."""
        known = Seen(self.look, self.steady, self.at, self.empty)
        return Side(self.rows, self.bytes, self.content, self.made, self.modified, *known)


class Contents(Head, frozen=True, kw_only=True):
    """A manifest without definitions and files."""

    tables: tuple[Line, ...]

    def files_of(self, line: Line) -> str:
        """A fingerprint of the files of a table: who exported them, their bytes, how they were made, and its columns.

        Those of partitions that were all exported earlier, in whichever runs, are told by their bytes.
        """
        origin = line.carried or self
        mixed = line.carried is None and 0 < line.earlier == line.size
        by = [] if mixed else [origin.run, origin.snapshot]
        return fingerprint([by, line.content, line.made, line.schema])


def is_job(name: str) -> bool:
    """Whether this is the id of one of bqdump's jobs, and not a read session."""
    return name.startswith("bqdump_")


def attempt_of(job: str) -> int:
    """The attempt of a job, from 0: the last part of its id."""
    number = job.rpartition("_")[2]
    return int(number) if is_job(job) and number.isdecimal() and len(number) <= 3 else 0


def settings_of(manifest: Head, entry: TableEntry) -> dict[str, Any]:
    """The settings with which a table of a manifest was exported."""
    return manifest.settings | entry.carried.settings if entry.carried else manifest.settings


def snapshot_of(manifest: Manifest, entry: TableEntry) -> int:
    """The time (ms) as of which a table of a manifest is: of an unchanged table, the manifest's snapshot time."""
    return entry.carried.as_of if entry.carried else manifest.snapshot


def read_time_of(manifest: Manifest, entry: TableEntry) -> int:
    """The time (ms) at which the files of a table of a manifest were read: the snapshot time of the run that did."""
    return entry.carried.snapshot if entry.carried else manifest.snapshot


def earlier_bytes(entry: TableEntry) -> int:
    """The bytes of a table's files that earlier runs exported. The manifests of these runs name them as well."""
    sizes = iter([file.size for file in entry.files])
    if entry.carried:
        return sum(sizes)
    parts = [(partition.carried, sum(islice(sizes, partition.files))) for partition in entry.partitions]
    return sum(size for carried, size in parts if carried)


def unchanged_tables(reused: int) -> str:
    """A phrase about tables that were not exported again; "" where there are none."""
    return f"{counted(reused, 'table')} unchanged since earlier runs" if reused else ""


def unchanged_parts(tables: int, partitions: int) -> str:
    """A phrase about tables and partitions that were not exported again; "" where there are none."""
    counts = [counted(count, word) for count, word in ((tables, "table"), (partitions, "partition")) if count]
    return f"{' and '.join(counts)} unchanged since earlier runs" if counts else ""


def mixed_times(carried: int, oldest_snapshot_time: str) -> str:
    """A phrase about tables that are older than their export; "" where none is."""
    if not carried:
        return ""
    return f"{counted(carried, 'table')} carried over from earlier runs, the oldest as of {oldest_snapshot_time}"
