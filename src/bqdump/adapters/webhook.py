"""The Notifier that posts JSON to an address."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import requests

from bqdump.adapters.threads import Detached
from bqdump.core.errors import BqdumpError, UnavailableError
from bqdump.core.notice import Notice, body
from bqdump.core.version import VERSION

# Waits between the tries of one notice, in seconds.
PAUSES = (1.0, 3.0, 9.0)
# For connecting, and for each read.
TIMEOUT = (5.0, 10.0)
# Seconds for a notice with all its tries: a task must not stay up for this alone.
DEADLINE = 30.0
TOO_MANY_REQUESTS, LEAST_SERVER_ERROR, LEAST_REDIRECT = 429, 500, 300


class Webhook:
    """Posts to `url`, which may itself be a secret, and appears in no message. secret: sent as a bearer token.

    Redirects are not followed: they would carry the secret elsewhere. The body of an answer is not read.
    """

    def __init__(
        self, url: str, secret: str = "", pauses: tuple[float, ...] | None = None, deadline: float = DEADLINE
    ) -> None:
        self._url, self._pauses, self._deadline = url, PAUSES if pauses is None else pauses, deadline
        self._headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": f"bqdump/{VERSION}"}
        if secret:
            self._headers["Authorization"] = f"Bearer {secret}"

    @property
    def place(self) -> str:
        """See Notifier: scheme and host."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname}"

    async def post(self, notice: Notice) -> None:
        try:
            async with asyncio.timeout(self._deadline):
                await self._deliver(body(notice, self._url))
        except TimeoutError:
            cause = f"no answer within {self._deadline:g} seconds"
            raise UnavailableError("notify", self.place, cause) from None

    async def _deliver(self, data: bytes) -> None:
        for pause in (*self._pauses, None):
            try:
                # A server that sends its headers byte by byte keeps every single timeout.
                await asyncio.get_running_loop().run_in_executor(Detached(), self._send, data)
            except UnavailableError:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                return

    def _send(self, data: bytes) -> None:
        try:
            with requests.post(
                self._url, data=data, headers=self._headers, timeout=TIMEOUT, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
        except requests.RequestException as error:
            # Its text has the address.
            raise UnavailableError("notify", self.place, type(error).__name__) from None
        if status == TOO_MANY_REQUESTS or status >= LEAST_SERVER_ERROR:
            raise UnavailableError("notify", self.place, f"HTTP {status}")
        if status >= LEAST_REDIRECT:
            raise BqdumpError("notify", self.place, f"HTTP {status}", "Check {setting:notify}.")
