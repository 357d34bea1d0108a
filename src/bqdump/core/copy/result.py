"""What a copy did, or would do, as the Python API returns it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from bqdump.core.results import Result, public

CopyState = Literal["copied", "there", "missing", "not copied"]


@public
class CopiedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the source. files, bytes: all that it has. moved_files, moved_bytes: those that the copy lacked.

    state: copied; there: it was copied before; missing: of a dry run, it would be copied; not copied: for the reason in
    `problem`.
    """

    run: str
    state: CopyState
    snapshot_time: datetime | None = None
    tables: int = 0
    files: int = 0
    bytes: int = 0
    moved_files: int = 0
    moved_bytes: int = 0
    problem: str = ""


@public
class Copied(Result, frozen=True, kw_only=True):
    """The runs that were copied, or would be, in the order of their snapshot times. copied: False for a dry run.

    source, target: their addresses. requests: about how many a dry run expects, for the files. egress: the bytes, of
    those moved, that leave the location of the source. notes: what else a person should know, in sentences.
    """

    copied: bool
    source: str
    target: str
    runs: tuple[CopiedRun, ...]
    requests: int = 0
    egress: int = 0
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """The files that were moved, or would be."""
        return sum(run.moved_files for run in self.runs)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return sum(run.moved_bytes for run in self.runs)

    @property
    def not_copied(self) -> list[CopiedRun]:
        """The runs that cannot be copied."""
        return [run for run in self.runs if run.state == "not copied"]
