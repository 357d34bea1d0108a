"""Adapters inside their wrappers, ready to use, this process's place in a run, and the file of settings."""

from __future__ import annotations

import importlib.util
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from bqdump.core.documents.run import Owner
from bqdump.core.errors import NotFoundError, UsageError, install_hint, open_files_error, out_of_files
from bqdump.core.project.selection import all_targets, targets_of
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import BUCKET, FOLDER, Target
from bqdump.core.settings.task_identity import Identity
from bqdump.ports.destination import Destination
from bqdump.ports.store import ObjectStore
from bqdump.ports.warehouse import Warehouse
from bqdump.repository.published import with_bucket

if TYPE_CHECKING:
    from bqdump.adapters.endpoints import Endpoint
    from bqdump.adapters.patience import Patience
    from bqdump.check.service.run import Ports
    from bqdump.export.task import ReadRoute
    from bqdump.ports.data_reader import DataReader
    from bqdump.ports.notifier import Notifier
    from bqdump.ports.query_shell import QueryShell
    from bqdump.restoration.task import Via

Answer = TypeVar("Answer")
# Maximum streams read at once, one per core: more than this is limited by BigQuery.
MOST_STREAMS = 8
# Once the C library has seen a block of so many bytes come and go, it keeps twice as much of freed memory, which it
# returns otherwise with each row group and asks for anew, page by page. It heeds no block of more than 32 MiB.
# https://man7.org/linux/man-pages/man3/mallopt.3.html (M_MMAP_THRESHOLD)
LARGE_BLOCK = 31 << 20
CONFIG = "bqdump.toml"


class Services(NamedTuple):
    """The ports, ready to use; what reads and encodes is opened when it is asked for."""

    store: ObjectStore
    warehouse: Warehouse
    read_route: LazyReadRoute

    async def close(self) -> None:
        """Close all."""
        await self.read_route.close()
        await self.store.close()
        await self.warehouse.close()


class LazyReadRoute:
    """What the read route works with, opened when it is asked for the first time."""

    def __init__(self, settings: Settings, *, patient: bool = False) -> None:
        self._settings, self._patient = settings, patient
        self._opened: ReadRoute | None = None

    def open(self) -> ReadRoute:
        """Always the same. Raises UsageError where its packages are not installed."""
        if self._opened is None:
            self._opened = _open_read_route(self._settings, patient=self._patient)
        return self._opened

    async def close(self) -> None:
        """Close it, if it was opened."""
        if self._opened is not None:
            await self._opened.reader.close()


def _open_read_route(settings: Settings, *, patient: bool) -> ReadRoute:
    from bqdump.adapters import lean_imports
    from bqdump.export.task import ReadRoute

    bytes(LARGE_BLOCK)
    # What gRPC would write to standard error is no record of a log, and comes with its errors as well.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        # BigQuery's client may still be imported, by a thread of its own.
        with lean_imports.IMPORTS:
            lean_imports.allow("grpc")
            lean_imports.put_nothing_off()
            from bqdump.adapters.encoder import ArrowEncoder
            from bqdump.adapters.endpoints import STORAGE_READ
            from bqdump.adapters.retry.reader import RetryingReader
            from bqdump.adapters.storage_read import StorageReader

            # Google's client has been imported without it; Parquet takes it.
            lean_imports.allow("pyarrow")
            for name in ("polars", "pyarrow"):
                # Each is imported where the first file takes it.
                if importlib.util.find_spec(name) is None:
                    raise ModuleNotFoundError(name, name=name)
    except ImportError as error:
        if out_of_files(error):
            raise open_files_error("load", "the packages of route read") from error
        cause = f"{error.name} is not installed"
        raise UsageError("read tables", "route read", cause, install_hint("read")) from error
    streams = max(1, min(MOST_STREAMS, os.cpu_count() or 1))
    reader = RetryingReader(StorageReader(settings.jobs_in), _patience(settings, STORAGE_READ, patient=patient))
    return ReadRoute(reader, ArrowEncoder(settings.read_memory // streams), streams)


def open_store(settings: Settings, *, patient: bool = False) -> ObjectStore:
    """The target of the export. patient: for a run, which retries longer than other commands."""
    return OPENERS[settings.target.scheme](settings, patient)


def _open_bucket(settings: Settings, patient: bool) -> ObjectStore:
    from bqdump.adapters.endpoints import STORAGE
    from bqdump.adapters.gcs import CloudStore
    from bqdump.adapters.retry.store import RetryingStore

    patience = _patience(settings, STORAGE, patient=patient)
    return RetryingStore(CloudStore(settings.target.bucket, settings.jobs_in, settings.kms_key, patience), patience)


def _open_folder(settings: Settings, _patient: bool) -> ObjectStore:
    from bqdump.adapters.folder import FolderStore

    return FolderStore(Path(settings.target.folder))


# The variable with the token that a webhook gets.
NOTIFY_SECRET = "BQDUMP_NOTIFY_SECRET"  # noqa: S105 (a name)
# By the scheme of the target.
OPENERS: dict[str, Callable[[Settings, bool], ObjectStore]] = {BUCKET: _open_bucket, FOLDER: _open_folder}


def open_notifier(settings: Settings) -> Notifier | None:
    """Where notices are posted to, None if nowhere."""
    if not settings.notify:
        return None
    from bqdump.adapters.webhook import Webhook

    return Webhook(settings.notify, os.environ.get(NOTIFY_SECRET, ""))


def open_services(settings: Settings, tasks: int, *, patient: bool = False) -> Services:
    """Source and target of the export, for one of `tasks` tasks."""
    from bqdump.adapters.bigquery import BigQueryWarehouse
    from bqdump.adapters.endpoints import BIGQUERY
    from bqdump.adapters.limits import RateLimitedWarehouse
    from bqdump.adapters.retry.warehouse import RetryingWarehouse

    store = open_store(settings, patient=patient)
    paced = RateLimitedWarehouse(BigQueryWarehouse(settings.jobs_in, settings.job_timeout), tasks)
    warehouse = RetryingWarehouse(paced, _patience(settings, BIGQUERY, patient=patient))
    return Services(store, warehouse, LazyReadRoute(settings, patient=patient))


def open_destination(settings: Settings, tasks: int, *, patient: bool = False) -> Destination:
    """What a restore writes to, for one of `tasks` tasks."""
    from bqdump.adapters.bigquery_destination import BigQueryDestination
    from bqdump.adapters.endpoints import BIGQUERY
    from bqdump.adapters.limits import RateLimitedDestination
    from bqdump.adapters.retry.destination import RetryingDestination

    paced = RateLimitedDestination(BigQueryDestination(settings.jobs_in, settings.job_timeout), tasks)
    return RetryingDestination(paced, _patience(settings, BIGQUERY, patient=patient))


async def serve_restore(
    settings: Settings,
    via: Target | None,
    work: Callable[[ObjectStore, Destination, Via | None], Awaitable[Answer]],
    tasks: int = 1,
) -> Answer:
    """Open the export, what a restore writes to, and the bucket that it loads through; do the work, and close them."""
    from bqdump.restoration.task import Via

    store = open_store(settings, patient=True)
    through = None
    if via:
        in_bucket = msgspec.structs.replace(settings, target=via)
        through = Via(open_store(in_bucket, patient=True), via)
    destination = open_destination(settings, tasks, patient=True)
    try:
        return await with_bucket(store, work(store, destination, through))
    finally:
        await store.close()
        if through:
            await through.store.close()
        await destination.close()


async def serve_check(settings: Settings, work: Callable[[Ports], Awaitable[Answer]]) -> Answer:
    """Open what a check of the services works on, do the work, and close it."""
    from bqdump.adapters.endpoints import LED
    from bqdump.check.service.run import Ports

    store, destination, route = open_store(settings), open_destination(settings, 1), LazyReadRoute(settings)
    google = not any(os.environ.get(endpoint.variable) for endpoint in LED)
    try:
        return await with_bucket(store, work(Ports(destination, store, route.open, google)))
    finally:
        await route.close()
        await store.close()
        await destination.close()


async def ask(
    settings: Settings, question: Callable[[ObjectStore], Awaitable[Answer]], *, patient: bool = False
) -> Answer:
    """Open the target, ask it the question, and close it. patient: see open_store."""
    store = open_store(settings, patient=patient)
    try:
        return await with_bucket(store, question(store))
    finally:
        await store.close()


async def serve(
    settings: Settings, work: Callable[[Services], Awaitable[Answer]], tasks: int = 1, *, patient: bool = False
) -> Answer:
    """Open source and target for one of this many tasks, do the work, and close them. patient: see open_store."""
    services = open_services(settings, tasks, patient=patient)
    try:
        return await work(services)
    finally:
        await services.close()


async def serve_set(
    settings: Settings,
    work: Callable[[Services, Mapping[Target, ObjectStore]], Awaitable[Answer]],
    tasks: int = 1,
    *,
    patient: bool = False,
) -> Answer:
    """The same for a set of datasets, with the store of each target that the set may go to."""
    first, *others = targets_of(settings)
    services = open_services(_at(settings, first), tasks, patient=patient)
    stores = {first: services.store}
    try:
        for target in others:
            stores[target] = open_store(_at(settings, target), patient=patient)
        return await work(services, stores)
    finally:
        for target, store in stores.items():
            if target != first:
                await store.close()
        await services.close()


async def ask_each(
    settings: Settings, question: Callable[[ObjectStore, Settings], Awaitable[Answer]], *, patient: bool = False
) -> list[Answer]:
    """Ask every target of these settings the question: one, or for a set of datasets one for each location.

    Raises NotFoundError if none of them has what the question is about.
    """

    async def one(at: Settings) -> Answer:
        return await ask(at, lambda store: question(store, at), patient=patient)

    answers: list[Answer] = []
    missing: NotFoundError | None = None
    for target in all_targets(settings):
        try:
            answers.append(await one(_at(settings, target)))
        except NotFoundError as error:
            missing = missing or error
    if missing and not answers:
        raise missing
    return answers


def _at(settings: Settings, target: Target) -> Settings:
    return msgspec.structs.replace(settings, target=target)


def _patience(settings: Settings, endpoint: Endpoint, *, patient: bool) -> Patience:
    from bqdump.adapters.patience import LONG, SHORT, Patience

    seconds = (LONG if patient else SHORT) if settings.patience is None else float(settings.patience)
    return Patience(seconds, service=str(endpoint))


def open_reader() -> DataReader:
    """The decoder of files. Raises UsageError if its packages are not installed."""
    try:
        from bqdump.adapters.data_files import DataFiles
    except ImportError as error:
        if out_of_files(error):
            raise open_files_error("load", "the packages that read files") from error
        cause = f"reading files needs {error.name}, which is not installed"
        raise UsageError("read files", "", cause, install_hint("verify")) from None
    return DataFiles()


def open_shell() -> QueryShell:
    """The shell for queries over an export. Raises UsageError if its packages are not installed."""
    try:
        from bqdump.adapters.duckdb_shell import DuckDBShell
    except ImportError as error:
        if out_of_files(error):
            raise open_files_error("load", "the packages that read files") from error
        cause = f"queries need {error.name}, which is not installed"
        raise UsageError("query", "", cause, install_hint("verify")) from None
    return DuckDBShell()


def run_id(settings: Settings, identity: Identity) -> str:
    """The run's name: as set, else the execution's, else the UTC time. Raises UsageError where tasks would disagree."""
    if settings.run_id:
        return settings.run_id
    if identity.execution:
        return identity.execution
    if identity.engine:
        cause = f"{identity.engine} has no name that all its tasks share"
        hint = "Set BQDUMP_RUN_ID to the same value for all tasks of this run, such as the job's id."
        raise UsageError("read the settings", "", cause, hint, setting="run_id")
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z"


def owner(identity: Identity, run: str) -> Owner:
    """The identity of this process for other tasks. Without an engine, each process is its own execution."""
    alone = f"{run}-{secrets.token_hex(4)}"
    execution = identity.execution or (run if identity.engine else alone)
    return Owner(execution, identity.task)


def read_config(file: str | None) -> dict[str, Any]:
    """The content of the settings file; nothing without one. Raises UsageError."""
    path = Path(file or CONFIG)
    if not file and not path.exists():
        return {}
    import tomllib

    from bqdump.core.settings.file import refuse_single_run

    try:
        with path.open("rb") as stream:
            values = tomllib.load(stream)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError("read the settings", str(path), f"invalid TOML: {error}") from None
    except OSError as error:
        if out_of_files(error):
            raise open_files_error("read", str(path)) from None
        raise UsageError("read the settings", str(path), error.strerror or str(error)) from None
    refuse_single_run(values, str(path))
    return values
