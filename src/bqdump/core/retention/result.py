"""What prune found and did, as the Python API returns it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from bqdump.core.results import Result, public


@public
class RetainedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as prune sees it. dataset: with its project, "" if it is not known.

    removed: whether it is removed, or would be. reasons: the rules that keep it, or ("abandoned") why it is removed.
    bytes: of all files that it names. alone: bytes that no other run names: what removing this run alone frees.
    """

    run: str
    state: Literal["complete", "partial", "unfinished", "pruning"]
    removed: bool
    reasons: tuple[str, ...]
    dataset: str = ""
    snapshot_time: datetime | None = None
    tables: int = 0
    files: int = 0
    bytes: int = 0
    alone: int = 0
    tags: tuple[str, ...] = ()

    @property
    def shared(self) -> int:
        """The bytes that other runs name, too."""
        return self.bytes - self.alone


@public
class Pruned(Result, frozen=True, kw_only=True):
    """Which runs prune keeps and removes. deleted: False if this was only shown.

    files, bytes: of the export's files that are deleted, or would be. left: objects in the removed runs' places that
    are not theirs for certain, and stay. notes: what else a person should know, in sentences.
    """

    deleted: bool
    runs: tuple[RetainedRun, ...]
    files: int
    bytes: int
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def removed(self) -> list[RetainedRun]:
        """The runs that are removed."""
        return [run for run in self.runs if run.removed]

    @property
    def kept(self) -> list[RetainedRun]:
        """The runs that stay."""
        return [run for run in self.runs if not run.removed]


def pruned_together(pruned: Sequence[Pruned]) -> Pruned:
    """One result for several exports."""
    return Pruned(
        deleted=any(result.deleted for result in pruned),
        runs=tuple(run for result in pruned for run in result.runs),
        files=sum(result.files for result in pruned),
        bytes=sum(result.bytes for result in pruned),
        left=tuple(name for result in pruned for name in result.left),
        notes=tuple(dict.fromkeys(note for result in pruned for note in result.notes)),
    )
