"""Maps HTTP requests to function calls, and their results to answers."""

from __future__ import annotations

import base64
import inspect
import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bqdump_local.bigquery.bodies import check_query, decoded
from bqdump_local.bigquery.errors import BigQueryError, invalid, unexpected
from bqdump_local.operations import bigquery_operation
from bqdump_local.partial import select

DEFAULT_PAGE = 50
Item = TypeVar("Item")
# The largest INT64.
LARGEST = (1 << 63) - 1


@dataclass(frozen=True)
class Call:
    """One request, decoded."""

    path: dict[str, str]
    query: QueryParams
    headers: Headers
    raw: bytes
    url: str

    @property
    def project(self) -> str:
        """The project in the path."""
        return self.path["project"]

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body; an empty object if there is none."""
        return decoded(self.raw)

    def number(self, name: str) -> int | None:
        """A number in the query, which is not negative."""
        text = self.query.get(name)
        if text is None or text == "":
            return None
        if not (text.isascii() and text.isdigit()) or int(text) > LARGEST:
            raise invalid(f"Invalid value for {name}: {text}")
        return int(text)

    def listed(
        self,
        key: str,
        items: Iterable[Item],
        name: Callable[[Item], str],
        shown: Callable[[Item], dict[str, Any]],
        size_name: str = "maxResults",
    ) -> dict[str, Any]:
        """The answer with a page of these items under the key; without the key if the page is empty.

        Items are sorted by name. `pageToken` and `maxResults` (or size_name) select the page. A token stands for a
        name, so items that are created or deleted meanwhile do not shift pages.
        """
        last = _last_name(self.query.get("pageToken"))
        rest = sorted((item for item in items if last is None or name(item) > last), key=name)
        requested = self.number(size_name)
        size = min(DEFAULT_PAGE if requested is None else requested, 1000)
        answer: dict[str, Any] = {key: [shown(item) for item in rest[:size]]} if rest[:size] else {}
        if size and size < len(rest):
            answer["nextPageToken"] = base64.urlsafe_b64encode(name(rest[size - 1]).encode()).decode()
        return answer

    def require_match(self, current: str) -> None:
        """Refuse a change of something whose etag is not the one that the request requires."""
        if (required := self.headers.get("if-match", "*")) not in ("*", current):
            raise BigQueryError("conditionNotMet", f"Precondition check failed: the etag is {current}, not {required}.")


def _last_name(token: str | None) -> str | None:
    """The name after which a page starts."""
    if not token:
        return None
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise invalid(f"Invalid value for pageToken: {token}") from error


Answer = dict[str, Any] | Response | None
Handler = Callable[[Call], Answer] | Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True)
class Endpoint:
    """A method and path with its function.

    The function runs in a thread, unless it is `quick`, which means that it uses only memory.
    """

    method: str
    path: str
    handler: Handler
    quick: bool = False


def to_route(endpoint: Endpoint) -> Route:
    """The Starlette route of an endpoint."""

    async def serve(request: Request) -> Response:
        try:
            check_query(bigquery_operation(request.method, request.url.path), request.query_params.multi_items())
            call = await _decode(request)
            if inspect.iscoroutinefunction(endpoint.handler):
                answer = await endpoint.handler(call)
            elif endpoint.quick:
                answer = endpoint.handler(call)
            else:
                answer = await run_in_threadpool(endpoint.handler, call)
        except BigQueryError as error:
            return to_json(error.body(), error.status)
        except Exception as error:
            return to_json(unexpected(error).body(), 501)
        if isinstance(answer, Response):
            return answer
        if endpoint.method == "GET" and answer and (current := answer.get("etag")):
            if request.headers.get("if-none-match") == current:
                return Response(status_code=304)
            if request.headers.get("if-match", "*") not in ("*", current):
                failed = BigQueryError("conditionNotMet", "Precondition check failed.")
                return to_json(failed.body(), failed.status)
        if answer is None:
            return Response(status_code=204)
        try:
            return to_json(select(answer, mask) if (mask := request.query_params.get("fields")) else answer)
        except ValueError as error:
            return to_json(invalid(str(error)).body(), 400)

    return Route(endpoint.path, serve, methods=[endpoint.method])


def to_json(body: dict[str, Any], status: int = 200) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(body), status, media_type="application/json; charset=UTF-8")


async def _decode(request: Request) -> Call:
    raw = await request.body()
    match request.headers.get("content-encoding", "identity"):
        case "identity":
            pass
        case "gzip":
            try:
                raw = zlib.decompress(raw, wbits=31)
            except zlib.error as error:
                raise invalid("The body is not valid gzip.") from error
        case other:
            raise BigQueryError("badRequest", f"Unsupported content encoding: {other}", status=415)
    path = {key: str(value) for key, value in request.path_params.items()}
    base = f"{request.scope['scheme']}://{request.headers.get('host')}{request.scope['path']}"
    return Call(path, request.query_params, request.headers, raw, base)
