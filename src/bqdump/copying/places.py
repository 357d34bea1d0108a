"""Whether runs may be copied to a place: it holds copies of the same dataset's exports, or nothing.

Which runs are copied: the published run, those that are named, all, or those that a policy keeps.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bqdump.concurrency import gathered
from bqdump.copying.survey import Place, Task
from bqdump.core.documents.copying import CopyPlace
from bqdump.core.documents.document import STATE
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.sets import SetManifest
from bqdump.core.documents.target import SET, PrefixOwner, source_of
from bqdump.core.errors import DeniedError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.policy import Policy, Snapshot, apply
from bqdump.core.settings.target import FOLDER, Target
from bqdump.core.sizes import named
from bqdump.observe.history import RunLine, list_runs
from bqdump.repository.complete_runs import uncover_documents
from bqdump.repository.manifests import problem_of, published_run
from bqdump.repository.objects import hidden_in
from bqdump.repository.published import missing_run, refuse_pruned
from bqdump.repository.repository import create, exists, value_of
from bqdump.repository.storage import READS_AT_ONCE

ANOTHER = "Copy to another place."
# Of runs that are passed over, so many are named.
NAMED = 5

log = logging.getLogger(__name__)


def refuse_overlap(source: Target, target: Target) -> None:
    """Raise UsageError where one place is the other, or inside it."""
    from_address, to_address = _address(source), _address(target)
    if from_address == to_address:
        cause = "it is the export that is to be copied"
    elif to_address.startswith(from_address):
        cause = f"it is inside the export that is to be copied, {source}"
    elif from_address.startswith(to_address):
        cause = f"the export that is to be copied is inside it: {source}"
    else:
        return
    raise UsageError("copy", str(target), cause, ANOTHER)


async def refuse_bare_word(source: Place, target: Target) -> None:
    """Raise UsageError where the destination is a bare word that is no folder yet: a run, or a bucket without gs://."""
    name = target.folder
    if not name or name != Path(name).name or Path(name).exists():
        return
    if await exists(source.store, source.layout.run(name).manifest):
        cause = f"it is a run of {source.target}, not a destination"
        raise UsageError("copy", name, cause, f"Name the destination first: bqdump copy DEST {name}")
    cause = "it is not clear whether this is a bucket or a folder"
    raise UsageError("copy", name, cause, f"Write gs://{name}, s3://{name} or ./{name}.")


async def check_place(task: Task, manifest: Manifest | SetManifest) -> None:
    """Raise UsageError unless copies of this run's dataset, or of its set, may be stored there. Changes nothing."""
    place = task.target
    await _refuse_outer(task, manifest)
    await _uncover(place)
    copies = await value_of(place.store, place.layout.copies)
    if copies:
        _refuse_other(task, copies, manifest)
        return
    if task.lock:
        await _refuse_without_locks(place)
    if place.target.folder:
        # Refuses a folder with anything but an export.
        await place.store.describe()
    owner = await value_of(place.store, place.layout.owner)
    if owner:
        cause = f"it holds an export of {owner.owns}, not copies"
        raise UsageError("copy", str(place.target), cause, ANOTHER)
    # Copies of the datasets of a set may be there, each in its folder, before that of the set.
    if manifest.dataset == SET:
        await _refuse_inner(task, manifest)
    own = place.target.prefix if manifest.dataset != SET else place.layout.root
    async for page in place.store.objects(own):
        for info in page:
            cause = f"it is not empty, and holds no copies of exports: it has {info.name[len(place.target.prefix) :]}"
            raise UsageError("copy", str(place.target), cause, "Copy to an empty place.")
        break


async def claim_place(task: Task, manifest: Manifest | SetManifest) -> None:
    """Declare the place one of copies of this run's dataset, unless it is. Raises like check_place."""
    await check_place(task, manifest)
    place = task.target
    lock = task.lock.mode if task.lock else ""
    mine = CopyPlace(manifest.project, manifest.dataset, str(task.source.target), task.now, lock)
    stored = await create(place.store, place.layout.copies, mine)
    _refuse_other(task, stored.value, manifest)
    owner = PrefixOwner(manifest.project, manifest.dataset, manifest.run, task.now)
    await create(place.store, place.layout.owner, owner)


async def _uncover(place: Place) -> None:
    """Read the documents of the place as they were first, where what says that copies there are locked was hidden."""
    name = place.layout.copies.name
    hidden = (await hidden_in(place.store, name, replaced=True)).get(name) if place.store.abilities.markers else None
    if hidden and hidden.locked_until:
        await uncover_documents(place.store, place.settings)


async def _refuse_without_locks(place: Place) -> None:
    try:
        bucket = await place.store.describe()
    except DeniedError:
        # The first object that is locked shows it.
        return
    if bucket.versions and not place.store.abilities.markers:
        # https://cloud.google.com/storage/docs/object-lock: what is locked can still be made noncurrent.
        cause = "Object Versioning is on: whoever may delete can hide a locked object there, as a noncurrent version"
        hint = f"Turn it off first: gcloud storage buckets update {place.store.url} --no-versioning"
        raise UsageError("copy", place.store.url, cause, hint)
    if bucket.locks is False:
        cause = "its objects cannot be locked: that is chosen when a bucket is created"
        hint = "Create one with: gcloud storage buckets create gs://BUCKET --enable-per-object-retention"
        raise UsageError("copy", place.store.url, cause, hint)


def _refuse_other(task: Task, copies: CopyPlace, manifest: Manifest | SetManifest) -> None:
    place, lock = task.target, task.lock.mode if task.lock else ""
    if copies.lock != lock:
        if lock and copies.lock:
            cause = f"its objects are locked in {copies.lock} mode"
            hint = f"Use {{setting:lock_mode={copies.lock}}}, or another place."
        elif lock:
            cause, hint = "it holds copies that are not locked", "Copy to another place, or leave out {setting:lock}."
        else:
            cause, hint = "it holds locked copies", "Lock this one as well, such as with {setting:lock=35d}."
        raise UsageError("copy", str(place.target), cause, hint)
    if (copies.project, copies.dataset) != (manifest.project, manifest.dataset):
        here, this = source_of(copies.project, copies.dataset), source_of(manifest.project, manifest.dataset)
        cause = f"it holds copies of {here}, and this is {this}"
        raise UsageError("copy", str(place.target), cause, "Each dataset, and each set, needs a place of its own.")


async def _refuse_inner(task: Task, manifest: Manifest | SetManifest) -> None:
    """Raise UsageError where a folder in the place of a set has copies that could not be made there later.

    See _refuse_outer.
    """
    place, lock = task.target, task.lock.mode if task.lock else ""
    for folder in await place.store.folders(place.target.prefix):
        inner = Layout(f"{place.target.prefix}{folder}/")
        copies = await value_of(place.store, inner.copies)
        if copies and (copies.project, copies.dataset, copies.lock) != (manifest.project, folder, lock):
            alike = "" if copies.lock == lock else " that are not locked in the same way"
            held = f"copies of {source_of(copies.project, copies.dataset)}{alike}"
            cause = f"{place.target.uri(inner.prefix)} is inside it, and holds {held}"
            raise UsageError("copy", str(place.target), cause, ANOTHER)


async def _refuse_outer(task: Task, manifest: Manifest | SetManifest) -> None:
    """Raise UsageError where a folder above the place belongs to an export.

    Copies of a set have a folder for each of its datasets below, of copies that are locked in the same way.
    """
    place, lock = task.target, task.lock.mode if task.lock else ""
    parts = place.target.prefix.rstrip("/").split("/")
    for count in range(len(parts)):
        above = Layout("".join(f"{part}/" for part in parts[:count]))
        if above.prefix != place.target.prefix and await exists(place.store, above.owner):
            copies = await value_of(place.store, above.copies)
            own = f"{above.prefix}{manifest.dataset}/" == place.target.prefix
            if copies and copies.dataset == SET and own and (copies.project, copies.lock) == (manifest.project, lock):
                continue
            owner = await value_of(place.store, above.owner)
            outer = place.target.uri(above.prefix)
            cause = f"it is inside {outer}, which holds an export of {owner.owns if owner else 'another dataset'}"
            raise UsageError("copy", str(place.target), cause, ANOTHER)
    if place.target.scheme == FOLDER:
        for outer_folder in Path(place.target.folder).absolute().parents:
            with suppress(OSError):
                if (outer_folder / STATE / "dataset.json").is_file():
                    cause = f"it is inside {outer_folder}, which holds an export"
                    raise UsageError("copy", str(place.target), cause, ANOTHER)


def _address(target: Target) -> str:
    """The place with a slash at its end; folders without links."""
    if target.scheme == FOLDER:
        return f"{Path(target.folder).resolve() / target.prefix}/".replace("//", "/")
    return target.uri(target.prefix)


async def chosen_runs(place: Place, runs: Sequence[str], policy: Policy, now: int, *, every: bool) -> list[str]:
    """The runs to copy, the earliest snapshot time first. Raises NotFoundError for one that does not exist.

    policy: with any rule, the complete runs that it keeps. Those that no trusted key has signed take no place of
        others, and are only logged, except for the published run: its copy is refused.
    every: all complete runs.
    """
    if not runs and not policy and not every:
        return [await published_run(place.store, place.settings)]
    lines = {line.run: line for line in await list_runs(place.plain or place.store, place.settings)}
    for run in runs:
        if run not in lines:
            await refuse_pruned(place.store, place.settings, "copy", run)
            raise missing_run(run, place.settings, list(lines))
    whole = [line for line in lines.values() if line.whole]
    if runs:
        return sorted(dict.fromkeys(runs), key=lambda run: _age(lines[run]))
    if not whole:
        # Raises the error about a place without an export, or with a set of them.
        return [await published_run(place.store, place.settings)]
    if every:
        # Copying one that cannot be read raises the error about it.
        chosen = [line for line in lines.values() if line.whole or line.state == "unreadable"]
    else:
        refused = await _untrusted(place, whole)
        kept = apply(policy, (_snapshot(line) for line in whole if line.run not in refused), now)
        chosen = [line for line in whole if kept.get(line.run) or (line.run in refused and line.published)]
        # Where no run is trusted, the newest one is refused by name when it is read.
        chosen = chosen or [max(whole, key=_age)]
        _log_passed({run: why for run, why in refused.items() if run not in {line.run for line in chosen}})
    return [line.run for line in sorted(chosen, key=_age)]


async def _untrusted(place: Place, whole: Sequence[RunLine]) -> dict[str, str]:
    """Why runs are not trusted, by run. Empty where no signature is demanded."""
    if not place.settings.trust:
        return {}

    async def problem(line: RunLine) -> str:
        return await problem_of(place.store, place.layout.run(line.run).manifest.name)

    problems = await gathered(problem, whole, READS_AT_ONCE)
    return {line.run: why for line, why in zip(whole, problems, strict=True) if why}


def _log_passed(problems: Mapping[str, str]) -> None:
    if problems:
        passed = named([f"{run} ({why})" for run, why in sorted(problems.items())], NAMED)
        left = LogEvent.RUNS_PASSED_OVER.extra()
        log.info("not copied, as no trusted key has signed them: %s", passed, extra=left)


def _age(line: RunLine) -> tuple[float, str]:
    return (line.snapshot_time.timestamp() if line.snapshot_time else 0.0, line.run)


def _snapshot(line: RunLine) -> Snapshot:
    taken = round(line.snapshot_time.timestamp() * 1000) if line.snapshot_time else 0
    return Snapshot(
        line.run, ("", ""), taken, line.state == "complete", line.tags, "published" if line.published else ""
    )
