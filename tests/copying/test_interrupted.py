"""A copy that is killed at any request is complete or not there, and the same command completes it."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.copying.run import copy
from bqdump.core.errors import BqdumpError, NotFoundError
from bqdump.core.retention.policy import Policy
from bqdump.ports.store import ObjectInfo, Stored
from copying.scene import Copies, complete
from forged import with_checksum_of
from tiers import points

Answer = TypeVar("Answer")


class KilledError(BaseException):
    """The process is killed."""


class Watched:
    """A store as a process sees it. before: is called with each request, and may kill the process. stored: file names.

    late: kill the process when the request has been carried out.
    """

    def __init__(self, store: MemoryStore, before: Callable[[str, str], None], *, late: bool = False) -> None:
        self._store, self._before, self._late = store, before, late
        self.url = store.url
        self.stored: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def _request(self, what: str, name: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        if not self._late:
            self._before(what, name)
        answer = await ask()
        if self._late:
            self._before(what, name)
        return answer

    async def stat(self, name: str) -> ObjectInfo | None:
        return await self._request("stat", name, lambda: self._store.stat(name))

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        return await self._request("read", name, lambda: self._store.read(name, start, length))

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        return await self._request("write", name, lambda: self._store.write(name, data, expect))

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        return await self._request("note", name, lambda: self._store.write_note(name, data, expect))

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        async def store() -> ObjectInfo:
            info = await self._store.stream(name, pieces, expect)
            self.stored.append(name)
            return info

        return await self._request("stream", name, store)

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        return await self._request("delete", "", lambda: self._store.delete(objects))

    async def folders(self, prefix: str) -> list[str]:
        return await self._request("list", prefix, lambda: self._store.folders(prefix))

    async def in_folders(self, prefix: str, name: str) -> list[ObjectInfo]:
        return await self._request("list", prefix, lambda: self._store.in_folders(prefix, name))

    async def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
        self._before("list", prefix)
        async for page in self._store.objects(prefix, start):
            yield page


def attempt(copies: Copies, target: Any) -> bool:
    """Whether the copy ends by itself."""
    try:
        asyncio.run(copy(copies.task(None, target), (), Policy(), every=False))
    except KilledError:
        return False
    return True


def ended(work: Coroutine[Any, Any, object]) -> str:
    """Why nothing was found, "" where the copy ends well."""
    try:
        asyncio.run(work)
    except NotFoundError as error:
        return str(error)
    return ""


def until(number: int) -> Callable[[str, str], None]:
    """Kills at the request of this number."""
    left = iter(range(number))

    def before(what: str, name: str) -> None:
        if next(left, None) is None:
            raise KilledError(f"{what} {name}")

    return before


@pytest.fixture(scope="module")
def begun() -> dict[str, Any]:
    """Two runs, the first of which is copied; the second takes over one of its files."""
    copies = Copies()
    copies.export("n1", "n2", incremental=True)
    copies.copy()
    copies.export("n3", incremental=True)
    return {"source": dict(copies.source.store._objects), "target": dict(copies.target._objects), "copies": copies}


def restored(begun: dict[str, Any]) -> Copies:
    copies: Copies = begun["copies"]
    copies.source.store._objects.clear()
    copies.source.store._objects.update(begun["source"])
    copies.target._objects.clear()
    copies.target._objects.update(begun["target"])
    return copies


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_killed_at_any_request_it_is_complete_or_not_there_and_the_same_command_resumes(
    begun: dict[str, Any], late: bool
) -> None:
    for number in points(itertools.count()):
        copies = restored(begun)
        first = Watched(copies.target, until(number), late=late)
        done = attempt(copies, first)
        complete(copies)
        assert copies.latest() in ("n2", "n3")
        again = Watched(copies.target, lambda what, name: None)
        assert attempt(copies, again)
        complete(copies)
        assert copies.latest() == "n3"
        assert len([*first.stored, *again.stored]) == len({*first.stored, *again.stored}) == 1, (
            "a file was copied again"
        )
        assert not copies.verify("n3").findings
        digests = [file.sha256 for entry in copies.manifest("n3").tables for file in entry.files]
        assert digests
        assert all(digests)
        documents = {name.rpartition("/")[2] for name in copies.target.names_now() if "/runs/n3/" in name}
        assert {re.sub("[0-9]+", "N", name) for name in documents} == {
            "renewed-N.json",
            "planner.json",
            "copying.json",
            "manifest.json",
            "contents.json",
            "report.html",
        }
        if done:
            break
    assert number > 15


def test_a_source_run_that_is_pruned_under_the_copy_at_any_request_is_an_error_and_the_copy_is_as_before(
    begun: dict[str, Any],
) -> None:
    refused = 0
    for number in itertools.count():
        copies = restored(begun)
        left = iter(range(number))
        gone: list[str] = []

        def prune_now(what: str, name: str) -> None:
            if next(left, None) is None and not gone:  # noqa: B023
                gone.append(name)  # noqa: B023
                for one in ("-n3.json", "/n3/items/", "/runs/n3/manifest.json"):
                    remove(copies.source.store, one)  # noqa: B023

        source: Any = Watched(copies.source.store, prune_now)
        why = ended(copy(copies.task(source), ("n3",), Policy(), every=False))
        refused += bool(why)
        assert not why or "run n3" in why
        assert copies.latest() == ("n2" if why else "n3")
        assert ({manifest.run for manifest in copies.manifests()} == {"n2"}) == bool(why)
        complete(copies)
        assert not copies.verify("n2").findings
        if not gone:
            break
    assert refused > 3


def test_a_source_run_that_is_replaced_under_the_copy_is_an_error_and_the_copy_is_as_before() -> None:
    copies = Copies("replace")
    copies.export("n1")
    copies.copy()
    copies.export("n2")
    reads: list[str] = []

    def replace_now(what: str, name: str) -> None:
        if what == "read" and name.endswith(".csv") and not reads:
            reads.append(name)
            copies.source.store.put_now(name, b"of a later run")

    source: Any = Watched(copies.source.store, replace_now)
    with pytest.raises(BqdumpError, match=r"\.csv: it is missing|has replaced|has another size"):
        asyncio.run(copy(copies.task(source, copies.target), (), Policy(), every=False))
    assert reads
    assert copies.latest() == "n1"
    assert {manifest.run for manifest in copies.manifests()} == {"n1"}
    complete(copies)


def test_two_copies_at_the_same_time_make_one(begun: dict[str, Any]) -> None:
    copies = restored(begun)

    async def both() -> None:
        await asyncio.gather(*(copy(copies.task(), (), Policy(), every=False) for _ in range(2)))

    asyncio.run(both())
    complete(copies)
    assert copies.latest() == "n3"


def test_a_copy_that_was_abandoned_is_pruned_with_its_files(begun: dict[str, Any]) -> None:
    copies = restored(begun)
    left = iter(range(1))

    def before(what: str, name: str) -> None:
        if name.endswith("/copied/000000.json") and next(left, None) is not None:
            raise KilledError

    assert not attempt(copies, Watched(copies.target, before))
    names = {name for name in copies.data() if "/n3/" in name}
    assert len(names) == 1
    assert copies.prune(days=2, keep_last=5, abandoned_after=86_400) == ["n3"]
    assert [name for name in copies.target.names_now() if "/n3/" in name] == []
    complete(copies)
    assert not copies.verify("n2").findings
    copies.copy()
    assert copies.latest() == "n3"
    complete(copies)


def test_a_prune_of_an_abandoned_copy_leaves_files_of_others_under_its_names(begun: dict[str, Any]) -> None:
    copies = restored(begun)
    left = iter(range(1))

    def before(what: str, name: str) -> None:
        if what == "stream" and next(left, None) is not None:
            copies.target.put_now(name, b"mine")
            raise KilledError

    assert not attempt(copies, Watched(copies.target, before))
    assert copies.prune(days=2, keep_last=5, abandoned_after=86_400) == ["n3"]
    [name] = [name for name in copies.data() if "/n3/" in name]
    found = copies.target.peek(name)
    assert found
    assert found[0] == b"mine"


def test_a_copy_in_progress_is_not_pruned(begun: dict[str, Any]) -> None:
    copies = restored(begun)
    assert not attempt(copies, Watched(copies.target, until(12), late=True))
    assert copies.prune(days=0, keep_last=5) == []


def test_a_prune_of_the_copy_at_any_request_never_takes_what_the_copy_relies_on(begun: dict[str, Any]) -> None:
    number = 0
    while True:
        copies = restored(begun)
        asyncio.run(copy(copies.task(), ("n1",), Policy(), every=False))
        left, pruned = iter(range(number)), list[str]()

        def before(what: str, name: str) -> None:
            if next(left, None) is None and not pruned:  # noqa: B023
                pruned.append(name)  # noqa: B023
                in_a_thread(lambda: copies.prune(days=0, keep_last=1))  # noqa: B023

        asyncio.run(copy(copies.task(None, cast("Any", Watched(copies.target, before))), (), Policy(), every=False))
        complete(copies)
        assert not copies.verify("n3").findings
        if not pruned:
            break
        number += 1
    assert number > 15


def remove(store: MemoryStore, part: str) -> None:
    """Delete the objects whose names contain this."""
    for name in [name for name in store.names_now() if part in name]:
        del store._objects[name]


def in_a_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


class Key:
    """Signs with a checksum, which is enough here."""

    async def key_id(self) -> str:
        return "SHA256:key"

    async def sign(self, data: bytes) -> bytes:
        return hashlib.sha256(data).digest()


def test_a_file_that_a_thief_stores_while_its_run_is_copied_is_proven_before_it_is_signed() -> None:
    """Of the same size and CRC32C."""
    copies = Copies()
    copies.export("n1")
    planted: list[str] = []

    def plant(what: str, name: str) -> None:
        if what == "stream" and not planted:
            planted.append(name)
            source = copies.source.store.peek(name.replace("copies/", "x/"))
            assert source
            copies.target.put_now(name, with_checksum_of(source[0], b"mallory"))

    target: Any = Watched(copies.target, plant)
    task = copies.task(None, target)._replace(signer=Key())
    with pytest.raises(BqdumpError, match="it has other bytes than the source"):
        asyncio.run(copy(task, (), Policy(), every=False))
    assert planted
    assert not copies.manifests()
