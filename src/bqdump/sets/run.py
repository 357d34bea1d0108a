"""One task of the export of a set of datasets, from the settings to project.json.

The end of a set's run: project.json names the exports that belong together. It never goes back in time.
"""

from __future__ import annotations

import logging
from typing import Literal, NamedTuple

from bqdump.core.documents.sets import DatasetEntry, DatasetFailure, Ended, SetManifest, SetPlan
from bqdump.core.errors import BqdumpError, DatasetsFailedError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sets.member import one_dataset
from bqdump.core.sizes import counted, named
from bqdump.core.times import rfc3339
from bqdump.core.version import VERSION
from bqdump.core.wording import COMMANDS, fill
from bqdump.export.task import Task
from bqdump.export.watch import Shared
from bqdump.pool.datasets import SetProgress
from bqdump.repository.published import read_latest
from bqdump.repository.repository import Loaded, swap
from bqdump.sets.obtain import obtain_set
from bqdump.sets.plan import Planner
from bqdump.sets.task import RunningSet, SetTask, end_of, member_task
from bqdump.sets.work import export_datasets

log = logging.getLogger(__name__)
NAMED = 3


async def publish_set(running: RunningSet, progress: SetProgress) -> Loaded[SetManifest] | None:
    """Write project.json, unless it names a later run. None where this run has published no dataset.

    Another execution may have published meanwhile what failed in this one: what is published stays named.
    """
    task, plan = running.task, running.plan
    failed = progress.failed(task.owner.execution)
    if not any(end.state == "published" for end in progress.receipts.values()):
        return None
    numbers = range(len(plan.datasets))
    entries = [await _entry(running, number, progress.receipts.get(number), failed.get(number)) for number in numbers]

    def manifest(known: SetManifest | None) -> SetManifest:
        before = {dataset.dataset: dataset for dataset in known.datasets} if known and known.run == plan.run else {}
        merged = [
            former
            if entry.state == "failed" and (former := before.get(entry.dataset)) and former.state != "failed"
            else entry
            for entry in entries
        ]
        return SetManifest(
            run=plan.run,
            tool=VERSION,
            status="complete" if all(map(_is_complete, merged)) else "partial",
            project=plan.project,
            prefix=task.settings.target.prefix,
            snapshot_time=rfc3339(plan.snapshot),
            snapshot=plan.snapshot,
            datasets=tuple(merged),
            skipped=plan.skipped,
            removed=plan.removed,
        )

    async def step(known: SetManifest | None) -> SetManifest | None:
        if known and known.age > plan.age:
            return None
        updated = manifest(known)
        return None if updated == known else updated

    stored = await swap(task.store, task.settings.layout.set_manifest, step, anew=True)
    if stored and stored.mine:
        done = counted(len(progress.receipts), "dataset")
        published = LogEvent.RUN_PUBLISHED.extra(target=str(task.settings.target))
        log.info("published %s of run %s, as of %s", done, plan.run, rfc3339(plan.snapshot), extra=published)
        await _store_report(running, stored.value)
    return stored


async def _store_report(running: RunningSet, manifest: SetManifest) -> None:
    """Write the page that lists the datasets. An error is only logged, because the set is published."""
    try:
        from bqdump.pages.report import render_set

        await running.task.store.write(running.task.layout.report, render_set(manifest), None)
    except (BqdumpError, OSError, ImportError) as error:
        message = "the set is published, but its report could not be written: %s"
        log.warning(message, error, extra=LogEvent.REPORT_FAILED.extra())


def refuse_failed(running: RunningSet, progress: SetProgress) -> None:
    """Raise DatasetsFailedError where datasets have failed in this execution."""
    plan = running.plan
    failed = sorted(progress.failed(running.task.owner.execution).items())
    if not failed:
        return
    hint = f"Fix the cause, then resume with: {{call:run run_id={plan.run}}}"
    # Each dataset has the same hint.
    words = [
        f"{plan.datasets[number].dataset}: {failure.message.replace(hint, '').rstrip(' .')}"
        for number, failure in failed
    ]
    problems = named(words, NAMED, separator="; ")
    whole = counted(len(plan.datasets), "dataset")
    # Of those that have neither failed nor ended, nothing is known yet.
    settled = progress.settled(plan, running.task.owner.execution)
    effect = ", the others are not affected" if settled and len(failed) < len(plan.datasets) else ""
    cause = f"{len(failed)} of {whole} failed{'' if settled else ' so far'}{effect} ({problems})"
    raise DatasetsFailedError("export", f"run {plan.run}", cause, hint)


def _is_complete(entry: DatasetEntry) -> bool:
    return entry.state != "failed" and entry.status == "complete"


async def _entry(running: RunningSet, number: int, ended: Ended | None, failure: DatasetFailure | None) -> DatasetEntry:
    member, task = running.plan.datasets[number], running.task
    own, state = one_dataset(task.settings, member.dataset), ended.state if ended else "failed"
    if ended is None and (latest := await read_latest(task.store, own)):
        ended, _ = await end_of(task.store, own, task.run, number, latest)
    return DatasetEntry(
        dataset=member.dataset,
        location=member.location,
        state=state,
        run=ended.run if ended else "",
        snapshot_time=rfc3339(ended.snapshot) if ended else "",
        manifest=own.layout.run(ended.run).manifest.name if ended else "",
        manifest_generation=ended.manifest_generation if ended else 0,
        status=ended.status if ended else "",
        tables=ended.tables if ended else 0,
        rows=ended.rows if ended else 0,
        files=ended.files if ended else 0,
        bytes=ended.bytes if ended else 0,
        problem=fill(failure.message, COMMANDS) if failure and state == "failed" else "",
    )


class SetResult(NamedTuple):
    """How a task of a set's run ended. `unfinished`: other tasks are still at work.

    task: the one that ended.
    manifest: project.json as it is stored now, None where nothing is published or not all datasets have ended.
    mine: this task has written it.
    """

    task: SetTask
    state: Literal["published", "superseded", "unfinished"]
    plan: SetPlan
    manifest: SetManifest | None
    mine: bool = False


async def run_set(task: SetTask) -> SetResult:
    """Do this task's part of every dataset of the set, and publish the set when all of them have ended.

    Raises DatasetsFailedError where datasets have failed; the others are published all the same. Raises what
    `obtain_set` raises.
    """
    running = await obtain_set(task)
    # Until a dataset is planned, each of its tables counts as one unit.
    tables = {number: member.tables for number, member in enumerate(running.plan.datasets)}
    shared = Shared(task.warehouse, task.settings.concurrency, task.tasks, tables)

    def open_task(number: int) -> Task:
        return member_task(running, number, shared.at)

    planner = Planner(running, open_task)
    try:
        await planner.begin()
        progress = await export_datasets(running, open_task, planner)
    finally:
        await planner.end()
        shared.close()
    settled = progress.settled(running.plan, task.owner.execution)
    stored = await publish_set(running, progress) if settled else None
    manifest = stored.value if stored else None
    refuse_failed(running, progress)
    if not settled:
        open_ = counted(len(running.plan.datasets) - len(progress.receipts), "dataset")
        log.info("done; waiting for other tasks to export %s", open_, extra=LogEvent.TASK_DONE.extra())
        return SetResult(task, "unfinished", running.plan, None)
    published = manifest is not None and manifest.run == running.plan.run
    return SetResult(
        task, "published" if published else "superseded", running.plan, manifest, stored is not None and stored.mine
    )
