"""Retry around an ObjectStore.

A write that was answered with an error may have been carried out. If a retried create-only write finds an object, a
comparison of the content shows whether that is this write's.

Listings and streams that are continued after an error.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, TypeVar, cast

from bqdump.adapters.patience import Attempts, Patience, Retrying
from bqdump.core.errors import BqdumpError, ConflictError, DamagedError, NotFoundError, OutageError
from bqdump.ports.store import BucketInfo, Copy, Hidden, Keeper, Locks, Note, ObjectInfo, ObjectStore, Stored

if TYPE_CHECKING:
    from bqdump.ports.mover import Settling
    from bqdump.ports.reader import Batch

Item = TypeVar("Item")


async def listed(
    retrying: Retrying,
    listing: Callable[[str], AsyncIterator[list[Item]]],
    place: Callable[[Item], str] | None,
) -> AsyncIterator[list[Item]]:
    """The pages of a listing, which is continued after an error. Every page resets the patience.

    listing: lists from the item with this key on.
    place: the key by which it is sorted. None: after an error the listing begins again, and repeats all items.
    """
    last = ""
    attempts = Attempts(retrying)
    while True:
        try:
            async for page in listing(last):
                fresh = [item for item in page if place(item) > last] if place and last else page
                yield fresh
                if place and fresh:
                    last = place(fresh[-1])
                    attempts.reset()
        except BqdumpError as error:
            pause = attempts.failed(error)
        else:
            return
        await asyncio.sleep(pause)


def resumed(retrying: Retrying, read: Callable[[int], Iterator[Batch]], offset: int) -> Iterator[Batch]:
    """The batches of a stream, which resumes after the last row that has arrived. Every batch resets the patience.

    read: reads from the row with this number on. It waits in this thread.
    """
    attempts = Attempts(retrying)
    while True:
        try:
            for batch in read(offset):
                offset += batch.rows
                attempts.reset()
                yield batch
        except BqdumpError as error:
            pause = attempts.failed(error)
        else:
            return
        time.sleep(pause)


Result = TypeVar("Result")
Answer = TypeVar("Answer")


class RetryingStore:
    """An ObjectStore that retries."""

    def __init__(self, store: ObjectStore, patience: Patience | None = None) -> None:
        self._store, self._retrying = store, Retrying(patience)
        self.url, self.abilities = store.url, store.abilities

    async def describe(self) -> BucketInfo:
        return await self._retrying.call(self._store.describe)

    async def stat(self, name: str) -> ObjectInfo | None:
        return await self._retrying.call(lambda: self._store.stat(name))

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        return await self._retrying.call(lambda: self._store.read(name, start, length))

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        return await self._write(name, data, lambda: self._store.write(name, data, expect))

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """See ObjectStore. Not retried here: `fill` can be called only once, so the store retries by itself."""
        return await self._store.upload(name, fill, expect)

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        """See ObjectStore. Not retried here: the pieces come only once, so the store retries by itself."""
        return await self._store.stream(name, pieces, expect)

    async def settled(self, sent: Sequence[ObjectInfo]) -> list[ObjectInfo | None]:
        """See Settling."""
        return await self._retrying.call(lambda: cast("Settling", self._store).settled(sent))

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        return await self._write(name, data, lambda: self._store.write_note(name, data, expect))

    async def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        async for page in listed(self._retrying, lambda last: self._store.notes(prefix, last or start), _name):
            yield page

    async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
        async for page in listed(self._retrying, lambda last: self._store.objects(prefix, last or start), _name):
            yield page

    async def folders(self, prefix: str) -> list[str]:
        return await self._retrying.call(lambda: self._store.folders(prefix))

    async def in_folders(self, prefix: str, name: str) -> list[ObjectInfo]:
        return await self._retrying.call(lambda: self._store.in_folders(prefix, name))

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
        """See ObjectStore. What a retry does not find counts as deleted: by a request whose answer was lost."""
        failed = set[tuple[str, int]]()

        async def once(some: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
            try:
                answers = await self._store.delete(some)
            except BqdumpError:
                failed.update(some)
                raise
            failed.update(item for item, answer in zip(some, answers, strict=True) if isinstance(answer, BqdumpError))
            return [item in failed if answer is False else answer for item, answer in zip(some, answers, strict=True)]

        return await self._each(objects, once)

    async def extend(self, objects: Sequence[tuple[str, int]], until: int) -> list[bool | BqdumpError]:
        """See Locks. The store has to be one of these."""
        return await self._each(objects, lambda some: cast("Locks", self._store).extend(some, until))

    async def hidden(
        self, prefix: str, *, replaced: bool = False, wanted: Mapping[str, int] | None = None
    ) -> list[Hidden]:
        """See Keeper. The store has to be one."""
        keeper = cast("Keeper", self._store)
        return await self._retrying.call(lambda: keeper.hidden(prefix, replaced=replaced, wanted=wanted))

    async def uncover(self, hidden: Sequence[Hidden]) -> list[Hidden]:
        """See Keeper."""
        return await cast("Keeper", self._store).uncover(hidden)

    async def discard_uploads(self, names: Collection[str]) -> None:
        await self._retrying.call(lambda: self._store.discard_uploads(names))

    async def close(self) -> None:
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


def _name(item: Note | ObjectInfo) -> str:
    return item.name
