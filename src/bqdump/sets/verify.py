"""Verifying a set: the export of each dataset."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from bqdump.check.verify import Verified, VerifiedDataset
from bqdump.concurrency import gathered
from bqdump.core.documents.project import DatasetEntry, Project
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.core.times import time_of
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import missing_run, read_latest
from bqdump.repository.replacing import begun
from bqdump.repository.repository import exists, value_of
from bqdump.sets.datasets import AT_ONCE, datasets_left, names_in_set, published_set

Verify = Callable[[Settings, str], Awaitable[Verified]]
LEFT = "it has left the set; this is its last export"


async def verify_set(store: ObjectStore, settings: Settings, run: str, verify: Verify) -> Verified:
    """Verify the exports of a set: those that project.json names and those of datasets that have left it, or a run's.

    verify: verifies one export. Findings name the table with its dataset. What cannot be read is a dataset's `problem`.
    Raises NotFoundError without a set, and for a run of no dataset.
    """
    project = await published_set(store, settings)
    missing: list[NotFoundError] = []
    if run:
        expected = await _of_run(store, settings, run)
    else:
        expected = [_published(project, entry) for entry in project.datasets]
        left = await datasets_left(store, settings, [one.dataset for one in project.datasets])
        expected += [VerifiedDataset(one.dataset, one.run, 0, note=LEFT) for one in left.datasets]
        expected += [VerifiedDataset(name, "", 0, error.sentence(COMMANDS)) for name, error in left.damaged.items()]

    async def one(part: VerifiedDataset) -> tuple[VerifiedDataset, Verified | None]:
        if not part.run:
            return part, None
        own = one_dataset(settings, part.dataset)
        try:
            found = await verify(own, run or await _present(store, own, part.run))
        except (NotFoundError, DocumentError) as error:
            missing.extend([error] if isinstance(error, NotFoundError) else [])
            if run and isinstance(error, NotFoundError) and not await exists(store, own.layout.summary(run)):
                return replace(part, run="", note=f"run {run} has not published it"), None
            # The hint is left out: it is about a run that was named on the command line.
            problem = fill(f"cannot {error.operation} {error.subject}: {error.cause}", COMMANDS)
            return replace(part, problem=problem), None
        note = begun(found.replaced_by, found.finish) if found.finish else part.note
        return replace(part, run=found.run, findings=len(found.findings), note=note), found

    # One after another, as each reads files with all of this machine.
    pairs = [await one(part) for part in expected]
    if run and not any(whole or part.problem for part, whole in pairs):
        raise missing[0] if missing else missing_run(run, settings)
    found = [(part.dataset, whole) for part, whole in pairs if whole]
    times = [one.snapshot_time for _, one in found] if run else []
    return Verified(
        run=run or project.run,
        snapshot_time=min(times, default=time_of(project.snapshot)),
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


def _published(project: Project, entry: DatasetEntry) -> VerifiedDataset:
    """What is to be verified of a dataset of the set: the run that project.json names."""
    reason = entry.problem or "not published"
    note = f"not published by run {project.run}: {reason}" if entry.state == "failed" else ""
    return VerifiedDataset(entry.dataset, entry.run, 0, note=note if entry.run else reason)


async def _present(store: ObjectStore, own: Settings, run: str) -> str:
    """The run whose files are there: a later one may have replaced those of the set, and its set not be published."""
    latest = await read_latest(store, own)
    return latest.run if latest and latest.replaces else run


async def _of_run(store: ObjectStore, settings: Settings, run: str) -> list[VerifiedDataset]:
    """What is to be verified of a run: the datasets of its plan, or those that have it where there is none any more."""
    plan = await value_of(store, settings.layout.project_run(run).plan)
    if plan:
        return [VerifiedDataset(one.dataset, run, 0) for one in plan.datasets]
    names = await names_in_set(store, settings)
    having = await gathered(lambda name: store.folders(one_dataset(settings, name).layout.runs), names, AT_ONCE)
    return [VerifiedDataset(name, run, 0) for name, runs in zip(names, having, strict=True) if run in runs]


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
