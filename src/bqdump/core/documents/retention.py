"""The documents of retention: what was pruned, erased and tagged.

Sizes are bytes, times are milliseconds since 1970 UTC, or strings in RFC 3339.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from bqdump.core.documents.copying import CopyOf, Expected
from bqdump.core.documents.document import FORMAT_VERSION, Count, ExportDocument, Mode, RunId, Time
from bqdump.core.documents.manifest import File, ManifestFiles, TableFiles
from bqdump.core.documents.signature import Signature
from bqdump.core.documents.target import Erasing

# The tags of a run must fit into a note.
MOST_TAGS = 50
TAG = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,29}"
TagName = Annotated[str, Meta(pattern=f"^{TAG}$(?!\\n)")]


class ObjectVersion(msgspec.Struct, frozen=True, array_like=True):
    """An object at one generation, with its size: what is deleted, and nothing that was written over it."""

    name: str
    generation: Count
    size: Count


class PrunedRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The mark of a pruned run, created once: from then on it is in no log, and its id is never given again.

    The store's clock says since when: the time at which the mark was created.

    complete: whether it had a manifest.
    copied: it is a copy that was abandoned. Its mark goes with its documents, so that the run can be copied again.
    project, dataset, snapshot_time: for display, "" where they are not known.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    complete: bool = True
    copied: bool = False
    project: str = ""
    dataset: str = ""
    snapshot_time: str = ""


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure takes out of which runs: written before the first of them is changed, and kept as its record.

    files: what the manifests named of the table; what is left once the erasure is done could not be deleted.
    copied: the files of the table that copies had: a task of a copy that is late may store them again.
    deleting: those of them that are there again and that a prune deletes now, or has left to runs that name them.
    done: every run is rewritten.
    refused: a run has come between, so nothing is erased; whoever stores the record first decides.
    signed: the signatures of manifests that are about to be written anew, by run: a repeated erasure signs no others.
    """

    format_version: int = FORMAT_VERSION
    erasing: Erasing
    runs: tuple[RunId, ...]
    files: tuple[ObjectVersion, ...]
    copied: tuple[Expected, ...] = ()
    deleting: tuple[ObjectVersion, ...] = ()
    done: bool = False
    refused: bool = False
    signed: dict[RunId, Signature] = {}


class Origin(msgspec.Struct, frozen=True):
    """The run that exported a table which a later run carries over."""

    run: RunId


class RetainedPartition(msgspec.Struct, frozen=True):
    """A partition of a table: the number of its files, and the run that exported it, None for that of the table."""

    files: Count
    carried: Origin | None = None


class RetainedTable(TableFiles, frozen=True):
    """A table of a manifest with the run that exported it, None for the manifest's own."""

    carried: Origin | None = None
    partitions: tuple[RetainedPartition, ...] = ()

    def origins(self, run: str) -> Iterator[tuple[str, File]]:
        """Each file, with the run that exported it. run: that of the manifest."""
        origin = self.carried.run if self.carried else run
        origins = [
            partition.carried.run if partition.carried else origin
            for partition in self.partitions
            for _ in range(partition.files)
        ]
        yield from zip(origins or [origin] * len(self.files), self.files, strict=False)


class RetainedFiles(ExportDocument, ManifestFiles, frozen=True, kw_only=True):
    """The part of a manifest that retention reads: the objects that it lists, and of which run."""

    tables: tuple[RetainedTable, ...]
    project: str
    dataset: str
    snapshot: Time
    snapshot_time: str
    mode: Mode
    copy_of: CopyOf | None = None


class Tags(msgspec.Struct, frozen=True):
    """The tags of a run, in alphabetical order."""

    run: RunId
    tags: Annotated[tuple[TagName, ...], Meta(max_length=MOST_TAGS)]
    format_version: int = FORMAT_VERSION
