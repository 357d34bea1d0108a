"""Rows are counted from parts of files, in few requests, and a run whose files lack rows is not published."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections import Counter

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.errors import DocumentError, VerificationError
from bqdump.core.formats.avro_blocks import read_header
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.publish.count import AVRO_REQUESTS_A_FILE, count_rows
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.ports.store import Stored
from bqdump.repository.published import read_manifest
from bqdump_memory import MemoryWarehouse
from tiers import points

SETTINGS = Settings(project="project", dataset="data", target=Target("gs", "memory"), format="avro")


class CountingStore(MemoryStore):
    """Counts the reads and their bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[int] = []

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        stored = await super().read(name, start, length)
        self.reads.append(len(stored.data))
        return stored


def counted(store: MemoryStore, format_: str, *data: bytes) -> list[int | None]:
    files = [store.put_now(f"file-{number}", content) for number, content in enumerate(data)]
    return list(asyncio.run(count_rows(store, format_, files)).values())


def parquet(rows: int, columns: int) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({f"column_{number}": range(rows) for number in range(columns)}), file)
    return file.getvalue()


def avro(rows: int, *, text: str = "", interval: int, fields: int = 1) -> bytes:
    names = [f"text_{number}" for number in range(fields)]
    schema = {"type": "record", "name": "Root", "fields": [{"name": name, "type": "string"} for name in names]}
    file = io.BytesIO()
    fastavro.writer(file, schema, (dict.fromkeys(names, text) for _ in range(rows)), sync_interval=interval)
    return file.getvalue()


def test_a_parquet_file_takes_one_request_and_one_with_a_large_footer_two() -> None:
    store = CountingStore()
    assert counted(store, "parquet", parquet(5, 3)) == [5]
    assert len(store.reads) == 1
    store.reads.clear()
    assert counted(store, "parquet", parquet(2, 1500)) == [2]
    assert len(store.reads) == 2


@pytest.mark.parametrize(
    ("rows", "text", "interval", "requests"),
    [
        (0, "", 100, 1),
        (1, "", 100, 1),
        (10_000, "x" * 20, 1000, 2),
        (60, "x" * 100_000, 1_000_000, 7),
        (1000, "x" * 8000, 16_000, 9),
    ],
    ids=["no block", "one block", "small blocks", "large blocks", "blocks of the usual size"],
)
def test_avro_blocks_take_few_requests(rows: int, text: str, interval: int, requests: int) -> None:
    store = CountingStore()
    assert counted(store, "avro", avro(rows, text=text, interval=interval)) == [rows]
    assert len(store.reads) <= requests


def test_an_avro_header_longer_than_the_first_part_is_read_on() -> None:
    assert counted(MemoryStore(), "avro", avro(3, interval=10, fields=4000)) == [3]


def test_of_an_avro_file_that_would_take_too_many_requests_the_rows_stay_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bqdump.export.publish.count.LARGE_WINDOW", 200)
    monkeypatch.setattr("bqdump.export.publish.count.FIRST_WINDOW", 200)
    monkeypatch.setattr("bqdump.export.publish.count.SMALL_WINDOW", 200)
    store = CountingStore()
    assert counted(store, "avro", avro(1000, text="x" * 90, interval=100)) == [None]
    assert len(store.reads) == AVRO_REQUESTS_A_FILE


def test_text_is_not_read() -> None:
    store = CountingStore()
    assert counted(store, "csv", b"a\n1\n") == [None]
    assert store.reads == []


def test_every_cut_of_a_file_is_refused_and_no_flipped_byte_gives_a_traceback() -> None:
    for format_, data in (("parquet", parquet(5, 2)), ("avro", avro(9, text="abc", interval=20))):
        for position in points(range(len(data))):
            flipped = bytearray(data)
            flipped[position] ^= 0xFF
            for candidate, cut in ((data[:position], True), (bytes(flipped), False)):
                try:
                    (rows,) = counted(MemoryStore(), format_, candidate)
                except DocumentError:
                    continue
                assert rows is not None
                # An Avro file may end after any of its blocks.
                assert not cut or (format_ == "avro" and rows < 9)


def test_a_file_that_is_replaced_meanwhile_is_not_counted() -> None:
    store = MemoryStore()
    info = store.put_now("file", parquet(5, 2))
    store.put_now("file", parquet(5, 2))
    with pytest.raises(VerificationError, match="generation 1, which was recorded, does not exist"):
        asyncio.run(count_rows(store, "parquet", [info]))
    asyncio.run(store.delete([("file", info.generation + 1)]))
    with pytest.raises(VerificationError, match="generation 1, which was recorded, does not exist"):
        asyncio.run(count_rows(store, "parquet", [info]))


class WarehouseThatChanges(MemoryWarehouse):
    """Its table is changed just after the snapshot time."""

    async def now(self, location: str) -> int:
        """See Warehouse."""
        snapshot = await super().now(location)
        self.put("project", "data", "big", ["other"])
        return snapshot


def exported(
    *,
    losing: bool = False,
    modified_since: bool = False,
    settings: Settings = SETTINGS,
    store: MemoryStore | None = None,
) -> MemoryStore:
    store = store or MemoryStore()
    clock = itertools.count(1_800_000_000_000)
    kind = WarehouseThatChanges if modified_since else MemoryWarehouse
    warehouse = kind(store, lambda: next(clock), shard_rows=3, losing=lambda job: losing)
    warehouse.put("project", "data", "big", [str(number) for number in range(8)])
    asyncio.run(run(Task(store, warehouse, settings, "r1", Owner("e1", 0), 1)))
    return store


class ChangingStore(CountingStore):
    """Counts the reads; so many parts of each file arrive with one row more in their first block."""

    def __init__(self, changes: int) -> None:
        super().__init__()
        self._changes, self._changed = changes, Counter[str]()

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        stored = await super().read(name, start, length)
        if not stored.data.startswith(b"Obj\x01"):
            return stored
        self._changed[name] += 1
        if self._changed[name] > self._changes:
            return stored
        header = read_header(stored.data, name)
        assert header is not None
        count = stored.data[header.length]
        return stored._replace(
            data=stored.data[: header.length] + bytes((count + 2,)) + stored.data[header.length + 1 :]
        )


def test_a_count_that_was_changed_on_its_way_is_repeated() -> None:
    undamaged, once, twice = ChangingStore(0), ChangingStore(1), ChangingStore(2)
    for store in (undamaged, once, twice):
        (table,) = manifest(exported(store=store)).tables
        assert [file.rows for file in table.files] == [3, 3, 2]
    assert [len(store.reads) - len(undamaged.reads) for store in (once, twice)] == [3, 6]


def test_a_count_that_differs_each_time_is_a_difference() -> None:
    store = ChangingStore(99)
    with pytest.raises(VerificationError, match="its files hold 11 rows, and BigQuery had 8"):
        exported(store=store)


def manifest(store: MemoryStore) -> Manifest:
    return asyncio.run(read_manifest(store, SETTINGS))


def test_the_manifest_has_the_rows_of_each_file_and_table() -> None:
    (table,) = manifest(exported()).tables
    assert [file.rows for file in table.files] == [3, 3, 2]
    assert (table.rows, table.expected_rows, table.planned_rows) == (8, 8, 8)


def test_a_run_whose_files_lack_rows_is_not_published() -> None:
    with pytest.raises(VerificationError) as caught:
        exported(losing=True)
    assert "table big" in str(caught.value)
    assert "its files hold 5 rows, and BigQuery had 8" in str(caught.value)


def test_nothing_is_compared_with_a_number_that_may_be_of_another_moment() -> None:
    (table,) = manifest(exported(modified_since=True)).tables
    assert (table.rows, table.expected_rows, table.planned_rows) == (8, None, 1)


def test_rows_of_text_are_unknown() -> None:
    (table,) = manifest(
        exported(settings=Settings(project="project", dataset="data", target=Target("gs", "memory")))
    ).tables
    assert (table.rows, table.expected_rows) == (None, 8)
    assert [file.rows for file in table.files] == [None, None, None]
