"""The console as an application: its addresses, and the headers of every answer. Serving it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bqdump.core.errors import (
    AccessError,
    AnswerError,
    BqdumpError,
    DeniedError,
    DocumentError,
    NotFoundError,
    OutageError,
    QuotaError,
    UnavailableError,
    UsageError,
    VerificationError,
)
from bqdump.core.settings.settings import Settings
from bqdump.core.wording import Commands
from bqdump.pages.templating import style
from bqdump.ports.store import ObjectStore
from bqdump.ui.archive import Archive, Collection
from bqdump.ui.changes import changes_page, growth_page, history_page
from bqdump.ui.file import file_page
from bqdump.ui.frame import message, page
from bqdump.ui.metrics import Metrics
from bqdump.ui.restores import drill_page, drills_page, restore_page, restores_page
from bqdump.ui.run import live_part, manifest_document, manifest_page, run_page, verify_page
from bqdump.ui.runs import runs_page
from bqdump.ui.sets import datasets_page, set_live_part, set_run_page
from bqdump.ui.table import table_page

Page = Callable[[Archive, Request], Awaitable[Response]]
SetPage = Callable[[Collection, Request], Awaitable[Response]]


class Address(NamedTuple):
    """A page about one export, and the page there that shows all datasets of a set, where one does."""

    path: str
    page: Page
    of_set: SetPage | None = None


ADDRESSES = (
    Address("/", runs_page, datasets_page),
    Address("/runs/{run}", run_page, set_run_page),
    Address("/runs/{run}/live", live_part, set_live_part),
    Address("/runs/{run}/changes", changes_page),
    Address("/runs/{run}/verify", verify_page),
    Address("/runs/{run}/manifest", manifest_page),
    Address("/runs/{run}/manifest.json", manifest_document),
    Address("/runs/{run}/tables/{table}", table_page),
    Address("/runs/{run}/tables/{table}/files/{place:int}", file_page),
    Address("/drills", drills_page),
    Address("/drills/{began:int}", drill_page),
    Address("/restores", restores_page),
    Address("/restores/{restore}", restore_page),
    Address("/growth", growth_page),
    Address("/tables/{table}", history_page),
)
# A name or a file cannot run, load anything, or be framed, whatever it contains.
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
# A website whose own name resolves to this machine (DNS rebinding) sends that name.
HOST = "127.0.0.1"
HOSTS = [HOST, "localhost"]
STATUSES: dict[type[BqdumpError], int] = {
    NotFoundError: 404,
    DeniedError: 403,
    AccessError: 503,
    QuotaError: 503,
    UnavailableError: 503,
    OutageError: 503,
    AnswerError: 503,
    UsageError: 400,
}
TITLES: dict[type[BqdumpError], str] = {DocumentError: "Unreadable", VerificationError: "Verification failed"}
MESSAGES = {
    403: "A page of another site requested this. Open it from the console.",
    404: "Page not found.",
    405: "The console is read-only.",
}
# Pages that do work: a link of another site must not start it.
WORK = re.compile(r"/runs/[^/]+/(verify|live)/?")


def make_app(store: ObjectStore, settings: Settings, trusting: ObjectStore | None = None) -> Starlette:
    """The console over this target. It is read-only. trusting: see Archive."""
    collection = Collection(store, settings, trusting)

    def answer(address: Address) -> Callable[[Request], Awaitable[Response]]:
        async def answered(request: Request) -> Response:
            if address.of_set and await collection.several():
                return await address.of_set(collection, request)
            return await _shown(address.page, collection.whole, request)

        return answered

    def answer_about_dataset(address: Address) -> Callable[[Request], Awaitable[Response]]:
        async def answered(request: Request) -> Response:
            return await _shown(address.page, await collection.of(request.path_params["dataset"]), request)

        return answered

    errors = ErrorPages(collection)
    return Starlette(
        routes=[
            *(Route(address.path, answer(address)) for address in ADDRESSES),
            *(Route(f"/datasets/{{dataset}}{address.path}", answer_about_dataset(address)) for address in ADDRESSES),
            Route("/metrics", Metrics(collection).__call__),
            Route("/static/{name}", asset),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
            Middleware(OwnPort),
            Middleware(OwnPagesOnly, refuse=errors.from_elsewhere),
            Middleware(GZipMiddleware, minimum_size=2000, compresslevel=1),
        ],
        exception_handlers={BqdumpError: errors.failed, HTTPException: errors.refused, Exception: errors.unexpected},
    )


async def _shown(answered: Page, archive: Archive, request: Request) -> Response:
    """The page. Where documents of a run cannot be read, and the run is not trusted either, both reasons."""
    try:
        return await answered(archive, request)
    except DocumentError as error:
        run = request.path_params.get("run", "")
        if untrusted := await archive.untrusted(run) if run else {}:
            text = error.sentence(Commands(str(archive.place)))
            return page("message.html", archive.place, f"Run {run}", untrusted=untrusted, message=text)
        raise


class ErrorPages:
    """What the console answers instead of a page that fails."""

    def __init__(self, collection: Collection) -> None:
        self._place = collection.place

    async def failed(self, _: Request, error: Exception) -> Response:
        """An error that can be expected."""
        status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)
        title = next((title for kind, title in TITLES.items() if isinstance(error, kind)), HTTPStatus(status).phrase)
        text = error.sentence(Commands(str(self._place))) if isinstance(error, BqdumpError) else str(error)
        return message(self._place, title, text, status=status)

    async def refused(self, _: Request, error: Exception) -> Response:
        """A request that no page answers."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        text = MESSAGES.get(status, "The request cannot be answered.")
        return message(self._place, HTTPStatus(status).phrase, text, status=status)

    def from_elsewhere(self) -> Response:
        """A request of a page of another site."""
        return message(self._place, HTTPStatus(403).phrase, MESSAGES[403], status=403)

    async def unexpected(self, _: Request, error: Exception) -> Response:
        """A bug."""
        text = f"Unexpected {type(error).__name__}: {error}. This is a bug: please report it."
        answer_page = message(self._place, "Unexpected error", text, status=500)
        # This answer does not pass the middleware.
        answer_page.headers.update(HEADERS)
        return answer_page


class OwnPagesOnly:
    """Refuses what pages of other sites request: they could not read it, but every answer costs requests to the bucket.

    A link of another site may open a page in a tab of its own, but not one that verifies files.
    """

    def __init__(self, app: ASGIApp, refuse: Callable[[], Response]) -> None:
        self._app, self._refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Browsers say where it comes from; other programs do not, and are answered."""
        if scope["type"] == "http" and Headers(scope=scope).get("sec-fetch-site", "") in ("cross-site", "same-site"):
            opened = Headers(scope=scope).get("sec-fetch-dest") == "document"
            if not opened or WORK.search(scope["path"]):
                await self._refuse()(scope, receive, send)
                return
        await self._app(scope, receive, send)


class OwnPort:
    """Refuses requests for another port than the console's: they were not meant for it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. An address without a port has that of HTTP."""
        if scope["type"] == "http":
            _, _, port = Headers(scope=scope).get("host", "").partition(":")
            if (port or "80") != str((scope.get("server") or (HOST, 80))[1]):
                await PlainTextResponse("Invalid host header", status_code=400)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class SecurityHeaders:
    """Adds the security headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, with_headers)


ASSETS = {"console.js": "text/javascript", "icon.svg": "image/svg+xml"}


async def asset(request: Request) -> Response:
    """The style sheet, the script, the icon."""
    name = request.path_params["name"]
    if name == "style.css":
        return Response(str(style()), media_type="text/css")
    if name not in ASSETS:
        raise HTTPException(404)
    return Response(_asset(name), media_type=ASSETS[name])


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


async def serve(
    store: ObjectStore,
    settings: Settings,
    port: int,
    listening: Callable[[str], None],
    trusting: ObjectStore | None = None,
) -> None:
    """Serve the console on the loopback address until cancelled.

    `listening` is called with the address once requests are answered.

    port: 0 for any free port.
    trusting: see Archive.

    Raises UsageError when the port is taken.
    """
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError as error:
            cause = f"cannot listen on port {port}: {error.strerror}"
            raise UsageError("serve the console", "--port", cause, "Choose another one, or 0 for any.") from None
        config = uvicorn.Config(
            make_app(store, settings, trusting),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        sock.listen()
        listening(f"http://{HOST}:{sock.getsockname()[1]}/")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.should_exit = True
            await serving
            raise
