"""The Notifier that posts JSON to an address."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import requests

from bqdump.core.errors import BqdumpError, UnavailableError
from bqdump.core.notice import Notice, body
from bqdump.core.version import VERSION

# Waits between the tries of one notice, in seconds: a task must not stay up for this alone.
PAUSES = (1.0, 3.0, 9.0)
TIMEOUT = (5.0, 10.0)
TOO_MANY_REQUESTS, LEAST_SERVER_ERROR, LEAST_REDIRECT = 429, 500, 300


class Webhook:
    """Posts to `url`, which may itself be a secret, and appears in no message. secret: sent as a bearer token.

    Redirects are not followed: they would carry the secret elsewhere.
    """

    def __init__(self, url: str, secret: str = "", pauses: tuple[float, ...] | None = None) -> None:
        self._url, self._pauses = url, PAUSES if pauses is None else pauses
        self._headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": f"bqdump/{VERSION}"}
        if secret:
            self._headers["Authorization"] = f"Bearer {secret}"

    @property
    def place(self) -> str:
        """See Notifier: scheme and host."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname}"

    async def post(self, notice: Notice) -> None:
        """See Notifier."""
        data = body(notice, self._url)
        for pause in (*self._pauses, None):
            try:
                await asyncio.to_thread(self._send, data)
            except UnavailableError:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                return

    def _send(self, data: bytes) -> None:
        try:
            answer = requests.post(self._url, data=data, headers=self._headers, timeout=TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            # Its text has the address.
            raise UnavailableError("notify", self.place, type(error).__name__) from None
        status = answer.status_code
        if status == TOO_MANY_REQUESTS or status >= LEAST_SERVER_ERROR:
            raise UnavailableError("notify", self.place, f"HTTP {status}")
        if status >= LEAST_REDIRECT:
            raise BqdumpError("notify", self.place, f"HTTP {status}", "Check {setting:notify}.")
