"""Notices are posted with retries, and nothing that is secret appears in an error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bqdump.adapters.webhook import Webhook
from bqdump.core.errors import BqdumpError, UnavailableError
from bqdump.core.notice import Notice, body
from hooks import Hook, hook

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


@pytest.mark.parametrize("url", ["https://hooks.slack.com/services/a/b/c", "https://chat.googleapis.com/v1/spaces/x"])
def test_a_chat_gets_the_text_alone(url: str) -> None:
    assert body(NOTICE, url) == b'{"text":"it failed"}'
