"""Batches: many calls in one multipart/mixed request, each answered like a separate request."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bqdump_local.control import BATCH_ENTRY
from bqdump_local.storage.errors import invalid
from bqdump_local.storage.wire import Reply, Request

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

# The scope key of a call inside a batch.
PART: Final = "bqdump_local.batch_part"
_LIMIT = 100
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE = re.compile(rb"([A-Z]+) (\S+)(?: HTTP/1\.[01])?\s*")


async def run_batch(request: Request, app: ASGIApp) -> Reply:
    """Carry out the calls of a batch in order. The answer has one part for each call."""
    match = _BOUNDARY.search(request.headers.get("content-type", ""))
    if not match:
        raise invalid("A batch needs a multipart/mixed body with a boundary.")
    parts = _split(await request.body(), match.group(1).encode("latin-1"))
    if len(parts) > _LIMIT:
        raise invalid(f"The batch has {len(parts)} calls, above the limit of {_LIMIT}.")
    entry = request.scope.get(BATCH_ENTRY, app)
    # All parts are parsed before the first call, so a malformed batch has no effect.
    calls = [_Call(request.scope, part) for part in parts]
    answers = await asyncio.gather(*(call.run(entry) for call in calls))
    boundary = "batch_bqdump_local"
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + answer + b"\r\n" for answer in answers)
    return Reply(
        body=body + f"--{boundary}--\r\n".encode(),
        headers=[("content-type", f"multipart/mixed; boundary={boundary}")],
    )


def _split(body: bytes, boundary: bytes) -> list[bytes]:
    pieces = re.split(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"(?:--)?[ \t]*(?:\r?\n|$)", body)
    # Content before the first boundary and after the last one is ignored.
    return pieces[1:-1]


class _Call:
    """One call of a batch, as a request to an application, and the application's answer."""

    def __init__(self, outer: Scope, part: bytes) -> None:
        envelope, rest = _cut(part)
        head, self._request_body = _cut(rest)
        line, _, _ = head.partition(b"\n")
        match = _REQUEST_LINE.fullmatch(line)
        if not match:
            raise invalid("A part of the batch contains no HTTP request.")
        try:
            target = urlsplit(match.group(2).decode("latin-1"))
        except ValueError as error:
            raise invalid("A part of the batch has a malformed address.") from error
        headers = [(key.encode(), value.encode()) for key, value in _headers(head).items() if key != "host"]
        headers += [(key, value) for key, value in outer["headers"] if key == b"host"]
        self._scope: Scope = {
            **{key: outer[key] for key in ("type", "asgi", "http_version", "scheme") if key in outer},
            "method": match.group(1).decode(),
            "path": target.path,
            "raw_path": target.path.encode("latin-1"),
            "query_string": target.query.encode("latin-1"),
            "root_path": "",
            "headers": headers,
            PART: True,
        }
        self._content_id = _headers(envelope).get("content-id")
        self._status = 500
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""

    async def run(self, entry: ASGIApp) -> bytes:
        """Carry the call out. Returns its part of the batch's answer."""
        await entry(self._scope, self._receive, self._send)
        lines = ["Content-Type: application/http"]
        if self._content_id:
            lines.append(f"Content-ID: <response-{self._content_id.strip('<>')}>")
        lines += ["", f"HTTP/1.1 {self._status} {HTTPStatus(self._status).phrase}"]
        lines += [f"{key.decode().title()}: {value.decode()}" for key, value in self._headers]
        return "\r\n".join([*lines, "", ""]).encode() + self._body

    async def _receive(self) -> Message:
        return {"type": "http.request", "body": self._request_body, "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = list(message.get("headers", ()))
        else:
            self._body += message.get("body", b"")


def _cut(data: bytes) -> tuple[bytes, bytes]:
    match = _HEADER_END.search(data)
    return (data[: match.start()], data[match.end() :]) if match else (data, b"")


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("latin-1").splitlines())
    return {key.strip().lower(): value.strip() for key, mark, value in lines if mark and " " not in key.strip()}
