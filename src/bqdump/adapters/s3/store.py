"""The ObjectStore on S3. What it does not have is made of what it has: see adapters.s3.requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import IO, TypeVar, cast

from bqdump.adapters.checksums import Summed, crc32c
from bqdump.adapters.patience import Patience, Retrying
from bqdump.adapters.s3.client import open_client
from bqdump.adapters.s3.listings import Listing
from bqdump.adapters.s3.requests import (
    ORIGIN,
    Requests,
    as_sent,
    content_type,
    delete,
    describe,
    download,
    extend,
    generation_in,
    generation_of,
    is_settled,
    same_etag,
    stat,
)
from bqdump.adapters.s3.uploads import Upload, discard, kept
from bqdump.adapters.threads import Threads
from bqdump.core.documents.layout import is_note
from bqdump.core.documents.notes import NOTE_BYTES
from bqdump.core.errors import BqdumpError, ConflictError, NotFoundError, UnavailableError
from bqdump.file_content import FileContent
from bqdump.ports.store import Abilities, BucketInfo, Copy, Hidden, Lock, Note, ObjectInfo, Stored

Result = TypeVar("Result")
NOT_AS_SENT = "the stored object differs from what was sent"
PIECE = 8 << 20
# All streams together send about as many parts at a time.
PARTS_AT_ONCE = 12


class S3Store:
    """One bucket. It does not retry, except for uploads: see adapters.retry.

    endpoint: the address of a service with the API of S3, "" for AWS.
    patience: how long uploads are retried, part by part.
    lock: of all objects. The process needs the permissions that adapters.s3.errors names.
    """

    abilities = Abilities(
        listed_checksums=False,
        exports=False,
        leaves_uploads=True,
        deleted=True,
        markers=True,
        late_generations=True,
        listed_notes=False,
    )

    def __init__(
        self, bucket: str, endpoint: str = "", patience: Patience | None = None, lock: Lock | None = None
    ) -> None:
        self._requests = Requests(open_client(endpoint), bucket, lock)
        self._listing = Listing(self._requests)
        self._threads, self._retrying = Threads("s3"), Retrying(patience)
        self.url = f"s3://{bucket}"
        self._streams = 0

    async def describe(self) -> BucketInfo:
        """See ObjectStore: the location is the region. Whether versions are kept is False if it may not be read."""
        return await self._threads.call(lambda: describe(self._requests))

    async def stat(self, name: str) -> ObjectInfo | None:
        """See ObjectStore. An object without a CRC32C of its own, such as one of another tool, is read for it."""
        return await self._threads.call(lambda: stat(self._requests, name))

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore. A complete read is compared with the object's CRC32C, if it has one."""
        return await self._threads.call(lambda: download(self._requests, name, start, length))

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        def put() -> int:
            condition = self._requests.condition(name, expect)
            etag = self._requests.put(name, data, crc32c(data), condition, ContentType=content_type(name))
            # Only the answer to another request has the time.
            answer = self._requests.head(name)
            if answer is None or answer.get("ETag") != etag:
                return generation_of(etag, None)
            return generation_in(answer, "write", self._requests.subject(name))

        return await self._threads.call(put)

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """See ObjectStore. Each part is retried here, since `fill` can be called only once."""

        def filled() -> tuple[ObjectInfo, Result]:
            upload = self._upload(name, expect)
            file = Summed(cast("IO[bytes]", upload))
            try:
                result = fill(cast("IO[bytes]", file))
                return self._finished(name, upload, file), result
            except BaseException:
                upload.abort()
                raise

        return await self._threads.call(filled)

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        """See ObjectStore. Each part is retried here, since each piece comes only once."""
        return await self._streamed(name, pieces, expect, late=True)

    async def settled(self, sent: Sequence[ObjectInfo]) -> list[ObjectInfo | None]:
        """See Settling. One listing for all, and a request for each that it does not have as it was sent."""
        late = [info.name for info in sent if not is_settled(info.generation)]
        listed = await self._threads.call(lambda: self._listing.some(late)) if len(late) > 1 else {}

        async def settle(info: ObjectInfo) -> ObjectInfo | None:
            if is_settled(info.generation):
                return info
            listed_now = listed.get(info.name)
            if listed_now and listed_now.size == info.size and same_etag(listed_now.generation, info.generation):
                return listed_now._replace(crc32c=info.crc32c)
            return await self._threads.call(lambda: as_sent(self._requests, info))

        return await asyncio.gather(*map(settle, sent))

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        if len(data) > NOTE_BYTES or not is_note(name):
            raise ValueError(f"invalid note {name}: {len(data)} bytes")
        return await self.write(name, data, expect)

    async def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        """See ObjectStore. S3 lists no content: each note is read, with a request of its own."""
        async for page in self.objects(prefix, start):
            notes = await asyncio.gather(*(self._read_note(info) for info in page if is_note(info.name)))
            yield [note for note in notes if note]

    async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
        pages = self._listing.pages(prefix, start)
        while (page := await self._threads.call(lambda: next(pages, None))) is not None:
            yield page

    async def folders(self, prefix: str) -> list[str]:
        return await self._threads.call(lambda: self._listing.folders(prefix))

    async def in_folders(self, prefix: str, name: str) -> list[ObjectInfo]:
        """See ObjectStore. S3 selects names by prefix alone."""
        found = await asyncio.gather(*(self.stat(f"{prefix}{folder}/{name}") for folder in await self.folders(prefix)))
        return [info for info in found if info]

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """See ObjectStore. The bytes pass through this process, since S3 copies no object of any size at once."""
        return await _all(
            self._rewritten(wish.source, wish.source_generation, wish.target, wish.expect, origin={ORIGIN: origin})
            for wish in copies
        )

    async def append(self, name: str, generation: int, data: bytes, scratch: str) -> ObjectInfo:
        """See ObjectStore. The object is read and written again, since S3 puts no small objects together."""
        try:
            return await self._rewritten(name, generation, name, generation, more=data)
        except NotFoundError as error:
            raise ConflictError("append to", self._requests.subject(name), error.cause) from error

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """See ObjectStore. Two requests for each: the first finds the ETag that the second one names."""
        return await _all(self._threads.call(partial(delete, self._requests, *object_)) for object_ in objects)

    async def extend(self, objects: Sequence[tuple[str, int]], until: int) -> list[bool | BqdumpError]:
        """See Locks. Two requests for each, one where the lock is long enough."""
        return await _all(self._threads.call(partial(extend, self._requests, *object_, until)) for object_ in objects)

    async def hidden(
        self, prefix: str, *, replaced: bool = False, wanted: Mapping[str, int] | None = None
    ) -> list[Hidden]:
        """See Keeper. Requires s3:ListBucketVersions, and s3:GetObjectVersion for locks."""
        return await self._threads.call(lambda: self._listing.hidden(prefix, replaced=replaced, wanted=wanted))

    async def uncover(self, hidden: Sequence[Hidden]) -> list[Hidden]:
        """See Keeper. Requires s3:GetObjectVersion."""
        before = self._requests.uncovered
        new = [item for item in hidden if (known := before.get(item.name)) is None or known.version != item.version]
        before.update({item.name: item for item in hidden if item.version})
        return new

    async def discard_uploads(self, names: Collection[str]) -> None:
        await self._threads.call(lambda: discard(self._requests, names))

    async def close(self) -> None:
        self._threads.close()
        self._requests.objects.close()
        self._requests.client.close()

    def _upload(self, name: str, expect: int | None, origin: Mapping[str, str] | None = None) -> Upload:
        condition = kept(self._retrying, lambda: self._requests.condition(name, expect))
        return Upload(self._requests, name, condition, self._retrying, origin or {}, condition.get("IfMatch", ""))

    async def _streamed(
        self,
        name: str,
        pieces: AsyncIterator[bytes],
        expect: int | None,
        origin: Mapping[str, str] | None = None,
        *,
        late: bool = False,
    ) -> ObjectInfo:
        """Upload the pieces, several parts at a time: as many as leave room for other streams. late: see _finished."""
        begin = partial(self._upload, name, expect, origin)
        # Of what it replaces, it asks for the ETag.
        upload = begin() if expect == 0 else await self._threads.call(begin)
        file = pieces if isinstance(pieces, FileContent) else Summed(None)
        sending: set[asyncio.Task[None]] = set()

        async def send(parts: Iterable[tuple[int, bytes]]) -> None:
            for number, part in parts:
                while len(sending) >= max(1, PARTS_AT_ONCE // self._streams):
                    sent, _ = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
                    sending.difference_update(sent)
                    await asyncio.gather(*sent)
                sending.add(asyncio.ensure_future(self._threads.call(partial(upload.send, number, part))))

        self._streams += 1
        try:
            async for piece in pieces:
                if isinstance(file, Summed):
                    file.write(piece)
                await send(upload.parts(piece))
            await send(upload.last_part())
            await asyncio.gather(*sending)
            return await self._threads.call(lambda: self._finished(name, upload, file, late=late))
        except BaseException:
            for task in sending:
                task.cancel()
            await asyncio.shield(self._threads.call(upload.abort))
            raise
        finally:
            self._streams -= 1

    def _finished(self, name: str, upload: Upload, file: Summed | FileContent, *, late: bool = False) -> ObjectInfo:
        """The object that the upload has created. Raises if it is another one.

        late: one that was sent with a single request, whose answer lacks the time, may not have its generation yet.
        """
        lost: ConflictError | None = None
        etag = ""
        try:
            etag = upload.finish(file.crc32c, file.sha256 if isinstance(file, FileContent) else "")
        except ConflictError as error:
            if not upload.repeated:
                raise
            # Another object, or this one after an answer was lost: the checksum shows which.
            lost = error
        sent = ObjectInfo(name, file.size, file.crc32c, generation_of(etag, None))
        if late and etag and not upload.in_parts:
            return sent
        if stored := kept(self._retrying, lambda: as_sent(self._requests, sent)):
            return stored
        raise lost or UnavailableError("write", self._requests.subject(name), NOT_AS_SENT)

    async def _rewritten(
        self,
        source: str,
        generation: int,
        target: str,
        expect: int,
        *,
        more: bytes = b"",
        origin: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Write the bytes of an object of this generation, and more, to a name. Raises NotFoundError if it is gone."""
        head = await self._threads.call(lambda: self._requests.head(source))
        size = head.get("ContentLength", 0) if head else 0
        gone = NotFoundError("copy", self._requests.subject(source), "no such object at this generation")
        if head is None or generation_in(head, "copy", self._requests.subject(source)) != generation:
            raise gone

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, size, PIECE):
                piece = await self.read(source, start, min(PIECE, size - start))
                if piece.generation != generation:
                    raise gone
                yield piece.data
            yield more

        return await self._streamed(target, pieces(), expect, origin)

    async def _read_note(self, info: ObjectInfo) -> Note | None:
        """The content of a note, None if it has been deleted since it was listed."""
        try:
            content = await self.read(info.name, length=None if info.size <= NOTE_BYTES else NOTE_BYTES + 1)
        except NotFoundError:
            return None
        return Note(info.name, content.data, content.generation, info.updated)


async def _all(work: Iterable[Awaitable[Result]]) -> list[Result | BqdumpError]:
    """The result of each, or its error, done at the same time."""

    async def settled(awaited: Awaitable[Result]) -> Result | BqdumpError:
        try:
            return await awaited
        except BqdumpError as error:
            return error

    return list(await asyncio.gather(*map(settled, work)))
