"""The promises of ObjectStore, tested with every implementation."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import IO, TypeVar, cast

import pytest

from bqdump.adapters.checksums import crc32c
from bqdump.adapters.folder.store import FolderStore
from bqdump.adapters.gcs.store import CloudStore
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.patience import Patience
from bqdump.adapters.retry import RetryingStore
from bqdump.adapters.s3.client import open_client
from bqdump.adapters.s3.store import S3Store
from bqdump.core.documents.layout import SMALL
from bqdump.core.documents.notes import NOTE_BYTES
from bqdump.core.errors import BqdumpError, ConflictError, DocumentError, NotFoundError
from bqdump.ports.mover import Settling
from bqdump.ports.store import Abilities, Copy, ObjectInfo, ObjectStore, Stored
from local.storage_server import Http, storage_server
from s3_server import S3Server, environment, s3_server

Result = TypeVar("Result")
KEY, OLD_KEY = "projects/p/locations/us/keyRings/r/cryptoKeys/k", "projects/p/locations/us/keyRings/r/cryptoKeys/old"
HOSTILE = [
    "plain",
    "two words",
    "100%",
    "a%2Fb",
    "ünï/çødé 🦆",
    "a?b#c&d=e",
    "x" * 200,
    "a..b/..c",
    "'quote\"",
    "+plus+",
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with storage_server() as address, Http(address) as http:
        http.bucket("bucket")
        yield address


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


# A second server of S3, which shares no code with the first one (moto): `make .venv/.localstack`.
ROOT = Path(__file__).parent.parent.parent
LOCALSTACK = Path(sys.prefix) / "localstack" / "bin" / "python"
# Exists once it is installed completely.
INSTALLED = Path(sys.prefix) / ".localstack"


@pytest.fixture(scope="module")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("localstack")
    environ = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home), "TMPDIR": str(home)}
    command = [LOCALSTACK, ROOT / "tests" / "localstack_server.py"]
    with Popen(command, env=environ, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True) as server:
        assert server.stdin
        assert server.stdout
        address = server.stdout.readline().strip()
        # Without an address, the client would take that of AWS.
        assert address.startswith("http://127.0.0.1:"), address
        yield address
        server.stdin.close()


def fresh_bucket(address: str) -> str:
    name = f"bucket-{uuid.uuid4()}"
    client = open_client(address)
    client.create_bucket(Bucket=name)
    client.close()
    return name


STORES = ["memory", "bare", "folder", "cloud", "retrying", "s3", *(["localstack"] if INSTALLED.exists() else [])]


@pytest.fixture(params=STORES)
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], ObjectStore]:
    if request.param == "cloud":
        server = request.getfixturevalue("server")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
        with Http(server) as http:
            for item in http.call("GET", "b/bucket/o").json().get("items", []):
                http.call("DELETE", f"b/bucket/o/{item['name'].replace('%', '%25').replace('/', '%2F')}")

    if request.param == "s3":
        request.getfixturevalue("s3").bucket()

    if request.param == "localstack":
        address = request.getfixturevalue("localstack")
        for name, value in environment(address).items():
            monkeypatch.setenv(name, value)
        bucket = fresh_bucket(address)
        if request.function is test_a_listing_starts_at_a_name:
            reason = "LocalStack compares StartAfter with the names as they are encoded in the answer"
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    def memory(*, listed_checksums: bool = True) -> MemoryStore:
        abilities = Abilities(listed_checksums=listed_checksums, late_generations=not listed_checksums)
        store = MemoryStore(page=3, abilities=abilities)
        store.clock = lambda: int(time.time() * 1000)
        return store

    stores: dict[str, Callable[[], ObjectStore]] = {
        "memory": memory,
        "bare": lambda: memory(listed_checksums=False),
        "retrying": lambda: RetryingStore(memory()),
        "folder": lambda: FolderStore(tmp_path / "target"),
        "cloud": lambda: CloudStore("bucket", "test"),
        "s3": lambda: S3Store("bucket"),
        "localstack": lambda: S3Store(bucket, address),
    }
    return stores[request.param]


def on(make: Callable[[], ObjectStore], test: Callable[[ObjectStore], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        store = make()
        try:
            return await test(store)
        finally:
            await store.close()

    return asyncio.run(run())


def as_listed(store: ObjectStore, info: ObjectInfo | None) -> ObjectInfo | None:
    """The object as a listing has it."""
    return info if info is None or store.abilities.listed_checksums else info._replace(crc32c="", origin="")


async def streamed(store: ObjectStore, *sent: ObjectInfo) -> list[ObjectInfo]:
    """What was stored by streams, with its generations."""
    if not store.abilities.late_generations:
        return list(sent)
    return [info for info in await cast("Settling", store).settled(sent) if info]


async def everything(pages: AsyncIterator[list[Result]]) -> list[Result]:
    return [item async for page in pages for item in page]


def test_reads_what_was_written_at_its_generation(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        generation = await store.write("a/b.json", b'{"x": 1}', 0)
        assert await store.read("a/b.json") == (b'{"x": 1}', generation)
        info = await store.stat("a/b.json")
        assert info
        assert info[:5] == ("a/b.json", 8, crc32c(b'{"x": 1}'), generation, "")

    on(make, check)


def test_an_object_has_the_time_at_which_it_was_written(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        began = int(time.time() * 1000)
        await store.write("a/b", b"1", 0)
        await store.write("a/b", b"2", None)
        (listed,) = await everything(store.objects("a/"))
        assert listed == as_listed(store, await store.stat("a/b"))
        # A file system may round down to its ticks.
        assert began - 1000 <= listed.updated <= int(time.time() * 1000)

    on(make, check)


def test_a_range_is_read(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        await store.write("digits", b"0123456789", 0)
        assert (await store.read("digits", 3, 4)).data == b"3456"
        assert (await store.read("digits", 8)).data == b"89"
        assert (await store.read("digits", 8, 10)).data == b"89"
        assert (await store.read("digits", 4, 0)).data == b""
        assert (await store.read("digits", 10, 4)).data == b""

    on(make, check)


def test_an_oversized_document_is_not_loaded(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        for name in ("p/_bqdump/latest.json", "_bqdump/erasing.json"):
            await store.write(name, b" " * (SMALL + 1), 0)
            with pytest.raises(DocumentError, match="it is larger than 1,048,576 bytes"):
                await store.read(name)
            assert (await store.read(name, 0, 5)).data == b" " * 5
        await store.write("p/_bqdump/publishing.json", b" " * SMALL, 0)
        assert len((await store.read("p/_bqdump/publishing.json")).data) == SMALL
        await store.write("p/latest.json", b" " * (SMALL + 1), 0)
        assert len((await store.read("p/latest.json")).data) == SMALL + 1

    on(make, check)


def test_missing_objects_are_not_found(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        assert await store.stat("nothing") is None
        with pytest.raises(NotFoundError, match="nothing"):
            await store.read("nothing")

    on(make, check)


def test_writes_only_over_the_expected_generation(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        first = await store.write("x", b"1", 0)
        with pytest.raises(ConflictError):
            await store.write("x", b"2", 0)
        second = await store.write("x", b"3", first)
        assert second > first
        with pytest.raises(ConflictError):
            await store.write("x", b"4", first)
        third = await store.write("x", b"5", None)
        assert await store.read("x") == (b"5", third)

    on(make, check)


def test_one_of_many_creators_wins(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        tries = (store.write("race", str(number).encode(), 0) for number in range(20))
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(result, int) for result in results) == 1
        assert sum(isinstance(result, ConflictError) for result in results) == 19

    on(make, check)


def test_lists_by_name_below_a_prefix(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        names = [f"p/{number:02}" for number in range(7)]
        for name in [*reversed(names), "other", "p2/x"]:
            await store.write(name, name.encode(), 0)
        listed = await everything(store.objects("p/"))
        assert [info.name for info in listed] == names
        assert listed[0] == as_listed(store, await store.stat("p/00"))
        assert await everything(store.objects("nothing/")) == []
        assert await store.folders("") == ["p", "p2"]

    on(make, check)


def test_lists_the_object_of_a_name_in_each_folder(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        folder = "p[1]*/runs/"
        wanted = [f"{folder}{run}/manifest.json" for run in ("a", "b")]
        others = [
            f"{folder}a/x/manifest.json",
            f"{folder}c/plan.json",
            f"{folder}manifest.json",
            "p1/runs/a/manifest.json",
        ]
        for name in [*wanted, *others]:
            await store.write(name, name.encode(), 0)
        found = await store.in_folders(folder, "manifest.json")
        assert [info.name for info in found] == wanted
        for info in found:
            stored = await store.stat(info.name)
            assert stored
            assert (info.size, info.generation) == (stored.size, stored.generation)
        assert await store.in_folders("nothing/", "manifest.json") == []

    on(make, check)


def test_a_listing_starts_at_a_name(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        folder = "p/_bqdump/log/"
        names = [f"{folder}{name}.json" for name in ("A", "Z", "a", "z", "é", "\ud7ff", "\ue000", "🦆")]
        for name in names:
            await store.write_note(name, b"{}", 0)
        for number, name in enumerate(names):
            assert [info.name for info in await everything(store.objects(folder, name))] == names[number:]
            assert [note[0] for note in await everything(store.notes(folder, name))] == names[number:]
        assert await everything(store.objects(folder, "p/_bqdump/m")) == []
        assert len(await everything(store.objects(folder, "a"))) == len(names)

    on(make, check)


def test_a_listing_returns_notes(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        folder = "p/_bqdump/runs/r/"
        name = f"{folder}claims/00000-00000.json"
        await store.write(f"{folder}plan.json", b"{}", 0)
        data = '{"table":"ünï 🦆","q":"\\""}'.encode()
        generation = await store.write_note(name, data, 0)
        assert [note[:3] for note in await everything(store.notes(folder))] == [(name, data, generation)]
        assert (await store.read(name)).data == data
        with pytest.raises(ConflictError):
            await store.write_note(name, b"{}", 0)
        await store.write_note(name, b"{}", generation)
        with pytest.raises(ValueError, match="bytes"):
            await store.write_note(f"{folder}claims/00000-00001.json", b"x" * (NOTE_BYTES + 1), 0)

    on(make, check)


@pytest.mark.parametrize("content", [b'{"tags":["b"]}', b"garbage", b"", b'{"tags":["b"]}'.ljust(NOTE_BYTES)])
def test_a_note_that_was_uploaded_again_is_listed_with_its_content(
    make: Callable[[], ObjectStore], content: bytes
) -> None:
    async def check(store: ObjectStore) -> None:
        folder = "p/_bqdump/tags/"
        await store.write_note(f"{folder}a.json", b'{"tags":["a"]}', 0)
        first = await store.write_note(f"{folder}b.json", b'{"tags":["a"]}', 0)
        again = await store.write(f"{folder}b.json", content, first)
        other = await store.write(f"{folder}c.json", content, 0)
        await store.write(f"{folder}README.txt", b"mine", 0)
        listed = await everything(store.notes(folder))
        assert [note[:2] for note in listed] == [
            (f"{folder}a.json", b'{"tags":["a"]}'),
            (f"{folder}b.json", content),
            (f"{folder}c.json", content),
        ]
        assert [note.generation for note in listed[1:]] == [again, other]

    on(make, check)


def test_only_notes_that_another_tool_has_uploaded_are_read_one_by_one(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    folder, read = "p/_bqdump/log/", list[str]()

    class Counting(CloudStore):
        async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
            read.append(name)
            return await super().read(name, start, length)

    with Http(server) as http:
        http.bucket("notes")
        stale = {"name": f"{folder}stale.json", "metadata": {"bqdump-note": "{}"}}
        http.upload_multipart("notes", stale, b"[]").raise_for_status()

    async def check(store: ObjectStore) -> None:
        for number in range(3):
            await store.write_note(f"{folder}{number}.json", b'{"n":"\xc3\xbc"}', 0)
        await store.write(f"{folder}plain.json", b"{}", 0)
        listed = await everything(store.notes("p/"))
        assert [note.data for note in listed] == [b'{"n":"\xc3\xbc"}'] * 3 + [b"{}", b"[]"]
        assert sorted(read) == [f"{folder}plain.json", f"{folder}stale.json"]

    on(lambda: Counting("notes", "test"), check)


def test_content_that_is_larger_than_a_note_is_listed_in_part(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        name = "p/_bqdump/tags/a.json"
        generation = await store.write(name, b"[" * (SMALL + 1), 0)
        [note] = await everything(store.notes("p/"))
        assert note[:3] == (name, b"[" * (NOTE_BYTES + 1), generation)

    on(make, check)


def test_copies_carry_content_and_origin(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        source = await store.write("s", b"new", 0)
        target = await store.write("t", b"old", 0)
        stale = await store.write("u", b"old", 0)
        await store.write("u", b"changed", stale)
        results = await store.copy(
            [Copy("s", source, "t", target), Copy("s", source, "u", stale), Copy("gone", 7, "v", 0),
             Copy("s", source, "w", 0), Copy("s", source + 1, "x", 0)], "run/1",
        )  # fmt: skip
        copied, conflict, missing, created, other_generation = results
        assert isinstance(copied, ObjectInfo)
        assert copied[:3] == ("t", 3, crc32c(b"new"))
        assert copied.origin == "run/1"
        assert isinstance(conflict, ConflictError)
        assert isinstance(missing, NotFoundError)
        assert isinstance(created, ObjectInfo)
        assert isinstance(other_generation, NotFoundError)
        assert (await store.read("t")).data == b"new"
        assert (await store.read("u")).data == b"changed"
        assert await store.stat("t") == copied

    on(make, check)


def test_an_append_requires_the_named_generation(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        first = await store.write("a/o", b"one", 0)
        added = await store.append("a/o", first, b" two", "scratch/1")
        assert (added.name, added.size, added.crc32c) == ("a/o", 7, crc32c(b"one two"))
        assert added.generation != first
        assert await store.read("a/o") == Stored(b"one two", added.generation)
        for name, generation in (("a/o", first), ("a/o", 7), ("gone", 7), ("gone", 0)):
            with pytest.raises(ConflictError):
                await store.append(name, generation, b"!", "scratch/2")
        assert [info.name for info in await everything(store.objects(""))] == ["a/o"]
        assert await store.stat("a/o") == added

    on(make, check)


def test_one_of_two_rivals_appends(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        first = await store.write("o", b"one", 0)
        adding = (store.append("o", first, b"!", f"scratch/{number}") for number in range(3))
        results = await asyncio.gather(*adding, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["ConflictError", "ConflictError", "ObjectInfo"]
        assert (await store.read("o")).data == b"one!"

    on(make, check)


def test_deletes_only_the_named_generation(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        first = await store.write("x", b"1", 0)
        second = await store.write("x", b"2", first)
        assert await store.delete([("x", first), ("nothing", 1)]) == [False, False]
        assert (await store.read("x")).data == b"2"
        assert await store.delete([("x", second)]) == [True]
        assert await store.stat("x") is None

    on(make, check)


@pytest.mark.parametrize("operation", ["storage.objects.delete in a batch", "storage.batch$"])
def test_a_deletion_whose_answer_was_lost_counts(server: str, monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    rules = [{"operation": operation, "status": 503, "after": True, "times": 1}]

    async def check(store: ObjectStore) -> None:
        first, second = await store.write("first", b"1", 0), await store.write("second", b"2", 0)
        with Http(server) as http:
            http.call("PUT", f"{server}/_local/faults", json={"rules": rules}).raise_for_status()
            assert await store.delete([("first", first), ("second", second)]) == [True, True]
        assert await store.delete([("first", first)]) == [False]

    on(lambda: RetryingStore(CloudStore("bucket", "test"), Patience(first_pause=0.001)), check)


def test_copies_and_deletes_more_objects_than_fit_into_a_batch(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        # S3 has no batches: each object is several requests.
        many = 20 if isinstance(store, S3Store) else 230
        source = await store.write("s", b"new", 0)
        copied = await store.copy([Copy("s", source, f"many/{n:03}", 0) for n in range(many)], "o")
        infos = [info for info in copied if isinstance(info, ObjectInfo)]
        assert [info.name for info in infos] == [f"many/{n:03}" for n in range(many)]
        assert await store.delete([(info.name, info.generation) for info in infos]) == [True] * many
        assert await everything(store.objects("many/")) == []

    on(make, check)


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_works(make: Callable[[], ObjectStore], name: str) -> None:
    async def check(store: ObjectStore) -> None:
        full = f"names/{name}"
        source = await store.write(full, b"x", 0)
        assert [info.name for info in await everything(store.objects("names/"))] == [full]
        copied = (await store.copy([Copy(full, source, f"copies/{name}", 0)], "o"))[0]
        assert not isinstance(copied, BqdumpError)
        assert copied.name == f"copies/{name}"
        assert (await store.read(copied.name)).data == b"x"
        assert await store.delete([(full, source), (copied.name, copied.generation)]) == [True, True]

    on(make, check)


@pytest.mark.parametrize("size", [0, 10, (8 << 20) + 1, (20 << 20) + 7])
def test_uploads_files_of_any_size(make: Callable[[], ObjectStore], size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)

    def fill(file: IO[bytes]) -> str:
        for start in range(0, size, 3 << 20):
            file.write(content[start : min(size, start + (3 << 20))])
        assert file.tell() == size
        return "done"

    async def check(store: ObjectStore) -> None:
        info, result = await store.upload("folder/large", fill, 0)
        assert result == "done"
        assert info[:3] == ("folder/large", size, crc32c(content[:size]))
        assert await store.stat("folder/large") == info
        assert (await store.read("folder/large")).data == content[:size]

    on(make, check)


async def pieces_of(content: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 3 << 20):
        yield content[start : start + (3 << 20)]
    if error:
        raise error


@pytest.mark.parametrize("size", [0, 10, 8 << 20, (20 << 20) + 7])
def test_a_stream_of_any_size_is_stored(make: Callable[[], ObjectStore], size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)

    async def check(store: ObjectStore) -> None:
        [info] = await streamed(store, await store.stream("folder/large", pieces_of(content[:size]), 0))
        assert info[:3] == ("folder/large", size, crc32c(content[:size]))
        assert await store.stat("folder/large") == info
        assert (await store.read("folder/large")).data == content[:size]

    on(make, check)


@pytest.mark.parametrize("size", [10, 9 << 20])
def test_a_stream_replaces_only_the_expected_generation(make: Callable[[], ObjectStore], size: int) -> None:
    async def check(store: ObjectStore) -> None:
        first = await store.write("x", b"1", 0)
        with pytest.raises(ConflictError):
            await store.stream("x", pieces_of(b"x" * size), 0)
        assert await store.read("x") == (b"1", first)
        [info] = await streamed(store, await store.stream("x", pieces_of(b"x" * size), first))
        assert info.generation > first

    on(make, check)


def test_of_several_streams_each_has_its_generation_unless_it_is_gone(make: Callable[[], ObjectStore]) -> None:
    names = ["f/a", "f/bb/c", "f/d", "f/ü", "g/x"]

    async def check(store: ObjectStore) -> None:
        for name in ("f/a.2", "f/bb/b", "f/z"):
            await store.write(name, b"another", 0)
        sent = [await store.stream(name, pieces_of(name.encode()), 0) for name in names]
        found = await streamed(store, *sent)
        assert found == [await store.stat(name) for name in names]
        assert await streamed(store, *found) == found
        if store.abilities.late_generations:
            await store.delete([("f/d", found[2].generation)])
            await store.write("f/bb/c", b"f/bb/C", found[1].generation)
            assert await cast("Settling", store).settled(sent) == [found[0], None, None, *found[3:]]

    on(make, check)


@pytest.mark.parametrize("size", [10, 20 << 20])
def test_a_stream_that_fails_leaves_nothing(make: Callable[[], ObjectStore], size: int) -> None:
    async def check(store: ObjectStore) -> None:
        with pytest.raises(ZeroDivisionError):
            await store.stream("x", pieces_of(b"x" * size, ZeroDivisionError()), 0)
        assert await store.stat("x") is None
        assert [info async for page in store.objects("") for info in page] == []

    on(make, check)


@pytest.mark.parametrize("size", [10, 9 << 20])
def test_uploads_only_over_the_expected_generation(make: Callable[[], ObjectStore], size: int) -> None:
    def fill(file: IO[bytes]) -> None:
        file.write(b"x" * size)

    def other(file: IO[bytes]) -> None:
        file.write(b"y" * size)

    async def check(store: ObjectStore) -> None:
        first = await store.write("x", b"1", 0)
        with pytest.raises(ConflictError):
            await store.upload("x", fill, 0)
        assert await store.read("x") == (b"1", first)
        info, _ = await store.upload("x", fill, first)
        assert info.generation > first
        with pytest.raises(ConflictError):
            await store.upload("x", other, first)
        again, _ = await store.upload("x", fill, None)
        assert (again.size, again.generation > info.generation) == (size, True)

    on(make, check)


@pytest.mark.parametrize("size", [10, 20 << 20])
def test_an_upload_that_fails_leaves_nothing(make: Callable[[], ObjectStore], size: int) -> None:
    def fill(file: IO[bytes]) -> None:
        file.write(b"x" * size)
        raise KeyError("broken")

    async def check(store: ObjectStore) -> None:
        with pytest.raises(KeyError, match="broken"):
            await store.upload("a/b", fill, 0)
        assert await store.stat("a/b") is None
        assert await everything(store.objects("")) == []

    on(make, check)


def test_copies_of_copies_are_independent(make: Callable[[], ObjectStore]) -> None:
    async def check(store: ObjectStore) -> None:
        source = await store.write("s", b"one", 0)
        copied = (await store.copy([Copy("s", source, "t", 0)], "o"))[0]
        assert isinstance(copied, ObjectInfo)
        again = (await store.copy([Copy("s", source, "t", copied.generation)], "o"))[0]
        assert isinstance(again, ObjectInfo)
        await store.write("s", b"two", source)
        assert (await store.read("t")).data == b"one"
        assert await store.delete([("s", (await store.read("s")).generation)]) == [True]
        assert [info.name for info in await everything(store.objects(""))] == ["t"]

    on(make, check)


@pytest.mark.parametrize("key", ["", KEY])
def test_copies_of_files_of_any_size_get_another_key_and_keep_their_origin(
    server: str, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """BigQuery encrypts with the bucket's key at that time, so files can have another key than their copies."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    with Http(server) as http:
        http.bucket(f"keyed{len(key)}", encryption={"defaultKmsKeyName": "" if key else KEY})
        sources = [
            int(http.put(f"keyed{len(key)}", name, b"x" * size, kmsKeyName=OLD_KEY)["generation"])
            for name, size in (("small", 5), ("large", 2_500_000))
        ]

    async def check(store: ObjectStore) -> None:
        wishes = [Copy("small", sources[0], "a", 0), Copy("large", sources[1], "b", 0), Copy("large", 1, "c", 0)]
        small, large, gone = await store.copy(wishes, "origin")
        assert isinstance(small, ObjectInfo)
        assert isinstance(large, ObjectInfo)
        assert isinstance(gone, NotFoundError)
        assert (small.size, small.origin) == (5, "origin")
        assert (large.size, large.origin) == (2_500_000, "origin")
        assert await store.stat("b") == large
        again = (await store.copy([Copy("large", sources[1], "b", 0)], "origin"))[0]
        assert isinstance(again, ConflictError)

    on(lambda: CloudStore(f"keyed{len(key)}", "test", key), check)
    with Http(server) as http:
        names = [item["kmsKeyName"] for item in http.call("GET", f"b/keyed{len(key)}/o").json()["items"]]
    assert sorted(names) == [f"{one}/cryptoKeyVersions/1" for one in (KEY, KEY, OLD_KEY, OLD_KEY)]
