"""The commands as functions, for schedulers and notebooks. Import them from `bqdump`.

Settings are keyword arguments, or are read from the file `config`; environment variables are not read. Every function
blocks until it is done, even if an event loop is running, and raises a BqdumpError for every failure that can be
expected. No function prints, exits, sets a signal handler or configures logging. Log records go to the logger `bqdump`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import secrets
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, cast

import msgspec

from bqdump import verbs
from bqdump.arguments import Options
from bqdump.check.service.result import ServiceCheck
from bqdump.check.verify import Verified
from bqdump.core.documents.changes import TableChange
from bqdump.core.documents.exported_tables import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, UsageError, first_of
from bqdump.core.plan.summary import Planned
from bqdump.core.progress.export import Export
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.project.selection import all_targets
from bqdump.core.restore.drilled import Drilled
from bqdump.core.restore.request import requested, requested_drill
from bqdump.core.restore.result import Restoration
from bqdump.core.restore.rotation import portion
from bqdump.core.results import Rows
from bqdump.core.retention.policy import policy_of
from bqdump.core.retention.result import Pruned
from bqdump.core.sampling import parts_to_read
from bqdump.core.settings.resolve import arguments, resolve
from bqdump.core.settings.resolve import file as settings_file
from bqdump.core.settings.settings import REQUIRED, RETENTION, Settings
from bqdump.core.settings.target import Target
from bqdump.core.settings.task_identity import Identity
from bqdump.core.settings.values import tags
from bqdump.core.sizes import size_text
from bqdump.core.wording import PYTHON
from bqdump.diagnosis import Diagnosis
from bqdump.observe.history import RunLine
from bqdump.observe.status import Status
from bqdump.ports.destination import Destination
from bqdump.ports.store import ObjectStore
from bqdump.project.look import merged_pruned, merged_verified
from bqdump.project.status import merged
from bqdump.restoration.task import Request, Task, Via
from bqdump.services import serving
from bqdump.services.config import read_config
from bqdump.services.opening import Services
from bqdump.services.place import run_id
from bqdump.signatures import OF_TARGET, with_settings

if TYPE_CHECKING:
    from bqdump.check.service.run import Ports

Result = TypeVar("Result")
Raised = TypeVar("Raised", bound=BaseException)
SIGNAL_SECONDS = 0.5
log = logging.getLogger("bqdump")
log.addHandler(logging.NullHandler())


@with_settings()
def run(*, task: int = 0, tasks: int = 1, **options: Unpack[Options]) -> Export:
    """Export the dataset, alone or as task `task` (from 0) of `tasks` that share a `run_id`.

    Raises TablesFailedError if tables failed and `allow_partial` is not set. Nothing is published then; the same
    `run_id` resumes the run.
    """
    settings = _settings(options, REQUIRED)
    if not 0 <= task < tasks:
        raise UsageError("run", f"task {task}", f"it is none of {tasks} tasks, which count from 0")
    if tasks > 1 and not settings.run_id:
        raise UsageError("run", f"task {task} of {tasks}", "tasks of one run need one name", "Pass the same run_id.")
    name = run_id(settings, Identity("", task, tasks, 0, ""))
    # Tasks of one run are one execution, where a restarted task is the same one; a call alone is always a new one.
    owner = Owner(name if tasks > 1 else f"{name}-{secrets.token_hex(4)}", task)

    async def export_set(at: Services, stores: Mapping[Target, ObjectStore]) -> Export:
        return await verbs.run_set(at, stores, settings, name, owner, tasks)

    if settings.names_several:
        return _finish(serving.serve_set(settings, export_set, tasks, patient=True))

    async def export(at: Services) -> Export:
        return await (await verbs.run(at, settings, name, owner, tasks)).export()

    return _serve(settings, export, tasks, patient=True)


@with_settings()
def plan(*, tasks: int = 1, **options: Unpack[Options]) -> Planned:
    """Show what a run would do, without changing anything. `flags` lists why a run would be refused.

    tasks: the number of tasks to plan for.
    """
    settings = _settings(options, REQUIRED)
    if settings.names_several:
        work = partial(verbs.plan_set, settings=settings, name=settings.run_id or "RUN", tasks=tasks)
        return _finish(serving.serve_set(settings, work))
    return _serve(settings, lambda at: verbs.plan(at, settings, settings.run_id or "RUN", tasks))


@with_settings()
def doctor(*, service_account: str = "", **options: Unpack[Options]) -> Diagnosis:
    """Check permissions and risks before a run, without exporting. `verdict` is the worst result.

    Writes two small objects below _bqdump/doctor/ and deletes them. Problems are returned, not raised.
    service_account: the account in the commands of `cures` (default: the one that `bqdump render iam` creates).
    """
    settings = _settings(options, REQUIRED)
    return _serve(settings, lambda at: verbs.doctor(at, settings, service_account))


@with_settings(("project", "bucket", "to", "prefix", "job_project", "location", "kms_key", "patience"))
def check_service(*, claims: Sequence[str] = (), **options: Unpack[Options]) -> ServiceCheck:
    """Try on BigQuery and Cloud Storage what bqdump relies on, in a scratch dataset and prefix that are deleted.

    It creates them, and bills its queries, without asking. What differs is returned, not raised.
    claims: patterns of ids, such as "csv.*" (default: all claims).
    """
    from bqdump.check.service.run import chosen

    settings, wanted = _settings(options, ("project", "bucket")), chosen(claims)

    async def check(ports: Ports) -> ServiceCheck:
        return await verbs.check_service(ports, await verbs.propose_check(ports, settings, wanted))

    return _finish(serving.serve_check(settings, check))


class RestoreOptions(TypedDict, total=False):
    """The settings that a restore uses; see Options."""

    config: str | None
    project: str | None
    bucket: str | None
    to: str | None
    prefix: str | None
    job_project: str | None
    concurrency: int | str | None
    labels: Mapping[str, str] | None
    patience: int | str | None
    job_timeout: int | str | None
    notify: str | None
    max_bytes_billed: int | str | None
    run_id: str | None


@with_settings((*OF_TARGET, "project", "concurrency", "labels", "job_timeout", "max_bytes_billed"))
def restore(
    run: str = "",
    *,
    into: str,
    plan: bool = False,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    replace: bool = False,
    missing_only: bool = False,
    with_policies: bool = False,
    with_access: bool = False,
    keep_references: bool = False,
    verify: bool = False,
    via: str = "",
    yes: bool = False,
    **options: Unpack[RestoreOptions],
) -> Restoration:
    """Restore a run (default: the published run) into a dataset. What failed is listed in `failed`, not raised.

    The same call resumes a restore that was interrupted or is incomplete.
    into: the dataset, as "project.dataset", or "dataset" of `project`; it is created if it does not exist.
    plan: only show what would be restored.
    include, exclude: patterns of the names of tables and other objects.
    replace: replace tables that exist in the dataset, each atomically.
    missing_only: restore only what the dataset does not have.
    with_policies: also restore row access policies.
    with_access: also grant the dataset's access entries, in addition to those that the target has.
    keep_references: let views refer to the source dataset.
    verify: also compare checksums of every column with the files; BigQuery bills one query per table.
    via: gs://bucket for the documents of the restore, and for uploads of a local folder's files.
    yes: confirm a restore into the dataset that was exported.
    """
    settings = _settings(cast("Options", options), ("bucket",))
    with _python_words():
        wanted = requested(
            settings,
            into=into,
            include=include,
            exclude=exclude,
            replace=replace,
            missing_only=missing_only,
            with_policies=with_policies,
            with_access=with_access,
            keep_references=keep_references,
            via=via,
        )
    # Jobs run where the tables are restored, unless another project pays for them.
    settings = msgspec.structs.replace(settings, project=wanted.options.project)
    request = Request(wanted.options, run or settings.run_id, yes=yes, on_bill=_tell_bill)
    me = Owner(f"restore-{secrets.token_hex(4)}", 0)

    async def work(store: ObjectStore, destination: Destination, through: Via | None) -> Restoration:
        task = Task(store, destination, settings, request, me, 1, through)
        return await (verbs.plan_restore(task) if plan else verbs.restore(task, values=verify))

    return _finish(serving.serve_restore(settings, wanted.via, work))


@with_settings((*OF_TARGET, "project", "concurrency", "labels", "job_timeout", "max_bytes_billed", "notify"))
def drill(
    run: str = "",
    *,
    into: str = "",
    tables: int | None = None,
    sample: str = "",
    via: str = "",
    **options: Unpack[RestoreOptions],
) -> Drilled:
    """Prove that a run (default: the published run) can be restored. What differs or failed is listed, not raised.

    The run is restored into a scratch dataset and compared value by value; BigQuery bills one query per table. The
    dataset is always deleted, and the result is stored next to the export.
    into: the project of the scratch dataset (default: `project`).
    tables: restore this many tables, in turn: the next drill continues with the tables after them.
    sample: restore this share of the tables, such as "10%", in turn.
    via: gs://bucket for uploads of a local folder's files.
    """
    settings = _settings(cast("Options", options), ("bucket",))
    with _python_words():
        wanted, size = requested_drill(settings, into=into, via=via), portion(tables, sample)
    settings = msgspec.structs.replace(settings, project=wanted.options.project)
    request = Request(wanted.options, run or settings.run_id, on_bill=_tell_bill)

    async def work(store: ObjectStore, destination: Destination, through: Via | None) -> Drilled:
        me = Owner(f"drill-{secrets.token_hex(4)}", 0)
        return await verbs.drill(Task(store, destination, settings, request, me, 1, through), size)

    return _finish(serving.serve_restore(settings, wanted.via, work))


@with_settings(OF_TARGET)
def status(run: str = "", **options: Unpack[Options]) -> Status:
    """Read the progress of a run (default: the run that was planned last) from the bucket."""
    settings = _settings(options, ("bucket",))

    async def every() -> Status:
        return merged(await serving.ask_each(settings, partial(verbs.status, run=run)))

    return _finish(every())


@with_settings(OF_TARGET)
def runs(*, storage: bool = False, **options: Unpack[Options]) -> Rows[RunLine]:
    """List the runs of a target, the latest snapshot time first.

    storage: also read every manifest, for the bytes that each run shares with others.
    """
    settings, question = _settings(options, ("bucket",)), partial(verbs.runs, storage=storage)

    async def every() -> Rows[RunLine]:
        return Rows(line for found in await serving.ask_each(settings, question) for line in found)

    return _finish(every())


@with_settings((*OF_TARGET, "project", *RETENTION))
def prune(*, yes: bool = False, **options: Unpack[Options]) -> Pruned:
    """Delete the runs that the retention policy no longer keeps, and what unfinished runs have left behind.

    yes: delete; without it, the result only shows what would be deleted.
    Unfinished runs are removed only with `project`, where BigQuery lists their jobs. Raises DocumentError if the
    manifest of any run cannot be read; nothing is deleted then.
    """
    settings = _settings(options, ("bucket",))
    policy_of(settings)
    if settings.names_several:

        async def every(at: Services, stores: Mapping[Target, ObjectStore]) -> Pruned:
            own = {target: msgspec.structs.replace(settings, target=target) for target in stores}
            work = at.warehouse.at_work
            return merged_pruned([await verbs.prune(stores[one], own[one], work, delete=yes) for one in stores])

        return _finish(serving.serve_set(settings, every))
    if not settings.jobs_in:
        return _finish(serving.ask(settings, lambda store: verbs.prune(store, settings, delete=yes)))
    return _serve(settings, lambda at: verbs.prune(at.store, settings, at.warehouse.at_work, delete=yes))


@with_settings(OF_TARGET)
def tag(
    run: str, *, add: str | Sequence[str] = (), remove: str | Sequence[str] = (), **options: Unpack[Options]
) -> tuple[str, ...]:
    """Add tags to a run and remove others; returns the tags that it has then.

    The tag `keep` keeps a run from being pruned; other tags do if `keep_tag` names them.
    """
    adding, removing = _tags(add), _tags(remove)
    return _ask(lambda store, settings: verbs.tag(store, settings, run, adding, removing), options)


def _tags(names: str | Sequence[str]) -> tuple[str, ...]:
    try:
        return tags(names)
    except ValueError as error:
        raise UsageError("tag", "", str(error)) from None


@with_settings((*OF_TARGET, "project", "max_bytes_billed"))
def verify(run: str = "", *, read: str = "", source: bool = False, **options: Unpack[Options]) -> Verified:
    """Compare the files of a run (default: the published run) with its manifest. Differences are `findings`.

    read: also read this share of the files, such as "100%" or "10%"; see docs/verify.md.
    source: read all files and compare each table with BigQuery as of the snapshot time, while time travel lasts.
    BigQuery bills one query per table; `max_bytes_billed` limits their sum. Requires `project`.
    """
    check = partial(verbs.verify, run=run, parts=parts_to_read(read, source=source))
    settings = _settings(options, ("bucket", "project") if source else ("bucket",))

    async def without_source() -> Verified:
        return merged_verified(await serving.ask_each(settings, check))

    async def with_source() -> Verified:
        found = []
        for target in all_targets(settings):
            own = msgspec.structs.replace(settings, target=target)

            async def compare(at: Services, own: Settings = own) -> Verified:
                return await check(at.store, own, warehouse=at.warehouse, bill=_tell_bill)

            found.append(await serving.serve(own, compare))
        return merged_verified(found)

    return _finish(with_source() if source else without_source())


@with_settings(OF_TARGET)
def manifest(run: str = "", **options: Unpack[Options]) -> Manifest:
    """Read the manifest of a run (default: the published run): every table and file.

    It is a mapping of table names: `manifest["flights"].uris` holds the addresses of a table's files.
    """
    return _ask(lambda store, settings: verbs.manifest(store, settings, run), options)


@with_settings(OF_TARGET)
def diff(before: str, after: str = "", *, values: bool = False, **options: Unpack[Options]) -> Rows[TableChange]:
    """Show what changed from one run to another (default: the published run): tables, columns, content.

    Content is compared by the checksums of the files; if they do not prove anything, `change` is "unclear". Tables
    with the same rows, columns and bytes are left out.
    values: read the files of both runs and compare the values of every column. Raises NotFoundError if the files of a
    run no longer exist.
    """
    return _ask(lambda store, settings: verbs.diff(store, settings, before, after, values=values), options)


@with_settings(OF_TARGET)
def report(run: str = "", *, since: str = "", **options: Unpack[Options]) -> str:
    """Render the report of a run (default: the published run) as a self-contained HTML page.

    since: show what changed since this run.
    """
    _, page = _ask(lambda store, settings: verbs.report(store, settings, run, since), options)
    return page.decode()


def _tell_bill(bytes_billed: int) -> None:
    billed = LogEvent.QUERY_BILLED.extra()
    log.info("BigQuery bills %s for this comparison", size_text(bytes_billed), extra=billed)


def _settings(options: Options, required: Sequence[str]) -> Settings:
    """Raises UsageError, naming the argument."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    file = given.pop("config", None)
    sources = [arguments(given), *([settings_file(read_config(file), file)] if file else [])]
    try:
        return resolve(*sources, required=required)
    except UsageError as error:
        raise _in_words(error) from None


@contextmanager
def _python_words() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise _in_words(error) from None


def _in_words(error: Raised) -> Raised:
    """The same error, whose cause and hint name settings as keyword arguments."""
    if isinstance(error, BqdumpError):
        error.in_words(PYTHON)
    return error


def _ask(question: Callable[[ObjectStore, Settings], Awaitable[Result]], options: Options) -> Result:
    settings = _settings(options, ("bucket",))
    return _finish(serving.ask(settings, lambda store: question(store, settings)))


def _serve(
    settings: Settings, work: Callable[[Services], Awaitable[Result]], tasks: int = 1, *, patient: bool = False
) -> Result:
    return _finish(serving.serve(settings, work, tasks, patient=patient))


def _finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the coroutine in an event loop of a new thread, as one may be running in this thread.

    An exception that interrupts the wait (Ctrl-C, a timeout of the host) cancels the work before it is raised.
    """
    loop = asyncio.new_event_loop()
    outcome: Future[Result] = Future()

    def go() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                result = runner.run(work)
        except BaseException as error:
            outcome.set_exception(_in_words(first_of(error)))
        else:
            outcome.set_result(result)

    def cancel() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(go,), name="bqdump")
    thread.start()
    try:
        # A wait without an end would miss a signal that comes just before it begins.
        while not wait((outcome,), timeout=SIGNAL_SECONDS).done:
            pass
        return outcome.result()
    except BaseException:
        if not outcome.done():
            loop.call_soon_threadsafe(cancel)
        raise
    finally:
        thread.join()
