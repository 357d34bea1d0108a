"""A webhook on loopback, which answers as a test wants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from loopback import serving


class Hook:
    """What was posted, with its headers. statuses: of the next answers; 200 afterwards, 0 for a broken connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.posts: list[tuple[dict[str, str], Any]] = []
        self.statuses: list[int] = []

    @property
    def bodies(self) -> list[Any]:
        """The bodies of all posts."""
        return [body for _, body in self.posts]


@contextmanager
def hook() -> Iterator[Hook]:
    """Serve a webhook."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.posts.append(({key.lower(): value for key, value in self.headers.items()}, body))
            status = served.statuses.pop(0) if served.statuses else 200
            if not status:
                self.connection.close()
                return
            self.send_response(status)
            self.send_header("Location", f"{served.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with serving(Handler) as address:
        served = Hook(f"{address}/services/T0/B0/s3cret")
        yield served
