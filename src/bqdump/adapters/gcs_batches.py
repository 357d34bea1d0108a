"""Many objects of a bucket at once: copies and deletions in batches, and copies that move bytes by rewriting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from google.api_core.exceptions import from_http_response

from bqdump.adapters.gcs_objects import ADMIN, ORIGIN, info_of
from bqdump.adapters.google_errors import translate, translated
from bqdump.adapters.google_http import TIMEOUT, Threads
from bqdump.core.errors import BqdumpError
from bqdump.ports.store import Copy, ObjectInfo

# https://cloud.google.com/storage/docs/batch
BATCH = 100
BATCHES_AT_ONCE = 4
# A copy that must move bytes gets 30 seconds; a rewrite may take as long as it needs.
# https://cloud.google.com/storage/docs/json_api/v1/status-codes#413_Payload_Too_Large
TOO_LONG = 413


class Batches:
    """What a CloudStore does with many objects. The same arguments as there."""

    def __init__(self, client: Any, bucket: Any, threads: Threads, kms_key: str) -> None:
        self._client, self._bucket, self._threads, self._kms_key = client, bucket, threads, kms_key
        self._url = f"gs://{bucket.name}"

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """See ObjectStore. The source is marked with the origin, and the copy inherits the mark."""
        results: list[ObjectInfo | BqdumpError | None] = []
        for part in await self._in_batches(copies, lambda chunk: self._copy_batch(chunk, origin)):
            results += part

        async def done(wish: Copy, result: ObjectInfo | BqdumpError | None) -> ObjectInfo | BqdumpError:
            return await self._threads.call(lambda: self._rewrite(wish)) if result is None else result

        return list(await asyncio.gather(*map(done, copies, results)))

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """See ObjectStore."""
        results: list[bool | BqdumpError] = []
        for part in await self._in_batches(objects, self._delete_batch):
            results += part
        return results

    async def _in_batches(self, items: Sequence[Any], send: Callable[[Sequence[Any]], list[Any]]) -> list[list[Any]]:
        slots = asyncio.Semaphore(BATCHES_AT_ONCE)

        async def one(chunk: Sequence[Any]) -> list[Any]:
            async with slots:
                return await self._threads.call(lambda: send(chunk))

        chunks = [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
        return list(await asyncio.gather(*map(one, chunks)))

    def _copy_batch(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError | None]:
        """None for what has to be rewritten."""
        marking = self._client.batch(raise_exception=False)
        with translated("mark files in", self._url, ADMIN), marking:
            for wish in copies:
                source = self._bucket.blob(wish.source, generation=wish.source_generation)
                source.metadata = {ORIGIN: origin}
                source.patch(retry=None, timeout=TIMEOUT)
        unmarked = [
            _failure(response, "mark", f"{self._url}/{wish.source}")
            for wish, response in zip(copies, _responses(marking), strict=True)
        ]
        # What could not be marked is not copied: nobody would know whose it is.
        wishes = [wish for wish, failure in zip(copies, unmarked, strict=True) if failure is None]
        copied = iter(self._copy_marked(wishes) if wishes else ())
        return [failure or next(copied) for failure in unmarked]

    def _copy_marked(self, copies: Sequence[Copy]) -> list[ObjectInfo | BqdumpError | None]:
        if self._kms_key:
            # BigQuery has written under the bucket's own key, so the bytes are encrypted anew.
            return [None] * len(copies)
        copying = self._client.batch(raise_exception=False)
        with translated("copy files in", self._url, ADMIN), copying:
            made = [
                self._bucket.copy_blob(
                    self._bucket.blob(wish.source), self._bucket, wish.target,
                    source_generation=wish.source_generation, if_generation_match=wish.expect, retry=None,
                    timeout=TIMEOUT,
                )
                for wish in copies
            ]  # fmt: skip
        return [
            None if response.status_code == TOO_LONG else _failure(response, "copy", self._both(wish)) or info_of(blob)
            for wish, blob, response in zip(copies, made, _responses(copying), strict=True)
        ]

    def _rewrite(self, wish: Copy) -> ObjectInfo | BqdumpError:
        """Copy by as many requests as it takes. The client's own method sends a body, which could replace the mark.

        https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite
        """
        copy = self._bucket.blob(wish.target)
        path = f"{self._bucket.blob(wish.source).path}/rewriteTo{copy.path}"
        asked: dict[str, Any] = {"sourceGeneration": wish.source_generation, "ifGenerationMatch": wish.expect}
        if self._kms_key:
            asked["destinationKmsKeyName"] = self._kms_key
        try:
            with translated("copy", self._both(wish), ADMIN):
                while True:
                    answer = self._client._post_resource(path, None, query_params=asked, retry=None, timeout=TIMEOUT)
                    if answer["done"]:
                        copy._set_properties(answer["resource"])
                        return info_of(copy)
                    asked["rewriteToken"] = answer["rewriteToken"]
        except BqdumpError as error:
            return error

    def _both(self, wish: Copy) -> str:
        return f"{self._url}/{wish.source} to {wish.target}"

    def _delete_batch(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        deleting = self._client.batch(raise_exception=False)
        with translated("delete files in", self._url, ADMIN), deleting:
            for name, generation in objects:
                self._bucket.blob(name).delete(if_generation_match=generation, retry=None, timeout=TIMEOUT)
        results: list[bool | BqdumpError] = []
        for (name, _), response in zip(objects, _responses(deleting), strict=True):
            gone = response.status_code in (404, 412)
            failure = None if gone else _failure(response, "delete", f"{self._url}/{name}")
            results.append(failure or not gone)
        return results


def _responses(batch: Any) -> list[Any]:
    """The answers of a batch that has been sent, one for each request in it."""
    return list(batch._responses)


def _failure(response: Any, operation: str, subject: str) -> BqdumpError | None:
    if 200 <= response.status_code < 300:
        return None
    return translate(from_http_response(response), operation, subject, ADMIN)
