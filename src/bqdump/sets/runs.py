"""The runs of a set: each as a whole, and each dataset's part of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.results import Rows
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.observe.history import RunLine, latest_first, list_runs
from bqdump.ports.store import ObjectStore
from bqdump.repository.projects import read_project
from bqdump.sets.datasets import AT_ONCE, names_in_set

# In place of a dataset's name: all of them together.
ALL = "*"
WORST = ("unreadable", "unfinished", "pruning", "partial", "complete")


class SetRun(NamedTuple):
    """A run of a set as a whole (dataset `*`), and each dataset's part of it."""

    whole: RunLine
    parts: Sequence[RunLine]


async def set_runs(store: ObjectStore, settings: Settings, *, storage: bool = False) -> Rows[RunLine]:
    """The runs of a set, each as a whole (dataset `*`) and then of each dataset. Raises NotFoundError.

    storage: see list_runs.
    """

    async def lines(name: str) -> Sequence[RunLine]:
        return await list_runs(store, one_dataset(settings, name), storage=storage)

    project, names = await read_project(store, settings), await names_in_set(store, settings)
    found = await runs_together(names, lines, project.run if project else "")
    return Rows(line for one in found for line in (one.whole, *one.parts))


def merged_runs(found: Sequence[Sequence[RunLine]]) -> Rows[RunLine]:
    """The runs of a set whose datasets are in several targets: each as one, with all of its datasets."""
    if len(found) < 2:
        return Rows(line for lines in found for line in lines)
    by_run: dict[str, list[RunLine]] = {}
    for line in (line for lines in found for line in lines):
        by_run.setdefault(line.run, []).append(line)
    together = []
    for run, lines in by_run.items():
        parts = sorted((line for line in lines if line.dataset != ALL), key=lambda line: line.dataset)
        # A target without this run has published another one.
        published = len(lines) - len(parts) == len(found) and all(
            line.published for line in lines if line.dataset == ALL
        )
        together.append(SetRun(_whole(run, parts, run if published else ""), parts))
    together.sort(key=lambda one: latest_first(one.whole), reverse=True)
    return Rows(line for one in together for line in (one.whole, *one.parts))


async def runs_together(
    names: Sequence[str], lines: Callable[[str], Awaitable[Sequence[RunLine]]], published: str
) -> list[SetRun]:
    """The runs of these datasets, the latest snapshot time first. lines: those of one. published: the set's run."""
    by_run: dict[str, list[RunLine]] = {}
    for name, found in zip(names, await gathered(lines, names, AT_ONCE), strict=True):
        for line in found:
            by_run.setdefault(line.run, []).append(replace(line, dataset=name))
    runs = [SetRun(_whole(run, parts, published), parts) for run, parts in by_run.items()]
    return sorted(runs, key=lambda one: latest_first(one.whole), reverse=True)


def _whole(run: str, parts: Sequence[RunLine], published: str) -> RunLine:
    times = [part.snapshot_time for part in parts if part.snapshot_time]
    begun, ended = [part.begun for part in parts if part.begun], [part.ended for part in parts if part.ended]
    states = {part.state for part in parts}
    return RunLine(
        run=run,
        dataset=ALL,
        state=next((state for state in WORST if state in states), "unfinished"),
        published=run == published,
        snapshot_time=min(times) if times else None,
        tables=sum(part.tables for part in parts),
        files=sum(part.files for part in parts),
        bytes=sum(part.bytes for part in parts),
        rows=sum(part.rows for part in parts),
        failed=sum(part.failed for part in parts),
        skipped=sum(part.skipped for part in parts),
        begun=min(begun) if begun else None,
        ended=max(ended) if ended else None,
        carried=sum(part.carried for part in parts),
        reused=sum(part.reused for part in parts),
        tags=tuple(sorted(set(parts[0].tags).intersection(*(part.tags for part in parts)))),
        alone=_sum([part.alone for part in parts]),
        shared=_sum([part.shared for part in parts]),
    )


def _sum(sizes: Sequence[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None
