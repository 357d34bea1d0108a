"""From a copy of an export: in another bucket, below another prefix, or a local folder through a bucket."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import DocumentError
from bqdump.core.restore.result import Restoration
from bqdump.core.settings.target import Target
from bqdump.restoration.run import run as restore
from bqdump.restoration.task import Request, Task, Via
from restore.world import INTO, ROWS, SETTINGS, World


def copied(world: World, bucket: str, prefix: str) -> MemoryStore:
    """Another bucket with all objects of the export, below a prefix."""
    copy = MemoryStore(bucket)
    for name in world.store.names_now():
        found = world.store.peek(name)
        assert found
        copy.put_now(f"{prefix}{name}", found[0])
    world.big.stores[bucket] = copy
    return copy


def restored_from(world: World, store: MemoryStore, target: Target, via: Via | None = None) -> Restoration:
    settings = msgspec.structs.replace(SETTINGS, target=target)
    return asyncio.run(restore(Task(store, world.big, settings, Request(INTO), Owner("first", 0), 1, via)))


@pytest.mark.parametrize(("bucket", "prefix"), [("copy", ""), ("copy", "backup/"), ("memory-2", "a/b/")])
def test_a_copy_below_another_prefix_or_in_another_bucket_is_restored(bucket: str, prefix: str) -> None:
    world = World()
    copy = copied(world, bucket, prefix)
    assert restored_from(world, copy, Target("gs", bucket, prefix)).state == "restored"
    assert {name: world.rows(name) for name in ROWS} == ROWS


def test_a_manifest_that_was_changed_is_not_taken_for_a_copy() -> None:
    world = World()
    name = f"_bqdump/runs/{world.manifest.run}/manifest.json"
    found = world.store.peek(name)
    assert found
    world.store.put_now(name, found[0].replace(b'"name":"one/', b'"name":"../one/'))
    with pytest.raises(DocumentError, match="is not a valid file name"):
        world.restore()


def test_files_of_a_folder_are_uploaded_loaded_and_deleted() -> None:
    world, bucket = World(), MemoryStore("via")
    folder = copied(world, "folder", "")
    del world.big.stores["folder"]
    world.big.stores["via"] = bucket
    through = Via(bucket, Target("gs", "via", "tmp/"))
    assert restored_from(world, folder, Target("file", "folder"), through).state == "restored"
    assert {name: world.rows(name) for name in ROWS} == ROWS
    assert all(name.startswith("tmp/_bqdump/") and "/files/" not in name for name in bucket.names_now())
    assert folder.names_now() == world.store.names_now()
