"""The result of an export: printed as JSON, returned by the Python API."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from bqdump.core.documents.run import Failure, Skipped
from bqdump.core.documents.unchanged import Removed
from bqdump.core.results import Result, public


@public
class DatasetExport(Result, frozen=True, kw_only=True):
    """One dataset of a run that exports several. run, snapshot_time, manifest: of its published export, if any.

    state: as in Export; `failed`: this run has not published it, for the reason in `problem`.
    """

    dataset: str
    state: Literal["published", "superseded", "failed", "running"]
    run: str = ""
    snapshot_time: str = ""
    tables: int = 0
    rows: int = 0
    files: int = 0
    bytes: int = 0
    manifest: str = ""
    problem: str = ""


@public
class Export(Result, frozen=True, kw_only=True):
    """How a task of a run ended.

    state: `published`; `superseded`: a run with a later snapshot time is published, and this one changed nothing;
    `running` and `publishing`: other tasks are still exporting or publishing, so the numbers are not known yet (0).
    rows: exported rows of the tables whose files or jobs report them, or that BigQuery counted for certain at the
    snapshot time. uncounted: the number of tables for which neither is known. bytes: size of the files.
    manifest: where the manifest is or will be. failed: tables missing from the export, if that is allowed.
    removed: tables of the previous export that this one removes. carried: number of tables carried over from earlier
    runs. reused: unchanged tables, whose files earlier runs exported.
    datasets: each dataset, where several are exported; the numbers are their sums, and `manifest` is project.json.
    """

    run: str
    state: Literal["published", "superseded", "publishing", "running"]
    snapshot_time: datetime
    tables: int
    rows: int
    uncounted: int = 0
    files: int
    bytes: int
    manifest: str
    failed: tuple[Failure, ...]
    skipped: tuple[Skipped, ...]
    removed: tuple[Removed, ...] = ()
    carried: int = 0
    datasets: tuple[DatasetExport, ...] = ()
    reused: int = 0
