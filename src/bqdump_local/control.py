"""Fault injection, latency and request counting around a stand-in."""

from __future__ import annotations

import random
import re
from asyncio import sleep
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import msgspec

from bqdump_local.broken_answers import RESET, SPOILED, UNANSWERED, hang_up, spoiled

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A server that carries out calls inside a batch sends each of them through the application that it finds here.
BATCH_ENTRY: Final = "bqdump_local.batch_entry"
NAMES: Final = ("127.0.0.1", "localhost")
_REASONS = {429: "rateLimitExceeded", 500: "internalError", 502: "badGateway", 503: "backendError", 504: "timeout"}
_MESSAGES = {429: "Exceeded rate limits.", 500: "Internal error.", 503: "Service unavailable: try again later."}


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """When to go wrong, and how.

    `operation` and `path` are regular expressions that must be found in the operation's name and in the decoded path
    and query. Of the requests that match, the share `probability` is hit, at most `times` of them. A hit waits for
    `seconds`, and answers with `status`: an HTTP status (its error has `reason`, where one is given), or a word.
    "reset" and "close" end the connection without an answer, "reset-body" and "close-body" in the middle of the
    answer's body; "flip" changes one bit of the body; "shuffle" turns round the order of a batch's answers. With
    `after`, the request is carried out first, as it always is where the answer is spoiled. A rule without `status` only
    waits. With `rows`, a stream that reads rows (`bigquery.storage.readRows`) breaks after so many of them.
    """

    operation: str = ""
    path: str = ""
    status: int | str | None = None
    reason: str = ""
    probability: float = 1.0
    times: int | None = None
    seconds: float = 0.0
    after: bool = False
    rows: int = 0

    def matches(self, operation: str, target: str) -> bool:
        """Whether a request is one of this rule's."""
        return re.search(self.operation, operation) is not None and re.search(self.path, target) is not None

    def check(self) -> None:
        """ValueError for a rule that cannot work."""
        words = (*UNANSWERED, *SPOILED)
        if isinstance(self.status, str) and self.status not in words:
            raise ValueError(f"status must be a number or one of {', '.join(words)}, not {self.status!r}")
        if isinstance(self.status, int) and not 400 <= self.status <= 599:
            raise ValueError(f"status must be from 400 to 599, not {self.status}")
        try:
            re.compile(self.operation)
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error


class Faults(msgspec.Struct, forbid_unknown_fields=True):
    """Rules in the order in which they are tried, and the seed of the dice."""

    rules: list[Rule] = msgspec.field(default_factory=list)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to happen to one request."""

    seconds: float = 0.0
    status: int | str | None = None
    reason: str = ""
    after: bool = False
    rows: int = 0


@dataclass(slots=True)
class _Counts:
    requests: Counter[str] = field(default_factory=Counter)
    batched: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)


class Control:
    """ASGI middleware around a whole stand-in; must be the outermost application of its server.

    Counts every request under the name that `name(method, path and query)` gives it, calls inside batches apart from
    HTTP requests, and applies the rules of `/_local/faults`. Paths under `/_local/` are neither counted nor disturbed.
    """

    def __init__(self, app: ASGIApp, *, service: str, name: Callable[[str, str], str]) -> None:
        self.app = app
        self.service = service
        self._name = name
        self._counts = _Counts()
        self._faults = Faults()
        self._dice = random.Random(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif _of_a_web_page(scope):
            await _json(send, 403, _error(403, "The local stack answers no web page.", "forbidden"))
        elif scope["path"].startswith("/_local/"):
            await self._local(scope, receive, send)
        else:
            scope[BATCH_ENTRY] = self._batched
            await self._serve(scope, receive, send, self._counts.requests)

    def meet(self, operation: str, target: str) -> Verdict:
        """Count a request that comes another way than over HTTP, and say what is to happen to it."""
        self._counts.requests[operation] += 1
        return self._judge(operation, target)

    async def _batched(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call inside a batch."""
        await self._serve(scope, receive, send, self._counts.batched)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, counts: Counter[str]) -> None:
        target = _target(scope)
        operation = self._name(scope["method"], target)
        counts[operation] += 1
        verdict = self._judge(operation, unquote(target))
        if verdict.seconds:
            await sleep(verdict.seconds)
        if verdict.status is None:
            await self.app(scope, receive, send)
            return
        alone = counts is self._counts.requests
        if verdict.status in SPOILED and alone:
            await spoiled(self.app, scope, receive, send, str(verdict.status))
            return
        if verdict.after or verdict.status in SPOILED:
            await self.app(scope, receive, _swallow)
        elif verdict.status not in UNANSWERED:
            await _drain(receive)
        if isinstance(verdict.status, int):
            await _answer(send, verdict.status, verdict.reason)
        elif alone:
            await hang_up(receive, send, reset=verdict.status == RESET)
        else:
            # Inside a batch there is no connection of its own to close.
            await _answer(send, 503)

    def _judge(self, operation: str, target: str) -> Verdict:
        seconds = 0.0
        for rule in self._faults.rules:
            if rule.times == 0 or not rule.matches(operation, target):
                continue
            if rule.probability < 1 and self._dice.random() >= rule.probability:
                continue
            if rule.times is not None:
                rule.times -= 1
            seconds += rule.seconds
            if rule.status is not None:
                self._counts.injected[operation] += 1
                return Verdict(seconds, rule.status, rule.reason, rule.after, rule.rows)
        return Verdict(seconds)

    async def _local(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if path == "/_local/health" and method == "GET":
            await _json(send, 200, {"service": self.service, "status": "ok"})
        elif path == "/_local/requests" and method in {"GET", "DELETE"}:
            counts = self._counts
            if method == "DELETE":
                self._counts = _Counts()
            await _json(send, 200, {"service": self.service, **_plain(counts)})
        elif path == "/_local/faults" and method in {"GET", "PUT", "DELETE"}:
            await self._change_faults(method, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _change_faults(self, method: str, receive: Receive, send: Send) -> None:
        if method != "GET":
            body = await _drain(receive) if method == "PUT" else b"{}"
            try:
                faults = msgspec.json.decode(body, type=Faults)
                for rule in faults.rules:
                    rule.check()
            except (msgspec.DecodeError, ValueError) as error:
                await _json(send, 400, _error(400, str(error), "invalid"))
                return
            self._faults, self._dice = faults, random.Random(faults.seed)
        await _json(send, 200, msgspec.to_builtins(self._faults))


def _of_a_web_page(scope: Scope) -> bool:
    """Whether a page of some site may have sent the request: these servers run what they receive.

    Any page can post to this machine, with an Origin. One whose own name resolves to this machine can read as well,
    without an Origin, but with its own name as Host.
    """
    own = {f"{name}:{scope['server'][1]}".encode() for name in NAMES}
    hosts = [value.lower() for name, value in scope["headers"] if name == b"host"]
    return any(name == b"origin" for name, _ in scope["headers"]) or len(hosts) != 1 or hosts[0] not in own


def _plain(counts: _Counts) -> dict[str, dict[str, int]]:
    return {
        "requests": dict(sorted(counts.requests.items())),
        "batched": dict(sorted(counts.batched.items())),
        "injected": dict(sorted(counts.injected.items())),
    }


def _target(scope: Scope) -> str:
    path: str = scope["raw_path"].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


async def _swallow(_message: Message) -> None:
    """Takes the place of a client that is never to see the answer."""


async def _drain(receive: Receive) -> bytes:
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _answer(send: Send, status: int, reason: str = "") -> None:
    message = _MESSAGES.get(status, "Injected fault.")
    await _json(send, status, _error(status, message, reason or _REASONS.get(status, "backendError")))


def _error(status: int, message: str, reason: str) -> dict[str, Any]:
    detail = {"message": message, "domain": "global", "reason": reason}
    return {"error": {"code": status, "message": message, "errors": [detail]}}


async def _json(send: Send, status: int, value: object) -> None:
    body = msgspec.json.encode(value)
    headers = [
        (b"content-type", b"application/json; charset=UTF-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_CRUD = {"GET": "get", "POST": "insert", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
# Last words of paths that are verbs rather than collections.
_BIGQUERY_VERBS = {
    "cancel": "jobs.cancel",
    "delete": "jobs.delete",
    "data": "tabledata.list",
    "insertAll": "tabledata.insertAll",
    "serviceAccount": "projects.getServiceAccount",
}


def storage_operation(method: str, target: str) -> str:
    """The name of a Cloud Storage request, such as `storage.objects.insert`; `storage.batch` for a batch."""
    path = target.partition("?")[0].rstrip("/")
    if path.startswith("/batch"):
        return "storage.batch"
    if path.startswith("/upload/"):
        return "storage.objects.insert"
    words = path.removeprefix("/download").split("/")[1:]
    if words[:3] != ["storage", "v1", "b"]:
        return "storage.other"
    kind = "objects" if words[4:5] == ["o"] else "buckets"
    if len(words) > 6:
        return f"storage.{kind}.{words[6].removesuffix('To')}"
    if words[4:5] == ["iam"]:
        return f"storage.buckets.{'testIamPermissions' if words[5:] else method.lower() + 'IamPolicy'}"
    if method == "GET" and len(words) in {3, 5}:
        return f"storage.{kind}.list"
    return f"storage.{kind}.{_CRUD.get(method, 'other')}"


def bigquery_operation(method: str, target: str) -> str:
    """The name of a BigQuery request, such as `bigquery.jobs.insert`."""
    path = target.partition("?")[0].rstrip("/").removeprefix("/resumable").removeprefix("/upload")
    words = path.removeprefix("/bigquery/v2").split("/")[1:]
    if words[:1] != ["projects"]:
        return "bigquery.other"
    last, _, verb = words[-1].partition(":")
    if len(words) % 2 and last in _BIGQUERY_VERBS:
        return f"bigquery.{_BIGQUERY_VERBS[last]}"
    if "queries" in words[2:3]:
        return "bigquery.jobs.query" if method == "POST" else "bigquery.jobs.getQueryResults"
    names_one = len(words) % 2 == 0
    collection = words[-2] if names_one else last
    action = verb or ("list" if method == "GET" and not names_one else _CRUD.get(method, "other"))
    return f"bigquery.{collection}.{action}"
