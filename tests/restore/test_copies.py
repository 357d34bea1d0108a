"""From a copy of an export: in another bucket, below another prefix, or a local folder through a bucket."""

from __future__ import annotations

import asyncio
import itertools

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import DocumentError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.drill import Sample
from bqdump.core.restore.plan import Options
from bqdump.core.restore.result import Restoration
from bqdump.core.settings.target import Target
from bqdump.ports.store import ObjectInfo
from bqdump.restoration.drill import drill_one as drill
from bqdump.restoration.restore import restore_one as restore
from bqdump.restoration.task import Request, Task, Via
from restore.killed import Killed, killed_at
from restore.world import INTO, ROWS, SETTINGS, ExportedWorld
from tiers import points


def copied(world: ExportedWorld, bucket: str, prefix: str) -> MemoryStore:
    """Another bucket with all objects of the export, below a prefix."""
    copy = MemoryStore(bucket)
    for name in world.store.names_now():
        found = world.store.peek(name)
        assert found
        copy.put_now(f"{prefix}{name}", found[0])
    world.big.stores[bucket] = copy
    return copy


def task_from(
    world: ExportedWorld,
    store: MemoryStore,
    target: Target,
    via: Via | None = None,
    options: Options = INTO,
    name: str = "first",
) -> Task:
    settings = msgspec.structs.replace(SETTINGS, target=target)
    return Task(store, world.big, settings, Request(options), Owner(name, 0), 1, via)


def restored_from(world: ExportedWorld, store: MemoryStore, target: Target, via: Via | None = None) -> Restoration:
    return asyncio.run(restore(task_from(world, store, target, via)))


class Folder:
    """An export in a local folder, which is restored through a bucket."""

    def __init__(self) -> None:
        self.world, self.bucket = ExportedWorld(), MemoryStore("via")
        clock, self.days = self.world.big.clock, 0
        self.world.big.clock = lambda: clock() + self.days * 86_400_000
        self.store = copied(self.world, "folder", "")
        del self.world.big.stores["folder"]
        self.world.big.stores["via"] = self.bucket
        self.via = Via(self.bucket, Target("gs", "via", "tmp/"))

    def task(self, options: Options = INTO, name: str = "first") -> Task:
        """A restore through the bucket."""
        return task_from(self.world, self.store, Target("file", "folder"), self.via, options, name)

    @property
    def uploads(self) -> list[str]:
        """The uploaded files in the bucket now."""
        return [name for name in self.bucket.names_now() if "/files/" in name]


def killed(task: Task, number: int) -> bool:
    """Run a restore that is killed at this request; whether it was."""
    ended = False
    try:
        asyncio.run(restore(killed_at(task, number)))
    except* Killed:
        ended = True
    return ended


def left_behind(*, receipts: bool, options: Options = INTO) -> Folder:
    """A restore was killed when there were uploads, before or after it had restored a table."""
    for number in itertools.count():
        folder = Folder()
        assert killed(folder.task(options, "killed"), number)
        if folder.uploads and any("/receipts/" in name for name in folder.bucket.names_now()) == receipts:
            return folder
    raise AssertionError


@pytest.mark.parametrize(("bucket", "prefix"), [("copy", ""), ("copy", "backup/"), ("memory-2", "a/b/")])
def test_a_copy_below_another_prefix_or_in_another_bucket_is_restored(bucket: str, prefix: str) -> None:
    world = ExportedWorld()
    copy = copied(world, bucket, prefix)
    assert restored_from(world, copy, Target("gs", bucket, prefix)).state == "restored"
    assert {name: world.rows(name) for name in ROWS} == ROWS


def test_a_manifest_that_was_changed_is_not_taken_for_a_copy() -> None:
    world = ExportedWorld()
    name = f"_bqdump/runs/{world.manifest.run}/manifest.json"
    found = world.store.peek(name)
    assert found
    world.store.put_now(name, found[0].replace(b'"name":"one/', b'"name":"../one/'))
    with pytest.raises(DocumentError, match="is not a valid file name"):
        world.restore()


def test_files_of_a_folder_are_uploaded_loaded_and_deleted() -> None:
    folder = Folder()
    assert asyncio.run(restore(folder.task())).state == "restored"
    assert {name: folder.world.rows(name) for name in ROWS} == ROWS
    assert {name.split("/")[:2] == ["tmp", "_bqdump"] for name in folder.bucket.names_now()} == {True}
    assert folder.uploads == []
    assert folder.store.names_now() == folder.world.store.names_now()


def test_an_upload_that_is_replaced_before_its_load_job_reads_it_is_not_restored() -> None:
    folder = Folder()

    def swap(table: str) -> float:
        for name in folder.uploads if table == "one" or "scratch" in table else []:
            found = folder.bucket.peek(name)
            assert found
            folder.bucket.put_now(name, found[0].replace(b"a", b"x"))
        return 0.0

    folder.world.big.seconds = swap
    result = asyncio.run(restore(folder.task()))
    assert ("one", "replaced") in {(one.name, one.reason) for one in result.failed}
    assert not folder.world.rows("one")


def test_a_file_of_another_sha256_than_the_manifest_has_is_not_uploaded() -> None:
    folder = Folder()
    entries = [
        msgspec.structs.replace(
            entry, files=tuple(msgspec.structs.replace(file, sha256="0" * 64) for file in entry.files)
        )
        for entry in folder.world.manifest.tables
    ]
    manifest = msgspec.structs.replace(folder.world.manifest, tables=tuple(entries))
    folder.store.put_now(f"_bqdump/runs/{manifest.run}/manifest.json", msgspec.json.encode(manifest))
    failed = {one.name: one.message for one in asyncio.run(restore(folder.task())).failed}
    assert set(failed) == set(ROWS)
    assert all("the SHA-256 of " in message for message in failed.values())
    assert folder.uploads == []


def test_an_upload_that_is_there_already_counts_by_its_sha_256_where_the_manifest_has_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Anyone who can write to the bucket makes a file of the same CRC32C."""
    folder = Folder()
    found = folder.store.peek("one/one_000000000000.csv")
    assert found
    entries = [
        msgspec.structs.replace(
            entry, files=tuple(msgspec.structs.replace(file, sha256="0" * 64) for file in entry.files)
        )
        if entry.table == "one"
        else entry
        for entry in folder.world.manifest.tables
    ]
    manifest = msgspec.structs.replace(folder.world.manifest, tables=tuple(entries))
    folder.store.put_now(f"_bqdump/runs/{manifest.run}/manifest.json", msgspec.json.encode(manifest))
    stat = folder.bucket.stat

    async def there(name: str) -> ObjectInfo | None:
        """The object of the first table is there before its upload, with the CRC32C of the file."""
        if "/files/one/" in name:
            folder.bucket.put_now(name, found[0])
        return await stat(name)

    monkeypatch.setattr(folder.bucket, "stat", there)
    result = asyncio.run(restore(folder.task()))
    assert [(one.name, one.reason) for one in result.failed] == [("one", "checksum")]
    assert "the SHA-256 of gs://via/" in result.failed[0].message
    assert not folder.world.rows("one")


def test_a_restore_through_a_bucket_that_is_killed_at_any_request_leaves_no_upload_once_it_is_repeated() -> None:
    left = 0
    for number in points(itertools.count()):
        folder = Folder()
        if not killed(folder.task(name="killed"), number):
            break
        left += bool(folder.uploads)
        result = asyncio.run(restore(folder.task(name="again")))
        assert (result.state, result.failed) == ("restored", ()), number
        assert folder.uploads == [], number
    assert left > 3


def test_a_restore_that_begins_anew_deletes_what_the_killed_one_before_it_has_uploaded() -> None:
    folder = left_behind(receipts=True)
    asyncio.run(folder.world.big.drop_dataset(asyncio.run(folder.world.big.dataset("project", "copy"))))
    first = [name.split("/")[3] for name in folder.uploads]
    result = asyncio.run(restore(folder.task(name="again")))
    assert result.restore not in first
    assert (result.state, folder.uploads) == ("restored", [])


def test_another_restore_through_the_bucket_deletes_uploads_of_a_killed_one_after_a_week(
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = left_behind(receipts=False)
    left = folder.uploads
    restore_id = left[0].split("/")[3]
    for days, still, dataset in ((6, left, "other"), (8, [], "another")):
        folder.days = days
        other = msgspec.structs.replace(INTO, dataset=dataset)
        with caplog.at_level("INFO"):
            assert asyncio.run(restore(folder.task(other, dataset))).state == "restored"
        assert folder.uploads == still
    messages = [one.getMessage() for one in caplog.records if getattr(one, "event", "") == LogEvent.UPLOADS_DELETED]
    assert messages == [f"deleted what restore {restore_id} had uploaded: 1 file, 4 B"]
    assert not [name for name in folder.bucket.names_now() if "/uploads/" in name and "another" in name]


def test_only_what_a_restore_has_named_is_deleted() -> None:
    folder = left_behind(receipts=False)
    restores = folder.uploads[0].partition("/files/")[0]
    mine = [f"{restores}/files/notes.txt", folder.uploads[0]]
    for name in mine:
        folder.bucket.put_now(name, b"mine")
    folder.days = 8
    other = msgspec.structs.replace(INTO, dataset="other")
    assert asyncio.run(restore(folder.task(other, "other"))).state == "restored"
    assert folder.uploads == sorted(mine)


def test_a_restore_whose_documents_are_elsewhere_repeats_no_job_of_one_before() -> None:
    world, bucket = ExportedWorld(), MemoryStore("via")
    assert world.restore().state == "restored"
    asyncio.run(world.big.drop_dataset(asyncio.run(world.big.dataset("project", "copy"))))
    through = Via(bucket, Target("gs", "via"))
    result = restored_from(world, world.store, SETTINGS.target, through)
    assert (result.state, result.failed) == ("restored", ())
    assert {name: world.rows(name) for name in ROWS} == ROWS


def test_a_restore_repeats_no_job_of_one_whose_documents_were_deleted() -> None:
    world = ExportedWorld()
    assert world.restore().state == "restored"
    for name in [name for name in world.store.names_now() if "/restores/" in name or "/executions/" in name]:
        found = world.store.peek(name)
        assert found
        asyncio.run(world.store.delete([(name, found[1].generation)]))
    asyncio.run(world.big.drop_dataset(asyncio.run(world.big.dataset("project", "copy"))))
    result = world.restore()
    assert (result.state, result.failed) == ("restored", ())
    assert {name: world.rows(name) for name in ROWS} == ROWS


def test_what_a_killed_drill_has_uploaded_is_deleted_after_a_week() -> None:
    left = 0
    for number in points(itertools.count()):
        folder, ended = Folder(), False
        scratch = msgspec.structs.replace(INTO, dataset="")
        task = folder.task(scratch, "drill")._replace(documents=MemoryStore())
        try:
            asyncio.run(drill(killed_at(task, number), Sample()))
        except* Killed:
            ended = True
        if not ended:
            break
        left += bool(folder.uploads)
        folder.days = 8
        assert asyncio.run(restore(folder.task())).state == "restored"
        assert folder.uploads == [], number
    assert left > 3
