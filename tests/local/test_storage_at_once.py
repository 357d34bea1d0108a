"""Requests to Cloud Storage that meet, a disk that is full, and a server that is killed: the order is forced."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bqdump.core.errors import UsageError
from bqdump_local.storage.app import Endpoint
from bqdump_local.storage.store.files import Files, Spool
from bqdump_local.storage.store.store import Store

BUCKET = "at-once"
UPLOAD = f"/upload/storage/v1/b/{BUCKET}/o"


class Client:
    """Requests to the application itself, whose bodies arrive when a test says so."""

    def __init__(self, root: Path, *, persist: bool = False) -> None:
        self.store = Store(root, persist=persist)
        self.endpoint = Endpoint(self.store)

    def close(self) -> None:
        self.endpoint.close()

    async def call(
        self, method: str, path: str, pieces: AsyncIterator[bytes] | bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer."""
        path, _, query = path.partition("?")
        named = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"host", b"127.0.0.1"), *named],
            "scheme": "http",
        }
        parts = [pieces] if isinstance(pieces, bytes) else None

        async def receive() -> dict[str, Any]:
            if parts is not None:
                return {"type": "http.request", "body": parts.pop() if parts else b"", "more_body": False}
            assert not isinstance(pieces, bytes)
            piece = await anext(pieces, None)
            return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await self.endpoint(scope, receive, send)
        given = {key.decode().lower(): value.decode() for key, value in sent[0]["headers"]}
        return sent[0]["status"], given, b"".join(one.get("body", b"") for one in sent[1:])

    async def bucket(self) -> None:
        """The bucket of this module."""
        assert (await self.call("POST", "/storage/v1/b", b'{"name": "%s"}' % BUCKET.encode()))[0] == 200

    async def put(self, name: str, data: bytes) -> int:
        """Upload an object."""
        return (await self.call("POST", f"{UPLOAD}?uploadType=media&name={name}", data))[0]

    async def read(self, name: str) -> bytes:
        """Download an object."""
        return (await self.call("GET", f"/storage/v1/b/{BUCKET}/o/{name}?alt=media"))[2]

    async def begin(self, name: str) -> str:
        """Start a resumable upload."""
        _, headers, _ = await self.call("POST", f"{UPLOAD}?uploadType=resumable&name={name}", b"{}")
        return headers["location"].removeprefix("http://127.0.0.1")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    client = Client(tmp_path)
    yield client
    client.close()


async def pieces(*data: bytes, meanwhile: Any = None) -> AsyncIterator[bytes]:
    """The first piece, then what happens meanwhile, then the others."""
    yield data[0]
    if meanwhile is not None:
        await meanwhile
    for piece in data[1:]:
        yield piece


def test_an_upload_that_another_connection_completes_is_completed_once(client: Client) -> None:
    async def run() -> None:
        await client.bucket()
        upload = await client.begin("a")
        whole = client.call("PUT", upload, b"12345", content_range="bytes 0-4/5")
        status, _, body = await client.call("PUT", upload, pieces(b"", meanwhile=whole), content_range="bytes */5")
        assert (status, b'"generation"' in body) == (200, True)
        assert await client.read("a") == b"12345"

    asyncio.run(run())


def test_an_upload_that_is_cancelled_while_it_receives_is_gone(client: Client) -> None:
    async def run() -> None:
        await client.bucket()
        upload = await client.begin("a")
        cancel = client.call("DELETE", upload)
        data = b"x" * 300_000
        body = pieces(data, data, meanwhile=cancel)
        status, _, answer = await client.call("PUT", upload, body, content_range="bytes 0-599999/600000")
        assert (status, b"No such upload" in answer) == (404, True)
        assert (await client.call("GET", f"/storage/v1/b/{BUCKET}/o/a"))[0] == 404

    asyncio.run(run())


def test_an_upload_in_parts_is_completed_once(client: Client) -> None:
    async def run() -> None:
        await client.bucket()
        _, _, made = await client.call("POST", f"/{BUCKET}/a?uploads")
        identifier = made.split(b"<UploadId>")[1].split(b"<")[0].decode()
        address = f"/{BUCKET}/a?uploadId={identifier}"
        _, headers, _ = await client.call("PUT", f"{address}&partNumber=1", b"12345")
        part = f"<PartNumber>1</PartNumber><ETag>{headers['etag']}</ETag>"
        whole = f"<CompleteMultipartUpload><Part>{part}</Part></CompleteMultipartUpload>".encode()
        other = client.call("POST", address, whole)
        status, _, answer = await client.call("POST", address, pieces(b"", whole, meanwhile=other))
        assert (status, b"NoSuchUpload" in answer) == (404, True)
        assert await client.read("a") == b"12345"

    asyncio.run(run())


def test_a_component_that_is_deleted_while_it_is_joined_is_not_missed(client: Client) -> None:
    async def run() -> None:
        await client.bucket()
        await client.put("a", b"x" * (1 << 20))
        await client.put("b", b"y")
        body = b'{"sourceObjects": [{"name": "a"}, {"name": "b"}], "deleteSourceObjects": true}'
        joining = asyncio.create_task(client.call("POST", f"/storage/v1/b/{BUCKET}/o/c/compose", body))
        await asyncio.sleep(0)
        assert not joining.done()
        assert (await client.call("DELETE", f"/storage/v1/b/{BUCKET}/o/a"))[0] == 204
        assert (await joining)[0] == 200
        assert len(await client.read("c")) == (1 << 20) + 1

    asyncio.run(run())


# -- a full disk


class Full:
    """A file of an upload, on a disk that has room for some bytes of the next write only."""

    def __init__(self, spool: Spool, room: int) -> None:
        self._spool, self._file, self._room = spool, spool._file, room

    def write(self, data: memoryview) -> int:
        if self._room:
            self._room, room = 0, self._room
            return self._file.write(data[:room])
        self._spool._file = self._file
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def fill(monkeypatch: pytest.MonkeyPatch, *, room: int) -> None:
    """The next file of an upload meets a full disk."""
    spool = Files.spool

    def full(files: Files) -> Spool:
        monkeypatch.undo()
        made = spool(files)
        vars(made)["_file"] = Full(made, room)
        return made

    monkeypatch.setattr(Files, "spool", full)


@pytest.mark.parametrize("kind", ["media", "multipart"])
def test_a_full_disk_is_named_and_leaves_no_file(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async def run() -> None:
        await client.bucket()
        fill(monkeypatch, room=2)
        body, type_ = b"12345", "text/plain"
        if kind == "multipart":
            body, type_ = b"--m\r\n\r\n{}\r\n--m\r\n\r\n12345\r\n--m--", "multipart/related; boundary=m"
        upload = f"{UPLOAD}?uploadType={kind}&name=a"
        status, _, answer = await client.call("POST", upload, body, content_type=type_)
        assert (status, b"The disk of the local stack is full" in answer) == (507, True)
        assert list((tmp_path / ".bqdump-local" / "tmp").iterdir()) == []
        assert await client.put("a", b"12345") == 200

    asyncio.run(run())


def test_a_resumed_upload_after_a_full_disk_has_the_right_bytes(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        await client.bucket()
        fill(monkeypatch, room=2)
        upload = await client.begin("a")
        assert (await client.call("PUT", upload, b"12345", content_range="bytes 0-4/5"))[0] == 507
        assert (await client.call("PUT", upload, b"12345", content_range="bytes 0-4/5"))[0] == 200
        assert await client.read("a") == b"12345"

    asyncio.run(run())


# -- a server that is killed


class KilledError(BaseException):
    """The end of the process."""


@pytest.mark.parametrize("versioned", [False, True], ids=["soft delete", "versions"])
@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("name", ["a", "b//c"])
def test_a_server_that_is_killed_while_it_replaces_an_object_has_the_old_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, name: str, *, versioned: bool
) -> None:
    async def write(client: Client, text: str) -> int:
        resource = f'{{"name": "{name}", "metadata": {{"text": "{text}"}}}}'
        body = f"--m\r\n\r\n{resource}\r\n--m\r\n\r\n{text}\r\n--m--".encode()
        upload = f"{UPLOAD}?uploadType=multipart"
        return (await client.call("POST", upload, body, content_type="multipart/related; boundary=m"))[0]

    async def run() -> None:
        first = Client(tmp_path, persist=True)
        await first.bucket()
        holder = first.store.buckets[BUCKET].record
        settings = {**holder.settings, "versioning": {"enabled": versioned}}
        first.store.save_bucket(msgspec.structs.replace(holder, settings=settings))
        assert await write(first, "old") == 200
        old = first.store.find(BUCKET, name).generation
        move = Files._move

        def killed(path: str, target: Path) -> None:
            if where == "after":
                move(path, target)
            # What follows in this process never happens.
            assert first.store._catalog is not None
            first.store._catalog._database.close()
            raise KilledError

        with monkeypatch.context() as patched:
            patched.setattr(Files, "_move", staticmethod(killed))
            with pytest.raises(BaseException):  # noqa: B017
                await write(first, "new")
        first.store.files.close()
        second = Client(tmp_path, persist=True)
        record = second.store.find(BUCKET, name)
        with second.store.files.open(record.place) as file:
            content = file.read().decode()
        assert (record.settings["metadata"], content) == ({"text": content}, "old" if where == "before" else "new")
        kept = second.store.versions.of(BUCKET, name)
        kept += second.store.soft_deleted.of(second.store.buckets[BUCKET].record, name)
        # The old one is live, or kept; not both.
        assert [one.generation for one in kept] == ([] if where == "before" else [old])
        second.close()

    asyncio.run(run())


def test_a_folder_has_one_server_at_a_time(tmp_path: Path) -> None:
    client = Client(tmp_path)
    spool = client.store.files.spool()
    with pytest.raises(UsageError, match="another stack uses the folder"):
        Client(tmp_path)
    spool.write(b"1")
    assert Path(spool._path).read_bytes() == b"1"
    spool.discard()
    client.close()
    Client(tmp_path).close()
