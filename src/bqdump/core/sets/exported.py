"""The result of a set's run: that of each dataset, and all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from bqdump.core.documents.project import DatasetEntry, Project, ProjectPlan
from bqdump.core.progress.export import DatasetExport, Export
from bqdump.core.times import time_of

State = Literal["published", "superseded", "running"]


class AtTarget(NamedTuple):
    """How a task's part of a set ended at one target.

    project: project.json as it is stored now, None where nothing is published or not all datasets have ended.
    url, document: of the bucket, and of project.json.
    """

    state: Literal["published", "superseded", "unfinished"]
    plan: ProjectPlan
    project: Project | None
    url: str
    document: str


def exported_together(results: Sequence[AtTarget]) -> Export:
    """The result in full: the sums of all datasets, and each of them."""
    datasets = tuple(dataset for result in results for dataset in _datasets(result))
    states = [result.state for result in results]
    state: State = "running" if "unfinished" in states else "published" if "published" in states else "superseded"
    first = results[0]
    return Export(
        run=first.plan.run,
        state=state,
        snapshot_time=time_of(first.plan.snapshot),
        tables=sum(dataset.tables for dataset in datasets),
        rows=sum(dataset.rows for dataset in datasets),
        files=sum(dataset.files for dataset in datasets),
        bytes=sum(dataset.bytes for dataset in datasets),
        manifest=f"{first.url}/{first.document}",
        failed=(),
        skipped=(),
        datasets=datasets,
    )


def _datasets(result: AtTarget) -> Iterator[DatasetExport]:
    if result.project is None or result.project.run != result.plan.run:
        for member in result.plan.datasets:
            yield DatasetExport(dataset=member.dataset, state="running")
        return
    for entry in result.project.datasets:
        yield exported_dataset(result.url, entry)


def exported_dataset(url: str, entry: DatasetEntry) -> DatasetExport:
    """One dataset of project.json. url: of the bucket."""
    return DatasetExport(
        dataset=entry.dataset,
        state=entry.state,
        run=entry.run,
        snapshot_time=entry.snapshot_time,
        tables=entry.tables,
        rows=entry.rows,
        files=entry.files,
        bytes=entry.bytes,
        manifest=f"{url}/{entry.manifest}" if entry.manifest else "",
        problem=entry.problem,
    )
