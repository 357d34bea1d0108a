"""Fault injection, latency and request counting around a stand-in."""

from __future__ import annotations

import random
from asyncio import sleep
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import msgspec

from bqdump_local import clock
from bqdump_local.broken_answers import RESET, SPOILED, UNANSWERED, hang_up, spoiled
from bqdump_local.faults import Faults, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The scope key of the application through which a server sends each call inside a batch.
BATCH_ENTRY: Final = "bqdump_local.batch_entry"
NAMES: Final = ("127.0.0.1", "localhost")
_REASONS = {
    401: "authError",
    403: "forbidden",
    404: "notFound",
    409: "duplicate",
    412: "conditionNotMet",
    413: "uploadTooLarge",
    429: "rateLimitExceeded",
    500: "internalError",
    502: "badGateway",
    503: "backendError",
    504: "timeout",
}
_MESSAGES = {429: "Exceeded rate limits.", 500: "Internal error.", 503: "Service unavailable: try again later."}


@dataclass(slots=True)
class _Counts:
    requests: Counter[str] = field(default_factory=Counter)
    batched: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)


class Control:
    """ASGI middleware around a stand-in. It must be the outermost application of its server.

    Counts every request by the operation that `name(method, path and query)` returns, with a separate count for calls
    inside batches, and applies the rules of `/_local/faults`. Paths under `/_local/` are excluded from both.
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
            await _json(send, 403, _error(403, "The local stack does not answer web pages.", "forbidden"))
        elif scope["path"].startswith("/_local/"):
            await self._local(scope, receive, send)
        else:
            scope[BATCH_ENTRY] = self._batched
            await self._serve(scope, receive, send, self._counts.requests)

    def meet(self, operation: str, target: str) -> Verdict:
        """Count a request that does not come over HTTP, and return the fault to inject."""
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
            await _answer(send, verdict.status, verdict.reason, verdict.message)
        elif alone:
            await hang_up(receive, send, reset=verdict.status == RESET)
        else:
            # A call inside a batch has no connection of its own.
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
                return Verdict(seconds, rule.status, rule.reason, rule.message, rule.after, rule.rows)
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
        elif path == "/_local/clock" and method in {"GET", "PUT"}:
            await _clock(method, receive, send)
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


async def _clock(method: str, receive: Receive, send: Send) -> None:
    if method == "PUT":
        try:
            clock.add(msgspec.json.decode(await _drain(receive), type=_Clock).offset_seconds)
        except msgspec.DecodeError as error:
            await _json(send, 400, _error(400, str(error), "invalid"))
            return
    await _json(send, 200, msgspec.to_builtins(_Clock(clock.added())))


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    offset_seconds: float


def _of_a_web_page(scope: Scope) -> bool:
    """Whether a web page may have sent the request. These servers run commands and SQL that they receive.

    Any page can post to this machine, with an Origin header. A page whose domain resolves to this machine can also
    read, without an Origin header, but with its domain as Host.
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
    """Discard messages for a client that must not receive the answer."""


async def _drain(receive: Receive) -> bytes:
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _answer(send: Send, status: int, reason: str = "", message: str = "") -> None:
    message = message or _MESSAGES.get(status, "Injected fault.")
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
