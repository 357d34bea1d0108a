"""The documents of retention: what is being pruned, what still refers to it, and what is tagged.

Sizes are bytes, times are milliseconds since 1970 UTC, or strings in RFC 3339.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from bqdump.core.documents.run import FORMAT_VERSION, Count, Mode, RunId

# As short as a run id, so that a hundred tags fit into a note.
TagName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,29}$(?!\n)")]


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
    withdrawn. files: what the run named, since its manifest is deleted first. project, dataset, snapshot_time: for
    display, "" where they are not known.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    mode: Mode = "keep"
    project: str = ""
    dataset: str = ""
    snapshot_time: str = ""
    decided: bool = False
    files: tuple[Doomed, ...] = ()


class Tags(msgspec.Struct, frozen=True):
    """The tags of a run, in alphabetical order."""

    run: RunId
    tags: tuple[TagName, ...]
    format_version: int = FORMAT_VERSION
