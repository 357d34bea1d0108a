"""The read route: Google's client for the Storage Read API, and the encoder, opened when they are first used."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from bqdump.core.errors import UsageError, install_hint, open_files_error, out_of_files
from bqdump.core.settings.settings import Settings
from bqdump.services.opening import patience_for

if TYPE_CHECKING:
    from bqdump.export.task import ReadRoute


# Maximum streams read at once, one per core: more than this is limited by BigQuery.
MOST_STREAMS = 8
# Once the C library has seen a block of so many bytes come and go, it keeps twice as much of freed memory, which it
# returns otherwise with each row group and asks for anew, page by page. It heeds no block of more than 32 MiB.
# https://man7.org/linux/man-pages/man3/mallopt.3.html (M_MMAP_THRESHOLD)
LARGE_BLOCK = 31 << 20


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
