"""Google's descriptions of its APIs: what is valid as a request, and as an answer.

A request is checked by its path, its parameters, and every field of its body, also in batches and uploads.
"""

from __future__ import annotations

import email.message
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BIGQUERY, STORAGE, RUN = "bigquery.v2", "storage.v1", "run.v2"
# What the services answer although the descriptions do not contain it.
UNDESCRIBED = (re.compile(r"^bigquery\.jobs\.(query|getQueryResults) answers has no field etag$"),)
# Parameters that Google's client adds although the description does not contain them.
UNDOCUMENTED = {("bigquery.jobs.get", "projection")}
INTEGER = re.compile(r"-?[0-9]+")

# What Google's own clients send, and the services accept although the descriptions do not.
ACCEPTED = tuple(
    re.compile(pattern)
    for pattern in (
        r": -?\d+ is not string int64$",
        r"parameterValue\..*value: [\d.]+ is not string$",
        r"\.insertId: \d+ is not string$",
        r"\.skipLeadingRows: '\d+' is not integer int32$",
        r" is null, which means nothing where something is created$",
        r"^no method is called by PUT /upload/.*upload_id=",
    )
)


class Sent(NamedTuple):
    """A request as received: the raw path with its query, and the JSON body; None without one."""

    method: str
    target: str
    body: Any


class Method(NamedTuple):
    """One method of an API: its name, its parameters, body and answer, its HTTP method and its path."""

    id: str
    verb: str
    path: re.Pattern[str]
    parameters: dict[str, Any]
    body: dict[str, Any] | None
    answer: dict[str, Any] | None


class Discovery:
    """One API. `problems` returns an empty list for a valid request."""

    def __init__(self, api: str) -> None:
        place = files("googleapiclient").joinpath("discovery_cache", "documents", f"{api}.json")
        document = json.loads(place.read_text())
        self._schemas: dict[str, Any] = document["schemas"]
        self._common: dict[str, Any] = document["parameters"]
        self.methods = list(_methods(document, document["servicePath"]))

    def method(self, sent: Sent) -> Method | None:
        """The method that a request calls; the most specific path wins."""
        path = sent.target.partition("?")[0]
        found = [method for method in self.methods if method.verb == sent.method and method.path.fullmatch(path)]
        return max(found, key=lambda method: len(method.path.pattern), default=None)

    def problems(self, sent: Sent) -> list[str]:
        """The parts of the request that are not valid."""
        method = self.method(sent)
        if method is None:
            return [f"no method is called by {sent.method} {sent.target}"]
        found = list(self._parameters(method, sent.target.partition("?")[2]))
        if sent.body is not None:
            if method.body is None:
                return [*found, f"{method.id} takes no body"]
            found += self._value(sent.body, method.body, method.id)
        return found

    def answer_problems(self, sent: Sent, answer: Any) -> list[str]:
        """The parts of the answer to a request that are not valid."""
        method = self.method(sent)
        if method is None or method.answer is None or "alt=media" in sent.target:
            return []
        found = self._value(answer, method.answer, f"{method.id} answers")
        return [problem for problem in found if not any(pattern.search(problem) for pattern in UNDESCRIBED)]

    def _parameters(self, method: Method, query: str) -> Iterator[str]:
        for name, value in parse_qsl(query, keep_blank_values=True):
            schema = method.parameters.get(name) or self._common.get(name)
            if (method.id, name) in UNDOCUMENTED:
                continue
            if schema is None:
                yield f"{method.id} has no parameter {name}"
            else:
                yield from self._text(value, schema, f"{method.id}?{name}")

    def _text(self, value: str, schema: dict[str, Any], place: str) -> Iterator[str]:
        kind = schema.get("type")
        fits = {
            "boolean": value in ("true", "false", "True", "False"),
            "integer": bool(INTEGER.fullmatch(value)),
            "string": "int" not in schema.get("format", "") or bool(INTEGER.fullmatch(value)),
        }
        if not fits.get(str(kind), True):
            yield f"{place}: {value!r} is not {kind} {schema.get('format', '')}".rstrip()
        if "enum" in schema and value not in schema["enum"]:
            yield f"{place}: {value!r} is none of {schema['enum']}"

    def _value(self, value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
        if value is None:
            # JSON null omits a field.
            return
        if "$ref" in schema:
            yield from self._value(value, self._schemas[schema["$ref"]], place)
            return
        kind = schema.get("type")
        if kind == "object":
            yield from self._object(value, schema, place)
        elif kind == "array":
            if not isinstance(value, list):
                yield f"{place}: {value!r} is not a list"
                return
            for number, item in enumerate(value):
                yield from self._value(item, schema["items"], f"{place}[{number}]")
        elif kind != "any" and not _fits(value, schema):
            yield f"{place}: {value!r} is not {kind} {schema.get('format', '')}".rstrip()

    def _object(self, value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{place}: {value!r} is not an object"
            return
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if inner is None:
                yield f"{place} has no field {name}"
            elif item is None and ".insert" in place:
                yield f"{place}.{name} is null, which means nothing where something is created"
            else:
                yield from self._value(item, inner, f"{place}.{name}")


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a scalar has its type. 64-bit integers are strings."""
    kind, form = schema.get("type"), schema.get("format", "")
    number = isinstance(value, int) and not isinstance(value, bool)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":
        return number
    if kind == "number":
        return number or isinstance(value, float)
    if form in ("int64", "uint64"):
        return isinstance(value, str) and INTEGER.fullmatch(value) is not None
    return isinstance(value, str) and (not schema.get("enum") or value in schema["enum"])


def _methods(resource: dict[str, Any], service: str) -> Iterator[Method]:
    for method in resource.get("methods", {}).values():
        parameters, body = method.get("parameters", {}), method.get("request")
        # A resource of several segments has a name for each in the flat path.
        paths = [f"/{service}{method.get('flatPath', method['path'])}"]
        if method.get("useMediaDownloadService"):
            paths.append(f"/download{paths[0]}")
        paths += [protocol["path"] for protocol in method.get("mediaUpload", {}).get("protocols", {}).values()]
        for path in dict.fromkeys(paths):
            yield Method(method["id"], method["httpMethod"], _pattern(path), parameters, body, method.get("response"))
    for inner in resource.get("resources", {}).values():
        yield from _methods(inner, service)


def _pattern(path: str) -> re.Pattern[str]:
    """A path template as a pattern for raw paths, in which a name is one segment."""
    parts = re.split(r"\{\+?(\w+)\}", path)
    return re.compile("".join("[^/]+" if number % 2 else re.escape(part) for number, part in enumerate(parts)))


class Recorder:
    """An ASGI application that records every request of Google's clients, and passes it to another application.

    everyones: it records requests of others, too.
    """

    def __init__(self, app: ASGIApp, *, everyones: bool = False) -> None:
        self.app = app
        self._everyones = everyones
        self.sent: list[Sent] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        messages = [message async for message in _whole(receive)]
        body = b"".join(message.get("body", b"") for message in messages)
        query = scope["query_string"].decode()
        target = scope["raw_path"].decode() + (f"?{query}" if query else "")
        kind = dict(scope["headers"]).get(b"content-type", b"").decode()
        if self._everyones or b"x-goog-api-client" in dict(scope["headers"]):
            # A test may send what is no request.
            with suppress(ValueError, StopIteration):
                self.sent += calls(scope["method"], target, kind, body)
        waiting = iter(messages)

        async def again() -> Message:
            return next(waiting, None) or await receive()

        await self.app(scope, again, send)


async def _whole(receive: Receive) -> AsyncIterator[Message]:
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        yield message


def calls(method: str, target: str, kind: str, body: bytes) -> list[Sent]:
    """The calls in a request: several in a batch, one with metadata and content in an upload."""
    if "upload_id=" in target:
        return [Sent(method, target, None)]
    if kind.startswith("multipart/mixed"):
        return [_batched(part.get_payload(decode=True)) for part in _parts(kind, body)]
    if kind.startswith("multipart/related"):
        return [Sent(method, target, json.loads(_bytes(next(_parts(kind, body)).get_payload(decode=True))))]
    return [Sent(method, target, json.loads(body) if body and kind.startswith("application/json") else None)]


def _parts(kind: str, body: bytes) -> Iterator[email.message.Message]:
    whole = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    for part in whole.walk():
        if not part.is_multipart():
            yield part


def _batched(payload: object) -> Sent:
    line, _, rest = _bytes(payload).decode().partition("\n")
    method, target, *_ = line.split()
    target = re.sub(r"^https?://[^/]+", "", target)
    body = email.message_from_string(rest).get_payload()
    return Sent(method, target, json.loads(str(body)) if str(body).strip() else None)


def _bytes(payload: object) -> bytes:
    assert isinstance(payload, bytes)
    return payload


APIS = {api: Discovery(api) for api in (BIGQUERY, STORAGE, RUN)}


class Validated:
    """An ASGI application whose successful answers must be valid, and requests of Google's clients, too.

    problems: what is not valid.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.problems: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(SERVED):
            await self._app(scope, receive, send)
            return
        recorder = Recorder(self._app, everyones=True)
        answer = _Answer(send)
        await recorder(scope, receive, answer.send)
        if not 200 <= answer.status < 300:
            return
        api = APIS[RUN if path.startswith("/v2/") else BIGQUERY if "/bigquery/" in path else STORAGE]
        if b"x-goog-api-client" in dict(scope["headers"]):
            for sent in recorder.sent:
                found = api.problems(sent)
                self.problems += [one for one in found if not any(pattern.search(one) for pattern in ACCEPTED)]
        for sent, body in zip(recorder.sent, answers(answer.kind, answer.body), strict=False):
            self.problems += api.answer_problems(sent, body)


class _Answer:
    """Passes an answer on, and keeps it. transport: the connection's, which injected faults end."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.transport = getattr(getattr(send, "__self__", None), "transport", None)
        self.status, self.kind, self.body = 0, "", b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.kind = dict(message["headers"]).get(b"content-type", b"").decode()
        elif self.kind.startswith(("application/json", "multipart/mixed")):
            self.body += message.get("body", b"")
        await self._send(message)


# The paths of the APIs.
SERVED = ("/bigquery/", "/storage/", "/upload/", "/batch/", "/v2/projects/")


def answers(kind: str, body: bytes) -> list[Any]:
    """The JSON of an answer; that of each call in a batch, None for one that failed or has none."""
    if not kind.startswith("multipart/mixed"):
        return [json.loads(body)] if body else []
    found = []
    for part in _parts(kind, body):
        line, _, rest = _bytes(part.get_payload(decode=True)).decode().partition("\n")
        text = str(email.message_from_string(rest).get_payload())
        found.append(json.loads(text) if line.split()[1].startswith("2") and text.strip() else None)
    return found
