"""The documents of retention: what is being pruned, what still refers to it, and what is tagged.

Sizes are bytes, times are milliseconds since 1970 UTC, or strings in RFC 3339.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from bqdump.core.documents.document import FORMAT_VERSION, Count, Mode, RunId, Time
from bqdump.core.documents.manifest import File, ManifestFiles, TableFiles

# The tags of a run must fit into a note.
MOST_TAGS = 50
TAG = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,29}"
TagName = Annotated[str, Meta(pattern=f"^{TAG}$(?!\\n)")]


class Reference(msgspec.Struct, frozen=True):
    """A run that relies on the files of an earlier one. Written before it does, so that prune keeps them.

    It stands for the run until that run's manifest exists, which names the files itself.
    """

    run: RunId
    format_version: int = FORMAT_VERSION


class Doomed(msgspec.Struct, frozen=True, array_like=True):
    """An object to delete: name, generation and size."""

    name: str
    generation: Count
    size: Count


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is being pruned. Whoever finds it must not rely on the run's files any more.

    decided: nothing that refers to the run was found, so it is deleted for good; until then the tombstone may be
    withdrawn. files: what the run named, since its manifest is deleted first. emptied: only files that other runs name
    are left of it. As long as there are any, no other run may have its id, and so their names. left: objects that stay,
    since they are not the run's for certain; prune names them as long as they are there. project, dataset,
    snapshot_time: for display, "" where they are not known.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    mode: Mode = "keep"
    project: str = ""
    dataset: str = ""
    snapshot_time: str = ""
    decided: bool = False
    emptied: bool = False
    files: tuple[Doomed, ...] = ()
    left: tuple[str, ...] = ()


class Maker(msgspec.Struct, frozen=True):
    """The run that exported a table which a later run carries over."""

    run: RunId


class HeldPartition(msgspec.Struct, frozen=True):
    """A partition of a table: the number of its files, and the run that exported it, None for that of the table."""

    files: Count
    carried: Maker | None = None


class HeldTable(TableFiles, frozen=True):
    """A table of a manifest with the run that exported it, None for the manifest's own."""

    carried: Maker | None = None
    partitions: tuple[HeldPartition, ...] = ()

    def makers(self, run: str) -> Iterator[tuple[str, File]]:
        """Each file, with the run that exported it. run: that of the manifest."""
        maker = self.carried.run if self.carried else run
        makers = [
            partition.carried.run if partition.carried else maker
            for partition in self.partitions
            for _ in range(partition.files)
        ]
        yield from zip(makers or [maker] * len(self.files), self.files, strict=False)


class Holding(ManifestFiles, frozen=True, kw_only=True):
    """The part of a manifest that retention reads: the objects that it lists, and of which run."""

    tables: tuple[HeldTable, ...]
    project: str
    dataset: str
    snapshot: Time
    snapshot_time: str
    mode: Mode

    @property
    def age(self) -> tuple[int, str]:
        """Orders runs: the later snapshot time wins, the run id breaks a tie."""
        return (self.snapshot, self.run)


class Tags(msgspec.Struct, frozen=True):
    """The tags of a run, in alphabetical order."""

    run: RunId
    tags: Annotated[tuple[TagName, ...], Meta(max_length=MOST_TAGS)]
    format_version: int = FORMAT_VERSION
