"""The published run: the newest one of the log that can be read, and its manifest.

A run that has begun to replace the published files, and is not published: it is at work on that, or was stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bqdump.core.documents.codec import RESTORE
from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.target import Latest
from bqdump.core.errors import DocumentError, NotFoundError, UsageError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.file import resume_call, settings_of_run
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import is_elsewhere, recorded_target
from bqdump.core.sizes import counted, named
from bqdump.core.times import names_time
from bqdump.core.wording import COMMANDS, close_name, fill
from bqdump.ports.store import ObjectStore
from bqdump.repository.complete_runs import complete_runs, published_run, uncover_run, visible_log, why_unpublished
from bqdump.repository.log import LogLine, published_in, read_log
from bqdump.repository.pruned_runs import is_pruned
from bqdump.repository.repository import exists, value_of

log = logging.getLogger(__name__)
NAMED = 10
# What people call the published run.
PUBLISHED = ("latest", "newest", "last", "published", "current")


class SetError(UsageError):
    """One export is expected, and a set of datasets is published there."""


async def read_latest(store: ObjectStore, settings: Settings) -> Latest | None:
    """The published run, None if nothing was ever published here.

    Raises DocumentError or VerificationError if no run of the log can be read.
    """
    return await published_run(store, settings)


async def read_base(store: ObjectStore, settings: Settings) -> Latest | None:
    """The published run, from which the next export goes on. Where no run of the log can be read, it begins anew."""
    try:
        return await read_latest(store, settings)
    except (DocumentError, VerificationError) as error:
        message = "no published run can be read, so tables that leave the export cannot be named: %s"
        log.warning(message, error.sentence(COMMANDS), extra=LogEvent.MANIFEST_MISSING.extra())
        return None


async def readable_latest(store: ObjectStore, settings: Settings) -> Latest | None:
    """The same for what does not depend on it: where it cannot be read, a warning says so."""
    return await readable_in(store, settings, await visible_log(store, settings))


async def readable_in(store: ObjectStore, settings: Settings, lines: Sequence[LogLine]) -> Latest | None:
    """The same of a log that was read."""
    try:
        return await published_in(store, settings.layout, lines)
    except (DocumentError, VerificationError) as error:
        message = "cannot determine the published run: %s"
        log.warning(message, error.sentence(COMMANDS), extra=LogEvent.LATEST_UNREADABLE.extra())
        return None


async def read_manifest(store: ObjectStore, settings: Settings, run: str = "") -> Manifest:
    """The manifest of a run (default: the published run). Raises NotFoundError."""
    while not run:
        latest = await read_latest(store, settings)
        if latest is None:
            await refuse_set(store, settings)
            raise await unpublished(store, settings)
        if manifest := await value_of(store, Document(latest.manifest, Manifest)):
            return manifest
        # Where another run was published meanwhile, this one may have been pruned.
        now = await read_latest(store, settings)
        run = latest.run if now is None or now.run == latest.run else ""
    await uncover_run(store, settings, run)
    await refuse_pruned(store, settings, "read", run)
    manifest = await value_of(store, settings.layout.run(run).manifest)
    if manifest is None:
        await refuse_set(store, settings)
        raise await missing_manifest(store, settings, run)
    return manifest


async def read_if_complete(store: ObjectStore, settings: Settings, run: str) -> Manifest | None:
    """The manifest of a run, None of one that has none yet. Raises DocumentError where it is lost."""
    manifest = await value_of(store, settings.layout.run(run).manifest)
    if manifest is None:
        await refuse_lost(store, settings, run)
    return manifest


async def was_copied(store: ObjectStore, settings: Settings, made_with: Mapping[str, Any]) -> bool:
    """Whether another tool has copied the run here, which gives every file a new generation.

    Either it was exported to another place, or the published manifest is no longer the object that was published.
    made_with: the settings in its manifest.
    """
    if is_elsewhere(made_with, settings.target):
        return True
    with suppress(DocumentError):
        latest = await read_latest(store, settings)
        entry = await value_of(store, settings.layout.entry(latest.run, latest.snapshot)) if latest else None
        return bool(latest and entry and latest.manifest_generation != entry.generation)
    return False


async def as_found(store: ObjectStore, settings: Settings, manifest: Manifest) -> Manifest:
    """The manifest to read files by: if another tool has copied them here, at whichever generation they have.

    Where signatures count, at the recorded one: they say nothing of files that other tools have written.
    """
    if settings.trust or not await was_copied(store, settings, manifest.settings):
        return manifest
    tables = tuple(
        replace(entry, files=tuple(replace(file, generation=0) for file in entry.files)) for entry in manifest.tables
    )
    return replace(manifest, tables=tables)


async def unpublished(store: ObjectStore, settings: Settings) -> NotFoundError:
    """The error where nothing is published, with what to do about it."""
    subject = f"an export in {settings.target}"
    if lost := await _lost_entries(store, settings):
        return NotFoundError("find", subject, *lost)
    return NotFoundError("find", subject, await why_unpublished(store, settings), "Start one: {call:run}")


async def warn_of_lost_entries(store: ObjectStore, settings: Settings) -> None:
    """Log that the log is empty although there are complete runs: what leaves the export cannot be named."""
    if lost := await _lost_entries(store, settings):
        message = "tables that leave the export cannot be named: %s. %s"
        log.warning(message, *(fill(part, COMMANDS) for part in lost), extra=LogEvent.LATEST_UNREADABLE.extra())


async def _lost_entries(store: ObjectStore, settings: Settings) -> tuple[str, str] | None:
    """What is wrong where the log is empty and there are complete runs, and what to do."""
    if times := await complete_runs(store, settings.layout):
        newest = max(times, key=lambda run: (times[run], run))
        cause = f"{settings.layout.log} has no entry, although run {newest} is complete"
        return cause, await enter_again(store, settings, newest)
    return None


async def enter_again(store: ObjectStore, settings: Settings, run: str) -> str:
    """How to enter a complete run in the log, as a sentence."""
    call = f"{{call:run run_id={run}}}"
    with suppress(DocumentError, ValueError):
        plan = await value_of(store, settings.layout.run(run).plan)
        if plan is None:
            return "Copy it again: that enters it in the log."
        if is_elsewhere(plan.settings, settings.target):
            return f"It was exported to {recorded_target(plan.settings)}: copy {settings.layout.log} from there."
        call = resume_call(run, settings_of_run(plan.settings, settings.target))
    return f"Enter it in the log, which exports nothing: {call}"


async def refuse_set(store: ObjectStore, settings: Settings) -> None:
    """Raise SetError where a set of datasets is published: each of them is an export of its own."""
    # What is about one dataset need not load this.
    from bqdump.repository.set_runs import read_set_manifest

    manifest = await read_set_manifest(store, settings)
    if manifest is None or not manifest.datasets:
        return
    names = [dataset.dataset for dataset in manifest.datasets]
    cause = (
        f"it holds the exports of {counted(len(names), 'dataset')} ({named(names, NAMED)}), each in a folder of its own"
    )
    raise SetError("find", str(settings.target), cause, f"Name one dataset: {name_a_dataset(settings, names[0])}")


def name_a_dataset(settings: Settings, dataset: str) -> str:
    """The setting that names the export of one dataset of a set."""
    return f"{{setting:prefix={settings.target.prefix}{dataset}}}."


async def refuse_pruned(
    store: ObjectStore, settings: Settings, operation: str, run: str, *, was_read: bool = False
) -> None:
    """Raise NotFoundError if the run was pruned. was_read: its manifest was there before."""
    gone = was_read and not await exists(store, settings.layout.run(run).manifest)
    if gone or await is_pruned(store, settings.layout, run):
        raise pruned(run, operation)


def pruned(run: str, operation: str) -> NotFoundError:
    """The error about a run that was pruned, also meanwhile."""
    return NotFoundError(operation, f"run {run}", "it was pruned", "{call:runs} lists the runs that are kept.")


async def missing_manifest(store: ObjectStore, settings: Settings, run: str) -> NotFoundError:
    """The error about a run that has no manifest yet, or does not exist. Raises that about one that was complete."""
    await refuse_lost(store, settings, run)
    runs = await store.folders(settings.layout.runs)
    if run not in runs:
        return missing_run(run, settings, runs)
    hint = f"Show its progress: {{call:status run={run}}}"
    return NotFoundError("find", f"the manifest of run {run}", "there is none", hint)


async def refuse_lost(store: ObjectStore, settings: Settings, run: str) -> None:
    """Raise DocumentError if the log has the run, whose manifest does not exist."""
    if entry := next((line.name for line in await read_log(store, settings.layout) if line.run == run), ""):
        cause = f"it does not exist, although {entry} shows that run {run} was complete"
        raise DocumentError("read", settings.layout.run(run).manifest.name, cause, f"{RESTORE}.")


def missing_run(run: str, settings: Settings, runs: Sequence[str] = ()) -> NotFoundError:
    """The error about a run that does not exist. runs: the names of those that do, to suggest one of them."""
    close = close_name(run, runs)
    cause = f"there is none; did you mean {close}?" if close else "there is none"
    hint = "List the runs: {call:runs}"
    if run in PUBLISHED:
        cause = "there is none; without a name, commands use the published run"
    elif names_time(run):
        cause, hint = "there is none", f"A time is an option: {{setting:as_of}} {run}. {hint}"
    return NotFoundError("find", f"run {run} in {settings.target}", cause, hint)


class Replacing(Struct, frozen=True):
    """Such a run, and the settings that it was planned with. published: the one whose files it replaces; "": none."""

    run: str
    published: str
    settings: Settings

    @property
    def call(self) -> str:
        """The placeholder of the complete command that finishes it."""
        return resume_call(self.run, self.settings)

    @property
    def sentence(self) -> str:
        """What that means for the published files, and what to do."""
        return begun(self.run, self.call)


def begun(run: str, finish: str) -> str:
    """Such a run in words. finish: the command that finishes it."""
    unless = "If it has stopped, finish it (the source is not needed)"
    return f"Run {run} has begun to replace the published files and is not published. {unless}: {finish}"


async def read_replacing(store: ObjectStore, settings: Settings) -> Replacing | None:
    """The run that has begun to replace the published files and is not published; None if there is none.

    Of documents that cannot be read nothing follows: whoever needs them reports that.
    """
    with suppress(DocumentError, ValueError):
        announced = await value_of(store, settings.layout.publishing)
        if announced is None:
            return None
        latest = await read_latest(store, settings)
        if latest and (latest.age >= announced.age or not latest.replaces):
            return None
        # Of an earlier run of this id, which was pruned, the document may still be there.
        plan = await value_of(store, settings.layout.run(announced.run).plan)
        if plan and plan.age == announced.age:
            published = latest.run if latest else ""
            return Replacing(announced.run, published, settings_of_run(plan.settings, settings.target))
    return None
