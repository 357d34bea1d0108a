"""The server: routes, errors, lifetime."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import tempfile
import weakref
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

from bqdump_local.operations import storage_operation
from bqdump_local.partial import select
from bqdump_local.storage.api_fields import check_query
from bqdump_local.storage.errors import ApiError, invalid
from bqdump_local.storage.methods.batch import PART, run_batch
from bqdump_local.storage.methods.buckets import BucketMethods
from bqdump_local.storage.methods.copies import CopyMethods
from bqdump_local.storage.methods.objects import ObjectMethods
from bqdump_local.storage.methods.uploads import UploadMethods
from bqdump_local.storage.methods.xml_uploads import XmlUploads
from bqdump_local.storage.names import decode_segment
from bqdump_local.storage.store.store import Store
from bqdump_local.storage.wire import DisconnectedError, Reply, Request, error_reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from starlette.types import Lifespan, Receive, Scope, Send

    Handler = Callable[..., Awaitable[Reply]]

# Parameters of uploads in parts by the XML API, whose paths are those of objects.
_IN_PARTS = frozenset({"uploads", "uploadId"})


def create_app(root: Path | None = None, *, persist: bool = False) -> Starlette:
    """A Cloud Storage server whose objects are files at `<root>/<bucket>/<object name>`.

    Without a root, they are stored in a temporary folder that is removed at shutdown. Metadata is in memory; with
    `persist` also on disk, so that the next server on the same root has the same objects.
    """
    folder = (root or Path(tempfile.mkdtemp(prefix="bqdump-storage-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    endpoint = Endpoint(Store(folder, persist=persist))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        clean_up()

    app = Server(endpoint, lifespan)
    # Without a lifespan, the server is cleaned up with the app or at exit.
    clean_up = weakref.finalize(app, _clean_up, endpoint, None if root else folder)
    app.state.root = folder
    return app


class Server(Starlette):
    """Starlette's lifetime without its router, which matches decoded paths: `a%2Fb` and `a/b` are one there."""

    def __init__(self, endpoint: Endpoint, lifespan: Lifespan[Starlette]) -> None:
        super().__init__(lifespan=lifespan)
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        served = self._endpoint if scope["type"] == "http" else super().__call__
        await served(scope, receive, send)


class Endpoint:
    """The application: finds the method for a path, and converts errors to answers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._uploads = UploadMethods(store)
        self._xml = XmlUploads(store)
        self._routes = _routes(store, self._uploads)
        self._local: dict[tuple[str, ...], dict[str, Handler]] = {
            ("_local", "denied"): {"GET": self._show_denied, "PUT": self._deny, "DELETE": self._allow},
            ("_local", "granted"): {"GET": self._show_granted, "PUT": self._grant},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        media = False
        try:
            request = Request(scope, receive)
            media = request.query.get("alt") == "media" and not scope.get(PART)
            reply = await self._answer(request)
            if reply.resource is not None and "fields" in request.query:
                reply.resource = _selected(reply.resource, request.query["fields"])
        except ApiError as error:
            reply = error_reply(error, media=media)
        except DisconnectedError:
            return
        except (OSError, sqlite3.OperationalError) as error:
            reply = error_reply(_of_the_disk(error), media=media)
        await reply.send(send)

    def close(self) -> None:
        """Drop uploads in progress and close the store."""
        self._uploads.close()
        self._xml.close()
        self._store.close()

    async def _answer(self, request: Request) -> Reply:
        segments = tuple(request.path.strip("/").split("/"))
        if segments[0] == "batch":
            _refuse_in_batch(request)
            return await run_batch(request, self)
        if methods := self._local.get(segments):
            return await _pick(methods, request)(request)
        if segments[0] in {"upload", "download"}:
            _refuse_in_batch(request)
        if segments[0] == "download":
            segments = segments[1:]
        if request.query.get("alt") == "media":
            _refuse_in_batch(request)
        for route in self._routes.get(len(segments), ()):
            if route.matches(segments):
                check_query(storage_operation(request.method, request.path), request.pairs)
                names = [decode_segment(segments[position]) for position in route.names]
                return await _pick(route.methods, request)(request, *names)
        if len(segments) > 1 and not _IN_PARTS.isdisjoint(request.query):
            _refuse_in_batch(request)
            return await self._xml.answer(request)
        raise ApiError(404, "Not Found")

    async def _show_denied(self, _request: Request) -> Reply:
        return Reply(self._store.access.resource())

    async def _deny(self, request: Request) -> Reply:
        self._store.access.deny(await request.resource())
        return Reply(self._store.access.resource())

    async def _allow(self, _request: Request) -> Reply:
        self._store.access.deny({})
        return Reply(self._store.access.resource())

    async def _show_granted(self, _request: Request) -> Reply:
        return Reply(self._store.access.grants())

    async def _grant(self, request: Request) -> Reply:
        self._store.access.grant(await request.resource())
        return Reply(self._store.access.grants())


class Route:
    """A path with parameters, and its methods."""

    def __init__(self, pattern: str, methods: Mapping[str, Handler]) -> None:
        segments = pattern.split("/")
        self.length = len(segments)
        self.names = [position for position, word in enumerate(segments) if word == "*"]
        self.methods = methods
        self._words = [(position, word) for position, word in enumerate(segments) if word != "*"]

    def matches(self, segments: Sequence[str]) -> bool:
        """Whether a path of the same length matches this route."""
        return all(segments[position] == word for position, word in self._words)


def _routes(store: Store, uploads: UploadMethods) -> dict[int, list[Route]]:
    """All routes by the length of their paths."""
    buckets, objects, copies = BucketMethods(store), ObjectMethods(store), CopyMethods(store)
    bucket = {"GET": buckets.get, "PATCH": buckets.patch, "PUT": buckets.update, "DELETE": buckets.delete}
    item = {"GET": objects.get, "PATCH": objects.patch, "PUT": objects.update, "DELETE": objects.delete}
    upload = {"POST": uploads.insert, "PUT": uploads.resume, "DELETE": uploads.resume}
    routes = [
        Route("storage/v1/b", {"GET": buckets.list, "POST": buckets.insert}),
        Route("storage/v1/b/*", bucket),
        Route("storage/v1/b/*/iam/testPermissions", {"GET": buckets.test_permissions}),
        Route("storage/v1/b/*/lockRetentionPolicy", {"POST": buckets.lock}),
        Route("storage/v1/b/*/restore", {"POST": buckets.restore}),
        Route("storage/v1/b/*/o", {"GET": objects.list}),
        Route("storage/v1/b/*/o/*", item),
        Route("storage/v1/b/*/o/*/restore", {"POST": objects.restore}),
        Route("storage/v1/projects/*/serviceAccount", {"GET": buckets.service_account}),
        Route("storage/v1/b/*/o/*/compose", {"POST": copies.compose}),
        Route("storage/v1/b/*/o/*/moveTo/o/*", {"POST": copies.move}),
        Route("storage/v1/b/*/o/*/copyTo/b/*/o/*", {"POST": copies.copy}),
        Route("storage/v1/b/*/o/*/rewriteTo/b/*/o/*", {"POST": copies.rewrite}),
        Route("upload/storage/v1/b/*/o", upload),
    ]
    lengths: dict[int, list[Route]] = {}
    for route in routes:
        lengths.setdefault(route.length, []).append(route)
    return lengths


def _clean_up(endpoint: Endpoint, temporary: Path | None) -> None:
    endpoint.close()
    if temporary:
        shutil.rmtree(temporary, ignore_errors=True)


def _of_the_disk(error: OSError | sqlite3.OperationalError) -> ApiError:
    """The answer to a request for which the disk has no room, with a status that clients do not retry."""
    full = (
        error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) if isinstance(error, OSError) else "full" in str(error)
    )
    if not full:
        raise error
    return ApiError(507, f"The disk of the local stack is full: {error}", reason="insufficientStorage")


def _pick(methods: Mapping[str, Handler], request: Request) -> Handler:
    try:
        return methods[request.method]
    except KeyError:
        raise ApiError(405, "Method Not Allowed") from None


def _selected(resource: dict[str, Any], mask: str) -> dict[str, Any]:
    try:
        return select(resource, mask)
    except ValueError as error:
        raise invalid(str(error)) from None


def _refuse_in_batch(request: Request) -> None:
    if request.scope.get(PART):
        raise invalid("Uploads, downloads and batches are not supported inside a batch.")
