"""The promises of Mover, tested with both ways: through this process, also to and from S3, and inside Cloud Storage."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from bqdump.adapters.checksums import crc32c
from bqdump.adapters.gcs.rewrite import RewriteMover
from bqdump.adapters.gcs.store import CloudStore
from bqdump.adapters.movers import StreamMover
from bqdump.adapters.patience import Patience
from bqdump.adapters.retry import RetryingStore
from bqdump.adapters.s3.store import S3Store
from bqdump.core.copy.manifest import PIECE_BYTES
from bqdump.core.errors import ConflictError, UnavailableError, VerificationError
from bqdump.file_content import FileContent
from bqdump.ports.mover import Mover
from bqdump.ports.store import Copy, ObjectInfo, ObjectStore
from local.storage_server import Http, storage_server
from s3_server import S3Server, s3_server

QUICK = Patience(seconds=5.0, first_pause=0.001, longest_pause=0.01)
LARGE = bytes(range(256)) * ((PIECE_BYTES * 2 + 12_345) // 256)


class Two(NamedTuple):
    """Two buckets, and what moves files from the first to the second."""

    source: ObjectStore
    target: ObjectStore
    mover: Mover


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with storage_server() as address, Http(address) as http:
        http.bucket("first")
        http.call("POST", "b?project=test", json={"name": "far", "location": "EU"}).raise_for_status()
        yield address


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(params=["stream", "to s3", "from s3", "rewrite"])
def on(request: pytest.FixtureRequest, server: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    with Http(server) as http:
        for bucket in ("first", "far"):
            for item in http.call("GET", f"b/{bucket}/o").json().get("items", []):
                http.call("DELETE", f"b/{bucket}/o/{item['name'].replace('/', '%2F')}")

    if "s3" in request.param:
        request.getfixturevalue("s3").bucket()

    def run(test: Callable[[Two], Awaitable[None]], **options: Any) -> None:
        async def opened() -> None:
            here: ObjectStore = CloudStore("first", "test", patience=QUICK)
            there: ObjectStore = CloudStore(
                "far", "test", patience=QUICK, storage_class=options.get("storage_class", "")
            )
            if request.param == "to s3":
                there = S3Store("bucket", patience=QUICK)
            if request.param == "from s3":
                here = S3Store("bucket", patience=QUICK)
            source, target = RetryingStore(here, QUICK), RetryingStore(there, QUICK)
            mover: Mover = StreamMover(source, target)
            if request.param == "rewrite":
                mover = RewriteMover("first", "far", target, "test", QUICK, **options)
            try:
                await test(Two(source, target, mover))
            finally:
                await mover.close()
                await source.close()
                await target.close()

        asyncio.run(opened())

    return run


def wish(data: bytes, generation: int, expect: int = 0) -> Copy:
    return Copy("a/file", generation, "b/file", expect, len(data), crc32c(data))


@pytest.mark.parametrize("data", [b"", b"x", LARGE], ids=["empty", "small", "large"])
def test_moves_a_file_of_any_size(on: Any, data: bytes) -> None:
    async def check(two: Two) -> None:
        generation = await two.source.write("a/file", data, 0)
        moved = await two.mover.move(wish(data, generation))
        assert moved
        [moved] = await two.mover.settled([moved])
        assert moved.info == await two.target.stat("b/file")
        assert not moved.by_another
        assert (await two.target.read("b/file")).data == data
        assert moved.sha256 == ("" if two.mover.rewrites else hashlib.sha256(data).hexdigest())
        assert await two.mover.digest(moved.info) == hashlib.sha256(data).hexdigest()

    on(check)


def test_files_that_arrive_together_have_their_generations_unless_one_is_gone(on: Any) -> None:
    async def check(two: Two) -> None:
        moved = []
        for name in "abc":
            generation = await two.source.write(f"a/{name}", b"one", 0)
            one = await two.mover.move(replace(wish(b"one", generation), source=f"a/{name}", target=f"b/{name}"))
            assert one
            moved.append(one)
        settled = await two.mover.settled(moved)
        assert [one.info for one in settled] == [await two.target.stat(f"b/{name}") for name in "abc"]
        assert await two.mover.settled(settled) == settled
        if two.target.abilities.late_generations:
            await two.target.delete([("b/b", settled[1].info.generation)])
            with pytest.raises(UnavailableError, match=r"s3://bucket/b/b: .*not there any more as it was sent"):
                await two.mover.settled(moved)

    on(check)


@pytest.mark.parametrize("on", ["stream", "rewrite"], indirect=True)
def test_the_storage_class_is_that_of_the_request_and_no_metadata_come_with_the_file(on: Any, server: str) -> None:
    with Http(server) as http:
        resource = {"name": "a/file", "metadata": {"bqdump-origin": "run/nonce/x/"}}
        made = http.upload_multipart("first", resource, b"data").json()

    async def check(two: Two) -> None:
        moved = await two.mover.move(wish(b"data", int(made["generation"])))
        assert moved
        assert moved.info.origin == ""

    on(check, storage_class="NEARLINE")
    with Http(server) as http:
        found = http.call("GET", "b/far/o/b%2Ffile").json()
    assert (found["storageClass"], found.get("metadata")) == ("NEARLINE", None)


@pytest.mark.parametrize("on", ["stream"], indirect=True)
def test_a_large_piece_is_on_its_way_while_it_is_hashed(on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived, in_time, summed = threading.Event(), list[bool](), FileContent._sum_up

    def sum_up(content: FileContent, piece: bytes) -> None:
        in_time.append(arrived.wait(10))
        summed(content, piece)

    async def check(two: Two) -> None:
        generation = await two.source.write("a/file", LARGE, 0)
        stream = two.target.stream

        async def observed(name: str, given: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
            async def pieces() -> AsyncIterator[bytes]:
                async for piece in given:
                    arrived.set()
                    yield piece

            return await stream(name, pieces(), expect)

        monkeypatch.setattr(two.target, "stream", observed)
        monkeypatch.setattr(FileContent, "_sum_up", sum_up)
        moved = await two.mover.move(wish(LARGE, generation))
        assert moved
        assert moved.sha256 == hashlib.sha256(LARGE).hexdigest()
        assert in_time == [True] * 3

    on(check)


def test_a_generation_that_is_gone_is_none_and_nothing_is_stored(on: Any) -> None:
    async def check(two: Two) -> None:
        generation = await two.source.write("a/file", b"one", 0)
        await two.source.write("a/file", b"two", generation)
        assert await two.mover.move(wish(b"one", generation)) is None
        assert await two.target.stat("b/file") is None

    on(check)


def test_the_same_file_of_another_task_is_the_answer(on: Any) -> None:
    async def check(two: Two) -> None:
        generation = await two.source.write("a/file", b"one", 0)
        there = await two.target.write("b/file", b"one", 0)
        moved = await two.mover.move(wish(b"one", generation))
        assert moved
        assert (moved.info.generation, moved.by_another) == (there, True)

    on(check)


def test_a_file_that_was_to_be_replaced_and_is_gone_is_stored(on: Any) -> None:
    async def check(two: Two) -> None:
        generation = await two.source.write("a/file", b"one", 0)
        there = await two.target.write("b/file", b"one", 0)
        await two.target.delete([("b/file", there)])
        moved = await two.mover.move(wish(b"one", generation, there))
        assert moved
        assert not moved.by_another
        [moved] = await two.mover.settled([moved])
        assert moved.info == await two.target.stat("b/file")

    on(check)


def test_another_file_of_that_name_is_a_conflict_and_stays(on: Any) -> None:
    async def check(two: Two) -> None:
        generation = await two.source.write("a/file", b"one", 0)
        there = await two.target.write("b/file", b"other", 0)
        with pytest.raises(ConflictError, match="another file of this name is there"):
            await two.mover.move(wish(b"one", generation))
        assert await two.target.read("b/file") == (b"other", there)

    on(check)


def test_other_bytes_than_the_manifest_records_are_refused_and_not_stored(on: Any) -> None:
    async def check(two: Two) -> None:
        generation = await two.source.write("a/file", b"eno", 0)
        with pytest.raises(VerificationError, match="CRC32C"):
            await two.mover.move(wish(b"one", generation))
        assert await two.target.stat("b/file") is None

    on(check)


def test_a_file_is_replaced_at_the_expected_generation_only(on: Any) -> None:
    async def check(two: Two) -> None:
        generation = await two.source.write("a/file", b"one", 0)
        there = await two.target.write("b/file", b"one", 0)
        moved = await two.mover.move(wish(b"one", generation, there))
        assert moved
        assert moved.info.generation > there

    on(check)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_requests_that_fail_for_a_while_are_repeated(on: Any, server: str, after: bool) -> None:
    async def check(two: Two) -> None:
        generation = await two.source.write("a/file", LARGE, 0)
        rules = [{"operation": "rewrite|insert|get", "status": 503, "times": 2, "after": after}]
        with Http(server) as http:
            http.call("PUT", f"{server}/_local/faults", json={"rules": rules}).raise_for_status()
        moved = await two.mover.move(wish(LARGE, generation))
        assert moved
        assert (await two.target.read("b/file")).data == LARGE

    try:
        on(check)
    finally:
        with Http(server) as http:
            http.call("PUT", f"{server}/_local/faults", json={"rules": []}).raise_for_status()
