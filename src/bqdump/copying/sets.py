"""Copying sets of datasets: each dataset's runs into a folder of its own, then what names those that belong together.

The documents of a set's run follow the last dataset, so a set that is named is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from bqdump.concurrency import gathered
from bqdump.copying.places import check_place, chosen_runs, refuse_overlap
from bqdump.copying.run import concerns, copy, locking, problem_in
from bqdump.copying.set_documents import HERE, OtherKeyError, lock_set, lock_set_again, set_as_copied
from bqdump.copying.survey import COPY, Place, Task
from bqdump.core.copy.plan import Copied, CopiedRun
from bqdump.core.documents.sets import DatasetEntry, Ended, SetManifest, SetPlan
from bqdump.core.documents.target import Newest
from bqdump.core.errors import BqdumpError, DocumentError, NotFoundError, UsageError, VerificationError
from bqdump.core.retention.policy import Policy
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.target import record_of
from bqdump.core.sizes import listed
from bqdump.core.times import rfc3339
from bqdump.pool.datasets import progress_in, set_progress
from bqdump.repository.complete_runs import holds_export
from bqdump.repository.exports import AT_ONCE, SetAt, names_in_set, published_set
from bqdump.repository.published import missing_run
from bqdump.repository.repository import create, overwrite, swap
from bqdump.repository.set_runs import (
    NOT_EXPORTED,
    ended_as,
    failed_entry,
    locked_set,
    plan_in,
    read_set_manifest,
    set_plan,
)


async def copy_exports(task: Task, runs: Sequence[str], policy: Policy, *, every: bool) -> Copied:
    """Copy the only export of the source, or every dataset of its set. See copy."""
    place = task.source
    if await holds_export(place.store, place.settings):
        return await copy(task, runs, policy, every=every)
    names = await names_in_set(place.store, place.settings)
    if not names:
        return await copy(task, runs, policy, every=every)
    refuse_overlap(place.target, task.target.target)
    await _refuse_another_set(task, names)
    at = SetAt(place.store, place.settings, tuple(names))
    entries: dict[str, DatasetEntry] = {}
    chosen: dict[str, Sequence[str]] = {}
    named = runs
    if policy or every:
        chosen = await _chosen(task, names, policy, every=every)
        named = sorted({run for some in chosen.values() for run in some})
    elif not runs:
        manifest = await published_set(at)
        entries, named = {entry.dataset: entry for entry in manifest.datasets}, (manifest.run,)
    noted = {} if task.dry else await _all_noted(place, named)
    each = entries or names
    parts = [await _copy_dataset(task, name, entries, runs, policy, chosen.get(name), every=every) for name in each]
    lines = [run for part in parts for run in part.runs]
    if runs and (unknown := set(runs).difference(run.run for run in lines)):
        raise missing_run(min(unknown), place.settings)
    if not task.dry:
        await _store_sets(task, names, lines, noted)
    return Copied(
        copied=not task.dry,
        source=str(place.target),
        target=str(task.target.target),
        runs=tuple(lines),
        requests=sum(part.requests for part in parts),
        egress=sum(part.egress for part in parts),
    )


async def _refuse_another_set(task: Task, names: Sequence[str]) -> None:
    """Raise UsageError where the target has a copy of another set, as its documents would be replaced.

    And where what is there is locked, and this copy is not, or the other way round.
    """
    place, stored = task.target, await read_set_manifest(task.target.store, task.target.settings)
    own = await read_set_manifest(task.source.store, task.source.settings)
    datasets = [entry.dataset for entry in stored.datasets] if stored else []
    # Where objects are locked, copies.json decides: whoever may create objects there can store another manifest.
    compared = stored and not (stored.locked and task.lock)
    if stored and compared and ((own and own.project != stored.project) or set(datasets).isdisjoint(names)):
        cause = f"it has a copy of another set: {listed(datasets, 'and')} of {stored.project}"
        raise UsageError(COPY, str(place.target), cause, "Copy to another place.")
    if stored and task.lock and not stored.locked:
        cause = "it holds copies that are not locked"
        raise UsageError(COPY, str(place.target), cause, "Copy to another place, or leave out {setting:lock}.")
    if stored and stored.locked and not task.lock:
        hint = "Say for how long to lock this one, such as with {setting:lock=35d}."
        raise UsageError(COPY, str(place.target), "it holds locked copies", hint)
    if task.lock and own:
        await check_place(task, own)


async def _chosen(task: Task, names: Sequence[str], policy: Policy, *, every: bool) -> dict[str, Sequence[str]]:
    """The runs of each dataset that the policy keeps, or all of them. A dataset that cannot be read is left out."""

    async def of(name: str) -> Sequence[str] | None:
        own = task.source._replace(settings=one_dataset(task.source.settings, name))
        # Copying it raises the error, after the datasets before it.
        with suppress(DocumentError, NotFoundError, UsageError, VerificationError):
            return await chosen_runs(own, (), policy, task.now, every=every)
        return None

    found = await gathered(of, names, AT_ONCE)
    return {name: some for name, some in zip(names, found, strict=True) if some is not None}


async def _copy_dataset(
    task: Task,
    name: str,
    entries: dict[str, DatasetEntry],
    runs: Sequence[str],
    policy: Policy,
    chosen: Sequence[str] | None,
    *,
    every: bool,
) -> Copied:
    """Copy the runs of one dataset. One that lacks a run does not hold back the others. chosen: see copy."""
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
        done = await copy(own, wanted, policy, every=every, chosen=chosen)
    except (NotFoundError, UsageError, VerificationError, DocumentError) as error:
        run = next((run for run in wanted if error.subject == f"run {run}"), wanted[0] if len(wanted) == 1 else "")
        if not run or not concerns(error, run):
            raise
        lacking = CopiedRun(run=run, dataset=name, state="not copied", problem=problem_in(error, run))
        return msgspec.structs.replace(nothing, runs=(lacking,))
    return msgspec.structs.replace(done, runs=tuple(msgspec.structs.replace(run, dataset=name) for run in done.runs))


class _Noted(NamedTuple):
    """What the source has noted of a run of the set.

    ended: the datasets that have ended, by number.
    locked: where objects are locked, the manifest of the run, which is all that is noted, and stays as it is.
    """

    plan: SetPlan
    ended: Mapping[int, Ended]
    locked: SetManifest | None = None


async def _noted(place: Place, published: SetManifest | None, run: str) -> _Noted | None:
    if published and published.locked:
        manifest = published if published.run == run else await locked_set(place.store, place.settings, run)
        return _Noted(plan_in(manifest), progress_in(manifest).receipts, manifest) if manifest else None
    plan = await set_plan(place.store, place.settings, published, run)
    if plan is None:
        return None
    progress = await set_progress(place.store, place.settings, published, run)
    return _Noted(plan, progress.receipts)


async def _all_noted(place: Place, runs: Sequence[str]) -> dict[str, _Noted]:
    """What is noted of these runs of the set. A prune may delete it while the datasets are copied."""
    published = await read_set_manifest(place.store, place.settings)

    async def noted(run: str) -> _Noted | None:
        # What cannot be read is reported once the datasets are copied.
        with suppress(DocumentError, VerificationError):
            return await _noted(place, published, run)
        return None

    found = await gathered(noted, runs, AT_ONCE)
    return {run: note for run, note in zip(runs, found, strict=True) if note}


async def _store_sets(
    task: Task, names: Sequence[str], lines: Sequence[CopiedRun], noted: Mapping[str, _Noted]
) -> None:
    """Store the documents of these runs of the set, of which project.json names the latest.

    noted: before the datasets were copied, as a prune may have deleted all or some of it since.
    One that cannot be stored does not hold back the others. Raises the first error then.
    """
    place, errors = task.source, list[BqdumpError]()
    published = await read_set_manifest(place.store, place.settings)
    for run in sorted({line.run for line in lines if line.state in HERE}):
        try:
            before = noted.get(run)
            now = before if before and before.locked else await _noted(place, published, run)
            note = now._replace(ended={**before.ended, **now.ended}) if now and before else now or before
            manifest = _manifest_of(place, published, run, note)
            copied = await _as_copied(task, manifest, names, lines) if manifest else None
            if copied is None:
                if task.lock:
                    with locking(task.lock, run):
                        await lock_set_again(task, run, task.lock)
            elif task.lock:
                with locking(task.lock, run):
                    await lock_set(task, copied, task.lock)
            else:
                await _store_set(task, note.plan if note else None, copied)
        except (DocumentError, VerificationError) as error:
            errors.append(error)
    if errors:
        raise errors[0]


async def _as_copied(
    task: Task, manifest: SetManifest, names: Sequence[str], lines: Sequence[CopiedRun]
) -> SetManifest | None:
    """See set_as_copied. None where it was copied with another key, and nothing is stored."""
    try:
        return await set_as_copied(task, manifest, names, lines)
    except OtherKeyError:
        return None


def _manifest_of(place: Place, published: SetManifest | None, run: str, note: _Noted | None) -> SetManifest | None:
    """What the source has of a run of the set: as published, or as its notes show it. None where it had no set."""
    if published and published.run == run:
        return published
    if note is None or note.locked:
        return note.locked if note else None
    plan = note.plan
    entries = tuple(
        _entry_of(member.dataset, member.location, note.ended.get(number))
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
    """What of a note on a dataset counts: all else follows from the manifest of its copy."""
    entry = failed_entry(dataset, location, NOT_EXPORTED)
    if ended is None:
        return entry
    return msgspec.structs.replace(entry, state=ended.state, run=ended.run, problem="")


async def _store_set(task: Task, plan: SetPlan | None, manifest: SetManifest) -> None:
    place = task.target
    names = place.layout.set_run(manifest.run)
    if plan:
        settings = plan.settings | record_of(place.target)
        await create(place.store, names.plan, msgspec.structs.replace(plan, settings=settings))
        numbers = {member.dataset: number for number, member in enumerate(plan.datasets)}
        for entry in manifest.datasets:
            if entry.state != "failed" and entry.dataset in numbers:
                ended = ended_as(numbers[entry.dataset], entry, manifest.snapshot)
                await create(place.store, names.receipt(ended.number), ended)

    async def step(known: SetManifest | None) -> SetManifest | None:
        if known and known.age > manifest.age:
            return None
        return None if known == manifest else manifest

    stored = await swap(place.store, place.layout.set_manifest, step)
    if plan and stored and stored.value.run == manifest.run:
        await overwrite(place.store, place.layout.newest, Newest(manifest.run))
