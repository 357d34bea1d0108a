"""A drill: restore an export into a scratch dataset, compare it, and always drop the dataset."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import BqdumpError, DeniedError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.chosen import object_names, tables_with_rows
from bqdump.core.restore.drill import Drilled, Sample, in_turn, note_on, split, state_of
from bqdump.core.restore.plan import Options
from bqdump.core.restore.result import NotCreated, Restoration
from bqdump.core.sizes import counted
from bqdump.core.tables.catalog import Dataset
from bqdump.core.times import time_of
from bqdump.core.wording import COMMANDS, fill
from bqdump.repository.drills import read_drills
from bqdump.repository.repository import create
from bqdump.restoration.obtain import Proposal, propose, take_part
from bqdump.restoration.run import carry_out_alone
from bqdump.restoration.survey import find_manifest
from bqdump.restoration.task import RunningRestore, Task
from bqdump.restoration.uploads import drop_uploads

log = logging.getLogger(__name__)

NAME = "bqdump_drill_"
# The reason of a difference between the files in the target and the manifest.
FILES = "files"


class _Bill:
    """The bytes billed by comparisons, which are reported one by one."""

    def __init__(self, task: Task) -> None:
        self.bytes = 0
        self._report = task.request.on_bill

    def __call__(self, bytes_billed: int) -> None:
        self.bytes += bytes_billed
        self._report(bytes_billed)


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


async def prepare(task: Task, sample: Sample) -> Prepared:
    """Choose what a drill restores, and the name of its scratch dataset. Raises NotFoundError without the run."""
    manifest = (await find_manifest(task)).manifest
    tables, lost = tables_with_rows(manifest)
    options, last = await _options(task, tables, sample)
    request = task.request._replace(options=options, run=manifest.run)
    return Prepared(task._replace(request=request), manifest, tables, lost, last)


async def drill(task: Task, sample: Sample) -> Drilled:
    """Prepare a drill, and do it."""
    return await drill_prepared(await prepare(task, sample))


async def drill_prepared(prepared: Prepared) -> Drilled:
    """Restore a sample of a run into a scratch dataset of the requested project, compare, drop, and take a note of it.

    What differs or cannot be restored is in the result. Raises DeniedError if datasets cannot be created.
    """
    task, manifest = prepared.task, prepared.manifest
    bill, options = _Bill(task), task.request.options
    began, start = await task.destination.now(manifest.location), time.monotonic()
    try:
        done = await _restore(task._replace(request=task.request._replace(on_bill=bill)), prepared.proposal)
    except VerificationError as error:
        done = _without_files(manifest, options, error, bill.bytes)
    different, failed = split(done.failed)
    failed += _unproven(manifest, done)
    missing = {failure.name for failure in done.failed}
    proven = [table for table in done.tables if table.table not in missing]
    result = Drilled(
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
        seconds=round(time.monotonic() - start, 3),
        began=time_of(began),
        different=different,
        failed=failed,
        not_restored=done.not_restored,
        last=prepared.last,
        altered={table.table: table.altered for table in proven if table.altered},
    )
    _report(result, {"dataset": manifest.dataset, "target": str(task.settings.target)})
    note = note_on(result)
    at = time_of(note.began).strftime("%Y%m%dT%H%M%SZ")
    document = task.settings.layout.drill(f"{at}-{options.dataset.removeprefix(NAME)}")
    if task.signer:
        # Imported for such drills only.
        from bqdump.repository.drills import sign_drill

        await sign_drill(task.store, task.settings.target, task.settings.layout, document.name, note, task.signer)
    await create(task.store, document, note)
    return result


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
        return await carry_out_alone(restore)
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


def _without_files(manifest: Manifest, options: Options, error: VerificationError, bytes_billed: int) -> Restoration:
    """Nothing was restored, as files are missing or changed. bytes_billed: by comparisons until then."""
    return Restoration(
        restore="",
        run=manifest.run,
        state="incomplete",
        snapshot_time=time_of(manifest.snapshot),
        project=options.project,
        dataset=options.dataset,
        location=manifest.location,
        tables=(),
        objects=(),
        failed=(NotCreated(f"run {manifest.run}", "RUN", FILES, fill(f"{error.cause}. {error.hint}", COMMANDS)),),
        not_restored=(),
        kept=(),
        rows=0,
        bytes=0,
        bytes_billed=bytes_billed,
    )


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
