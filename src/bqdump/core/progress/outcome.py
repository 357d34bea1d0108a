"""What an export has come to, for whoever asked for it: printed as JSON, returned by the Python API."""

from __future__ import annotations

from typing import Literal

import msgspec

from bqdump.core.documents.run import Failure, Removed, Skipped


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """How a task of a run has ended. Rows are as planned, bytes are those of the files.

    state: `published`: readers see this run; `superseded`: they see a later one, and this one has changed nothing;
    `unfinished` and `elsewhere`: other tasks are still at work or publish, and the numbers are not known yet (0).
    manifest: where the manifest is or will be. failed: tables that are not part of the export, where that is allowed.
    removed: tables of the export before that the plan removes. carried: how many tables earlier runs have exported.
    """

    run: str
    state: Literal["published", "superseded", "elsewhere", "unfinished"]
    snapshot_time: str
    tables: int
    rows: int
    files: int
    bytes: int
    manifest: str
    failed: tuple[Failure, ...]
    skipped: tuple[Skipped, ...]
    removed: tuple[Removed, ...] = ()
    carried: int = 0
