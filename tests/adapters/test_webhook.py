"""Notices are posted with retries, and nothing that is secret appears in an error."""

from __future__ import annotations

import asyncio
import contextlib
import select
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from bqdump.adapters.webhook import DEADLINE, Webhook
from bqdump.core.errors import BqdumpError, UnavailableError
from bqdump.core.notice import Notice, body
from hooks import Hook, hook
from loopback import serving

NOTICE = Notice(event="run_failed", text="it failed", run="r1", project="p", dataset="d", target="gs://b", error="x")


@pytest.fixture
def served() -> Iterator[Hook]:
    with hook() as made:
        yield made


def post(served: Hook, secret: str = "") -> None:
    asyncio.run(Webhook(served.url, secret, pauses=(0.0, 0.0, 0.0)).post(NOTICE))


def test_a_notice_is_posted_as_json_with_the_secret_as_token(served: Hook) -> None:
    post(served, "t0ken")
    ((headers, posted),) = served.posts
    assert (posted["event"], posted["run"], posted["result"], posted["error"]) == ("run_failed", "r1", None, "x")
    assert headers["authorization"] == "Bearer t0ken"
    assert headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("statuses", [[503], [429, 500], [0], [0, 502, 429]])
def test_what_passes_is_tried_again(served: Hook, statuses: list[int]) -> None:
    served.statuses = list(statuses)
    post(served)
    assert len(served.posts) == len(statuses) + 1


def test_a_service_that_stays_silent_is_given_up(served: Hook) -> None:
    served.statuses = [503] * 9
    with pytest.raises(UnavailableError, match="HTTP 503") as caught:
        post(served)
    assert len(served.posts) == 4
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 307, 400, 404, 410])
def test_what_will_not_pass_is_not_tried_again(served: Hook, status: int) -> None:
    served.statuses = [status]
    with pytest.raises(BqdumpError, match=f"HTTP {status}") as caught:
        post(served)
    assert len(served.posts) == 1
    assert "s3cret" not in str(caught.value)


def test_nothing_that_listens_is_an_error_without_the_address() -> None:
    with hook() as gone:
        pass
    with pytest.raises(UnavailableError) as caught:
        post(gone)
    assert "s3cret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


class Hostile(BaseHTTPRequestHandler):
    """Answers without an end, until the client closes the connection."""

    beginning = b"HTTP/1.1 200 OK\r\n\r\n"
    piece = b"x"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(self.beginning)
        with contextlib.suppress(OSError):
            while not select.select([self.connection], [], [], 0.01)[0]:
                self.wfile.write(self.piece)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class SlowHeaders(Hostile):
    beginning = b"HTTP/1.1 200 OK\r\nX-Slow: "


class DripBody(Hostile):
    beginning = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


class EndlessBody(Hostile):
    piece = bytes(1_000_000)


POST = """
import asyncio, sys
from bqdump.adapters.webhook import Webhook
from bqdump.core.errors import UnavailableError
from bqdump.core.notice import Notice
notice = Notice(event="run_published", text="done", run="r1", project="p", dataset="d", target="gs://b")
try:
    asyncio.run(Webhook(sys.argv[1], deadline=float(sys.argv[2])).post(notice))
except UnavailableError as error:
    print(error.cause)
"""


def post_from_a_process(handler: type[BaseHTTPRequestHandler], deadline: float) -> str:
    with serving(handler) as address:
        command = [sys.executable, "-P", "-c", POST, address, str(deadline)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


@pytest.mark.parametrize("handler", [DripBody, EndlessBody])
def test_an_answer_whose_body_has_no_end_is_a_delivery(handler: type[BaseHTTPRequestHandler]) -> None:
    assert post_from_a_process(handler, DEADLINE) == ""


def test_a_server_whose_headers_have_no_end_is_given_up_and_the_process_ends() -> None:
    assert post_from_a_process(SlowHeaders, 0.5) == "no answer within 0.5 seconds\n"


@pytest.mark.parametrize("url", ["https://hooks.slack.com/services/a/b/c", "https://chat.googleapis.com/v1/spaces/x"])
def test_a_chat_gets_the_text_alone(url: str) -> None:
    assert body(NOTICE, url) == b'{"text":"it failed"}'
