"""The documents of `bqdump copy`, in the place that holds the copies. Times are milliseconds since 1970 UTC."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bqdump.core.documents.document import FORMAT_VERSION, Count, RunId, Time

Content = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


class CopyOf(msgspec.Struct, frozen=True):
    """The origin of a copied run.

    source: the export that it was copied from: gs://BUCKET/PREFIX or a folder.
    content: a SHA-256 over everything that copies of one run have in common, so that two runs of one id can be told
        apart.
    tool: the version of bqdump that copied it.
    at: when, by that machine's clock.
    locked_until: the time before which nobody deletes a file of the run; 0 where files are not locked.
    """

    source: str
    content: Content
    tool: str
    at: Time
    locked_until: Time = 0


class CopyPlace(msgspec.Struct, frozen=True):
    """A place that holds copies of the exports of one dataset. Nothing else is written there by `bqdump copy`.

    dataset: SET where it holds locked copies of a set, those of each dataset in a folder below.
    source: the export that was copied first.
    at: when, by that machine's clock.
    lock: how every object there is locked, "" for not at all. Where it is, nothing is ever written twice.
    """

    project: str
    dataset: str
    source: str
    at: Time
    lock: Literal["", "governance", "compliance"] = ""
    format_version: int = FORMAT_VERSION


class Expected(msgspec.Struct, frozen=True, array_like=True):
    """A file that a copy will have: its name there, its size in bytes and its CRC32C."""

    name: str
    size: Count
    crc32c: str


class Copying(msgspec.Struct, frozen=True):
    """A run that is being copied: stored before its first file.

    content: see CopyOf.
    files: those of the run, which prune keeps meanwhile, and deletes if the copy is abandoned; none once the manifest
        names them.
    """

    run: RunId
    source: str
    content: Content
    files: tuple[Expected, ...]
    format_version: int = FORMAT_VERSION

    @property
    def names(self) -> list[str]:
        """The names of the files."""
        return [file.name for file in self.files]


class Renewed(msgspec.Struct, frozen=True):
    """The files that a copy of a run moves again, by name and generation, since a prune may be about to delete them.

    The first task that looks for pruned runs stores this, so that all tasks replace the same files.
    """

    run: RunId
    files: tuple[tuple[str, Count], ...]
    format_version: int = FORMAT_VERSION


class Arrived(msgspec.Struct, frozen=True, array_like=True):
    """A file that was copied: its name, its generation in the copy, its SHA-256 ("" where its bytes were not read)."""

    name: str
    generation: Count
    sha256: str


class ArrivedFiles(msgspec.Struct, frozen=True):
    """Files of one batch of a copy: other tasks need not move them, and a copy that is resumed need not read them."""

    run: RunId
    files: tuple[Arrived, ...]
    format_version: int = FORMAT_VERSION
