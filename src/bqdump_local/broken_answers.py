"""Answers that do not arrive, or arrive damaged."""

from __future__ import annotations

import os
import socket
import struct
from asyncio import sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The values of a rule's `status` other than an HTTP status. Without an answer: the connection is reset or closed. With
# an answer: the same after half of its body; one bit of the body is flipped; the parts of a batch are in another order;
# the body is missing.
RESET, CLOSE, RESET_BODY, CLOSE_BODY, FLIP, SHUFFLE = "reset", "close", "reset-body", "close-body", "flip", "shuffle"
EMPTY = "empty"
UNANSWERED = (RESET, CLOSE)
SPOILED = (RESET_BODY, CLOSE_BODY, FLIP, SHUFFLE, EMPTY)


async def hang_up(receive: Receive, send: Send, *, reset: bool) -> None:
    """End the connection, with an orderly close or a reset."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the server does not support closing the connection")
    if reset:
        # Wait until everything is sent, since a reset discards the rest. This option makes the close a reset.
        while transport.get_write_buffer_size():
            await sleep(0)
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
    # Wait until the server has noticed the end of the connection; otherwise it sends an answer itself.
    while (await receive())["type"] != "http.disconnect":
        pass


async def spoiled(app: ASGIApp, scope: Scope, receive: Receive, send: Send, how: str) -> None:
    """Carry the request out and send a damaged answer."""
    start: Message = {}
    body = b""

    async def keep(message: Message) -> None:
        nonlocal body
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body += message.get("body", b"")

    await app(scope, receive, keep)
    if how == FLIP and body:
        middle = len(body) // 2
        body = body[:middle] + bytes((body[middle] ^ 1,)) + body[middle + 1 :]
    elif how == SHUFFLE:
        body = _turned(body)
    elif how == EMPTY:
        body = b""
        headers = [header for header in start["headers"] if header[0].lower() != b"content-length"]
        start["headers"] = [*headers, (b"content-length", b"0")]
    await send(start)
    if how in (FLIP, SHUFFLE, EMPTY):
        await send({"type": "http.response.body", "body": body})
        return
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    await hang_up(receive, send, reset=how == RESET_BODY)


def _turned(body: bytes) -> bytes:
    """The parts of a multipart body in reverse order."""
    mark, _, _ = body.partition(b"\r\n")
    inner = body.removesuffix(mark + b"--\r\n").split(mark + b"\r\n")[1:]
    return b"".join(mark + b"\r\n" + part for part in reversed(inner)) + mark + b"--\r\n"
