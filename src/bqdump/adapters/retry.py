"""Retry as wrappers around the ports. How long they retry: adapters.patience.

A write that was answered with an error may have been carried out. If a retried create-only write finds an object, a
comparison of the content shows whether that is this write's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import IO, TypeVar

from bqdump.adapters.patience import Attempts, Patience, Retrying
from bqdump.core.documents.definitions import Index, RoutineDefinition, RowPolicy
from bqdump.core.errors import BqdumpError, ConflictError, DamagedError, NotFoundError, OutageError
from bqdump.core.plan.catalog import Dataset, Listed, ListedDataset, Partition, Table
from bqdump.ports.reader import Batch, Reader, ReadRequest, ReadSession
from bqdump.ports.store import BucketInfo, Copy, Note, ObjectInfo, ObjectStore, Stored
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, QueryRequest, Warehouse

Result = TypeVar("Result")
Answer = TypeVar("Answer")


class RetryingStore:
    """An ObjectStore that retries."""

    def __init__(self, store: ObjectStore, patience: Patience | None = None) -> None:
        self._store, self._retrying = store, Retrying(patience)
        self.url = store.url

    async def describe(self) -> BucketInfo:
        """See ObjectStore."""
        return await self._retrying.call(self._store.describe)

    async def stat(self, name: str) -> ObjectInfo | None:
        """See ObjectStore."""
        return await self._retrying.call(lambda: self._store.stat(name))

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore."""
        return await self._retrying.call(lambda: self._store.read(name, start, length))

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        return await self._write(name, data, lambda: self._store.write(name, data, expect))

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """See ObjectStore. Not retried here: `fill` can be called only once, so the store retries by itself."""
        return await self._store.upload(name, fill, expect)

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore."""
        return await self._write(name, data, lambda: self._store.write_note(name, data, expect))

    async def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        """See ObjectStore."""
        async for page in _listed(self._retrying, lambda last: self._store.notes(prefix, last or start), _name):
            yield page

    async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
        """See ObjectStore."""
        async for page in _listed(self._retrying, lambda last: self._store.objects(prefix, last or start), _name):
            yield page

    async def folders(self, prefix: str) -> list[str]:
        """See ObjectStore."""
        return await self._retrying.call(lambda: self._store.folders(prefix))

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """See ObjectStore. A copy that was carried out although its answer was lost returns a ConflictError.

        The same holds for an answer that is about another copy, which counts as lost.
        """

        async def checked(some: Sequence[Copy]) -> list[ObjectInfo | BqdumpError]:
            return list(map(_own_answer, some, await self._store.copy(some, origin)))

        return await self._each(copies, checked)

    async def append(self, name: str, generation: int, data: bytes, scratch: str) -> ObjectInfo:
        """See ObjectStore. If it was carried out although its answer was lost, this raises a ConflictError."""
        return await self._retrying.call(lambda: self._store.append(name, generation, data, scratch))

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """See ObjectStore."""
        return await self._each(objects, self._store.delete)

    async def close(self) -> None:
        """See ObjectStore."""
        await self._store.close()

    async def _write(self, name: str, data: bytes, request: Callable[[], Awaitable[int]]) -> int:
        attempts = 0

        async def once() -> int:
            nonlocal attempts
            attempts += 1
            return await request()

        try:
            return await self._retrying.call(once)
        except ConflictError:
            if attempts > 1:
                # The object that the write met may be deleted by now; it was a conflict all the same.
                with suppress(NotFoundError):
                    stored = await self.read(name)
                    if stored.data == data:
                        return stored.generation
            raise

    async def _each(
        self, wishes: Sequence[Result], request: Callable[[Sequence[Result]], Awaitable[list[Answer | BqdumpError]]]
    ) -> list[Answer | BqdumpError]:
        """One answer for each wish. Those with retryable errors are retried together."""
        answers: dict[int, Answer | BqdumpError] = {}
        open_ = list(range(len(wishes)))
        attempts = Attempts(self._retrying)
        while open_:
            some = [wishes[index] for index in open_]
            got = await self._retrying.call(lambda: request(some))  # noqa: B023
            answers.update(zip(open_, got, strict=True))
            failed = {index: error for index in open_ if (error := _retryable(answers[index]))}
            if len(failed) < len(open_):
                attempts.reset()
            open_ = list(failed)
            if not failed:
                break
            try:
                pause = attempts.failed(next(iter(failed.values())))
            except BqdumpError as last:
                # Each keeps its own error, except for the outage, which is the same for all.
                answers |= {index: last if isinstance(last, OutageError) else error for index, error in failed.items()}
                break
            await asyncio.sleep(pause)
        return [answers[index] for index in range(len(wishes))]


def _retryable(answer: object) -> BqdumpError | None:
    return answer if isinstance(answer, BqdumpError) and answer.retryable else None


def _own_answer(wish: Copy, answer: ObjectInfo | BqdumpError) -> ObjectInfo | BqdumpError:
    """The answer to this copy; a DamagedError if it is about another object or content."""
    if isinstance(answer, BqdumpError):
        return answer
    facts = (
        ("name", answer.name, wish.target),
        ("size", answer.size, wish.size),
        ("CRC32C", answer.crc32c, wish.crc32c),
    )
    for what, got, expected in facts:
        if expected not in (None, got):
            cause = f"the answer has the {what} {got} instead of {expected}"
            return DamagedError("copy", f"{wish.source} to {wish.target}", cause)
    return answer


async def _listed(
    retrying: Retrying,
    listing: Callable[[str], AsyncIterator[list[Result]]],
    place: Callable[[Result], str] | None,
) -> AsyncIterator[list[Result]]:
    """The pages of a listing, which is continued after an error. Every page resets the patience.

    listing: lists from the item with this key on. place: the key by which it is sorted. None: after an error the
    listing begins again, and repeats all items.
    """
    given = ""
    attempts = Attempts(retrying)
    while True:
        try:
            async for page in listing(given):
                fresh = [item for item in page if place(item) > given] if place and given else page
                yield fresh
                if place and fresh:
                    given = place(fresh[-1])
                    attempts.reset()
        except BqdumpError as error:
            pause = attempts.failed(error)
        else:
            return
        await asyncio.sleep(pause)


def _name(item: Note | ObjectInfo) -> str:
    return item.name


class RetryingReader:
    """A Reader that retries: a broken stream resumes after the last row that has arrived."""

    def __init__(self, reader: Reader, patience: Patience | None = None) -> None:
        self._reader, self._retrying = reader, Retrying(patience)

    async def open(self, request: ReadRequest) -> ReadSession:
        """See Reader."""
        return await self._retrying.call(lambda: self._reader.open(request))

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        """See Reader. Every batch resets the patience."""
        attempts = Attempts(self._retrying)
        while True:
            try:
                for batch in self._reader.read(stream, offset):
                    offset += batch.rows
                    attempts.reset()
                    yield batch
            except BqdumpError as error:
                pause = attempts.failed(error)
            else:
                return
            time.sleep(pause)

    def now(self) -> int:
        """See Reader."""
        return self._reader.now()

    async def close(self) -> None:
        """See Reader."""
        await self._reader.close()


class RetryingWarehouse:
    """A Warehouse that retries. That is safe for jobs: the job id makes a second request a conflict."""

    def __init__(self, warehouse: Warehouse, patience: Patience | None = None) -> None:
        self._warehouse, self._retrying = warehouse, Retrying(patience)

    async def list_datasets(self, project: str) -> list[ListedDataset]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.list_datasets(project))

    async def dataset(self, project: str, name: str) -> Dataset:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.dataset(project, name))

    async def now(self, location: str) -> int:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.now(location))

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.tables(dataset))

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.table(dataset, name))

    async def row_policies(self, dataset: Dataset, table: str) -> list[RowPolicy] | None:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.row_policies(dataset, table))

    async def grantees(self, dataset: Dataset, table: str, policy: str) -> tuple[str, ...]:
        """See DefinitionReader."""
        return await self._retrying.call(lambda: self._warehouse.grantees(dataset, table, policy))

    async def routines(self, dataset: Dataset) -> list[str]:
        """See DefinitionReader."""
        return await self._retrying.call(lambda: self._warehouse.routines(dataset))

    async def routine(self, dataset: Dataset, name: str) -> RoutineDefinition | None:
        """See DefinitionReader."""
        return await self._retrying.call(lambda: self._warehouse.routine(dataset, name))

    async def models(self, dataset: Dataset) -> list[str]:
        """See DefinitionReader."""
        return await self._retrying.call(lambda: self._warehouse.models(dataset))

    async def indexes(self, dataset: Dataset, max_bytes_billed: int) -> list[Index]:
        """See DefinitionReader."""
        return await self._retrying.call(lambda: self._warehouse.indexes(dataset, max_bytes_billed))

    async def partitions(
        self, dataset: Dataset, tables: Sequence[str], max_bytes_billed: int
    ) -> dict[str, list[Partition]]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.partitions(dataset, tables, max_bytes_billed))

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.extract(request))

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.estimate(dataset, table, select, parameters))

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.ask(dataset, table, select, max_bytes_billed))

    async def counts(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> dict[str, int]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.counts(dataset, table, select, max_bytes_billed))

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.captured(dataset, max_bytes_billed))

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.query(request))

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse. The caller knows that the job exists, although BigQuery may not find it at first.

        https://github.com/googleapis/python-bigquery/issues/2134
        """
        return await self._retrying.call(lambda: self._warehouse.job(job_id, location), NotFoundError)

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse. After an error, jobs may be listed twice."""
        async for page in _listed(self._retrying, lambda _: self._warehouse.jobs(since), None):
            yield page

    async def at_work(self, since: int) -> set[str]:
        """See Warehouse."""
        return await self._retrying.call(lambda: self._warehouse.at_work(since))

    async def close(self) -> None:
        """See Warehouse."""
        await self._warehouse.close()
