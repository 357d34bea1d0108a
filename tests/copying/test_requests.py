"""How many requests a copy takes, as docs/internals/copying.md has it: what no law needs is not sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from bqdump.adapters.movers import StreamMover
from bqdump.adapters.s3.store import S3Store
from bqdump.copying.run import copy
from bqdump.copying.survey import Place, Task
from bqdump.core.copy.plan import Copied
from bqdump.core.retention.policy import Policy
from bqdump.core.settings.target import Target
from copying.scene import ALONE, Copies
from s3_server import BUCKET, S3Server, operation_of, s3_server

TABLES = 100


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def wide() -> Copies:
    """An export of 100 tables, of which one changes each night."""
    copies = Copies()
    for number in range(TABLES - 2):
        copies.source.warehouse.put("p", "sales", f"t{number:02d}", [f"row {number}"])
    return copies


def copied(copies: Copies, s3: S3Server) -> tuple[Copied, Counter[str]]:
    """A copy of the published run to S3, and its requests. The pulse depends on the time that it takes."""
    arrived: list[dict[str, Any]] = []
    s3.arrived = arrived
    store = S3Store(BUCKET, s3.address)
    there = msgspec.structs.replace(copies.settings, target=Target("s3", BUCKET, "copies/"))
    sides = Place(copies.source.store, copies.settings), Place(store, there)
    task = Task(*sides, StreamMover(copies.source.store, store), ALONE, copies.source.now)

    async def run() -> Copied:
        try:
            return await copy(task, (), Policy(), every=False)
        finally:
            await store.close()

    done = asyncio.run(run())
    sent = [one for one in arrived if not one["PATH_INFO"].endswith("planner.json")]
    return done, Counter(map(operation_of, sent))


def test_a_copy_to_s3_takes_one_request_for_each_small_file_and_five_for_a_batch(wide: Copies, s3: S3Server) -> None:
    wide.export("n1", "n2", incremental=True)
    done, sent = copied(wide, s3)
    assert done.files == TABLES
    batches = 7
    files = Counter(put=TABLES + batches, list=batches, head=2 * batches, delete=batches)
    rest = Counter({"put": 10, "head": 14, "get": 16, "list": 10, "get bucket": 5, "list uploads": 1, "head bucket": 1})
    assert sent == files + rest
    done, sent = copied(wide, s3)
    assert done.files == 0
    assert sent == {"get": 6, "head": 3, "list": 2, "get bucket": 1, "list uploads": 1}
    wide.export("n3", incremental=True)
    done, sent = copied(wide, s3)
    assert done.files == 1
    few = {
        "put": 12,
        "head": 16,
        "get": 22,
        "list": 11,
        "delete": 1,
        "get bucket": 6,
        "list uploads": 1,
        "head bucket": 1,
    }
    assert sent == few
