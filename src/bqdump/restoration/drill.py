"""Drills: restore an export into a scratch dataset, compare it, and always drop the dataset.

Of a set, the datasets are drilled one after another, within one limit of what is billed.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.codec import encode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.notes import Restored
from bqdump.core.errors import ENDS_THE_TASK, BqdumpError, DeniedError, VerificationError
from bqdump.core.progress.events import Event, Listener
from bqdump.core.progress.log_events import LogEvent, about
from bqdump.core.restore.bill import together
from bqdump.core.restore.chosen import object_names, tables_with_rows
from bqdump.core.restore.drill import Drilled, Sample, drilled_together, in_turn, note_on, split, state_of
from bqdump.core.restore.plan import Options
from bqdump.core.restore.result import NotCreated, Restoration, dataset_failure, nothing_restored, restored_together
from bqdump.core.sets.restoring import EVERY
from bqdump.core.sizes import counted
from bqdump.core.tables.catalog import Dataset
from bqdump.core.times import time_of
from bqdump.core.wording import COMMANDS, fill
from bqdump.repository.drills import read_drills, with_proofs
from bqdump.repository.manifests import contents_of
from bqdump.repository.repository import create
from bqdump.restoration.obtain import Proposal, propose, take_part
from bqdump.restoration.planning import plan_one, planned_bill, refuse_more
from bqdump.restoration.restore import carry_out_one
from bqdump.restoration.sources import choose, finish_runs, of_one_dataset, set_source, tasks_of
from bqdump.restoration.survey import find_manifest
from bqdump.restoration.task import RunningRestore, Task
from bqdump.restoration.uploads import drop_uploads

log = logging.getLogger(__name__)

NAME = "bqdump_drill_"
# The reason of a difference between the files in the target and the manifest.
FILES = "files"


async def drill(task: Task, sample: Sample) -> Drilled:
    """Drill the requested run, or what is published. sample: of the tables of each dataset.

    A dataset whose drill ends with an error is a failure of the set's; the others are drilled all the same.
    """
    if task.request.finish_run:
        await finish_runs(task)
    source = await set_source(task)
    if source is None:
        return await drill_one(await of_one_dataset(task, EVERY), sample)
    chosen = await choose(source, EVERY)
    members = list((await tasks_of(task, chosen)).values())
    prepared = await _within_limit(members, sample) if task.settings.max_bytes_billed else {}
    done: dict[str, Drilled] = {}
    failed: dict[str, BqdumpError] = {}
    for member in members:
        with about(member.dataset):
            try:
                ready = prepared.get(member.dataset) or await prepare(member, sample)
                spent = sum(drilled.bytes_billed for drilled in done.values())
                done[member.dataset] = await drill_prepared(ready._replace(task=ready.task.requesting(spent=spent)))
            except ENDS_THE_TASK:
                raise
            except BqdumpError as error:
                failed[member.dataset] = error
                message, extra = "the drill ended without a result: %s", LogEvent.DRILL_FAILED.extra()
                log.error(message, error, extra=extra)  # noqa: TRY400 (an error with a name)
    if not done:
        raise next(iter(failed.values()))
    result = drilled_together(chosen.run, done, [dataset_failure(name, error) for name, error in failed.items()])
    if result.proves:
        named = {"dataset": task.settings.dataset or ",".join(done), "target": str(task.settings.target)}
        proven = LogEvent.DRILL_PROVEN.extra(bytes_billed=result.bytes_billed, **named)
        datasets, of = counted(len(done), "dataset"), counted(result.of, "table")
        some = f"{len(result.tables)} of {of} of run {result.run} can be restored: {datasets}"
        whole = f"run {result.run} is restorable: {datasets}"
        everything = len(result.tables) == result.of and len(done) == len(chosen.parts)
        log.info("%s", whole if everything else some, extra=proven)
    return result


async def plan_drill(task: Task, sample: Sample) -> Restoration:
    """What a drill would restore, and what it would bill. Nothing is written."""
    source = await set_source(task)
    if source is None:
        return await plan_one((await prepare(await of_one_dataset(task, EVERY), sample)).task)
    chosen = await choose(source, EVERY)
    plans = {}
    for member in (await tasks_of(task, chosen)).values():
        with about(member.dataset):
            plans[member.dataset] = await plan_one((await prepare(member, sample)).task)
    return restored_together(task.request.options, chosen.run, plans, [])


async def _within_limit(tasks: Sequence[Task], sample: Sample) -> dict[str, Prepared]:
    """The drills as they are planned, by dataset. Raises UsageError if all of them would bill more than the limit."""
    prepared: dict[str, Prepared] = {}
    bills = []
    for task in tasks:
        # Without this, the drill of the dataset meets the same error, and names it.
        with about(task.dataset), suppress(BqdumpError):
            ready = await prepare(task, sample)
            proposal = await propose(ready.task)
            if drafted := proposal.drafted:
                bills.append(await planned_bill(ready.task, ready.manifest, drafted.plan))
            prepared[task.dataset] = ready._replace(proposal=proposal)
    options = replace(tasks[0].request.options, temporary=True)
    refuse_more(tasks[0].requesting(options=options), together(bills))
    return prepared


class Prepared(NamedTuple):
    """A drill that may begin.

    task: of the restore that it does.
    tables: those with rows.
    lost: those whose rows the export lacks.
    proposal: how it was planned, where that was necessary before it begins.
    """

    task: Task
    manifest: Manifest
    tables: list[str]
    lost: Sequence[str]
    last: str
    proposal: Proposal | None = None


async def drill_one(task: Task, sample: Sample) -> Drilled:
    """Drill the export of one dataset. Raises like prepare and drill_prepared."""
    return await drill_prepared(await prepare(task, sample))


async def prepare(task: Task, sample: Sample) -> Prepared:
    """Choose what a drill restores, and the name of its scratch dataset. Raises NotFoundError without the run."""
    manifest = (await find_manifest(task)).manifest
    tables, lost = tables_with_rows(manifest)
    options, last = await _options(task, tables, sample)
    return Prepared(task.requesting(options=options, run=manifest.run), manifest, tables, lost, last)


async def drill_prepared(prepared: Prepared) -> Drilled:
    """Restore a sample of a run into a scratch dataset of the requested project, compare, drop, and take a note of it.

    What differs or cannot be restored is in the result. Raises DeniedError if datasets cannot be created.
    """
    task, manifest, clock = prepared.task, prepared.manifest, _Clock(prepared.task.tell)
    bill, options = _Bill(task), task.request.options
    began, start = await task.destination.now(manifest.location), time.monotonic()
    try:
        done = await _restore(task.requesting(on_bill=bill)._replace(tell=clock), prepared.proposal)
    except VerificationError as error:
        cause = fill(f"{error.cause}. {error.hint}", COMMANDS)
        done = nothing_restored(manifest, options, NotCreated(f"run {manifest.run}", "RUN", FILES, cause), bill.bytes)
    result = _drilled(prepared, done, began, time.monotonic() - start)
    _report(result, {"dataset": manifest.dataset, "target": str(task.settings.target)})
    await _take_note(task, manifest, result, clock.restored)
    return result


def _drilled(prepared: Prepared, done: Restoration, began: int, seconds: float) -> Drilled:
    """What a restore that began at this time, in ms since 1970 UTC, has proved."""
    manifest, options = prepared.manifest, prepared.task.request.options
    different, failed = split(done.failed)
    failed += _unproven(manifest, done)
    missing = {failure.name for failure in done.failed}
    proven = [table for table in done.tables if table.table not in missing]
    return Drilled(
        run=manifest.run,
        state=state_of(different, failed),
        snapshot_time=time_of(manifest.snapshot),
        project=options.project,
        dataset=options.dataset,
        tables=tuple(table.table for table in proven),
        of=len(prepared.tables) + len(prepared.lost),
        objects=len(done.objects),
        rows=sum(table.rows or 0 for table in proven),
        bytes=sum(table.bytes for table in proven),
        bytes_billed=done.bytes_billed,
        seconds=round(seconds, 3),
        began=time_of(began),
        different=different,
        failed=failed,
        not_restored=done.not_restored,
        last=prepared.last,
        altered={table.table: table.altered for table in proven if table.altered},
    )


async def _take_note(task: Task, manifest: Manifest, result: Drilled, restored: int) -> None:
    target, layout = task.settings.target, task.settings.layout
    contents = contents_of(encode(manifest), layout.run(manifest.run).manifest.name)
    different = [failure.name for failure in result.different]
    note = replace(note_on(result), restored=restored)
    note = await with_proofs(task.store, layout, contents, note, result.tables, different)
    at = time_of(note.began).strftime("%Y%m%dT%H%M%SZ")
    document = task.settings.layout.drill(f"{at}-{result.dataset.removeprefix(NAME)}")
    if task.signer:
        # Imported for such drills only.
        from bqdump.repository.drills import sign_drill

        await sign_drill(task.store, target, task.settings.layout, document.name, note, task.signer)
    await create(task.store, document, note)


class _Clock:
    """Hears when the last table was in place, by BigQuery's clock; 0 before the first."""

    def __init__(self, tell: Listener) -> None:
        self.restored, self._tell = 0, tell

    def __call__(self, event: Event) -> None:
        if isinstance(event, Restored):
            self.restored = max(self.restored, event.ended)
        self._tell(event)


class _Bill:
    """The bytes billed by comparisons, which are reported one by one."""

    def __init__(self, task: Task) -> None:
        self.bytes = 0
        self._report = task.request.on_bill

    def __call__(self, bytes_billed: int) -> None:
        self.bytes += bytes_billed
        self._report(bytes_billed)


async def _options(task: Task, tables: list[str], sample: Sample) -> tuple[Options, str]:
    """What is restored, and after which table the next drill in turn continues, "" for a drill of another kind."""
    options, last = task.request.options, ""
    include = options.include
    if not include:
        chosen = await _chosen(task, tables, sample)
        include, last = (chosen, chosen[-1]) if len(chosen) < len(tables) else ((), "")
    return replace(options, dataset=await _free_name(task), include=include, temporary=True), last


async def _chosen(task: Task, tables: list[str], sample: Sample) -> tuple[str, ...]:
    """The tables whose turn it is."""
    size = sample.size(len(tables))
    if size >= len(tables):
        return tuple(tables)
    turns = [earlier.last for earlier in await read_drills(task.store, task.settings.layout) if earlier.last]
    return in_turn(tables, size, turns[-1] if turns else "")


async def _free_name(task: Task) -> str:
    """The name of a dataset that does not exist."""
    while True:
        name = f"{NAME}{secrets.token_hex(4)}"
        if await task.destination.find_dataset(task.request.options.project, name) is None:
            return name


async def _restore(task: Task, proposal: Proposal | None) -> Restoration:
    """Restore and compare; the dataset is dropped in the end. Raises VerificationError if files are not as exported."""
    restore = await take_part(task, proposal or await propose(task))
    try:
        return await carry_out_one(restore)
    finally:
        await _drop(restore)


async def _drop(restore: RunningRestore) -> None:
    """Drop the dataset, if it was created, and uploads that a failure left."""
    dataset = restore.target
    await drop_uploads(restore)
    try:
        if await _exists(restore, dataset):
            await restore.destination.drop_dataset(dataset)
    except BqdumpError as error:
        left = LogEvent.DRILL_DATASET_LEFT.extra(dataset=restore.manifest.dataset)
        message = "dataset %s.%s was not deleted: %s. Its tables expire after 3 days; to delete it: bq rm -r -d %s:%s"
        log.warning(message, dataset.project, dataset.name, error.cause, dataset.project, dataset.name, extra=left)


async def _exists(restore: RunningRestore, dataset: Dataset) -> bool:
    try:
        return await restore.destination.find_dataset(dataset.project, dataset.name) is not None
    except DeniedError:
        # Who creates a dataset owns it, so this one was not created.
        return False


def _unproven(manifest: Manifest, done: Restoration) -> tuple[NotCreated, ...]:
    """Where nothing came back, the objects that the export cannot bring back: a drill without them proves nothing."""
    if done.tables or done.objects or done.failed:
        return ()
    names = set(object_names(manifest))
    lost = (each for each in done.not_restored if each.name in names)
    return tuple(NotCreated(each.name, each.kind, "notInExport", each.reason) for each in lost)


def _report(result: Drilled, export: Mapping[str, str]) -> None:
    """Log what was proven, if anything, or every problem. export: the labels that name the export."""
    for problem in result.problems:
        log.error("%s", problem, extra=LogEvent.DRILL_FAILED.extra(run=result.run, **export))
    if result.proves:
        tables, of, rows = len(result.tables), counted(result.of, "table"), counted(result.rows, "row")
        # A run is not proven by some of its tables.
        what = f"run {result.run} is restorable: {tables} of {of}"
        if tables < result.of:
            what = f"{tables} of {of} of run {result.run} can be restored:"
        altered = counted(len(result.altered), "table")
        alike = f", except what the files of {altered} have alike" if result.altered else ""
        proven = LogEvent.DRILL_PROVEN.extra(run=result.run, bytes_billed=result.bytes_billed, **export)
        log.info("%s compared value by value, %s%s", what, rows, alike, extra=proven)
