"""Batch requests of Cloud Storage's JSON API, with a content id for each call.

Google's client also has batches, but sends no content ids and relies on the order of the answers.
https://cloud.google.com/storage/docs/batch
"""

from __future__ import annotations

import email
import json
import re
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import requests
from google.api_core.exceptions import GoogleAPICallError, from_http_response

from bqdump.adapters.google_http import TIMEOUT
from bqdump.core.errors import DamagedError

PATH = "/batch/storage/v1"
# The statuses of a server without batch requests.
UNKNOWN = (404, 405, 501)
NUMBER = re.compile(r"\+(\d+)>?$")


class Call(NamedTuple):
    """One call: its method, the path of its object (the client's `blob.path`), its parameters and its JSON body."""

    method: str
    path: str
    query: dict[str, Any]
    body: dict[str, Any] | None = None


def send(client: Any, url: str, calls: Sequence[Call]) -> list[requests.Response]:
    """The answer to each call, in the order of the calls.

    A server without batch requests gets one request after the other. Raises what Google's client raises, and
    DamagedError if answers cannot be matched to calls.
    """
    connection, mark = client._connection, secrets.token_hex(8)
    targets = [connection.build_api_url(path=call.path, query_params=_given(call.query)) for call in calls]
    parts = [
        f"--{mark}\r\nContent-Type: application/http\r\nContent-ID: <{mark}+{number}>\r\n\r\n"
        f"{_request(call, target)}\r\n"
        for number, (call, target) in enumerate(zip(calls, targets, strict=True))
    ]
    answer = connection._make_request(
        "POST",
        f"{connection.API_BASE_URL}{PATH}",
        data=f"{''.join(parts)}--{mark}--\r\n".encode(),
        content_type=f'multipart/mixed; boundary="{mark}"',
        timeout=TIMEOUT,
    )
    if answer.status_code in UNKNOWN:
        return [_single(connection, call, target) for call, target in zip(calls, targets, strict=True)]
    if not 200 <= answer.status_code < 300:
        error: GoogleAPICallError = from_http_response(answer)
        raise error
    return _matched(answer, url, targets, calls)


def _single(connection: Any, call: Call, target: str) -> requests.Response:
    """One call as a request of its own, for a server without batch requests."""
    body = None if call.body is None else json.dumps(call.body)
    answer: requests.Response = connection._make_request(
        call.method, target, data=body, content_type=body and "application/json", timeout=TIMEOUT
    )
    return answer


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _request(call: Call, target: str) -> str:
    head = f"{call.method} {target} HTTP/1.1\r\nAccept: application/json\r\n"
    if call.body is None:
        return f"{head}Content-Length: 0\r\n\r\n"
    body = json.dumps(call.body)
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"


def _matched(
    answer: requests.Response, url: str, targets: Sequence[str], calls: Sequence[Call]
) -> list[requests.Response]:
    """The parts of the answer, in the order of the calls."""
    kind = answer.headers.get("content-type", "")
    whole = email.message_from_string(f"Content-Type: {kind}\r\n\r\n{answer.content.decode('utf-8', 'replace')}")
    found: dict[int, requests.Response] = {}
    for place, part in enumerate(whole.get_payload() if whole.is_multipart() else ()):
        name = NUMBER.search(part.get("Content-ID", ""))
        # Answers without content ids are in the order of the calls.
        number = int(name[1]) if name else place
        if number < len(calls):
            found[number] = _part(part, calls[number].method, targets[number])
    if len(found) != len(calls) or any(response.status_code == 0 for response in found.values()):
        cause = f"a batch of {len(calls)} calls has {len(found)} valid answers"
        raise DamagedError("change objects in", url, cause)
    return [found[number] for number in range(len(calls))]


def _part(part: Any, method: str, target: str) -> requests.Response:
    """One answer, as Google's client represents it; status 0 if it is not valid."""
    head, _, body = part.get_payload().replace("\r\n", "\n").partition("\n\n")
    words = head.split(None, 2)
    made = requests.Response()
    made.request = requests.Request(method, target).prepare()
    made.status_code = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
    made._content = body.encode()
    return made
