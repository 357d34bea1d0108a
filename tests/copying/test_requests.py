"""How many requests a copy takes, as docs/internals/copying.md has it: what no law needs is not sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bqdump.adapters.folder.store import FolderStore
from bqdump.adapters.gcs.rewrite import RewriteMover
from bqdump.adapters.gcs.store import CloudStore
from bqdump.adapters.movers import StreamMover
from bqdump.adapters.patience import Patience
from bqdump.adapters.s3.store import S3Store
from bqdump.copying.run import copy
from bqdump.copying.survey import Place, Task
from bqdump.core.copy.plan import Copied
from bqdump.core.retention.policy import Policy
from bqdump.core.settings.target import FOLDER, Target
from bqdump.pool import turn as turns
from bqdump.ports.mover import Mover
from bqdump.ports.store import ObjectStore
from copying.scene import ALONE, Copies
from local.storage_server import Http, storage_server
from s3_server import BUCKET, S3Server, s3_server

TABLES = 100
Sent = dict[str, int]
# By source and target: the requests of a first copy, of the same once more, and of the next night.
EXPECTED: dict[tuple[str, str], tuple[Sent, Sent, Sent]] = {
    ("gs", "gs"): (
        {"rewrite": TABLES, "insert": 18, "get": 21, "list": 10, "batch": 1, "buckets.get": 2},
        {"get": 12, "list": 4},
        {"rewrite": 1, "insert": 12, "get": 27, "list": 10, "batch": 1, "buckets.get": 2},
    ),
    ("gs", "folder"): (
        {"get": TABLES + 4, "list": 2, "buckets.get": 1},
        {"get": 3, "list": 1},
        {"get": 6, "list": 1, "buckets.get": 1},
    ),
    ("folder", "gs"): (
        {"insert": TABLES + 18, "get": 17, "list": 8, "batch": 1},
        {"get": 9, "list": 3},
        {"insert": 13, "get": 22, "list": 9, "batch": 1},
    ),
    # Seven batches: of each, one listing, one PUT and two HEADs for its record, and its deletion.
    ("folder", "s3"): (
        {"put": TABLES + 18, "head": 32, "get": 12, "list": 18, "delete": 7, "get bucket": 2, "list uploads": 1},
        {"head": 4, "get": 6, "list": 3, "get bucket": 1, "list uploads": 1},
        {"put": 13, "head": 25, "get": 21, "list": 11, "delete": 1, "get bucket": 3, "list uploads": 1},
    ),
}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def gs() -> Iterator[Http]:
    with storage_server() as address, Http(address) as http:
        yield http


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> Copies:
    """An export of 100 tables, of which one changes each night. How often its pulse beats depends on the machine."""
    monkeypatch.setattr(turns, "PULSE_SECONDS", 3600.0)
    copies = Copies()
    for number in range(TABLES - 2):
        copies.source.warehouse.put("p", "sales", f"t{number:02d}", [f"row {number}"])
    return copies


class Way:
    """From one place to another, both of these kinds."""

    def __init__(self, copies: Copies, gs: Http, s3: S3Server, folder: Path, kinds: tuple[str, str]) -> None:
        self.copies, self.gs, self.s3, self.kinds = copies, gs, s3, kinds
        self.names = [f"{'-'.join(kinds)}-{number}" for number in range(2)]
        self.folder = folder
        s3.bucket()
        for name in self.names:
            gs.bucket(name)

    def place(self, number: int) -> Place:
        """The source (0) or the target (1)."""
        name = self.names[number]
        store: ObjectStore
        match self.kinds[number]:
            case "gs":
                store, target = CloudStore(name, "test"), Target("gs", name, "x/")
            case "s3":
                store, target = S3Store(BUCKET, self.s3.address), Target("s3", BUCKET, "x/")
            case _:
                store, target = FolderStore(self.folder / name), Target(FOLDER, str(self.folder / name))
        return Place(store, msgspec.structs.replace(self.copies.settings, target=target))

    def copied(self) -> tuple[int, Sent]:
        """Bring the last run to the source, then copy it: how many files were moved, and the requests to buckets."""

        async def run() -> Copied:
            here, there = self.place(0), self.place(1)
            export, now = Place(self.copies.source.store, self.copies.settings), self.copies.source.now
            mover: Mover = StreamMover(here.store, there.store)
            if self.kinds == ("gs", "gs"):
                mover = RewriteMover(self.names[0], self.names[1], there.store, "test", Patience())
            try:
                first = StreamMover(export.store, here.store)
                await copy(Task(export, here, first, ALONE, now), (), Policy(), every=False)
                self.gs.call("DELETE", "/_local/requests").raise_for_status()
                self.s3.counts.clear()
                return await copy(Task(here, there, mover, ALONE, now), (), Policy(), every=False)
            finally:
                for closed in (mover, here.store, there.store):
                    await closed.close()

        done = asyncio.run(run())
        sent: Sent = self.gs.call("GET", "/_local/requests").json()["requests"]
        named = {name.removeprefix("storage.").removeprefix("objects."): count for name, count in sent.items()}
        return done.files, named | self.s3.counts


@pytest.mark.parametrize("kinds", EXPECTED, ids=" to ".join)
def test_a_copy_takes_the_requests_of_the_page_about_copies(
    wide: Copies, s3: S3Server, gs: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, str]
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs.address)
    way, (first, again, next_night) = Way(wide, gs, s3, tmp_path, kinds), EXPECTED[kinds]
    wide.export("n1", "n2", incremental=True)
    assert way.copied() == (TABLES, first)
    assert way.copied() == (0, again)
    wide.export("n3", incremental=True)
    assert way.copied() == (1, next_night)
    page = (Path(__file__).parents[2] / "docs" / "internals" / "copying.md").read_text()
    source, target = ({"gs": "bucket", "s3": "S3"}.get(kind, kind) for kind in kinds)
    totals = " | ".join(str(sum(sent.values())) for sent in EXPECTED[kinds])
    assert f"| {source} to {target} | {totals} |" in page
