"""Retry as wrappers around the ports: the same request again, with growing pauses, where that may help.

A write that was answered with an error may have happened all the same. After a repeated create-only write that
finds the object there, its content tells whether it is ours.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import IO, NamedTuple, TypeVar

from bqdump.core.catalog import Dataset, Listed, Table
from bqdump.core.errors import BqdumpError, ConflictError, NotFoundError
from bqdump.ports.reader import Batch, Reader, ReadRequest, ReadSession
from bqdump.ports.store import BucketInfo, Copy, Note, ObjectInfo, ObjectStore, Stored
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, QueryRequest, Warehouse

log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Patience(NamedTuple):
    """How long to insist: tries in all, and the pauses between them in seconds (doubling, with jitter)."""

    tries: int = 8
    first_pause: float = 0.5
    longest_pause: float = 32.0

    def seconds(self, tried: int) -> float:
        """How long to wait before the next try, `tried` times after the first failure."""
        return min(self.longest_pause, self.first_pause * 2.0**tried) * random.uniform(0.5, 1.0)

    async def pause(self, tried: int) -> None:
        """Wait so long."""
        await asyncio.sleep(self.seconds(tried))


async def insist(
    patience: Patience, request: Callable[[], Awaitable[Result]], passing: type[BqdumpError] | None = None
) -> Result:
    """The request's result; it is repeated while its error says that this may help, or is one that passes here."""
    for tried in range(patience.tries - 1):
        try:
            return await request()
        except BqdumpError as error:
            if not error.retryable and not (passing and isinstance(error, passing)):
                raise
            log.warning("%s Trying again.", error)
        await patience.pause(tried)
    return await request()


class RetryingStore:
    """An ObjectStore that insists."""

    def __init__(self, store: ObjectStore, patience: Patience | None = None) -> None:
        self._store, self._patience = store, patience or Patience()
        self.url = store.url

    async def describe(self) -> BucketInfo:
        """See ObjectStore."""
        return await insist(self._patience, self._store.describe)

    async def stat(self, name: str) -> ObjectInfo | None:
        """See ObjectStore."""
        return await insist(self._patience, lambda: self._store.stat(name))

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore."""
        return await insist(self._patience, lambda: self._store.read(name, start, length))

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        return await self._write(name, data, lambda: self._store.write(name, data, expect))

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """See ObjectStore. Once: what `fill` has taken cannot be given to it again, so the store insists by itself."""
        return await self._store.upload(name, fill, expect)

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        return await self._write(name, data, lambda: self._store.write_note(name, data, expect))

    async def notes(self, prefix: str) -> AsyncIterator[list[Note]]:
        """See ObjectStore."""
        async for page in _whole(self._patience, lambda: self._store.notes(prefix), _name):
            yield page

    async def objects(self, prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        """See ObjectStore."""
        async for page in _whole(self._patience, lambda: self._store.objects(prefix), _name):
            yield page

    async def folders(self, prefix: str) -> list[str]:
        """See ObjectStore."""
        return await insist(self._patience, lambda: self._store.folders(prefix))

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """See ObjectStore. A copy that happened although its answer was lost comes back as a ConflictError."""
        return await self._each(copies, lambda some: self._store.copy(some, origin))

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """See ObjectStore."""
        return await self._each(objects, self._store.delete)

    async def close(self) -> None:
        """See ObjectStore."""
        await self._store.close()

    async def _write(self, name: str, data: bytes, request: Callable[[], Awaitable[int]]) -> int:
        asked = 0

        async def once() -> int:
            nonlocal asked
            asked += 1
            return await request()

        try:
            return await insist(self._patience, once)
        except ConflictError:
            if asked > 1:
                stored = await self.read(name)
                if stored.data == data:
                    return stored.generation
            raise

    async def _each(
        self, wishes: Sequence[Result], request: Callable[[Sequence[Result]], Awaitable[list[Answer]]]
    ) -> list[Answer]:
        """One answer for each wish; those whose answer is worth another try are asked again, together."""
        answers: dict[int, Answer] = {}
        open_ = list(range(len(wishes)))
        for tried in range(self._patience.tries):
            if not open_:
                break
            if tried:
                await self._patience.pause(tried - 1)
            got = await insist(self._patience, lambda: request([wishes[index] for index in open_]))  # noqa: B023
            answers.update(zip(open_, got, strict=True))
            open_ = [index for index in open_ if _worth_another_try(answers[index])]
        return [answers[index] for index in range(len(wishes))]


Answer = TypeVar("Answer")


def _worth_another_try(answer: object) -> bool:
    return isinstance(answer, BqdumpError) and answer.retryable


async def _whole(
    patience: Patience, listing: Callable[[], AsyncIterator[list[Result]]], place: Callable[[Result], str] | None
) -> AsyncIterator[list[Result]]:
    """The pages of a listing; after an error it starts anew.

    place: what the listing is ordered by. What was given already is then passed over, by its place and not by its
    number: what comes before it may have been deleted meanwhile. None: it is all given once more.
    """
    given = ""
    for tried in range(patience.tries):
        try:
            async for page in listing():
                fresh = [item for item in page if place(item) > given] if place and given else page
                yield fresh
                if place and fresh:
                    given = place(fresh[-1])
        except BqdumpError as error:
            if not error.retryable or tried == patience.tries - 1:
                raise
            log.warning("%s Trying again.", error)
        else:
            return
        await patience.pause(tried)


def _name(item: Note | ObjectInfo) -> str:
    return item.name


class RetryingReader:
    """A Reader that insists: a broken stream goes on after the last row that has arrived."""

    def __init__(self, reader: Reader, patience: Patience | None = None) -> None:
        self._reader, self._patience = reader, patience or Patience()

    async def open(self, request: ReadRequest) -> ReadSession:
        """See Reader."""
        return await insist(self._patience, lambda: self._reader.open(request))

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        """See Reader. Every batch that arrives renews the patience."""
        tried = 0
        while True:
            try:
                for batch in self._reader.read(stream, offset):
                    offset, tried = offset + batch.rows, 0
                    yield batch
            except BqdumpError as error:
                tried += 1
                if not error.retryable or tried >= self._patience.tries:
                    raise
                log.warning("%s Going on at row %d.", error, offset)
            else:
                return
            time.sleep(self._patience.seconds(tried - 1))

    def now(self) -> int:
        """See Reader."""
        return self._reader.now()

    async def close(self) -> None:
        """See Reader."""
        await self._reader.close()


class RetryingWarehouse:
    """A Warehouse that insists. Repeating a job's request is safe: its id makes the second one a conflict."""

    def __init__(self, warehouse: Warehouse, patience: Patience | None = None) -> None:
        self._warehouse, self._patience = warehouse, patience or Patience()

    async def dataset(self, project: str, name: str) -> Dataset:
        """See Warehouse."""
        return await insist(self._patience, lambda: self._warehouse.dataset(project, name))

    async def now(self, location: str) -> int:
        """See Warehouse."""
        return await insist(self._patience, lambda: self._warehouse.now(location))

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """See Warehouse."""
        return await insist(self._patience, lambda: self._warehouse.tables(dataset))

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        return await insist(self._patience, lambda: self._warehouse.table(dataset, name))

    async def row_policies(self, dataset: Dataset, table: str) -> list[str] | None:
        """See Warehouse."""
        return await insist(self._patience, lambda: self._warehouse.row_policies(dataset, table))

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        return await insist(self._patience, lambda: self._warehouse.extract(request))

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """See Warehouse."""
        return await insist(self._patience, lambda: self._warehouse.estimate(dataset, table, select, parameters))

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """See Warehouse."""
        return await insist(self._patience, lambda: self._warehouse.ask(dataset, table, select, max_bytes_billed))

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """See Warehouse."""
        return await insist(self._patience, lambda: self._warehouse.captured(dataset, max_bytes_billed))

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse."""
        return await insist(self._patience, lambda: self._warehouse.query(request))

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse. Whoever asks knows that there is such a job, which BigQuery may find a moment later only.

        https://github.com/googleapis/python-bigquery/issues/2134
        """
        return await insist(self._patience, lambda: self._warehouse.job(job_id, location), NotFoundError)

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse. After an error jobs may be told of twice."""
        async for page in _whole(self._patience, lambda: self._warehouse.jobs(since), None):
            yield page

    async def at_work(self, since: int) -> set[str]:
        """See Warehouse."""
        return await insist(self._patience, lambda: self._warehouse.at_work(since))

    async def close(self) -> None:
        """See Warehouse."""
        await self._warehouse.close()
