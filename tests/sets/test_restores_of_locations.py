"""A set whose datasets are in several buckets, one for each location, is restored with one command."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from bqdump import verbs
from bqdump.adapters.memory import MemoryStore
from bqdump.core.errors import NotFoundError, UsageError
from bqdump.core.restore.result import Restoration
from bqdump.core.sets.restoring import EVERY, Choice
from bqdump.core.settings.target import Target
from bqdump.ports.store import BucketInfo
from bqdump.restoration.task import Via
from sets.restores import RestoreWorld

PLACES = (Target("gs", "memory", "x/"), Target("gs", "bucket-eu", "x/"))


class Gone(MemoryStore):
    """A bucket that does not exist."""

    async def describe(self) -> BucketInfo:
        """See ObjectStore."""
        raise NotFoundError("read the settings of", self.url, "The specified bucket does not exist")


def copied(world: RestoreWorld) -> MemoryStore:
    """What a world has exported, in another bucket."""
    made = MemoryStore("bucket-eu")
    for name in world.store.names_now():
        if found := world.store.peek(name):
            made.put_now(name, found[0])
    return made


def restored(
    world: RestoreWorld, stores: Sequence[MemoryStore], choice: Choice = EVERY, via: Via | None = None
) -> Restoration:
    world.big.stores |= {store.url.removeprefix("gs://"): store for store in stores}
    task = world.restore_task()._replace(via=via)
    tasks = [
        task._replace(store=store, settings=msgspec.structs.replace(task.settings, target=place))
        for place, store in zip(PLACES, stores, strict=True)
    ]
    return asyncio.run(verbs.restore(tasks, choice))


def test_every_dataset_is_restored_from_its_own_bucket() -> None:
    world = RestoreWorld("here")
    done = restored(world, [world.store, copied(RestoreWorld("there"))])
    assert [(one.dataset, one.state) for one in done.datasets] == [("here", "restored"), ("there", "restored")]
    assert (world.rows("here_copy", "items"), world.rows("there_copy", "items")) == (["here.items"], ["there.items"])


def test_a_bucket_that_is_gone_is_no_set_without_its_datasets() -> None:
    world = RestoreWorld("here")
    with pytest.raises(NotFoundError, match="bucket-eu"):
        restored(world, [world.store, Gone("bucket-eu")])
    assert [one.dataset for one in restored(world, [world.store, MemoryStore("bucket-eu")]).datasets] == ["here"]


def test_a_dataset_that_two_buckets_have_is_not_restored_twice_into_the_same() -> None:
    world = RestoreWorld("here", "both")
    stores = [world.store, copied(RestoreWorld("both"))]
    with pytest.raises(UsageError, match="dataset both is exported to gs://memory/x/ and gs://bucket-eu/x/"):
        restored(world, stores)
    assert [one.dataset for one in restored(world, stores, Choice(exclude=("both",))).datasets] == ["here"]


def test_documents_go_into_another_bucket_so_that_the_exports_may_be_read_only() -> None:
    world, scratch = RestoreWorld(), MemoryStore("scratch")
    before = world.store.names_now()
    done = restored(world, [world.store, MemoryStore("bucket-eu")], via=Via(scratch, Target("gs", "scratch", "v/")))
    assert done.rows == 6
    assert world.store.names_now() == before
    folders = {name.partition("/_bqdump/")[0] for name in scratch.names_now()}
    assert folders == {"v", "v/ops_eu", "v/ops_us", "v/sales"}
