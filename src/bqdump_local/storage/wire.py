"""HTTP requests and answers in the form that handlers use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from bqdump_local.storage.errors import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import Receive, Scope, Send

JSON = "application/json; charset=UTF-8"


class DisconnectedError(Exception):
    """The client disconnected before its request was complete."""


class Request:
    """A request: path segments still percent-encoded, query decoded, body not yet read."""

    __slots__ = ("_receive", "headers", "method", "pairs", "path", "query", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["raw_path"].decode("latin-1").partition("?")[0]
        self.headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        try:
            self.pairs = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
        except ValueError as error:
            raise invalid("The query is not percent-encoded UTF-8.") from error
        self.query = dict(self.pairs)

    @property
    def base_url(self) -> str:
        """The scheme and host that the client used."""
        return f"{self.scope.get('scheme', 'http')}://{self.headers.get('host', 'localhost')}"

    async def stream(self) -> AsyncIterator[bytes]:
        """The chunks of the body as they arrive. Raises DisconnectedError if the client disconnects."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise DisconnectedError
            more = message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece

    async def body(self) -> bytes:
        """The complete body."""
        return b"".join([piece async for piece in self.stream()])

    async def resource(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty object."""
        return parse_resource(await self.body())

    def number(self, key: str) -> int | None:
        """An integer in the query; None if absent."""
        return integer(self.query, key)


def integer(query: Mapping[str, str], key: str) -> int | None:
    """An integer in a query; None if absent."""
    text = query.get(key)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise invalid(f"Invalid value for {key}: {text}") from error


def parse_resource(body: bytes) -> dict[str, Any]:
    """The JSON object in a body or a part of one."""
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid("Parse Error", reason="parseError") from error


@dataclass(slots=True)
class Reply:
    """An answer: a JSON resource, bytes, or a stream of known length."""

    resource: dict[str, Any] | None = None
    status: int = 200
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    stream: AsyncIterator[bytes] | None = None

    async def send(self, send: Send) -> None:
        """Send the answer."""
        headers = [(key.encode(), value.encode()) for key, value in self.headers]
        body = self.body
        if self.resource is not None:
            body = msgspec.json.encode(self.resource)
            headers.append((b"content-type", JSON.encode()))
        if self.stream is None and self.status not in (204, 304):
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if self.stream is not None:
            async for piece in self.stream:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": body})


def error_reply(error: ApiError, *, media: bool) -> Reply:
    """The answer to a failed request; plain text for downloads, like the service."""
    headers = list(error.headers.items())
    if error.status == 304:
        return Reply(status=304, headers=headers)
    if media:
        headers.append(("content-type", "text/html; charset=UTF-8"))
        return Reply(status=error.status, body=error.message.encode(), headers=headers)
    return Reply(error.resource(), status=error.status, headers=headers)
