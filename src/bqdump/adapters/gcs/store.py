"""The ObjectStore on Cloud Storage, with Google's own client. STORAGE_EMULATOR_HOST points it to a local stand-in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import IO, Any, TypeVar, cast

from google.api_core.exceptions import Conflict, NotFound, PreconditionFailed

from bqdump.adapters.checksums import Summed
from bqdump.adapters.gcs.batches import Batches
from bqdump.adapters.gcs.objects import (
    ADMIN,
    NOT_AS_SENT,
    NOTE,
    ONCE,
    Upload,
    bucket_of,
    content_type,
    download,
    generation_of,
    hidden_in,
    info_of,
    noted,
    open_blob,
    open_client,
    retry_policy,
    written_at,
)
from bqdump.adapters.google.errors import translate, translated
from bqdump.adapters.google.http import TIMEOUT
from bqdump.adapters.google.refusals import MAKE
from bqdump.adapters.patience import Patience
from bqdump.adapters.threads import Threads
from bqdump.core.documents.layout import is_note
from bqdump.core.documents.notes import NOTE_BYTES
from bqdump.core.errors import BqdumpError, ConflictError, NotFoundError, UnavailableError
from bqdump.ports.store import Abilities, BucketInfo, Copy, Hidden, Lock, Note, ObjectInfo, Stored, is_in_folder

log = logging.getLogger(__name__)
Result = TypeVar("Result")
PAGE = 1000
LISTED = "items(name,size,crc32c,generation,timeCreated,metadata,retention,retentionExpirationTime),nextPageToken"


class CloudStore:
    """One bucket. It does not retry, except for uploads: see adapters.retry.RetryingStore.

    kms_key: the Cloud KMS key of all objects written or copied ("": the bucket's default).
    patience: how long uploads are retried, part by part.
    storage_class: of streamed objects ("": the bucket's default).
    lock: of all objects.
    """

    abilities = Abilities(deleted=True)

    def __init__(
        self,
        bucket: str,
        project: str,
        kms_key: str = "",
        patience: Patience | None = None,
        storage_class: str = "",
        lock: Lock | None = None,
    ) -> None:
        self._client = open_client(project)
        self._bucket = self._client.bucket(bucket)
        self._threads = Threads("storage")
        self._kms_key, self._storage_class, self._lock = kms_key, storage_class, lock
        self._patience = patience or Patience()
        self._retry = retry_policy(self._patience)
        self._batches = Batches(self._client, self._bucket, self._threads, kms_key)
        self.url = f"gs://{bucket}"

    async def describe(self) -> BucketInfo:
        def get() -> BucketInfo:
            reading = "read the settings of"
            with translated(reading, self.url, ADMIN):
                try:
                    return bucket_of(self._client.get_bucket(self._bucket.name, **ONCE))
                except NotFound as error:
                    hint = MAKE.format(bucket=self.url)
                    raise NotFoundError(reading, self.url, "the bucket does not exist", hint) from error

        return await self._threads.call(get)

    async def stat(self, name: str) -> ObjectInfo | None:
        def get() -> ObjectInfo | None:
            with translated("read the metadata of", f"{self.url}/{name}", ADMIN):
                blob = self._bucket.get_blob(name, **ONCE)
            return info_of(name, blob._properties) if blob else None

        return await self._threads.call(get)

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore, and `download`."""
        return await self._threads.call(lambda: download(self._bucket, name, start, length))

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        return await self._threads.call(lambda: self._upload(name, data, expect, None))

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """See ObjectStore. The client retries each part by itself, since `fill` can be called only once."""

        def filled() -> tuple[ObjectInfo, Result]:
            parts = Upload(open_blob(self._bucket, name, self._kms_key, self._lock), expect, self._patience)
            file = Summed(cast("IO[bytes]", parts))
            try:
                with translated("write", f"{self.url}/{name}", ADMIN):
                    result = fill(cast("IO[bytes]", file))
            except BaseException:
                parts.abort()
                raise
            return self._finished(name, parts, file), result

        return await self._threads.call(filled)

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        """See ObjectStore. The client retries each part by itself, since each piece comes only once."""
        blob = open_blob(self._bucket, name, self._kms_key, self._lock)
        if self._storage_class:
            blob.storage_class = self._storage_class
        parts = Upload(blob, expect, self._patience)
        file = Summed(cast("IO[bytes]", parts))

        def add(piece: bytes) -> None:
            with translated("write", f"{self.url}/{name}", ADMIN):
                file.write(piece)

        try:
            async for piece in pieces:
                await self._threads.call(partial(add, piece))
        except BaseException:
            self._threads.start(parts.abort)
            raise
        return await self._threads.call(lambda: self._finished(name, parts, file))

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """See ObjectStore. A note is stored as the object's content and, for listings, also as its metadata."""
        if len(data) > NOTE_BYTES or not is_note(name):
            raise ValueError(f"invalid note {name}: {len(data)} bytes")
        return await self._threads.call(lambda: self._upload(name, data, expect, {NOTE: data.decode()}))

    async def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        """See ObjectStore. Content that the listing does not have is read: other tools upload no metadata."""
        async for page in self._pages(prefix, start):
            notes = {blob.name: noted(blob, self.url) for blob in page if is_note(blob.name)}
            unlisted = [blob for blob in page if blob.name in notes and notes[blob.name] is None]
            read = await asyncio.gather(*map(self._read_note, unlisted))
            notes |= {blob.name: note for blob, note in zip(unlisted, read, strict=True)}
            yield [note for note in notes.values() if note]

    async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
        async for page in self._pages(prefix, start):
            yield [info_of(blob.name, blob._properties) for blob in page]

    async def in_folders(self, prefix: str, name: str) -> list[ObjectInfo]:
        """See ObjectStore. The prefix may have characters of a pattern, so that the pattern does without it."""
        found = [blob async for page in self._pages(prefix, "", f"**/{name}") for blob in page]
        return [info_of(blob.name, blob._properties) for blob in found if is_in_folder(blob.name, prefix, name)]

    async def folders(self, prefix: str) -> list[str]:
        def every() -> list[str]:
            with translated("list", f"{self.url}/{prefix}", ADMIN):
                fields = "prefixes,nextPageToken"
                listing = self._client.list_blobs(
                    self._bucket, prefix=prefix, delimiter="/", page_size=PAGE, fields=fields, **ONCE
                )
                for _ in listing.pages:
                    pass
            return sorted(folder[len(prefix) : -1] for folder in listing.prefixes)

        return await self._threads.call(every)

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        return await self._batches.copy(copies, origin)

    async def append(self, name: str, generation: int, data: bytes, scratch: str) -> ObjectInfo:
        """See ObjectStore. https://cloud.google.com/storage/docs/composite-objects"""

        def appended() -> ObjectInfo:
            parts = [{"name": name, "generation": str(generation)}]
            parts.append({"name": scratch, "generation": str(self._upload(scratch, data, None, None))})
            subject, query = f"{self.url}/{name}", dict[str, Any](ifGenerationMatch=generation)
            if self._kms_key:
                query["kmsKeyName"] = self._kms_key
            with translated("append to", subject, ADMIN):
                try:
                    answer = self._client._post_resource(
                        f"{self._bucket.blob(name).path}/compose", {"sourceObjects": parts}, query_params=query, **ONCE
                    )
                except NotFound as error:
                    raise ConflictError("append to", subject, error.message or "no such generation") from error
            return info_of(name, answer)

        try:
            return await self._threads.call(appended)
        finally:
            await self._threads.call(lambda: self._forget(scratch))

    def _forget(self, scratch: str) -> None:
        """Delete an object that is not needed any more; where that fails, it stays in the folder of staged files."""
        with suppress(BqdumpError), translated("delete", f"{self.url}/{scratch}", ADMIN):
            self._bucket.blob(scratch).delete(**ONCE)

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        return await self._batches.delete(objects)

    async def extend(self, objects: Sequence[tuple[str, int]], until: int) -> list[bool | BqdumpError]:
        return await self._batches.extend(objects, Lock(until, bool(self._lock and self._lock.strict)))

    async def hidden(
        self, prefix: str, *, replaced: bool = False, wanted: Mapping[str, int] | None = None
    ) -> list[Hidden]:
        """See Keeper: noncurrent versions, and what soft delete keeps."""

        def every() -> list[Hidden]:
            with translated("list versions in", f"{self.url}/{prefix}", ADMIN):
                versions = list(self._client.list_blobs(self._bucket, prefix=prefix, versions=True, **ONCE))
                soft = list(self._client.list_blobs(self._bucket, prefix=prefix, soft_deleted=True, **ONCE))
            return hidden_in(self._bucket.name, versions, soft)

        return await self._threads.call(every)

    async def discard_uploads(self, names: Collection[str]) -> None:
        """See ObjectStore. There are none."""

    async def close(self) -> None:
        self._threads.close()
        self._client.close()

    async def _pages(self, prefix: str, start: str, glob: str = "") -> AsyncIterator[list[Any]]:
        listing = self._client.list_blobs(
            self._bucket,
            prefix=prefix,
            start_offset=start or None,
            match_glob=glob or None,
            page_size=PAGE,
            fields=LISTED,
            **ONCE,
        )
        pages: Iterator[Any] = iter(listing.pages)

        def following() -> list[Any] | None:
            with translated("list", f"{self.url}/{prefix}", ADMIN):
                page = next(pages, None)
                return None if page is None else list(page)

        while (page := await self._threads.call(following)) is not None:
            yield page

    async def _read_note(self, blob: Any) -> Note | None:
        """The content of a note, None if it has been deleted since it was listed."""
        try:
            content = await self.read(blob.name, length=None if (blob.size or 0) <= NOTE_BYTES else NOTE_BYTES + 1)
        except NotFoundError:
            return None
        return Note(blob.name, content.data, content.generation, written_at(blob))

    def _upload(self, name: str, data: bytes, expect: int | None, metadata: dict[str, str] | None) -> int:
        blob = open_blob(self._bucket, name, self._kms_key, self._lock)
        if metadata is not None:
            blob.metadata = metadata
        options = {"content_type": content_type(name), "if_generation_match": expect, "checksum": "crc32c"}
        subject = f"{self.url}/{name}"
        with translated("write", subject, ADMIN):
            try:
                blob.upload_from_string(data, **options, **ONCE)
            except Conflict as error:
                if expect is not None:
                    raise
                # Another request changes the object at the same time. Without a precondition, this one can follow it.
                raise UnavailableError("write", subject, error.message or "concurrent change") from error
        return generation_of(blob, "write", subject)

    def _finished(self, name: str, parts: Upload, file: Summed) -> ObjectInfo:
        subject = f"{self.url}/{name}"
        lost: ConflictError | None = None
        with translated("write", subject, ADMIN):
            try:
                parts.finish()
            except (Conflict, PreconditionFailed) as error:
                # Another object, or this one after an answer was lost: the checksum shows which.
                refused = translate(error, "write", subject, ADMIN)
                if not (parts.repeated and isinstance(refused, ConflictError)):
                    raise refused from error
                lost = refused
            # The answer to a single request has the object; where that was lost, or was about parts, it is looked at.
            blob = parts.answered if lost is None else None
            blob = blob or self._bucket.get_blob(name, retry=self._retry, timeout=TIMEOUT)
        if blob is None or (blob.size, blob.crc32c) != (file.size, file.crc32c):
            raise lost or UnavailableError("write", subject, NOT_AS_SENT)
        return info_of(name, blob._properties)
