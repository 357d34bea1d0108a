"""Verifying a set: the export of each dataset."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from bqdump.check.verify import Verified, VerifiedDataset
from bqdump.core.errors import DocumentError, NotFoundError
from bqdump.core.project.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.core.times import time_of
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import ObjectStore
from bqdump.project.datasets import published_set


async def verify_set(
    store: ObjectStore, settings: Settings, run: str, verify: Callable[[Settings, str], Awaitable[Verified]]
) -> Verified:
    """Verify the exports of a set: those that project.json names, or of this run.

    verify: verifies one export. Findings name the table with its dataset. What cannot be read is a dataset's `problem`.
    Raises NotFoundError without a set, and for a run of no dataset.
    """
    project = await published_set(store, settings)
    missing: list[NotFoundError] = []

    async def one(name: str) -> tuple[VerifiedDataset, Verified | None]:
        entry = next(one for one in project.datasets if one.dataset == name)
        run_id = run or entry.run
        if not run_id:
            return VerifiedDataset(dataset=name, run="", findings=0, problem=entry.problem or "not published"), None
        try:
            found = await verify(one_dataset(settings, name), run_id)
        except (NotFoundError, DocumentError) as error:
            missing.extend([error] if isinstance(error, NotFoundError) else [])
            # The hint is left out: it is about a run that was named on the command line.
            problem = fill(f"cannot {error.operation} {error.subject}: {error.cause}", COMMANDS)
            return VerifiedDataset(dataset=name, run=run_id, findings=0, problem=problem), None
        problem = "" if run or entry.state != "failed" else f"not published by run {project.run}: {entry.problem}"
        return VerifiedDataset(dataset=name, run=found.run, findings=len(found.findings), problem=problem), found

    # One after another, as each reads files with all of this machine.
    pairs = [await one(entry.dataset) for entry in project.datasets]
    if run and len(missing) == len(pairs):
        raise missing[0]
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
