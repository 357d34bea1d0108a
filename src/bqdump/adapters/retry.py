"""Retry as wrappers around the ports: the same request again, where that may help. How long: adapters.patience.

A write that was answered with an error may have happened all the same. After a repeated create-only write that
finds the object there, its content tells whether it is ours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import IO, TypeVar

from bqdump.adapters.patience import Insistence, Patience, Trial
from bqdump.core.errors import BqdumpError, ConflictError, DamagedError, NotFoundError, OutageError
from bqdump.core.plan.catalog import Dataset, Listed, Table
from bqdump.ports.reader import Batch, Reader, ReadRequest, ReadSession
from bqdump.ports.store import BucketInfo, Copy, Note, ObjectInfo, ObjectStore, Stored
from bqdump.ports.warehouse import Estimate, ExtractRequest, Job, QueryRequest, Warehouse

Result = TypeVar("Result")
Answer = TypeVar("Answer")


class RetryingStore:
    """An ObjectStore that insists."""

    def __init__(self, store: ObjectStore, patience: Patience | None = None) -> None:
        self._store, self._insistence = store, Insistence(patience)
        self.url = store.url

    async def describe(self) -> BucketInfo:
        """See ObjectStore."""
        return await self._insistence.ask(self._store.describe)

    async def stat(self, name: str) -> ObjectInfo | None:
        """See ObjectStore."""
        return await self._insistence.ask(lambda: self._store.stat(name))

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore."""
        return await self._insistence.ask(lambda: self._store.read(name, start, length))

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
        async for page in _whole(self._insistence, lambda: self._store.notes(prefix), _name):
            yield page

    async def objects(self, prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        """See ObjectStore."""
        async for page in _whole(self._insistence, lambda: self._store.objects(prefix), _name):
            yield page

    async def folders(self, prefix: str) -> list[str]:
        """See ObjectStore."""
        return await self._insistence.ask(lambda: self._store.folders(prefix))

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """See ObjectStore. A copy that happened although its answer was lost comes back as a ConflictError.

        So does one whose answer is not about this copy: such an answer is none, whatever it says.
        """

        async def checked(some: Sequence[Copy]) -> list[ObjectInfo | BqdumpError]:
            return list(map(_own_answer, some, await self._store.copy(some, origin)))

        return await self._each(copies, checked)

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
            return await self._insistence.ask(once)
        except ConflictError:
            if asked > 1:
                # What the write met may be deleted by now: it was still a conflict.
                with suppress(NotFoundError):
                    stored = await self.read(name)
                    if stored.data == data:
                        return stored.generation
            raise

    async def _each(
        self, wishes: Sequence[Result], request: Callable[[Sequence[Result]], Awaitable[list[Answer | BqdumpError]]]
    ) -> list[Answer | BqdumpError]:
        """One answer for each wish; those whose answer is worth another try are asked again, together."""
        answers: dict[int, Answer | BqdumpError] = {}
        open_ = list(range(len(wishes)))
        trial = Trial(self._insistence)
        while open_:
            some = [wishes[index] for index in open_]
            got = await self._insistence.ask(lambda: request(some))  # noqa: B023
            answers.update(zip(open_, got, strict=True))
            failed = {index: error for index in open_ if (error := _worth_another_try(answers[index]))}
            if len(failed) < len(open_):
                trial.renew()
            open_ = list(failed)
            if not failed:
                break
            try:
                pause = trial.failed(next(iter(failed.values())))
            except BqdumpError as last:
                # Each keeps its own error, but where patience is at its end, which is the same for all.
                answers |= {index: last if isinstance(last, OutageError) else error for index, error in failed.items()}
                break
            await asyncio.sleep(pause)
        return [answers[index] for index in range(len(wishes))]


def _worth_another_try(answer: object) -> BqdumpError | None:
    return answer if isinstance(answer, BqdumpError) and answer.retryable else None


def _own_answer(wish: Copy, answer: ObjectInfo | BqdumpError) -> ObjectInfo | BqdumpError:
    """The answer to this copy; a DamagedError for one that is about another object or content."""
    if isinstance(answer, BqdumpError):
        return answer
    for what, got, wanted in (("name", answer.name, wish.target), ("size", answer.size, wish.size),
                              ("CRC32C", answer.crc32c, wish.crc32c)):  # fmt: skip
        if wanted not in (None, got):
            cause = f"the answer names the {what} {got}, and the copy has {wanted}"
            return DamagedError("copy", f"{wish.source} to {wish.target}", cause)
    return answer


async def _whole(
    insistence: Insistence,
    listing: Callable[[], AsyncIterator[list[Result]]],
    place: Callable[[Result], str] | None,
) -> AsyncIterator[list[Result]]:
    """The pages of a listing; after an error it starts anew, and every page renews the patience.

    place: what the listing is ordered by. What was given already is then passed over, by its place and not by its
    number: what comes before it may have been deleted meanwhile. None: it is all given once more.
    """
    given = ""
    trial = Trial(insistence)
    while True:
        try:
            async for page in listing():
                fresh = [item for item in page if place(item) > given] if place and given else page
                yield fresh
                if place and fresh:
                    given = place(fresh[-1])
                    trial.renew()
        except BqdumpError as error:
            pause = trial.failed(error)
        else:
            return
        await asyncio.sleep(pause)


def _name(item: Note | ObjectInfo) -> str:
    return item.name


class RetryingReader:
    """A Reader that insists: a broken stream goes on after the last row that has arrived."""

    def __init__(self, reader: Reader, patience: Patience | None = None) -> None:
        self._reader, self._insistence = reader, Insistence(patience)

    async def open(self, request: ReadRequest) -> ReadSession:
        """See Reader."""
        return await self._insistence.ask(lambda: self._reader.open(request))

    def read(self, stream: str, offset: int) -> Iterator[Batch]:
        """See Reader. Every batch that arrives renews the patience."""
        trial = Trial(self._insistence)
        while True:
            try:
                for batch in self._reader.read(stream, offset):
                    offset += batch.rows
                    trial.renew()
                    yield batch
            except BqdumpError as error:
                pause = trial.failed(error)
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
    """A Warehouse that insists. Repeating a job's request is safe: its id makes the second one a conflict."""

    def __init__(self, warehouse: Warehouse, patience: Patience | None = None) -> None:
        self._warehouse, self._insistence = warehouse, Insistence(patience)

    async def dataset(self, project: str, name: str) -> Dataset:
        """See Warehouse."""
        return await self._insistence.ask(lambda: self._warehouse.dataset(project, name))

    async def now(self, location: str) -> int:
        """See Warehouse."""
        return await self._insistence.ask(lambda: self._warehouse.now(location))

    async def tables(self, dataset: Dataset) -> list[Listed]:
        """See Warehouse."""
        return await self._insistence.ask(lambda: self._warehouse.tables(dataset))

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        """See Warehouse."""
        return await self._insistence.ask(lambda: self._warehouse.table(dataset, name))

    async def row_policies(self, dataset: Dataset, table: str) -> list[str] | None:
        """See Warehouse."""
        return await self._insistence.ask(lambda: self._warehouse.row_policies(dataset, table))

    async def extract(self, request: ExtractRequest) -> Job:
        """See Warehouse."""
        return await self._insistence.ask(lambda: self._warehouse.extract(request))

    async def estimate(self, dataset: Dataset, table: str, select: str, parameters: dict[str, str]) -> Estimate:
        """See Warehouse."""
        return await self._insistence.ask(lambda: self._warehouse.estimate(dataset, table, select, parameters))

    async def ask(self, dataset: Dataset, table: str, select: str, max_bytes_billed: int) -> list[int]:
        """See Warehouse."""
        return await self._insistence.ask(lambda: self._warehouse.ask(dataset, table, select, max_bytes_billed))

    async def captured(self, dataset: Dataset, max_bytes_billed: int) -> list[str]:
        """See Warehouse."""
        return await self._insistence.ask(lambda: self._warehouse.captured(dataset, max_bytes_billed))

    async def query(self, request: QueryRequest) -> Job:
        """See Warehouse."""
        return await self._insistence.ask(lambda: self._warehouse.query(request))

    async def job(self, job_id: str, location: str) -> Job:
        """See Warehouse. Whoever asks knows that there is such a job, which BigQuery may find a moment later only.

        https://github.com/googleapis/python-bigquery/issues/2134
        """
        return await self._insistence.ask(lambda: self._warehouse.job(job_id, location), NotFoundError)

    async def jobs(self, since: int) -> AsyncIterator[list[Job]]:
        """See Warehouse. After an error jobs may be told of twice."""
        async for page in _whole(self._insistence, lambda: self._warehouse.jobs(since), None):
            yield page

    async def at_work(self, since: int) -> set[str]:
        """See Warehouse."""
        return await self._insistence.ask(lambda: self._warehouse.at_work(since))

    async def close(self) -> None:
        """See Warehouse."""
        await self._warehouse.close()
