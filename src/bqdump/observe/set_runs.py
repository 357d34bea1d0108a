"""The runs of a set: each as a whole, and each dataset's part of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.results import Rows
from bqdump.observe.history import RunLine, latest_first, list_runs
from bqdump.repository.exports import AT_ONCE, SetAt

# In place of a dataset's name: all of them together.
ALL = "*"
WORST = ("unreadable", "unfinished", "pruning", "partial", "complete")


class SetRun(NamedTuple):
    """A run of a set as a whole (dataset `*`), and each dataset's part of it."""

    whole: RunLine
    parts: Sequence[RunLine]


async def set_runs(sets: Sequence[SetAt], *, storage: bool = False) -> Rows[RunLine]:
    """The runs of a set, each as a whole (dataset `*`) and then of each dataset. storage: see list_runs."""
    exports = [at.export(name) for at in sets for name in at.names]
    lines = await gathered(lambda export: list_runs(export.store, export.settings, storage=storage), exports, AT_ONCE)
    published = {project.run if (project := await at.project()) else "" for at in sets}
    runs = [(export.dataset, some) for export, some in zip(exports, lines, strict=True)]
    found = runs_together(runs, published.pop() if len(published) == 1 else "")
    return Rows(line for night in found for line in (night.whole, *night.parts))


def runs_together(runs: Iterable[tuple[str, Sequence[RunLine]]], published: str) -> list[SetRun]:
    """The runs of a set, the latest snapshot time first. runs: those of each dataset.

    published: the set's run.
    """
    by_run: dict[str, list[RunLine]] = {}
    for name, lines in sorted(runs, key=lambda item: item[0]):
        for line in lines:
            by_run.setdefault(line.run, []).append(replace(line, dataset=name))
    together = [SetRun(_whole(run, parts, published), parts) for run, parts in by_run.items()]
    return sorted(together, key=lambda run: latest_first(run.whole), reverse=True)


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
