"""Which exports a restore reads: that of one dataset, or those of a set, chosen once for all tasks of an execution.

A run that was stopped while it replaced the published files can be finished first: until then, they cannot be restored.
What is refused about the datasets of a set is one error, before any of them is begun.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.documents.run import Owner
from bqdump.core.documents.sets import DatasetEntry, Member, SetManifest
from bqdump.core.documents.target import Latest
from bqdump.core.errors import (
    ENDS_THE_TASK,
    BqdumpError,
    DeniedError,
    DocumentError,
    NotFoundError,
    UsageError,
    VerificationError,
)
from bqdump.core.progress.events import Together
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.restore.chosen import object_labels, object_names
from bqdump.core.restore.documents import DatasetRun, SetExecution
from bqdump.core.restore.plan import SHOWN
from bqdump.core.restore.request import PLACEHOLDER, RESTORE, filled
from bqdump.core.sets.member import one_dataset
from bqdump.core.sets.restoring import (
    Choice,
    chosen_datasets,
    refuse_choice,
    refuse_one_target,
    with_patterns_of,
    with_targets,
)
from bqdump.core.settings.target import NAME
from bqdump.core.sizes import counted, named
from bqdump.export.run import run
from bqdump.export.task import Task as ExportTask
from bqdump.repository.complete_runs import holds_export
from bqdump.repository.exports import AT_ONCE, SetAt, datasets_left, names_in_set, readable_set
from bqdump.repository.published import read_latest, read_replacing
from bqdump.repository.set_runs import set_plan
from bqdump.restoration.survey import find_manifest
from bqdump.restoration.task import Task

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")
# A dataset of a set: as it was planned, as the set has published it, or as it was published last.
Entry = Member | DatasetEntry | Latest


async def finish_run(task: Task) -> None:
    """Finish such a run, if there is one. All of its tables are exported, so the source is not needed.

    It may be at work meanwhile: every step of publishing may be repeated.
    """
    replacing = await read_replacing(task.store, task.settings)
    if replacing is None:
        return
    if task.settings.trust:
        cause = "finished here, it would be published without a signature, and only signed runs are trusted"
        hint = f"Finish it first, with its key in {{setting:sign}}: {{call:run run_id={replacing.run}}}"
        raise UsageError("finish", f"run {replacing.run}", cause, hint, setting="finish_run")
    message = "finishing run %s, which has begun to replace the published files"
    log.info(message, replacing.run, extra=LogEvent.RUN_FINISHED.extra(run=replacing.run))
    settings = replace(replacing.settings, patience=task.settings.patience)
    me = Owner(f"finish-{secrets.token_hex(4)}", 0)
    await run(ExportTask(task.store, task.destination, settings, replacing.run, me, 1))


class SetSource(NamedTuple):
    """A published set, and a task that restores it."""

    task: Task
    manifest: SetManifest


class Members(NamedTuple):
    """The restore of each dataset. left: the datasets without an object that the patterns include."""

    tasks: list[Task]
    left: list[str]


async def finish_runs(task: Task) -> None:
    """Finish the runs that were stopped while they replaced the published files: each dataset has its own."""
    if await set_source(task) is None:
        await finish_run(task)
        return
    # Also of datasets that have left the set: their last exports can be restored.
    for name in await names_in_set(task.store, task.settings):
        await finish_run(task._replace(settings=one_dataset(task.settings, name)))


async def set_source(task: Task) -> SetSource | None:
    """The set that is published where this task restores from; None where it is the export of one dataset."""
    manifest = await readable_set(task.store, task.settings)
    if manifest and manifest.datasets and not await holds_export(task.store, task.settings):
        return SetSource(task, manifest)
    return None


async def of_one_dataset(task: Task, choice: Choice) -> Task:
    """The task that restores the export of one dataset."""
    refuse_choice(choice)
    options = task.request.options
    if PLACEHOLDER in options.dataset:
        options = filled(options, (await find_manifest(task)).manifest.dataset)
    return task.requesting(options=options)


async def choose(source: SetSource, choice: Choice) -> SetExecution:
    """The datasets to restore, and the run of each: the requested one, or what is published.

    Raises NotFoundError for a run of no set, UsageError where datasets cannot be chosen like this.
    """
    run = source.task.request.run
    entries = await _entries_of_run(source, run) if run else await _published_entries(source, choice)
    chosen = set(chosen_datasets([entry.dataset for entry in entries], choice))
    kept = sorted((entry for entry in entries if entry.dataset in chosen), key=lambda entry: entry.dataset)
    parts = await gathered(lambda entry: _dataset_run(source, entry, run), kept, AT_ONCE)
    if unpublished := [part.dataset for part in parts if not part.run]:
        what = f"an export of {', '.join(unpublished)}"
        hint = f"Leave out what was never published: {{setting:exclude_datasets={','.join(unpublished)}}}."
        raise NotFoundError("find", what, "nothing of it has been published", hint)
    return SetExecution(run or source.manifest.run, tuple(parts), choice.include, choice.exclude)


async def _published_entries(source: SetSource, choice: Choice) -> list[Entry]:
    """The datasets that are published, and those that the choice names and that have left the set."""
    in_set = [entry.dataset for entry in source.manifest.datasets]
    unpublished = {name for name in choice.include if NAME.fullmatch(name)}.difference(in_set)
    if not unpublished:
        return list(source.manifest.datasets)
    store, settings = source.task.store, source.task.settings
    left = await datasets_left(SetAt(store, settings, tuple(await names_in_set(store, settings))), in_set)
    for name in unpublished & left.damaged.keys():
        raise left.damaged[name]
    return [*source.manifest.datasets, *(left.published[name] for name in left.published if name in unpublished)]


async def _entries_of_run(source: SetSource, run: str) -> list[Entry]:
    """The datasets of a set's run, whether it has published them or not."""
    plan = await set_plan(source.task.store, source.task.settings, source.manifest, run)
    if plan is None:
        raise NotFoundError("find", f"run {run}", "the set has none", "{call:runs} lists all runs.")
    return list(plan.datasets)


async def _dataset_run(source: SetSource, entry: Entry, run: str) -> DatasetRun:
    """A dataset, and the run that is restored: the requested one, or what is published."""
    if isinstance(entry, Latest):
        return DatasetRun(entry.dataset, entry.run)
    if isinstance(entry, DatasetEntry) and not run:
        latest = None
        if entry.run and not source.manifest.locked:
            # What is damaged there is reported when its run is read.
            with suppress(DocumentError):
                latest = await read_latest(source.task.store, one_dataset(source.task.settings, entry.dataset))
        # Files that a later run has replaced are gone: it is at work on other datasets, or has ended early.
        run = latest.run if latest and latest.replaces else entry.run
    return DatasetRun(entry.dataset, run)


async def members_of(task: Task, chosen: SetExecution, choice: Choice) -> Members:
    """The restore of each chosen dataset. task: restores the set.

    Raises UsageError for a target that is not one for each of them, for a pattern that matches nothing, and where the
    execution restores something else.
    """
    _refuse_other(task, chosen, choice)
    datasets = [part.dataset for part in chosen.parts]
    refuse_one_target(task.request.options, datasets)
    tasks = await tasks_of(task, chosen)
    targeted = with_targets({name: member.request.options for name, member in tasks.items()})
    members = [tasks[name].requesting(options=options) for name, options in targeted.items()]
    for member in members:
        if member.request.run != chosen.run:
            message, other = "restored as of run %s, as it has no export of run %s", LogEvent.OTHER_RUN.extra()
            with about(member.dataset):
                log.warning(message, member.request.run, chosen.run, extra=other)
    return Members(members, [name for name in datasets if name not in targeted])


async def tasks_of(task: Task, chosen: SetExecution) -> dict[str, Task]:
    """The restore of each chosen dataset that has an object which is included. Raises UsageError as members_of does."""
    options, tell = task.request.options, Together(task.tell)
    tasks = {part.dataset: _of_dataset(task, part, tell) for part in chosen.parts}
    if not options.include and not options.exclude:
        return tasks
    exported = await all_or_none(list(tasks.values()), find_manifest)
    manifests = {name: run.manifest for name, run in zip(tasks, exported, strict=True)}
    objects = {name: object_names(manifest) for name, manifest in manifests.items()}
    labels = {name: object_labels(manifest) for name, manifest in manifests.items()}
    of_each = with_patterns_of(options, objects, labels)
    return {name: tasks[name].requesting(options=own) for name, own in of_each.items()}


def _refuse_other(task: Task, chosen: SetExecution, choice: Choice) -> None:
    """Raise UsageError where the execution restores what was not requested here."""
    if (chosen.include, chosen.exclude) == choice and task.request.run in ("", chosen.run):
        return
    cause, hint = "it restores other datasets or another run", "Give each execution a name of its own."
    raise UsageError(RESTORE, f"execution {task.owner.execution}", cause, hint)


def _of_dataset(task: Task, part: DatasetRun, tell: Together) -> Task:
    """The restore of one dataset, with the options of all."""
    via = task.via
    if via:
        folder = f"{via.target.prefix}{part.dataset}/"
        via = via._replace(target=replace(via.target, prefix=folder))
    settings, heard = one_dataset(task.settings, part.dataset), tell.of(part.dataset)
    return task._replace(settings=settings, via=via, tell=heard, dataset=part.dataset).requesting(run=part.run)


async def all_or_none(tasks: Sequence[Task], ask: Callable[[Task], Awaitable[Answer]]) -> list[Answer]:
    """The answer about each dataset. Raises one error about all that are refused."""
    refused: dict[str, BqdumpError] = {}

    async def check(task: Task) -> Answer | None:
        with about(task.dataset):
            try:
                return await ask(task)
            except ENDS_THE_TASK:
                raise
            except BqdumpError as error:
                refused[task.dataset] = error
                return None

    answers = await gathered(check, tasks, AT_ONCE)
    if refused:
        raise _refusal(dict(sorted(refused.items())), len(tasks))
    return [answer for answer in answers if answer is not None]


def _refusal(refused: dict[str, BqdumpError], of: int) -> BqdumpError:
    """One error for those of all datasets, of their kind if that is the same."""
    first = next(iter(refused.values()))
    if of == 1:
        return first
    causes = [
        f"{name}: {': '.join(filter(None, (error.subject, error.cause))).rstrip('.')}"
        for name, error in refused.items()
    ]
    shown = named(causes, SHOWN, separator="; ")
    cause = f"{len(refused)} of {counted(of, 'dataset')} cannot be restored, so none is ({shown})"
    left_out = f"Or leave datasets out: {{setting:exclude_datasets={','.join(refused)}}}."
    hint = " ".join(filter(None, (first.hint, left_out if len(refused) < of else "")))
    for kind in (NotFoundError, DeniedError, DocumentError, VerificationError):
        if all(isinstance(error, kind) for error in refused.values()):
            return kind(RESTORE, "the set", cause, hint)
    return UsageError(RESTORE, "", cause, hint)
