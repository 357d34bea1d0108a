"""What readers see while an export replaces the one before, and what is left of that one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import File, ManifestFiles
from bqdump.core.documents.path_template import shard_name
from bqdump.core.documents.target import Latest
from integration.stage import STATE, Ran, Stage, csv_rows, expected_rows

SMALL_FILES = 4_000


def shards(table: str, count: int) -> list[str]:
    return [shard_name(f"{table}/{table}_*.csv", number) for number in range(count)]


def test_a_table_that_shrinks_leaves_no_stale_file(stage: Stage) -> None:
    stage.stack.jobs(shard_bytes=SMALL_FILES)
    stage.table("big", 1000)
    stage.table("small")
    assert stage.run().code == 0
    (count,) = (len(table.files) for table in stage.manifest().tables if table.table == "big")
    assert count > 2
    assert stage.files() == [*shards("big", count), *shards("small", 1)]
    stage.table("big", 2)
    assert stage.run().code == 0
    assert stage.files() == [*shards("big", 1), *shards("small", 1)]
    assert csv_rows(stage.read(shards("big", 1)[0])) == expected_rows("big", 2)
    assert stage.manifest().totals.files == 2
    assert stage.latest().uncleared == ()


def test_objects_of_others_stay(stage: Stage) -> None:
    stage.table("a")
    assert stage.run().code == 0
    foreign = ["a/a_000000000007.csv", "a/a_000000000000.csv.bak", "a/readme.txt", "b/b_000000000000.csv", "top.csv"]
    for name in foreign:
        stage.upload(name)
    before = stage.objects()
    assert stage.run().code == 0
    after = stage.objects()
    assert {name: after.get(name) for name in foreign} == {name: before[name] for name in foreign}
    assert after[shards("a", 1)[0]] != before[shards("a", 1)[0]]


class Reader:
    """Somebody who follows latest.json to the manifest and its files, over and over."""

    def __init__(self, stage: Stage) -> None:
        anonymous: Any = AnonymousCredentials
        self._client = storage.Client(
            project="reader", credentials=anonymous(), client_options=ClientOptions(api_endpoint=stage.stack.storage)
        )
        self._bucket = self._client.bucket(stage.bucket)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self.seen: list[str] = []
        self.complaints: list[str] = []

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Poll as long as the block runs, and once more after it."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
            self._client.close()

    def _follow(self) -> None:
        last = False
        while not last:
            last = self._stop.is_set()
            try:
                self._look()
            except Exception as error:
                self.complaints.append(f"{type(error).__name__}: {error}")

    def _look(self) -> None:
        latest = self._latest()
        self.seen.append(latest.run)
        blob = self._bucket.blob(latest.manifest, generation=latest.manifest_generation)
        manifest = decode(blob.download_as_bytes(), ManifestFiles, latest.manifest)
        for table in manifest.tables:
            for file in table.files:
                self._check(latest, file)

    def _latest(self) -> Latest:
        return decode(self._bucket.blob(f"{STATE}latest.json").download_as_bytes(), Latest, "latest.json")

    def _check(self, latest: Latest, file: File) -> None:
        try:
            data = self._bucket.blob(file.name, generation=file.generation).download_as_bytes()
        except NotFound:
            present = self._bucket.get_blob(file.name)
            if present is None and self._latest().run == latest.run:
                self.complaints.append(f"{file.name} of {latest.run} is missing")
            elif present is not None and int(present.generation) < file.generation:
                self.complaints.append(f"{file.name} of {latest.run} went back")
            return
        if len(data) != file.size:
            self.complaints.append(f"{file.name} of {latest.run} has {len(data)} bytes")


def test_a_reader_never_misses_a_file_while_exports_replace_each_other(stage: Stage) -> None:
    names = [f"t_{number}" for number in range(8)]
    stage.stack.jobs(shard_bytes=SMALL_FILES)
    for name in names:
        stage.table(name, 2)
    stage.table("big", 1000)
    stage.run_tasks(1, execution="run-0")
    reader = Reader(stage)
    with reader.polling():
        for number, rows in enumerate((2, 1000, 3), 1):
            stage.table("big", rows)
            stage.run_tasks(2, execution=f"run-{number}")
    assert reader.complaints == []
    assert sorted(set(reader.seen)) == ["run-0", "run-1", "run-2", "run-3"]
    assert reader.seen == sorted(reader.seen)


def test_two_executions_at_once_end_well(stage: Stage) -> None:
    names = [f"t_{number}" for number in range(5)]
    for name in names:
        stage.table(name, 4)

    async def twice() -> list[Ran]:
        return list(await asyncio.gather(*(stage.processes(tasks=2, execution=name) for name in ("fire-1", "fire-2"))))

    for ran in asyncio.run(twice()):
        assert ran.codes == [0, 0], ran.text
    manifest = stage.manifest()
    later = max((stage.plan(run) for run in ("fire-1", "fire-2")), key=lambda plan: plan.age)
    assert manifest.run == later.run
    assert [table.table for table in manifest.tables] == names
    assert stage.files() == [name for table in names for name in shards(table, 1)]
    assert stage.staged() == []
    assert stage.extracted() == dict.fromkeys(names, 2)
