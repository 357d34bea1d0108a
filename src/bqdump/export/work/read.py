"""One unit by the read route: streams of a read session through this process, each into files of its own.

An attempt is taken with a create-only note and has a session, and in replace mode a staging folder, of its own: two
processes that work on one unit never write the same files.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, NamedTuple, cast

from bqdump.concurrency import task_group
from bqdump.core.documents.path_template import shard_name
from bqdump.core.documents.run import DIGESTS_IN_RECEIPT, Failure, FileDigests, Receipt
from bqdump.core.documents.units import Part, ReadAttempt, Unit, numbers_of, parts_of
from bqdump.core.errors import (
    BqdumpError,
    DeniedError,
    JobFailedError,
    NotFoundError,
    OpenFilesError,
    OutageError,
    RowsError,
    SessionLostError,
    UnavailableError,
)
from bqdump.core.formats.types import columns
from bqdump.core.progress.events import Advanced
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sql import statements as sql
from bqdump.core.sql.partitions import shape_of_partition
from bqdump.core.tables.columns import exported
from bqdump.core.tables.partitioning import PSEUDO_COLUMN
from bqdump.export.publish.clear import discard
from bqdump.export.task import RunningExport
from bqdump.export.watch import Watch
from bqdump.export.work.sessions import Feed, look_again, retire, shared_session
from bqdump.pool.units import session_id
from bqdump.ports.reader import Batch, FileShape, Reader, ReadRequest, ReadSession
from bqdump.repository.objects import looked_up
from bqdump.repository.repository import create, replace

log = logging.getLogger(__name__)

ATTEMPTS = 5
LONGEST_PAUSE = 32.0
FOR_GOOD: dict[type[BqdumpError], str] = {
    NotFoundError: "notFound",
    DeniedError: "accessDenied",
    JobFailedError: "invalid",
    RowsError: "invalidRows",
}
ROW_REFUSALS: dict[type[BqdumpError], str] = {RowsError: FOR_GOOD[RowsError]}
# In another session the rows come in other streams, so that all of the table would be read again.
ENDED = "the read session that its tasks shared has ended before they had read it all: more tasks read it faster"
RESUME = "Resume the run once the target can be written."
# What compression leaves of the rows, about.
PACKED = 0.25
# One stream per this many bytes of a table: fewer cost less, more are read at once.
STREAM_BYTES = 64 << 20
# https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1
MOST_STREAMS = 1000


async def read_unit(
    export: RunningExport, _watch: Watch, unit: Unit, first: int, started: Callable[[], None]
) -> Receipt | Failure:
    """Export one unit through this process. `first` is the number of its first attempt.

    Calls `started` at once: no job of BigQuery is to be waited for.

    Returns a Receipt, or a Failure that a retry will not fix. Raises QuotaError if a quota is exceeded, and
    errors of the target.
    """

    def failed(reason: str, cause: str) -> Failure:
        return Failure(unit.id, unit.table, "", attempt, reason, cause, export.owner)

    started()
    part, attempt = parts_of(export.plan).get(unit.id), first
    for tried in itertools.count(1):
        attempt = await _take(export, unit, attempt)
        mine = _Attempt(export, unit, part, attempt)
        async with export.read_route.room:
            try:
                receipt = await mine.receipt()
                with _refusals():
                    return await look_again(export, unit, receipt)
            except _FailedError as error:
                return failed(error.reason, error.cause)
            except OpenFilesError:
                raise
            except (UnavailableError, SessionLostError) as error:
                lost = mine.session if isinstance(error, SessionLostError) else ""
                if part and lost and not await retire(export.task, part, lost):
                    return failed("sessionLost", f"{error.cause}: {ENDED}")
                if tried == ATTEMPTS:
                    if isinstance(error, _TargetUnavailableError):
                        raise OutageError(error.operation, error.subject, error.cause, error.hint or RESUME) from error
                    return failed("backendError", error.cause)
                retried = LogEvent.READ_RETRIED.extra(table=unit.table)
                log.warning("%s: %s Reading it again.", unit.table, error, extra=retried)
        await asyncio.sleep(min(LONGEST_PAUSE, 2.0**tried) * random.uniform(0.5, 1.0))
        attempt += 1
    raise AssertionError("unreachable")


async def _take(export: RunningExport, unit: Unit, attempt: int) -> int:
    """The first attempt from this one on that no task has begun."""
    mine = ReadAttempt(export.owner, secrets.token_hex(4))
    while not await replace(export.store, export.layout.read_attempt(unit.id, attempt), mine, 0):
        attempt += 1
    return attempt


async def withdraw_files(export: RunningExport, unit: Unit, mine: Receipt) -> None:
    """Delete the files of an attempt whose receipt came second: another attempt's files are the export."""
    pattern = export.written_by(mine, unit)
    names = [shard_name(pattern, number) for number in range(mine.first, mine.first + mine.files)]
    infos = await looked_up(export.store, names)
    await discard(export, [(info.name, info.generation) for info in infos if info])


class _FailedError(Exception):
    """The table cannot be read or encoded, and a retry will not help. Errors of the target are separate."""

    def __init__(self, reason: str, cause: str) -> None:
        super().__init__(reason, cause)
        self.reason, self.cause = reason, cause


class _TargetUnavailableError(UnavailableError):
    """The target did not store a file. That is not about the table."""


@contextmanager
def _refusals(kinds: Mapping[type[BqdumpError], str] = FOR_GOOD) -> Iterator[None]:
    """Turn a permanent refusal into the failure of the table."""
    try:
        yield
    except tuple(kinds) as error:
        reason = next(reason for kind, reason in kinds.items() if isinstance(error, kind))
        raise _FailedError(reason, error.cause) from error


class _Written(NamedTuple):
    """A file that was filled: its rows, and whether the stream has more of them."""

    rows: int
    more: bool


class _Hashed:
    """The file that an encoder writes to. sha256: of what was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.sha256 = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write all of the data."""
        written = self._file.write(data)
        self.sha256.update(data)
        return written

    def tell(self) -> int:
        """The number of bytes written."""
        return self._file.tell()

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()


class _Attempt:
    """One attempt at one unit. session: the name of its read session, "" before that is open."""

    def __init__(self, export: RunningExport, unit: Unit, part: Part | None, attempt: int) -> None:
        self._export, self._unit, self._part, self._attempt = export, unit, part, attempt
        self._pattern = export.written(unit, attempt)
        self._first = export.placement.first_file(numbers_of(part, attempt))
        self._numbers = itertools.count(self._first)
        self._stop = threading.Event()
        settings = export.settings
        self._shape = FileShape(
            format=unit.format or settings.format,
            codec=unit.compression or settings.compression,
            columns=exported(columns(unit.definition), unit.shape),
            header=settings.header,
            delimiter=settings.delimiter,
            null_marker=settings.null_marker,
            row_group_rows=settings.row_group_rows,
            field_ids=settings.iceberg,
            renamed={PSEUDO_COLUMN: unit.shape.partition_times} if unit.shape.partition_times else {},
        )
        self.session = ""
        self._file_bytes = settings.file_size
        # Bytes in a file for each byte of Arrow: an estimate for the first file, measured for the others.
        self._ratio = 1.0 if self._shape.codec == "none" else PACKED
        # Read so far, by stream.
        self._rows: dict[str, int] = {}
        # The SHA-256 of each file, by its number.
        self._digests: dict[int, str] = {}

    async def receipt(self) -> Receipt:
        """Read everything. Raises what reading, encoding and storing raise."""
        reader, unit, part = self._export.read_route.reader, self._unit, self._part
        begun = reader.now()
        if part:
            session = await shared_session(self._export.task, part, lambda: self._open(part.of))
        else:
            session = await self._open()
        self.session, created = session.name, reader.now()
        rows = await self._all(reader, session)
        if (files := next(self._numbers) - self._first) == 0 and not (part and part.number):
            # As with the other routes, a table without rows is one file without rows.
            await self._file(session, Feed(iter(()), self._stop), self._first, empty=True)
            files = 1
        digests = tuple(self._digests[self._first + at] for at in range(files))
        if files > DIGESTS_IN_RECEIPT:
            await create(self._export.store, self._export.layout.digests(unit.id, self._attempt), FileDigests(digests))
            digests = ()
        return Receipt(
            unit=unit.id,
            table=unit.table,
            job=session_id(session.name),
            attempt=self._attempt,
            files=files,
            created=begun,
            started=created,
            ended=reader.now(),
            task=self._export.owner.task,
            rows=rows,
            first=self._first,
            sha256=digests,
        )

    async def _open(self, parts: int = 1) -> ReadSession:
        with _refusals():
            return await self._export.read_route.reader.open(self._request(parts))

    def _request(self, parts: int = 1) -> ReadRequest:
        """The request to read the table, with at least one stream for each task."""
        unit, source, snapshot = self._unit, self._export.source, self._export.plan.snapshot
        streams = parts * min(self._export.read_route.streams, max(1, unit.bytes // STREAM_BYTES))
        shape = shape_of_partition(unit.shape, unit.definition, unit.partition)
        rows = sql.condition(unit.definition, shape.where)
        most = min(streams, MOST_STREAMS)
        return ReadRequest(source, unit.table, snapshot, self._columns(), rows, most, least=parts)

    def _columns(self) -> tuple[str, ...]:
        """The names of the columns where not all are read, or more than all."""
        shape = self._unit.shape
        if not (shape.columns or shape.left_out or shape.partition_times):
            return ()
        arriving = {name: column for column, name in self._shape.renamed.items()}
        return tuple(arriving.get(column.name, column.name) for column in self._shape.columns)

    async def _all(self, reader: Reader, session: ReadSession) -> int:
        self._rows = dict.fromkeys(session.streams, 0)
        try:
            async with task_group() as group:
                streams = [group.create_task(self._stream(reader, session, name)) for name in session.streams]
        finally:
            # Running threads cannot be cancelled: they check this with each batch.
            self._stop.set()
        return sum(stream.result() for stream in streams)

    async def _stream(self, reader: Reader, session: ReadSession, name: str) -> int:
        feed = Feed(self._reporting_rows(reader, name), self._stop)
        rows = 0
        more = await self._export.read_route.in_thread(feed.more)
        while more:
            written = await self._file(session, feed, next(self._numbers))
            rows, more = rows + written.rows, written.more
        return rows

    def _reporting_rows(self, reader: Reader, stream: str) -> Iterator[Batch]:
        """The batches of a stream, each reported as progress when it arrives."""
        with _refusals():
            for batch in reader.read(stream, 0):
                self._rows[stream] += batch.rows
                self._export.tell(Advanced(self._unit.id, sum(self._rows.values()), self._unit.rows))
                yield batch

    async def _file(self, session: ReadSession, feed: Feed, number: int, *, empty: bool = False) -> _Written:
        def fill(file: IO[bytes]) -> _Written:
            batches, hashed = feed.until(lambda: self._full(file, feed)), _Hashed(file)
            # Of other kinds is what the file raises, which is about the target.
            with _refusals(ROW_REFUSALS):
                target = cast("IO[bytes]", hashed)
                rows = self._export.read_route.encoder.encode(session.schema, batches, self._shape, target)
            self._digests[number] = hashed.sha256.hexdigest()
            if feed.taken:
                self._ratio = file.tell() / feed.taken
            return _Written(rows, not empty and feed.more())

        # In replace mode the folder is this attempt's own; otherwise no other attempt uses these numbers.
        name = shard_name(self._pattern, number)
        try:
            _, written = await self._export.store.upload(name, fill, 0)
        except UnavailableError as error:
            if error is feed.broken:
                raise
            raise _TargetUnavailableError(error.operation, error.subject, error.cause, error.hint) from error
        return written

    def _full(self, file: IO[bytes], feed: Feed) -> bool:
        # What was taken is not all in the file yet.
        return 0 < self._file_bytes <= max(file.tell(), feed.taken * self._ratio)
