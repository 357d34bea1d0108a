"""What bqdump does: one function for each verb, on ports that are open. The command line and the Python API call these.

A front end parses settings and arguments, opens the ports, and renders the result. Each verb imports its packages when
it is called, so that a task of a run loads nothing that only other verbs need.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bqdump.core.errors import BqdumpError, NotFoundError
from bqdump.core.progress.events import Listener, ignore
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.results import Rows
from bqdump.core.wording import PYTHON, Words

if TYPE_CHECKING:
    from bqdump.check.query import Export as Queried
    from bqdump.check.service.claim import Claim
    from bqdump.check.service.result import ServiceCheck, TriedClaim
    from bqdump.check.service.run import Ports, Proposal
    from bqdump.check.verify import Verified
    from bqdump.core.documents.changes import TableChange
    from bqdump.core.documents.exported_tables import Manifest
    from bqdump.core.documents.manifest import TableEntry
    from bqdump.core.documents.run import Owner
    from bqdump.core.plan.summary import Planned
    from bqdump.core.progress.export import Export
    from bqdump.core.restore.drilled import Drilled
    from bqdump.core.restore.result import Restoration
    from bqdump.core.restore.rotation import Portion
    from bqdump.core.retention.result import Pruned
    from bqdump.core.settings.settings import Settings
    from bqdump.core.settings.target import Target
    from bqdump.diagnosis import Diagnosis
    from bqdump.export.run import TaskResult
    from bqdump.export.task import Task
    from bqdump.observe.history import RunLine
    from bqdump.observe.status import Status
    from bqdump.ports.query_shell import QueryShell
    from bqdump.ports.store import ObjectStore
    from bqdump.ports.warehouse import Warehouse
    from bqdump.project.task import SetTask
    from bqdump.restoration.task import Task as RestoreTask
    from bqdump.retain.task import AtWork
    from bqdump.services import Services

log = logging.getLogger(__name__)


Answer = TypeVar("Answer")


class Ended(NamedTuple):
    """A task that has done its part of a run, and how that ended."""

    task: Task
    result: TaskResult

    async def export(self) -> Export:
        """The result in full. Reads the manifest if the run was published before this task started."""
        from bqdump.export.result import exported

        return await exported(self.task, self.result)


async def run(
    services: Services,
    settings: Settings,
    name: str,
    owner: Owner,
    tasks: int,
    tell: Listener = ignore,
    *,
    attempt: int | None = None,
) -> Ended:
    """Do one task's part of run `name`, and publish when every task's part is done. Raises TablesFailedError.

    attempt: of this task, from 0; None where nothing restarts it.
    """
    from bqdump.export.run import run as run_task
    from bqdump.export.task import Task
    from bqdump.telemetry import observed

    task = Task(services.store, services.warehouse, settings, name, owner, tasks, tell, services.read_route.open)
    try:
        with observed("run", name, _about(settings, owner), tell) as hear:
            result = await run_task(task._replace(tell=hear))
    except Exception as error:
        await _notify_failed(task.store, settings, name, owner, error, attempt)
        raise
    await _notify_published(Ended(task, result))
    if settings.prune and result.state == "published" and result.again is None:
        await _prune_after(services, settings)
    return Ended(task, result)


def _about(settings: Settings, owner: Owner) -> dict[str, str | int]:
    """What every span and metric of an export is about."""
    return {"bqdump.project": settings.project, "bqdump.dataset": settings.dataset, "bqdump.task": owner.task}


async def _prune_after(services: Services, settings: Settings, store: ObjectStore | None = None) -> None:
    """Prune. An error is only logged: the export is published."""
    try:
        await prune(store or services.store, settings, services.warehouse.at_work, delete=True)
    except BqdumpError as error:
        message = "the export is published, but earlier runs could not be pruned: %s"
        log.warning(message, error, extra=LogEvent.PRUNE_FAILED.extra())


async def run_set(
    services: Services,
    stores: Mapping[Target, ObjectStore],
    settings: Settings,
    name: str,
    owner: Owner,
    tasks: int,
    tell: Listener = ignore,
    *,
    attempt: int | None = None,
) -> Export:
    """Do one task's part of run `name` of a set of datasets. stores: by target. Raises DatasetsFailedError.

    attempt: see run.
    """
    from bqdump.project.result import exported_set
    from bqdump.project.run import run_sets
    from bqdump.telemetry import observed

    made = _set_tasks(services, stores, settings, name, owner, tasks, tell)
    try:
        with observed("run", name, _about(settings, owner), tell) as hear:
            results = await run_sets(settings, _set_tasks(services, stores, settings, name, owner, tasks, hear))
    except Exception as error:
        await _notify_failed(made[0].store, made[0].settings, name, owner, error, attempt)
        raise
    for result in results:
        if settings.prune and result.mine:
            await _prune_after(services, result.task.settings, result.task.store)
    exported = exported_set(results)
    if any(result.mine for result in results):
        await _notify_set(settings, exported)
    return exported


async def _notify_set(settings: Settings, exported: Export) -> None:
    """Post that this task has published the set, where an address is set."""
    from bqdump.core.notice import run_published
    from bqdump.observe.notify import notify
    from bqdump.services import open_notifier

    notifier = open_notifier(settings)
    if notifier and exported.state == "published":
        await notify(notifier, run_published(settings, exported))


async def plan_set(
    services: Services, stores: Mapping[Target, ObjectStore], settings: Settings, name: str, tasks: int
) -> Planned:
    """Plan run `name` of a set of datasets for this many tasks, without writing anything. stores: by target."""
    from bqdump.core.documents.run import Owner
    from bqdump.project.plan import plan_sets

    return await plan_sets(settings, _set_tasks(services, stores, settings, name, Owner(name, 0), tasks, ignore))


def _set_tasks(
    services: Services,
    stores: Mapping[Target, ObjectStore],
    settings: Settings,
    name: str,
    owner: Owner,
    tasks: int,
    tell: Listener,
) -> list[SetTask]:
    """The task of the set that goes to each target."""
    from msgspec.structs import replace

    from bqdump.core.progress.together import Together
    from bqdump.project.task import SetTask

    hear = Together(tell).of
    read_route = services.read_route.open
    return [
        SetTask(store, services.warehouse, replace(settings, target=at), name, owner, tasks, read_route, hear)
        for at, store in stores.items()
    ]


async def _notify_failed(
    store: ObjectStore, settings: Settings, run: str, owner: Owner, error: Exception, attempt: int | None
) -> None:
    """Post that a run failed, where an address is set: once for an execution, not once for each of its tasks."""
    from bqdump.core.notice import run_failed
    from bqdump.observe.notify import concerns_all, notify, notify_once, of_tables
    from bqdump.services import open_notifier

    notifier = open_notifier(settings)
    if notifier is None:
        return
    notice = run_failed(settings, run, error)
    if of_tables(error):
        await notify_once(notifier, store, settings, notice, owner)
    elif concerns_all(error, owner, attempt):
        await notify(notifier, notice)


async def _notify_published(ended: Ended) -> None:
    """Post that this task has published the run, where an address is set."""
    from bqdump.core.notice import run_published
    from bqdump.observe.notify import notify_once
    from bqdump.services import open_notifier

    task, result = ended.task, ended.result
    notifier = open_notifier(task.settings)
    if notifier is None or result.state != "published" or result.again is not None:
        return
    try:
        notice = run_published(task.settings, await ended.export())
    except BqdumpError as error:
        log.warning("not notified: %s", error, extra=LogEvent.NOTIFY_FAILED.extra())
        return
    await notify_once(notifier, task.store, task.settings, notice, task.owner)


async def plan(services: Services, settings: Settings, name: str, tasks: int) -> Planned:
    """Plan run `name` for this many tasks, without writing anything."""
    from bqdump.core.plan.summary import planned
    from bqdump.export.carry import read_published
    from bqdump.export.planning.draft import draft_plan
    from bqdump.export.planning.reuse import Earlier
    from bqdump.export.planning.target import check_target

    bucket = await check_target(services.store, settings)
    published = await read_published(services.store, settings)
    earlier = Earlier(services.store, published)
    draft = await draft_plan(services.warehouse, settings, name, tasks, bucket, earlier)
    return planned(draft.plan, draft.tables)


async def doctor(services: Services, settings: Settings, service_account: str = "", words: Words = PYTHON) -> Diagnosis:
    """Check permissions and risks before a run; of a set, for each dataset. service_account, words: see diagnose."""
    from bqdump.diagnosis import diagnose, diagnose_together

    async def one(own: Settings) -> Diagnosis:
        return await diagnose(services.store, services.warehouse, services.read_route.open, own, service_account, words)

    if not settings.names_several:
        return await one(settings)
    from bqdump.core.project.member import one_dataset
    from bqdump.core.project.selection import by_target, choose_datasets
    from bqdump.project.obtain import list_project

    chosen = choose_datasets(await list_project(services.warehouse, settings), settings).datasets
    here = by_target(chosen, settings).get(settings.target, ())
    return diagnose_together(settings, [await one(one_dataset(settings, dataset.name)) for dataset in here])


async def propose_check(ports: Ports, settings: Settings, claims: tuple[Claim, ...]) -> Proposal:
    """What a check of the services would create, and what it would bill. Makes nothing."""
    from bqdump.check.service.run import propose

    return await propose(ports, settings, claims)


async def check_service(
    ports: Ports, proposal: Proposal, tell: Callable[[TriedClaim], None] = lambda _: None
) -> ServiceCheck:
    """Try on BigQuery and Cloud Storage what bqdump relies on. tell: is called with each claim that was tried."""
    from bqdump.check.service.run import check_service as check

    return await check(ports, proposal, tell)


async def status(store: ObjectStore, settings: Settings, run: str = "") -> Status:
    """The progress of a run (default: the run that was planned last), or of a set's run."""
    from bqdump.project.status import set_status

    name = run or settings.run_id
    return await _either(settings, partial(_status, store, settings, name), partial(set_status, store, settings, name))


async def _status(store: ObjectStore, settings: Settings, run: str) -> Status:
    from msgspec.structs import replace

    from bqdump.core.restore.restorable import restorable
    from bqdump.observe.status import newest_run
    from bqdump.observe.status import status as read_status
    from bqdump.repository.drills import read_drills

    found = await read_status(store, settings, run or await newest_run(store, settings))
    return replace(found, restorable=restorable(await read_drills(store, settings.layout)))


async def _either(
    settings: Settings, of_one: Callable[[], Awaitable[Answer]], of_set: Callable[[], Awaitable[Answer]]
) -> Answer:
    """What is there: the export of one dataset or a set. The settings decide only what is looked for first.

    The settings of a set are also those with which people look at one of its datasets.
    """
    first, second = (of_set, of_one) if settings.names_several else (of_one, of_set)
    try:
        return await first()
    except NotFoundError:
        with suppress(NotFoundError):
            return await second()
        raise


async def runs(store: ObjectStore, settings: Settings, *, storage: bool = False) -> Rows[RunLine]:
    """All runs of a target, the latest snapshot time first; of a set, also those of each dataset.

    storage: with what each run of one dataset shares with others.
    """
    from bqdump.observe.history import list_runs
    from bqdump.project.look import set_runs

    of_one = partial(list_runs, storage=storage)
    found: Rows[RunLine] = Rows()
    with suppress(NotFoundError):
        found = await set_runs(store, settings) if settings.names_several else await of_one(store, settings)
    if not found:
        with suppress(NotFoundError):
            found = await of_one(store, settings) if settings.names_several else await set_runs(store, settings)
    return found


async def verify(
    store: ObjectStore,
    settings: Settings,
    run: str = "",
    *,
    parts: int = 0,
    warehouse: Warehouse | None = None,
    bill: Callable[[int], None] = lambda _: None,
    tell: Listener = ignore,
) -> Verified:
    """Compare the files of a run (default: the published run) with its manifest; of a set, those of each dataset.

    parts: also read one in this many files (0: none). warehouse: compare tables with BigQuery as well, which needs
    every file; `bill` hears the bytes billed beforehand.
    """
    from bqdump.check.compare_with_source import Source
    from bqdump.check.read_back import ReadOptions
    from bqdump.check.verify import verify as verify_run
    from bqdump.project.look import verify_set
    from bqdump.repository.published import SetError, with_bucket
    from bqdump.services import open_reader

    name = run or settings.run_id
    source = Source(warehouse, settings.max_bytes_billed, bill) if warehouse else None
    reader = open_reader() if parts else None
    reading = ReadOptions(reader, parts, checksums=source is not None) if reader else None

    async def one(own: Settings, run: str) -> Verified:
        return await verify_run(store, own, run, reading, source, tell)

    async def either() -> Verified:
        try:
            return await one(settings, name)
        except (NotFoundError, SetError):
            with suppress(NotFoundError):
                return await verify_set(store, settings, name, one)
            raise

    try:
        return await with_bucket(store, either())
    finally:
        if reader:
            reader.close()


async def manifest(store: ObjectStore, settings: Settings, run: str = "") -> Manifest:
    """The manifest of a run (default: the published run)."""
    from bqdump.core.documents.exported_tables import readable
    from bqdump.repository.published import read_manifest

    target = settings.target
    address = f"{Path(target.folder).absolute()}/" if target.folder else target.uri("")
    return readable(await read_manifest(store, settings, run or settings.run_id), address)


async def sql(
    store: ObjectStore,
    settings: Settings,
    shell: QueryShell,
    run: str = "",
    reading: Callable[[TableEntry], None] = lambda _: None,
) -> Queried:
    """A run (default: the published run) to query in the shell. reading: hears of each table whose files are read."""
    from bqdump.check.query import Export as Queried
    from bqdump.repository.published import read_manifest, with_bucket

    manifest = await with_bucket(store, read_manifest(store, settings, run or settings.run_id))
    return Queried(settings, manifest, shell, reading)


async def diff(
    store: ObjectStore,
    settings: Settings,
    before: str,
    after: str = "",
    *,
    values: bool = False,
    tell: Listener = ignore,
) -> Rows[TableChange]:
    """What changed from one run to another (default: the published run). values: compare the files' values as well."""
    from bqdump.check.compare_values import compare_values
    from bqdump.core.documents.changes import compare
    from bqdump.repository.published import read_manifest
    from bqdump.services import open_reader

    old, new = await read_manifest(store, settings, before), await read_manifest(store, settings, after)
    if not values:
        return Rows(compare(old, new))
    reader = open_reader()
    try:
        return Rows(await compare_values(store, old, new, reader, tell))
    finally:
        reader.close()


async def report(store: ObjectStore, settings: Settings, run: str = "", since: str = "") -> tuple[str, bytes]:
    """The name of a run (default: the published run) and its report as HTML. since: with the changes since that run."""
    from bqdump.export.publish.report import report_page
    from bqdump.project.look import set_report
    from bqdump.repository.published import SetError

    try:
        return await report_page(store, settings, run or settings.run_id, since)
    except SetError:
        return await set_report(store, settings)


async def prune(store: ObjectStore, settings: Settings, at_work: AtWork | None = None, *, delete: bool) -> Pruned:
    """Delete the runs that the retention policy does not keep; of a set, those of each dataset.

    delete: False only shows. at_work: see retain.task.
    """
    from bqdump.core.retention.policy import policy_of
    from bqdump.project.look import prune_set
    from bqdump.retain.prune import prune as prune_runs
    from bqdump.retain.task import Task

    async def one(own: Settings) -> Pruned:
        return await prune_runs(Task(store, own, policy_of(own), int(time.time() * 1000), delete, at_work))

    if not settings.names_several:
        found = await one(settings)
        if found.runs:
            return found
        with suppress(NotFoundError):
            return await prune_set(store, settings, one)
        return found
    try:
        return await prune_set(store, settings, one)
    except NotFoundError:
        return await one(settings)


async def tag(
    store: ObjectStore, settings: Settings, run: str, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> tuple[str, ...]:
    """Add tags to a run and remove others; the tags that it has then."""
    from bqdump.repository.tags import change_tags

    return await change_tags(store, settings.layout, run, add, remove)


async def restore(task: RestoreTask, *, values: bool = False) -> Restoration:
    """Do one task's part of a restore. values: compare the values of restored tables with the files as well."""
    from bqdump.check.read_back import ReadOptions
    from bqdump.restoration.run import run as run_task
    from bqdump.services import open_reader
    from bqdump.telemetry import observed

    options = task.request.options
    about: dict[str, str | int] = {
        "bqdump.project": options.project,
        "bqdump.dataset": options.dataset,
        "bqdump.task": task.owner.task,
    }
    reader = open_reader() if values else None
    try:
        if reader:
            task = task._replace(request=task.request._replace(reading=ReadOptions(reader, checksums=True)))
        with observed("restore", task.owner.execution, about, task.tell) as hear:
            return await run_task(task._replace(tell=hear))
    finally:
        if reader:
            reader.close()


async def drill(task: RestoreTask, portion: Portion) -> Drilled:
    """Restore a portion of an export into a scratch dataset, compare every value with the files, and drop it."""
    from bqdump.adapters.memory.store import MemoryStore
    from bqdump.check.read_back import ReadOptions
    from bqdump.core.notice import drill_ended, drill_failed
    from bqdump.observe.notify import notify
    from bqdump.restoration.drill import drill as run_drill
    from bqdump.services import open_notifier, open_reader

    reader, notifier = open_reader(), open_notifier(task.settings)
    try:
        request = task.request._replace(reading=ReadOptions(reader, checksums=True))
        # Nothing resumes a drill, so its receipts need not outlive it.
        done = await run_drill(task._replace(request=request, documents=MemoryStore()), portion)
    except Exception as error:
        if notifier:
            await notify(notifier, drill_ended(task.settings, task.request.run, error))
        raise
    else:
        if notifier and done.state != "proven":
            await notify(notifier, drill_failed(task.settings, done))
        return done
    finally:
        reader.close()


async def plan_restore(task: RestoreTask) -> Restoration:
    """Show what a restore would do, without writing anything."""
    from bqdump.restoration.outcome import planned
    from bqdump.restoration.planning import draft

    drafted = await draft(task)
    return planned(drafted.plan, drafted.found.manifest)
