"""A copy with a limit reads no more bytes in a second, whatever it reads at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump import file_content, verbs
from bqdump.adapters.checksums import crc32c
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.movers import StreamMover
from bqdump.copying.run import copy
from bqdump.core.copy.plan import Request, requested_copy
from bqdump.core.documents.run import Owner
from bqdump.core.errors import UsageError
from bqdump.core.retention.policy import Policy
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import parse_target
from bqdump.file_content import Pace
from bqdump.ports.store import Copy, Stored
from copying.scene import Copies
from retain.scene import SETTINGS
from simulation.loop import VirtualLoop

PIECE, RATE = 1000, 500


class Timed(MemoryStore):
    """Notes when which bytes of which files are read. Each read takes three seconds."""

    def __init__(self) -> None:
        super().__init__("first")
        self.reads: list[tuple[float, int]] = []

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        at = asyncio.get_running_loop().time()
        await asyncio.sleep(3)
        stored = await super().read(name, start, length)
        self.reads.append((at, len(stored.data)))
        return stored


def most_in(reads: list[tuple[float, int]], seconds: float) -> int:
    """The most bytes whose reads began within so many seconds."""
    return max(sum(size for later, size in reads if at <= later < at + seconds) for at, _ in reads)


@pytest.mark.parametrize("streams", [1, 2, 12])
def test_streams_together_read_as_much_as_the_limit_and_no_more(monkeypatch: pytest.MonkeyPatch, streams: int) -> None:
    monkeypatch.setattr(file_content, "PIECE_BYTES", PIECE)
    source, target, loop = Timed(), MemoryStore("second"), VirtualLoop("limit")
    contents = {f"f{number}": bytes([number]) * (4 * PIECE + 100 * number) for number in range(12)}
    mover = StreamMover(source, target, Pace(RATE))
    slots = asyncio.Semaphore(streams)

    async def move(name: str, content: bytes) -> None:
        async with slots:
            generation = await source.write(name, content, 0)
            moved = await mover.move(Copy(name, generation, name, 0, len(content), crc32c(content)))
            assert moved

    async def all_files() -> None:
        await asyncio.gather(*(move(name, content) for name, content in contents.items()))

    loop.complete(all_files())
    assert {name: stored[0] for name in contents if (stored := target.peek(name))} == contents
    total, last = sum(size for _, size in source.reads), max(at for at, _ in source.reads)
    assert total == sum(map(len, contents.values()))
    for seconds in (1, 2, 10, 60):
        assert most_in(source.reads, seconds) <= RATE * seconds + PIECE
    assert last >= (total - PIECE) / RATE
    if streams > 1:
        # Hardly anything of the limit is lost where several read at once.
        assert last <= 1.02 * total / RATE


def test_a_checksum_that_is_read_from_a_copy_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_content, "PIECE_BYTES", PIECE)
    store, loop = Timed(), VirtualLoop("digest")

    async def digest() -> None:
        await store.write("f", b"x" * 5 * PIECE, 0)
        info = await store.stat("f")
        assert info
        await StreamMover(MemoryStore("first"), store, Pace(RATE / 10)).digest(info)

    loop.complete(digest())
    assert [at for at, _ in store.reads] == [20, 40, 60, 80, 100]


def test_a_copy_with_a_limit_is_the_same_copy() -> None:
    copies, loop = Copies(), VirtualLoop("copy")
    copies.export("r1", "r2")
    mover = StreamMover(copies.source.store, copies.target, Pace(100))
    done = loop.complete(copy(copies.task(mover=mover), ["r1"], Policy(), every=False))
    assert loop.time() >= done.bytes / 100 - 1
    assert copies.verify("r1").findings == ()


@pytest.mark.parametrize(("tasks", "lock", "rate"), [(1, "", 800), (4, "", 200), (4, "governance", 800)])
def test_each_of_several_tasks_has_its_part_of_the_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tasks: int, lock: Any, rate: float
) -> None:
    class OpenedError(Exception):
        pass

    def opened(_: Settings, request: Request, *lock: object) -> None:
        raise OpenedError(request.limit)

    monkeypatch.setattr("bqdump.verbs.retention.opened_copy", opened)
    there: Any = parse_target(str(tmp_path))
    request = Request(there, lock_mode=lock, lock=86_400, limit=800)
    with pytest.raises(OpenedError) as limit:
        asyncio.run(verbs.copy(SETTINGS, request, Owner("c", 0), tasks=tasks))
    assert limit.value.args == (rate,)


def requested(limit: Any, to: str, source: str = "gs://first/x") -> Request:
    """A copy with a limit."""
    settings = replace(SETTINGS, target=parse_target(source))
    return requested_copy(settings, to, (), (), every=False, storage_class="", digests=False, dry=False, limit=limit)


@pytest.mark.parametrize(("limit", "rate"), [("", 0), ("50MB", 50_000_000), ("1.5 MiB", 1_572_864), (100_000, 100_000)])
@pytest.mark.parametrize(("source", "to"), [("gs://first/x", "s3://copies/x"), ("./here", "gs://copies/x")])
def test_a_limit_is_bytes_per_second(limit: Any, rate: int, source: str, to: str) -> None:
    assert requested(limit, to, source).limit == rate


@pytest.mark.parametrize(
    "limit", ["0", 0, "-1", "99999", "fast", "50MB/s", "1e9", "nan", "inf", "∞", " ", "1 ZB", True, 5e7, None, "50\0MB"]
)
def test_what_is_no_limit_is_refused_in_one_sentence(limit: Any) -> None:
    with pytest.raises(UsageError, match="expected bytes per second such as 50MB, at least 100 KB") as refused:
        requested(limit, "s3://copies/x")
    assert refused.value.setting == "limit"


def test_between_buckets_of_cloud_storage_a_limit_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="the service moves the bytes"):
        requested("50MB", "gs://copies/x")
    assert requested("", "gs://copies/x").limit == 0
