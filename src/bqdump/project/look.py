"""What commands show of a set, and do to it: to each of its datasets, and all of them together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from bqdump.check.verify import Verified, VerifiedDataset
from bqdump.core.documents.project import Project
from bqdump.core.errors import DocumentError, NotFoundError, UsageError
from bqdump.core.project.member import one_dataset
from bqdump.core.results import Rows
from bqdump.core.retention.result import Pruned
from bqdump.core.settings.settings import Settings
from bqdump.core.times import time_of
from bqdump.observe.history import RunLine, latest_first, list_runs
from bqdump.ports.store import ObjectStore
from bqdump.repository.projects import read_project, read_project_plan
from bqdump.repository.repository import exists
from bqdump.repository.tags import change_tags, read_tags

Answer = TypeVar("Answer")
AT_ONCE = 8
# In place of a dataset's name: all of them together.
ALL = "*"
WORST = ("unreadable", "unfinished", "pruning", "partial", "complete")


async def published_set(store: ObjectStore, settings: Settings) -> Project:
    """The set that is published there. Raises NotFoundError."""
    project = await read_project(store, settings)
    if project is None:
        cause = "no set of datasets has been published there yet"
        raise NotFoundError("find", f"a set in {settings.target}", cause, "Start one: {call:run}")
    return project


async def each_dataset(names: Sequence[str], ask: Callable[[str], Awaitable[Answer]]) -> list[Answer]:
    """The answers about these datasets, some at a time, in their order."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> Answer:
        async with slots:
            return await ask(name)

    return list(await asyncio.gather(*map(one, names)))


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


async def runs_together(
    names: Sequence[str], lines: Callable[[str], Awaitable[Sequence[RunLine]]], published: str
) -> list[SetRun]:
    """The runs of these datasets, the latest snapshot time first. lines: those of one. published: the set's run."""
    by_run: dict[str, list[RunLine]] = {}
    for name, found in zip(names, await each_dataset(names, lines), strict=True):
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


async def verify_set(
    store: ObjectStore, settings: Settings, run: str, verify: Callable[[Settings, str], Awaitable[Verified]]
) -> Verified:
    """Verify the exports of a set: those that project.json names, or of this run. Raises NotFoundError without a set.

    verify: verifies one export. Findings name the table with its dataset. What cannot be read is a dataset's `problem`.
    """
    project = await published_set(store, settings)

    async def one(name: str) -> tuple[VerifiedDataset, Verified | None]:
        entry = next(one for one in project.datasets if one.dataset == name)
        run_id = run or entry.run
        if not run_id:
            return VerifiedDataset(dataset=name, run="", findings=0, problem=entry.problem or "not published"), None
        try:
            found = await verify(one_dataset(settings, name), run_id)
        except (NotFoundError, DocumentError) as error:
            # Without its hint, which is for a run that somebody has named.
            problem = f"cannot {error.operation} {error.subject}: {error.cause}"
            return VerifiedDataset(dataset=name, run=run_id, findings=0, problem=problem), None
        problem = "" if run or entry.state != "failed" else f"not published by run {project.run}: {entry.problem}"
        return VerifiedDataset(dataset=name, run=found.run, findings=len(found.findings), problem=problem), found

    # One after another, as each reads files with all of this machine.
    pairs = [await one(entry.dataset) for entry in project.datasets]
    found = [(part.dataset, whole) for part, whole in pairs if whole]
    return Verified(
        run=run or project.run,
        snapshot_time=time_of(project.snapshot),
        tables=sum(one.tables for _, one in found),
        files=sum(one.files for _, one in found),
        bytes=sum(one.bytes for _, one in found),
        findings=tuple(
            replace(finding, table=f"{name}.{finding.table}") for name, one in found for finding in one.findings
        ),
        copied=bool(found) and all(one.copied for _, one in found),
        carried=sum(one.carried for _, one in found),
        datasets=tuple(part for part, _ in pairs),
    )


def merged_verified(found: Sequence[Verified]) -> Verified:
    """One result for a set whose datasets are in several targets."""
    first, *others = found
    if not others:
        return first
    return replace(
        first,
        tables=sum(one.tables for one in found),
        files=sum(one.files for one in found),
        bytes=sum(one.bytes for one in found),
        findings=tuple(finding for one in found for finding in one.findings),
        carried=sum(one.carried for one in found),
        datasets=tuple(dataset for one in found for dataset in one.datasets),
    )


async def names_in_set(store: ObjectStore, settings: Settings) -> list[str]:
    """The datasets that the published set, or the one planned last, has there. Raises NotFoundError without a set."""
    project = await read_project(store, settings)
    names = {one.dataset for one in project.datasets} | {one.dataset for one in project.removed} if project else set()
    try:
        names |= {one.dataset for one in (await read_project_plan(store, settings)).datasets}
    except NotFoundError:
        if not names:
            raise
    return sorted(names)


def merged_pruned(found: Sequence[Pruned]) -> Pruned:
    """One result of several."""
    return Pruned(
        deleted=any(one.deleted for one in found),
        runs=tuple(run for one in found for run in one.runs),
        files=sum(one.files for one in found),
        bytes=sum(one.bytes for one in found),
        left=tuple(name for one in found for name in one.left),
        notes=tuple(dict.fromkeys(note for one in found for note in one.notes)),
    )


async def tag_set(
    store: ObjectStore, settings: Settings, run: str, add: Sequence[str], remove: Sequence[str]
) -> tuple[str, ...]:
    """Change the tags of a run in each dataset of a set that has it; the tags that it has then.

    Raises NotFoundError without a set or such a run, UsageError for a tag that no dataset's run has.
    """
    layouts = [one_dataset(settings, name).layout for name in await names_in_set(store, settings)]
    having = [layout for layout in layouts if await exists(store, layout.run(run).plan)]
    if not having:
        raise NotFoundError("tag", f"run {run[:100]}", "there is none", "{call:runs} lists all runs.")
    before = [(await read_tags(store, layout)).get(run, ()) for layout in having]
    if lacking := sorted(set(remove).difference(*before)):
        raise UsageError("tag", f"run {run}", f"it does not have the tag {lacking[0]}")
    for layout, tags in zip(having, before, strict=True):
        await change_tags(store, layout, run, add, set(remove).intersection(tags))
    return tuple(sorted(set(add).union(*before).difference(remove)))


def merged_tags(found: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The tags of a run of a set whose datasets are in several targets."""
    return tuple(sorted({tag for tags in found for tag in tags}))
