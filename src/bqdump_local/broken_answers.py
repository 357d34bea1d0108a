"""Answers that do not arrive, or arrive with a fault in them."""

from __future__ import annotations

import os
import socket
import struct
from asyncio import sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What a rule's `status` may be beside an HTTP status. Without an answer: the connection is reset, or closed. Within an
# answer: the same after half of its body; one bit of the body is another; the parts of a batch come in another order.
RESET, CLOSE, RESET_BODY, CLOSE_BODY, FLIP, SHUFFLE = "reset", "close", "reset-body", "close-body", "flip", "shuffle"
UNANSWERED = (RESET, CLOSE)
SPOILED = (RESET_BODY, CLOSE_BODY, FLIP, SHUFFLE)


async def hang_up(receive: Receive, send: Send, *, reset: bool) -> None:
    """End the connection here: by an orderly close, or by a reset."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("this server gives no way to close the connection")
    if reset:
        # What was sent must have left, for a reset throws away what has not; and it takes this option to be one.
        while transport.get_write_buffer_size():
            await sleep(0)
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
    # The server must have seen the end of the connection, or it would answer in our place.
    while (await receive())["type"] != "http.disconnect":
        pass


async def spoiled(app: ASGIApp, scope: Scope, receive: Receive, send: Send, how: str) -> None:
    """Carry the request out and send its answer with a fault in it."""
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
    await send(start)
    if how in (FLIP, SHUFFLE):
        await send({"type": "http.response.body", "body": body})
        return
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    await hang_up(receive, send, reset=how == RESET_BODY)


def _turned(body: bytes) -> bytes:
    """The parts of a multipart body in the opposite order."""
    mark, _, _ = body.partition(b"\r\n")
    inner = body.removesuffix(mark + b"--\r\n").split(mark + b"\r\n")[1:]
    return b"".join(mark + b"\r\n" + part for part in reversed(inner)) + mark + b"--\r\n"
