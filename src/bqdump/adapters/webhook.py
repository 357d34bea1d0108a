"""The Notifier that posts JSON to an address, and pings of a service that alerts when they stop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

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


class Address:
    """Takes posts at `url`, which may itself be a secret, and appears in no message.

    setting: that names it, and what is done there.

    Redirects are not followed: they would carry the secret elsewhere. The body of an answer is not read.
    """

    def __init__(
        self, setting: str, url: str, headers: Mapping[str, str], pauses: tuple[float, ...] | None, deadline: float
    ) -> None:
        self._setting, self._url = setting, url
        self._pauses, self._deadline = PAUSES if pauses is None else pauses, deadline
        self._headers = {"User-Agent": f"bqdump/{VERSION}", **headers}

    @property
    def place(self) -> str:
        """See Notifier: scheme and host."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname}"

    async def deliver(self, data: bytes, below: str = "") -> None:
        """Post this, or to what is `below` the address. Raises BqdumpError once it is given up."""
        try:
            async with asyncio.timeout(self._deadline):
                await self._deliver(data, below)
        except TimeoutError:
            cause = f"no answer within {self._deadline:g} seconds"
            raise UnavailableError(self._setting, self.place, cause) from None

    async def _deliver(self, data: bytes, below: str) -> None:
        for pause in (*self._pauses, None):
            try:
                # A server that sends its headers byte by byte keeps every single timeout.
                await asyncio.get_running_loop().run_in_executor(Detached(), self._send, data, below)
            except UnavailableError:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                return

    def _send(self, data: bytes, below: str) -> None:
        parts = urlsplit(self._url)
        url = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}{below}", fragment="")) if below else self._url
        try:
            with requests.post(
                url, data=data, headers=self._headers, timeout=TIMEOUT, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
        except requests.RequestException as error:
            # Its text has the address.
            raise UnavailableError(self._setting, self.place, type(error).__name__) from None
        if status == TOO_MANY_REQUESTS or status >= LEAST_SERVER_ERROR:
            raise UnavailableError(self._setting, self.place, f"HTTP {status}")
        if status >= LEAST_REDIRECT:
            raise BqdumpError(self._setting, self.place, f"HTTP {status}", f"Check {{setting:{self._setting}}}.")


class Webhook:
    """Posts notices to an address. secret: sent as a bearer token."""

    def __init__(
        self, url: str, secret: str = "", pauses: tuple[float, ...] | None = None, deadline: float = DEADLINE
    ) -> None:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        headers |= {"Authorization": f"Bearer {secret}"} if secret else {}
        self._url, self._address = url, Address("notify", url, headers, pauses, deadline)

    @property
    def place(self) -> str:
        """See Notifier: scheme and host."""
        return self._address.place

    async def post(self, notice: Notice) -> None:
        """See Notifier."""
        await self._address.deliver(body(notice, self._url))


# Seconds: the end of a command waits for its last ping for so long, and for one that it has begun with.
PING_DEADLINE, START_DEADLINE = 10.0, 3.0
PING_PAUSES = (1.0, 3.0)
# Services keep at least the first 10 kB. https://healthchecks.io/docs/http_api/
MOST_BYTES = 9_000


class Ping:
    """Reports that work starts, and how it ended, to a service such as healthchecks.io: at its address, and below.

    problem: why the start was not reported.
    """

    def __init__(self, url: str, pauses: tuple[float, ...] | None = None, deadline: float = PING_DEADLINE) -> None:
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        # One try is enough to start.
        self._first = Address("ping", url, headers, (), START_DEADLINE)
        self._address = Address("ping", url, headers, PING_PAUSES if pauses is None else pauses, deadline)
        self._starting: asyncio.Task[None] | None = None
        self.problem: BqdumpError | None = None

    @property
    def place(self) -> str:
        """Scheme and host."""
        return self._address.place

    def start(self) -> None:
        """Report that work starts, without waiting for the answer."""
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        try:
            await self._first.deliver(b"", "/start")
        except BqdumpError as error:
            self.problem = error

    async def started(self) -> None:
        """Wait until the start is reported or given up. One that arrived last would be work that never ends."""
        if self._starting:
            await self._starting

    async def end(self, code: int, text: str) -> None:
        """Report the end of the work: a success if the code is 0. Raises BqdumpError."""
        await self.started()
        data = text.encode("utf-8", "replace")[-MOST_BYTES:].decode("utf-8", "ignore").encode()
        await self._address.deliver(data, "/fail" if code else "")
