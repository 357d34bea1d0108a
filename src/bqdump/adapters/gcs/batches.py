"""Copies and deletions of many objects, in batches. Copies that must move bytes are rewritten one by one.

Batch requests of Cloud Storage's JSON API, with a content id for each call.

Google's client also has batches, but sends no content ids and relies on the order of the answers.
https://cloud.google.com/storage/docs/batch
"""

from __future__ import annotations

import asyncio
import email
import json
import re
import secrets
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import requests
from google.api_core.exceptions import GoogleAPICallError, from_http_response
from msgspec import Struct

from bqdump.adapters.gcs.objects import ADMIN, ORIGIN, info_of, retention_of
from bqdump.adapters.google.errors import translate, translated
from bqdump.adapters.google.http import TIMEOUT
from bqdump.adapters.threads import Threads
from bqdump.concurrency import gathered
from bqdump.core.errors import BqdumpError, ConflictError, DamagedError, NotFoundError, UnavailableError
from bqdump.ports.store import Copy, Lock, ObjectInfo

PATH = "/batch/storage/v1"
# The statuses of a server without batch requests.
UNKNOWN = (404, 405, 501)
NUMBER = re.compile(r"\+(\d+)>?$")


class Call(Struct, frozen=True):
    """One call: its method, the path of its object (the client's `blob.path`), its parameters and its JSON body."""

    method: str
    path: str
    query: dict[str, Any]
    body: dict[str, Any] | None = None


def send(client: Any, url: str, calls: Sequence[Call]) -> list[requests.Response]:
    """The answer to each call, in the order of the calls.

    A server without batch requests gets one request after the other. Raises what Google's client raises, and
    DamagedError if answers cannot be matched to calls.
    """
    connection, mark = client._connection, secrets.token_hex(8)
    targets = [connection.build_api_url(path=call.path, query_params=_without_none(call.query)) for call in calls]
    parts = [
        f"--{mark}\r\nContent-Type: application/http\r\nContent-ID: <{mark}+{number}>\r\n\r\n"
        f"{_request(call, target)}\r\n"
        for number, (call, target) in enumerate(zip(calls, targets, strict=True))
    ]
    answer = connection._make_request(
        "POST",
        f"{connection.API_BASE_URL}{PATH}",
        data=f"{''.join(parts)}--{mark}--\r\n".encode(),
        content_type=f'multipart/mixed; boundary="{mark}"',
        timeout=TIMEOUT,
    )
    if answer.status_code in UNKNOWN:
        return [_single(connection, call, target) for call, target in zip(calls, targets, strict=True)]
    if not 200 <= answer.status_code < 300:
        error: GoogleAPICallError = from_http_response(answer)
        raise error
    return _matched(answer, url, targets, calls)


def _single(connection: Any, call: Call, target: str) -> requests.Response:
    """One call as a request of its own, for a server without batch requests."""
    body = None if call.body is None else json.dumps(call.body)
    answer: requests.Response = connection._make_request(
        call.method, target, data=body, content_type=body and "application/json", timeout=TIMEOUT
    )
    return answer


def _without_none(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _request(call: Call, target: str) -> str:
    head = f"{call.method} {target} HTTP/1.1\r\nAccept: application/json\r\n"
    if call.body is None:
        return f"{head}Content-Length: 0\r\n\r\n"
    body = json.dumps(call.body)
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"


def _matched(
    answer: requests.Response, url: str, targets: Sequence[str], calls: Sequence[Call]
) -> list[requests.Response]:
    """The parts of the answer, in the order of the calls."""
    kind = answer.headers.get("content-type", "")
    whole = email.message_from_string(f"Content-Type: {kind}\r\n\r\n{answer.content.decode('utf-8', 'replace')}")
    answers: dict[int, requests.Response] = {}
    for place, part in enumerate(whole.get_payload() if whole.is_multipart() else ()):
        name = NUMBER.search(part.get("Content-ID", ""))
        # Answers without content ids are in the order of the calls.
        number = int(name[1]) if name else place
        if number < len(calls):
            answers[number] = _part(part, calls[number].method, targets[number])
    if len(answers) != len(calls) or any(response.status_code == 0 for response in answers.values()):
        cause = f"a batch of {len(calls)} calls has {len(answers)} valid answers"
        raise DamagedError("change objects in", url, cause)
    return [answers[number] for number in range(len(calls))]


def _part(part: Any, method: str, target: str) -> requests.Response:
    """One answer, as Google's client represents it; status 0 if it is not valid."""
    head, _, body = part.get_payload().replace("\r\n", "\n").partition("\n\n")
    words = head.split(None, 2)
    response = requests.Response()
    response.request = requests.Request(method, target).prepare()
    response.status_code = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
    response._content = body.encode()
    return response


# https://cloud.google.com/storage/docs/batch
BATCH = 100
BATCHES_AT_ONCE = 4
# A copy that must move bytes times out after 30 seconds; a rewrite has no time limit.
# https://cloud.google.com/storage/docs/json_api/v1/status-codes#413_Payload_Too_Large
TOO_LONG = 413
UNAUTHORIZED = 401


class Batches:
    """The batch operations of a CloudStore, with the same arguments."""

    def __init__(self, client: Any, bucket: Any, threads: Threads, kms_key: str) -> None:
        self._client, self._bucket, self._threads, self._kms_key = client, bucket, threads, kms_key
        self._url = f"gs://{bucket.name}"

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """See ObjectStore. The origin is written to the source's metadata, which the copy inherits."""
        results: list[ObjectInfo | BqdumpError | None] = []
        for part in await self._in_batches(copies, lambda chunk: self._copy_batch(chunk, origin)):
            results += part

        async def done(wish: Copy, result: ObjectInfo | BqdumpError | None) -> ObjectInfo | BqdumpError:
            return await self._threads.call(lambda: self._rewrite(wish)) if result is None else result

        return list(await asyncio.gather(*map(done, copies, results)))

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        return [answer for batch in await self._in_batches(objects, self._delete_batch) for answer in batch]

    async def extend(self, objects: Sequence[tuple[str, int]], lock: Lock) -> list[bool | BqdumpError]:
        body = {"retention": retention_of(lock)}

        def extend_batch(some: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
            calls = [Call("PATCH", self._path(name), {"generation": generation}, body) for name, generation in some]
            return self._changed(some, calls, "lock")

        return [answer for batch in await self._in_batches(objects, extend_batch) for answer in batch]

    async def _in_batches(self, items: Sequence[Any], send: Callable[[Sequence[Any]], list[Any]]) -> list[list[Any]]:
        chunks = [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
        return await gathered(lambda chunk: self._threads.call(lambda: send(chunk)), chunks, BATCHES_AT_ONCE)

    def _copy_batch(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError | None]:
        """The results; None for copies that must be rewritten."""
        with translated("mark files in", self._url, ADMIN):
            marked = send(self._client, self._url, [self._mark(wish, origin) for wish in copies])
        unmarked = [
            _failure(response, "mark", f"{self._url}/{wish.source}")
            for wish, response in zip(copies, marked, strict=True)
        ]
        # Files that could not be marked are not copied, since their origin would be unknown.
        wishes = [wish for wish, failure in zip(copies, unmarked, strict=True) if failure is None]
        copied = iter(self._copy_marked(wishes) if wishes else ())
        return [failure or next(copied) for failure in unmarked]

    def _copy_marked(self, copies: Sequence[Copy]) -> list[ObjectInfo | BqdumpError | None]:
        if self._kms_key:
            # BigQuery has encrypted the files with the bucket's key, so the bytes must be encrypted again.
            return [None] * len(copies)
        with translated("copy files in", self._url, ADMIN):
            answers = send(self._client, self._url, list(map(self._copy_call, copies)))
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
        """Copy with as many requests as necessary. The client's method sends a body, which could replace the origin.

        https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite
        """
        path = f"{self._path(wish.source)}/rewriteTo{self._path(wish.target)}"
        parameters: dict[str, Any] = {"sourceGeneration": wish.source_generation, "ifGenerationMatch": wish.expect}
        if self._kms_key:
            parameters["destinationKmsKeyName"] = self._kms_key
        try:
            with translated("copy", self._both(wish), ADMIN):
                while True:
                    answer = self._client._post_resource(
                        path, None, query_params=parameters, retry=None, timeout=TIMEOUT
                    )
                    if answer.get("done"):
                        return info_of(wish.target, answer.get("resource"))
                    if not answer.get("rewriteToken"):
                        raise DamagedError(
                            "copy", self._both(wish), "the answer has neither `done` nor a rewrite token"
                        )
                    parameters["rewriteToken"] = answer["rewriteToken"]
        except BqdumpError as error:
            return error

    def _mark(self, wish: Copy, origin: str) -> Call:
        query = {"generation": wish.source_generation, "projection": "full"}
        return Call("PATCH", self._path(wish.source), query, {"metadata": {ORIGIN: origin}})

    def _copy_call(self, wish: Copy) -> Call:
        query = {"sourceGeneration": wish.source_generation, "ifGenerationMatch": wish.expect}
        return Call("POST", f"{self._path(wish.source)}/copyTo{self._path(wish.target)}", query)

    def _both(self, wish: Copy) -> str:
        return f"{self._url}/{wish.source} to {wish.target}"

    def _path(self, name: str) -> str:
        path: str = self._bucket.blob(name).path
        return path

    def _delete_batch(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        calls = [Call("DELETE", self._path(name), {"ifGenerationMatch": generation}) for name, generation in objects]
        return self._changed(objects, calls, "delete")

    def _changed(
        self, objects: Sequence[tuple[str, int]], calls: Sequence[Call], operation: str
    ) -> list[bool | BqdumpError]:
        """Whether each object was there at its generation, and so was changed."""
        with translated(f"{operation} files in", self._url, ADMIN):
            answers = send(self._client, self._url, calls)
        results: list[bool | BqdumpError] = []
        for (name, _), response in zip(objects, answers, strict=True):
            failure = _failure(response, operation, f"{self._url}/{name}")
            replaced = isinstance(failure, ConflictError) and response.status_code == HTTPStatus.PRECONDITION_FAILED
            if replaced or isinstance(failure, NotFoundError):
                results.append(False)
            elif isinstance(failure, ConflictError):
                # Another request changes the object at the same time; a retry shows the result.
                results.append(UnavailableError(failure.operation, failure.subject, failure.cause))
            else:
                results.append(failure or True)
        return results


def _failure(response: Any, operation: str, subject: str) -> BqdumpError | None:
    if 200 <= response.status_code < 300:
        return None
    error = translate(from_http_response(response), operation, subject, ADMIN)
    if response.status_code == UNAUTHORIZED:
        # The batch request was accepted, so the token has expired since. A retry has a new one.
        return UnavailableError(operation, subject, error.cause)
    return error
