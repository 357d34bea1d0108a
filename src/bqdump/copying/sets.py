"""Copying sets of datasets: each dataset's runs into a folder of its own, then what names those that belong together.

The documents of a set's run follow the last dataset, so a set that is named is there.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

import msgspec

from bqdump.copying.places import refuse_overlap
from bqdump.copying.run import copy
from bqdump.copying.survey import COPY, Place, Task
from bqdump.core.copy.plan import Copied, CopiedRun
from bqdump.core.documents.sets import DatasetEntry, Ended, SetManifest, SetPlan
from bqdump.core.documents.target import Newest
from bqdump.core.errors import NotFoundError, UsageError, VerificationError
from bqdump.core.retention.policy import Policy
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.target import record_of
from bqdump.core.sizes import counted, listed
from bqdump.core.times import days_text, rfc3339
from bqdump.repository.complete_runs import holds_export
from bqdump.repository.exports import SetAt, names_in_set, published_sets, read_set_manifest, read_set_progress
from bqdump.repository.published import missing_run
from bqdump.repository.repository import create, overwrite, swap, value_of


async def copy_exports(task: Task, runs: Sequence[str], policy: Policy, *, every: bool) -> Copied:
    """Copy the only export of the source, or every dataset of its set. See copy."""
    place = task.source
    if await holds_export(place.store, place.settings):
        return await copy(task, runs, policy, every=every)
    names = await names_in_set(place.store, place.settings)
    if not names:
        return await copy(task, runs, policy, every=every)
    if task.lock:
        cause = f"it is a set of {counted(len(names), 'dataset')}, and only copies of one dataset can be locked"
        there, here = (shlex.quote(str(one_dataset(side.settings, names[0]).target)) for side in (task.target, place))
        lock = f"--lock {days_text(task.lock.until // 1000 - task.now // 1000 - 1)}"
        hint = f"Copy each of them, with all else as it is: bqdump copy {there} --to {here} {lock}"
        raise UsageError(COPY, str(place.target), cause, hint)
    refuse_overlap(place.target, task.target.target)
    await _refuse_another_set(task, names)
    at = SetAt(place.store, place.settings, tuple(names))
    entries: dict[str, DatasetEntry] = {}
    if not (runs or policy or every):
        [(_, manifest)] = await published_sets([at])
        entries = {entry.dataset: entry for entry in manifest.datasets}
    parts = [await _copy_dataset(task, name, entries, runs, policy, every=every) for name in entries or names]
    lines = [run for part in parts for run in part.runs]
    if runs and (unknown := set(runs).difference(run.run for run in lines)):
        raise missing_run(min(unknown), place.settings)
    if not task.dry:
        await _store_sets(task, sorted({run.run for run in lines if run.state in ("copied", "there")}))
    return Copied(
        copied=not task.dry,
        source=str(place.target),
        target=str(task.target.target),
        runs=tuple(lines),
        requests=sum(part.requests for part in parts),
        egress=sum(part.egress for part in parts),
    )


async def _refuse_another_set(task: Task, names: Sequence[str]) -> None:
    """Raise UsageError where the target has a copy of another set, as its documents would be replaced."""
    stored = await read_set_manifest(task.target.store, task.target.settings)
    if stored is None:
        return
    own = await read_set_manifest(task.source.store, task.source.settings)
    there = [entry.dataset for entry in stored.datasets]
    if (own and own.project != stored.project) or set(there).isdisjoint(names):
        cause = f"it has a copy of another set: {listed(there, 'and')} of {stored.project}"
        raise UsageError(COPY, str(task.target.target), cause, "Copy to another place.")


async def _copy_dataset(
    task: Task, name: str, entries: dict[str, DatasetEntry], runs: Sequence[str], policy: Policy, *, every: bool
) -> Copied:
    """Copy the runs of one dataset. One that lacks a run does not hold back the others."""
    source, target = (side._replace(settings=one_dataset(side.settings, name)) for side in (task.source, task.target))
    own = task._replace(source=source, target=target)
    nothing = Copied(copied=not task.dry, source=str(source.target), target=str(target.target), runs=())
    entry = entries.get(name)
    if entry and not entry.run:
        lacking = CopiedRun(run="", dataset=name, state="not copied", problem=entry.problem)
        return msgspec.structs.replace(nothing, runs=(lacking,))
    have = set(await source.store.folders(source.layout.runs))
    wanted = (entry.run,) if entry else tuple(run for run in runs if run in have)
    if runs and not wanted:
        return nothing
    try:
        done = await copy(own, wanted, policy, every=every)
    except (NotFoundError, UsageError, VerificationError) as error:
        if not wanted or error.subject not in {f"run {run}" for run in wanted}:
            raise
        run = error.subject.removeprefix("run ")
        lacking = CopiedRun(run=run, dataset=name, state="not copied", problem=error.cause)
        return msgspec.structs.replace(nothing, runs=(lacking,))
    return msgspec.structs.replace(done, runs=tuple(msgspec.structs.replace(run, dataset=name) for run in done.runs))


async def _store_sets(task: Task, runs: Iterable[str]) -> None:
    """Store the documents of these runs of the set, of which project.json names the latest."""
    for run in runs:
        plan = await value_of(task.source.store, task.source.layout.set_run(run).plan)
        manifest = await _manifest_of(task.source, run, plan)
        if manifest:
            await _store_set(task, plan, await _copied(task, manifest))


async def _manifest_of(place: Place, run: str, plan: SetPlan | None) -> SetManifest | None:
    """What the source has of a run of the set: as published, or as its notes show it. None where it had no set."""
    manifest = await read_set_manifest(place.store, place.settings)
    if manifest and manifest.run == run:
        return manifest
    if plan is None:
        return None
    progress = await read_set_progress(place.store, place.layout.set_run(run))
    entries = tuple(
        _entry_of(member.dataset, member.location, progress.ended.get(number))
        for number, member in enumerate(plan.datasets)
    )
    return SetManifest(
        run=run,
        tool=plan.tool,
        status="complete",
        project=plan.project,
        prefix=place.target.prefix,
        snapshot_time=rfc3339(plan.snapshot),
        snapshot=plan.snapshot,
        datasets=entries,
        skipped=plan.skipped,
        removed=plan.removed,
    )


def _entry_of(dataset: str, location: str, ended: Ended | None) -> DatasetEntry:
    return DatasetEntry(
        dataset=dataset,
        location=location,
        state=ended.state if ended else "failed",
        run=ended.run if ended else "",
        snapshot_time=rfc3339(ended.snapshot) if ended else "",
        manifest="",
        manifest_generation=0,
        status=ended.status if ended else "",
        tables=ended.tables if ended else 0,
        rows=ended.rows if ended else 0,
        files=ended.files if ended else 0,
        bytes=ended.bytes if ended else 0,
        problem="" if ended else "it was not exported",
    )


async def _copied(task: Task, manifest: SetManifest) -> SetManifest:
    """The set as the copy has it: a dataset whose run is not there counts as failed."""
    place, entries = task.target, list[DatasetEntry]()
    for entry in manifest.datasets:
        own = one_dataset(place.settings, entry.dataset).layout.run(entry.run).manifest.name if entry.run else ""
        found = await place.store.stat(own) if own else None
        entries.append(
            msgspec.structs.replace(entry, manifest=own, manifest_generation=found.generation)
            if found
            else _entry_of(entry.dataset, entry.location, None)
        )
    whole = all(entry.state != "failed" and entry.status == "complete" for entry in entries)
    return msgspec.structs.replace(
        manifest,
        prefix=place.target.prefix,
        datasets=tuple(entries),
        status="complete" if whole else "partial",
    )


async def _store_set(task: Task, plan: SetPlan | None, manifest: SetManifest) -> None:
    place = task.target
    names = place.layout.set_run(manifest.run)
    if plan:
        settings = plan.settings | record_of(place.target)
        await create(place.store, names.plan, msgspec.structs.replace(plan, settings=settings))
        numbers = {member.dataset: number for number, member in enumerate(plan.datasets)}
        for entry in manifest.datasets:
            if entry.state != "failed" and entry.dataset in numbers:
                ended = _ended(numbers[entry.dataset], entry, manifest.snapshot)
                await create(place.store, names.ended(ended.number), ended)

    async def step(known: SetManifest | None) -> SetManifest | None:
        if known and known.age > manifest.age:
            return None
        return None if known == manifest else manifest

    stored = await swap(place.store, place.layout.set_manifest, step)
    if plan and stored and stored.value.run == manifest.run:
        await overwrite(place.store, place.layout.newest, Newest(manifest.run))


def _ended(number: int, entry: DatasetEntry, snapshot: int) -> Ended:
    return Ended(
        number=number,
        state="superseded" if entry.state == "superseded" else "published",
        run=entry.run,
        snapshot=snapshot,
        manifest_generation=entry.manifest_generation,
        status=entry.status or "complete",
        tables=entry.tables,
        rows=entry.rows,
        files=entry.files,
        bytes=entry.bytes,
    )
