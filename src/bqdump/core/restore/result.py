"""The result of a restore: stored when it is complete, printed as JSON, returned by the Python API.

That of a set has the results of its datasets as one: tables have their dataset's name.
Sizes are bytes, counts are rows or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import BqdumpError
from bqdump.core.restore.plan import ACCESS, Action, NotRestored, Options
from bqdump.core.results import Result, public, rows_of
from bqdump.core.sizes import counted
from bqdump.core.times import time_of
from bqdump.core.wording import COMMANDS, fill

RestorationState = Literal["restored", "incomplete", "running", "planned"]


@public
class RestoredTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table that is restored.

    action: "create", "fill" or "replace".
    rows: None in a plan.
    expected_rows: the export's rows, None where the manifest does not have them.
    bytes, files: of its files.
    jobs: at least, in a plan.
    casts: why its values are cast by a billed query, "" where its files load directly.
    like_null: in a plan, the columns because of which a billed query fills the table if BigQuery refuses to load its
        files directly.
    bytes_billed_at_most: in a plan, what is billed then.
    as_what: how it differs from the source, such as "columns are masked"; "" where it does not.
    exported: its name in the export, where that is another one, else "".
    altered: which of its values the format does not bring back exactly, and a comparison cannot see, such as '""
        becomes NULL in note'; "" for none.
    partitions: the only ones that are restored, by id, or by range where the files are not by partition.
    seconds: of its jobs.
    """

    table: str
    action: Action
    rows: int | None
    expected_rows: int | None
    files: int
    bytes: int
    jobs: int = 0
    bytes_billed: int = 0
    bytes_billed_at_most: int = 0
    seconds: float = 0.0
    casts: str = ""
    like_null: str = ""
    as_what: str = ""
    altered: str = ""
    exported: str = ""
    partitions: tuple[str, ...] = ()


@public
class RestoredObject(msgspec.Struct, frozen=True):
    """A view, routine, index, row access policy or access entry that is restored."""

    name: str
    kind: str
    action: Action
    as_what: str = ""


@public
class NotCreated(msgspec.Struct, frozen=True):
    """A table or object that could not be restored, and BigQuery's reason and message."""

    name: str
    kind: str
    reason: str
    message: str


@public
class RestoredDataset(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset of a set, which is restored into `project.into`. The fields are those of Restoration, or counts.

    problem: why it could not be restored, or why `run` is not the run of the set; "" for neither.
    """

    dataset: str
    into: str
    location: str
    restore: str
    run: str
    state: RestorationState
    snapshot_time: datetime
    tables: int
    objects: int
    failed: int
    rows: int
    bytes: int
    bytes_billed: int
    problem: str = ""


@public
class Restoration(Result, frozen=True, kw_only=True):
    """How a task of a restore ended, or what a restore would do.

    state: `restored`; `incomplete`: some tables or objects failed, and the same command tries them again, or they are
        no longer as an earlier start has restored them (reason `changed`); `running`: other tasks are still at work, so
        the numbers are not complete; `planned`.
    restore: its id, "" in a plan.
    not_restored: what is not restored, or not completely, and why.
    kept: what the target had already, and keeps.
    bytes_billed: by queries that fill tables, and by those that compare values.
    bytes_billed_at_most: in a plan, if BigQuery refuses to load files directly.
    verified: the number of tables whose values were compared with the files, None unless requested.
    datasets: of a set, each of its datasets. Then the other fields are those of all of them: tables and objects are
        called `dataset.table`, `dataset` is the name with `{dataset}`, and restore is "".
    """

    restore: str
    run: str
    state: RestorationState
    snapshot_time: datetime
    project: str
    dataset: str
    location: str
    tables: tuple[RestoredTable, ...]
    objects: tuple[RestoredObject, ...]
    failed: tuple[NotCreated, ...]
    not_restored: tuple[NotRestored, ...]
    kept: tuple[str, ...]
    rows: int
    bytes: int
    bytes_billed: int
    bytes_billed_at_most: int = 0
    verified: int | None = None
    datasets: tuple[RestoredDataset, ...] = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """The tables as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`."""
        return rows_of(self.tables)


def with_objects(tables: int, objects: int) -> str:
    """Numbers of tables and of other objects, in words."""
    return counted(tables, "table") + (f" and {counted(objects, 'other object')}" if objects else "")


# The kind of a dataset as a whole.
DATASET = "DATASET"


def nothing_restored(manifest: Manifest, options: Options, failure: NotCreated, bytes_billed: int) -> Restoration:
    """The result of a restore that was refused because of a failure. bytes_billed: until then."""
    return Restoration(
        restore="",
        run=manifest.run,
        state="incomplete",
        snapshot_time=time_of(manifest.snapshot),
        project=options.project,
        dataset=options.dataset,
        location=manifest.location,
        tables=(),
        objects=(),
        failed=(failure,),
        not_restored=(),
        kept=(),
        rows=0,
        bytes=0,
        bytes_billed=bytes_billed,
    )


def dataset_failure(name: str, error: BqdumpError) -> NotCreated:
    """A dataset that is not restored, or not completely, because of an error."""
    return NotCreated(name, DATASET, type(error).__name__.removesuffix("Error"), fill(error.cause, COMMANDS))


# The first of these that a dataset is in is the state of the set.
WORST: tuple[RestorationState, ...] = ("running", "incomplete", "planned", "restored")


def restored_together(
    options: Options, run: str, results: Mapping[str, Restoration], left: Sequence[str]
) -> Restoration:
    """One result for a set.

    options: for all datasets.
    run: of the set.
    left: datasets with no object that is included.
    results: by dataset.
    """
    every = list(results.values())
    locations = {result.location for result in every}
    verified = [result.verified for result in every if result.verified is not None]
    named = [_named(name, result) for name, result in results.items()]
    excluded = [NotRestored(name, DATASET, "none of its objects is included") for name in left]
    return Restoration(
        restore="",
        run=run,
        state=next(state for state in WORST if any(result.state == state for result in every)),
        snapshot_time=min(result.snapshot_time for result in every),
        project=options.project,
        dataset=options.dataset,
        location=locations.pop() if len(locations) == 1 else "",
        tables=tuple(table for result in named for table in result.tables),
        objects=tuple(object_ for result in named for object_ in result.objects),
        failed=tuple(failure for result in named for failure in result.failed),
        not_restored=(*(missing for result in named for missing in result.not_restored), *excluded),
        kept=tuple(kept for result in named for kept in result.kept),
        rows=sum(result.rows for result in every),
        bytes=sum(result.bytes for result in every),
        bytes_billed=sum(result.bytes_billed for result in every),
        bytes_billed_at_most=sum(result.bytes_billed_at_most for result in every),
        verified=sum(verified) if verified else None,
        datasets=tuple(_dataset(name, result, run) for name, result in results.items()),
    )


def _named(dataset: str, result: Restoration) -> Restoration:
    """A result whose tables and objects have the name of their dataset."""
    return replace(
        result,
        tables=tuple(replace(table, table=f"{dataset}.{table.table}") for table in result.tables),
        objects=tuple(
            replace(object_, name=name_in(dataset, object_.name, object_.kind)) for object_ in result.objects
        ),
        failed=tuple(replace(failure, name=name_in(dataset, failure.name, failure.kind)) for failure in result.failed),
        not_restored=tuple(replace(lost, name=name_in(dataset, lost.name, lost.kind)) for lost in result.not_restored),
        kept=tuple(f"{dataset}.{kept}" for kept in result.kept),
    )


def name_in(dataset: str, name: str, kind: str) -> str:
    """The name of an object in the result of a set."""
    if kind == DATASET or name == dataset:
        return dataset
    return f"{dataset}: {name}" if kind == ACCESS else f"{dataset}.{name}"


def _dataset(name: str, result: Restoration, run: str) -> RestoredDataset:
    return RestoredDataset(
        dataset=name,
        into=f"{result.project}.{result.dataset}",
        location=result.location,
        restore=result.restore,
        run=result.run,
        state=result.state,
        snapshot_time=result.snapshot_time,
        tables=len(result.tables),
        objects=len(result.objects),
        failed=len(result.failed),
        rows=result.rows,
        bytes=result.bytes,
        bytes_billed=result.bytes_billed,
        problem=_problem(result.failed) or ("" if result.run == run else f"it has no export of run {run}"),
    )


def _problem(failed: Sequence[NotCreated]) -> str:
    return next((failure.message for failure in failed if failure.kind == DATASET), "")
