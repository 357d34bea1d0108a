"""Many objects of a bucket at once: copies and deletions in batches, and copies that move bytes by rewriting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from google.api_core.exceptions import from_http_response

from bqdump.adapters.gcs_calls import Call, send
from bqdump.adapters.gcs_objects import ADMIN, ORIGIN, info_of
from bqdump.adapters.google_errors import translate, translated
from bqdump.adapters.google_http import TIMEOUT, Threads
from bqdump.core.errors import BqdumpError, ConflictError, DamagedError, UnavailableError
from bqdump.ports.store import Copy, ObjectInfo

# https://cloud.google.com/storage/docs/batch
BATCH = 100
BATCHES_AT_ONCE = 4
# A copy that must move bytes gets 30 seconds; a rewrite may take as long as it needs.
# https://cloud.google.com/storage/docs/json_api/v1/status-codes#413_Payload_Too_Large
TOO_LONG = 413
UNAUTHORIZED = 401


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
        marks = [
            Call("PATCH", self._path(wish.source), {"generation": wish.source_generation, "projection": "full"},
                 {"metadata": {ORIGIN: origin}})
            for wish in copies
        ]  # fmt: skip
        with translated("mark files in", self._url, ADMIN):
            marked = send(self._client, self._url, marks)
        unmarked = [
            _failure(response, "mark", f"{self._url}/{wish.source}")
            for wish, response in zip(copies, marked, strict=True)
        ]
        # What could not be marked is not copied: nobody would know whose it is.
        wishes = [wish for wish, failure in zip(copies, unmarked, strict=True) if failure is None]
        copied = iter(self._copy_marked(wishes) if wishes else ())
        return [failure or next(copied) for failure in unmarked]

    def _copy_marked(self, copies: Sequence[Copy]) -> list[ObjectInfo | BqdumpError | None]:
        if self._kms_key:
            # BigQuery has written under the bucket's own key, so the bytes are encrypted anew.
            return [None] * len(copies)
        calls = [
            Call("POST", f"{self._path(wish.source)}/copyTo{self._path(wish.target)}",
                 {"sourceGeneration": wish.source_generation, "ifGenerationMatch": wish.expect})
            for wish in copies
        ]  # fmt: skip
        with translated("copy files in", self._url, ADMIN):
            answers = send(self._client, self._url, calls)
        return [self._copied(wish, response) for wish, response in zip(copies, answers, strict=True)]

    def _copied(self, wish: Copy, response: Any) -> ObjectInfo | BqdumpError | None:
        if response.status_code == TOO_LONG:
            return None
        if failure := _failure(response, "copy", self._both(wish)):
            return failure
        try:
            with translated("copy", self._both(wish), ADMIN):
                return info_of(wish.target, response.json())
        except BqdumpError as error:
            return error

    def _rewrite(self, wish: Copy) -> ObjectInfo | BqdumpError:
        """Copy by as many requests as it takes. The client's own method sends a body, which could replace the mark.

        https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite
        """
        path = f"{self._path(wish.source)}/rewriteTo{self._path(wish.target)}"
        asked: dict[str, Any] = {"sourceGeneration": wish.source_generation, "ifGenerationMatch": wish.expect}
        if self._kms_key:
            asked["destinationKmsKeyName"] = self._kms_key
        try:
            with translated("copy", self._both(wish), ADMIN):
                while True:
                    answer = self._client._post_resource(path, None, query_params=asked, retry=None, timeout=TIMEOUT)
                    if answer.get("done"):
                        return info_of(wish.target, answer.get("resource"))
                    if not answer.get("rewriteToken"):
                        raise DamagedError(
                            "copy", self._both(wish), "the answer says neither that it is done nor how to go on"
                        )
                    asked["rewriteToken"] = answer["rewriteToken"]
        except BqdumpError as error:
            return error

    def _both(self, wish: Copy) -> str:
        return f"{self._url}/{wish.source} to {wish.target}"

    def _path(self, name: str) -> str:
        path: str = self._bucket.blob(name).path
        return path

    def _delete_batch(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        calls = [Call("DELETE", self._path(name), {"ifGenerationMatch": generation}) for name, generation in objects]
        with translated("delete files in", self._url, ADMIN):
            answers = send(self._client, self._url, calls)
        results: list[bool | BqdumpError] = []
        for (name, _), response in zip(objects, answers, strict=True):
            gone = response.status_code in (404, 412)
            failure = None if gone else _failure(response, "delete", f"{self._url}/{name}")
            if isinstance(failure, ConflictError):
                # Another request is changing it: what that makes of it, the next try finds out.
                failure = UnavailableError(failure.operation, failure.subject, failure.cause)
            results.append(failure or not gone)
        return results


def _failure(response: Any, operation: str, subject: str) -> BqdumpError | None:
    if 200 <= response.status_code < 300:
        return None
    error = translate(from_http_response(response), operation, subject, ADMIN)
    if response.status_code == UNAUTHORIZED:
        # The request around it was accepted: its token has expired since, and the next one has a new one.
        return UnavailableError(operation, subject, error.cause)
    return error
