"""Moving files between buckets of Cloud Storage inside the service, also to another location or storage class.

https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.api_core.exceptions import NotFound
from msgspec.structs import replace

from bqdump.adapters.gcs.objects import ADMIN, info_of, open_client, retention_of
from bqdump.adapters.google.errors import translated
from bqdump.adapters.google.http import TIMEOUT
from bqdump.adapters.movers import other_file
from bqdump.adapters.patience import Patience, Retrying
from bqdump.adapters.threads import Threads
from bqdump.core.errors import ConflictError, DamagedError, VerificationError
from bqdump.file_content import digest_of, file_of
from bqdump.ports.mover import Moved
from bqdump.ports.store import Copy, Lock, ObjectInfo, ObjectStore


class RewriteMover:
    """Moves files from one bucket to another. target: the other bucket's store, which is not closed.

    storage_class: of the files in the copy, "" for that of the bucket.
    kms_key, lock: see CloudStore.
    """

    rewrites = True

    def __init__(
        self,
        source: str,
        bucket: str,
        target: ObjectStore,
        project: str,
        patience: Patience,
        *,
        storage_class: str = "",
        kms_key: str = "",
        lock: Lock | None = None,
    ) -> None:
        self._client, self._target = open_client(project), target
        self._source, self._into = self._client.bucket(source), self._client.bucket(bucket)
        self._threads, self._retrying = Threads("rewrite"), Retrying(patience)
        self._query = {"destinationKmsKeyName": kms_key} if kms_key else {}
        # What is named here replaces the metadata of the source, which may say that an export has copied the file.
        self._body: dict[str, Any] = {"contentType": "application/octet-stream"}
        if storage_class:
            self._body["storageClass"] = storage_class
        if lock:
            self._body["retention"] = retention_of(lock)

    async def move(self, wish: Copy) -> Moved | None:
        """See Mover. A rewrite whose answer was lost goes on, or is found."""
        query: dict[str, Any] = {
            **self._query,
            "sourceGeneration": wish.source_generation,
            "ifGenerationMatch": wish.expect,
        }
        by_another = False
        try:
            info = await self._retrying.call(lambda: self._threads.call(lambda: self._rewrite(wish, query)))
        except ConflictError:
            info, by_another = await self._target.stat(wish.target), True
            if info is None and wish.expect:
                # A prune has deleted what was to be replaced.
                return await self.move(replace(wish, expect=0))
            if not info or (info.size, info.crc32c) != (wish.size, wish.crc32c):
                raise other_file(self._target, wish) from None
        if info is None:
            return None
        if (info.size, info.crc32c) != (wish.size, wish.crc32c):
            await self._target.delete([(info.name, info.generation)])
            cause = f"the service has stored {info.size:,} bytes of CRC32C {info.crc32c}, not {wish.crc32c}"
            raise VerificationError("copy", self._both(wish), cause)
        return Moved(info, by_another=by_another)

    async def settled(self, moved: Sequence[Moved]) -> list[Moved]:
        """See Mover. Answers to rewrites have the generations."""
        return list(moved)

    async def digest(self, info: ObjectInfo) -> str:
        return await digest_of(self._target, file_of(info))

    async def close(self) -> None:
        self._threads.close()
        self._client.close()

    def _rewrite(self, wish: Copy, query: dict[str, Any]) -> ObjectInfo | None:
        """Rewrite with as many requests as necessary. query: gets the token with which it goes on."""
        path = f"{self._source.blob(wish.source).path}/rewriteTo{self._into.blob(wish.target).path}"
        with translated("copy", self._both(wish), ADMIN):
            while True:
                try:
                    answer = self._client._post_resource(
                        path, self._body, query_params=query, retry=None, timeout=TIMEOUT
                    )
                except NotFound:
                    if self._client.bucket(self._source.name).get_blob(
                        wish.source, generation=wish.source_generation, retry=None, timeout=TIMEOUT
                    ):
                        raise
                    return None
                if answer.get("done"):
                    return info_of(wish.target, answer.get("resource"))
                if not answer.get("rewriteToken"):
                    raise DamagedError("copy", self._both(wish), "the answer has neither `done` nor a rewrite token")
                query["rewriteToken"] = answer["rewriteToken"]

    def _both(self, wish: Copy) -> str:
        return f"gs://{self._source.name}/{wish.source} to gs://{self._into.name}/{wish.target}"
