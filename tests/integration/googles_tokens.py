"""Who gives tokens, as clients see it: the metadata server of Cloud Run, and the hosts that exchange keys."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

TOKEN = "ya29.a-token"
OAUTH, IAM = "oauth2.googleapis.com", "iamcredentials.googleapis.com"
EMAIL = "bqdump@p.iam.gserviceaccount.com"


class Tokens:
    """Answers as all of them do; its attributes may be changed while it serves.

    asked: the paths that were asked for. statuses: what to answer instead, by a part of the path.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.statuses: dict[str, int] = {}
        self.universe = "googleapis.com"
        self.seconds = 3600

    async def tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        async with closing(writer):
            with suppress(asyncio.IncompleteReadError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                    length = re.search(r"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
                    await reader.readexactly(int(length[1]) if length else 0)
                    path = head.split()[1]
                    self.asked.append(path)
                    writer.write(self._answer(path))

    def _answer(self, path: str) -> bytes:
        status = next((status for part, status in self.statuses.items() if part in path), 200)
        body = self._body(path) if status == 200 else "no"
        kind = "application/json" if body.startswith("{") else "text/plain"
        return (
            f"HTTP/1.1 {status} As said\r\nMetadata-Flavor: Google\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def _body(self, path: str) -> str:
        if "/token" in path:
            token = f"{TOKEN}-{len(self.asked)}"
            return json.dumps({"access_token": token, "expires_in": self.seconds, "token_type": "Bearer"})
        if "generateAccessToken" in path:
            return json.dumps({"accessToken": f"{TOKEN}-of-another", "expireTime": "2999-01-01T00:00:00Z"})
        if "recursive=true" in path:
            return json.dumps({"email": EMAIL, "scopes": []})
        return self.universe if "/universe" in path else "a-project"


@asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close it behind the block, whatever has become of it."""
    try:
        yield
    finally:
        writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()
