"""Adapters inside their wrappers. Each is imported when it is opened.

How long a command retries on a service.

The read route: Google's client for the Storage Read API, and the encoder, opened when they are first used.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bqdump.core.errors import UsageError, install_hint, open_files_error, out_of_files
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import BUCKET, FOLDER, S3
from bqdump.ports.store import Lock, ObjectStore

if TYPE_CHECKING:
    from bqdump.adapters.bigquery.destination import BigQueryDestination
    from bqdump.adapters.patience import Patience
    from bqdump.adapters.webhook import Ping
    from bqdump.export.task import ReadRoute
    from bqdump.observe.notify import Notifier
    from bqdump.ports.data_reader import DataReader, QueryShell
    from bqdump.ports.warehouse import Warehouse


def patience_for(settings: Settings, service: object, *, patient: bool) -> Patience:
    """service: as a string, its name in messages.

    patient: for a run, which retries longer than other commands unless `patience` is set.
    """
    from bqdump.adapters.patience import LONG, SHORT, Patience

    seconds = (LONG if patient else SHORT) if settings.patience is None else float(settings.patience)
    return Patience(seconds, service=str(service))


def open_store(settings: Settings, *, patient: bool = False) -> ObjectStore:
    """The target of the export. patient: for a run, which retries longer than other commands."""
    return OPENERS[settings.target.scheme](settings, patient)


def _open_bucket(settings: Settings, patient: bool) -> ObjectStore:
    from bqdump.adapters.gcs.store import CloudStore
    from bqdump.adapters.google.endpoints import STORAGE
    from bqdump.adapters.retry import RetryingStore

    patience = patience_for(settings, STORAGE, patient=patient)
    return RetryingStore(CloudStore(settings.target.bucket, settings.jobs_in, settings.kms_key, patience), patience)


def _open_folder(settings: Settings, _patient: bool) -> ObjectStore:
    from bqdump.adapters.folder.content import refuse_a_file
    from bqdump.adapters.folder.store import FolderStore

    root = Path(settings.target.folder)
    refuse_a_file(root.absolute())
    return FolderStore(root)


def open_s3(settings: Settings, patient: bool, lock: Lock | None = None) -> ObjectStore:
    """A bucket in S3. lock: of all objects that are written."""
    from bqdump.adapters.retry import RetryingStore

    try:
        from bqdump.adapters.s3.client import service_at
        from bqdump.adapters.s3.store import S3Store
    except ImportError as error:
        if out_of_files(error):
            raise open_files_error("load", "the packages for S3") from error
        cause = f"S3 needs {error.name}, which is not installed"
        raise UsageError("open", str(settings.target), cause, install_hint("s3")) from None
    patience = patience_for(settings, service_at(settings.endpoint), patient=patient)
    return RetryingStore(S3Store(settings.target.root, settings.endpoint, patience, lock), patience)


# The variable with the token that a webhook gets.
NOTIFY_SECRET = "BQDUMP_NOTIFY_SECRET"  # noqa: S105 (a name)
# By the scheme of the target.
OPENERS: dict[str, Callable[[Settings, bool], ObjectStore]] = {
    BUCKET: _open_bucket,
    FOLDER: _open_folder,
    S3: open_s3,
}


def open_notifier(settings: Settings) -> Notifier | None:
    """Where notices are posted to, None if nowhere."""
    if not settings.notify:
        return None
    from bqdump.adapters.webhook import Webhook

    return Webhook(settings.notify, os.environ.get(NOTIFY_SECRET, ""))


def open_ping(settings: Settings) -> Ping | None:
    """The service that alerts when pings stop, None if there is none."""
    if not settings.ping:
        return None
    from bqdump.adapters.webhook import Ping

    return Ping(settings.ping)


def open_warehouse(settings: Settings, tasks: int, *, patient: bool = False) -> Warehouse:
    """The source of an export, for one of `tasks` tasks."""
    from bqdump.adapters.bigquery.gate import Gate
    from bqdump.adapters.bigquery.warehouse import BigQueryWarehouse
    from bqdump.adapters.google.endpoints import BIGQUERY

    gate = Gate(patience_for(settings, BIGQUERY, patient=patient), tasks)
    return BigQueryWarehouse(settings.jobs_in, gate, settings.job_timeout)


def open_destination(settings: Settings, tasks: int, *, patient: bool = False) -> BigQueryDestination:
    """What a restore writes to, for one of `tasks` tasks."""
    from bqdump.adapters.bigquery.destination import BigQueryDestination
    from bqdump.adapters.bigquery.gate import Gate
    from bqdump.adapters.google.endpoints import BIGQUERY

    gate = Gate(patience_for(settings, BIGQUERY, patient=patient), tasks)
    return BigQueryDestination(settings.jobs_in, gate, settings.job_timeout)


def open_reader() -> DataReader:
    """The decoder of files. Raises UsageError if its packages are not installed."""
    with _packages_that_read("read files", "reading files needs"):
        from bqdump.adapters.data_files import DataFiles
    return DataFiles()


def open_shell() -> QueryShell:
    """The shell for queries over an export. Raises UsageError if its packages are not installed."""
    with _packages_that_read("query", "queries need"):
        from bqdump.adapters.duckdb_shell import DuckDBShell
    return DuckDBShell()


@contextmanager
def _packages_that_read(operation: str, need: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        if out_of_files(error):
            raise open_files_error("load", "the packages that read files") from error
        cause = f"{need} {error.name}, which is not installed"
        raise UsageError(operation, "", cause, install_hint("verify")) from None


# Maximum streams read at once, one per core: more than this is limited by BigQuery.
MOST_STREAMS = 8
# Once a block of this size was freed, the C library keeps twice as much freed memory. Otherwise it returns memory to
# the system with each row group, and requests it again page by page. Blocks above 32 MiB do not count.
# https://man7.org/linux/man-pages/man3/mallopt.3.html (M_MMAP_THRESHOLD)
LARGE_BLOCK = 31 << 20


class LazyReadRoute:
    """What the read route works with, opened when it is first needed."""

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
    # Silence what gRPC writes to standard error. Its exceptions carry the same text.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        # BigQuery's client may still be imported, by a thread of its own.
        with lean_imports.IMPORTS:
            lean_imports.allow("grpc")
            lean_imports.put_nothing_off()
            from bqdump.adapters.google.endpoints import STORAGE_READ
            from bqdump.adapters.read.encoder import ArrowEncoder
            from bqdump.adapters.read.reader import StorageReader

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
    reader = StorageReader(settings.jobs_in, patience_for(settings, STORAGE_READ, patient=patient))
    return ReadRoute(reader, ArrowEncoder(settings.read_memory // streams), streams)
