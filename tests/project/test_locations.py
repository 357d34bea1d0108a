"""Datasets in several locations go to a bucket for each, with one snapshot time in each."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from bqdump import verbs
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.project import Project
from bqdump.core.errors import UsageError
from bqdump.core.project.selection import targets_of
from bqdump.project.run import run_sets
from project.world import World


@pytest.fixture
def world() -> World:
    world = World("here", "there")
    world.warehouse.locations["there"] = "EU"
    return world


def test_without_a_bucket_for_each_location_the_run_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match=r"2 locations \(US: here; EU: there\)"):
        world.run("r")
    assert world.store.names_now() == []


def test_each_location_has_a_bucket_and_a_set_of_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = world.settings(locations={"EU": "gs://bucket-eu"})
    stores = {"memory": world.store, "bucket-eu": MemoryStore("bucket-eu")}
    stores["bucket-eu"].bucket = stores["bucket-eu"].bucket._replace(location="EU")
    run = world.warehouse._run

    async def in_its_bucket(request: Any, job: Any) -> None:
        world.warehouse.store = stores[request.uri.split("/")[2]]
        await run(request, job)

    monkeypatch.setattr(world.warehouse, "_run", in_its_bucket)
    tasks = [
        world.task("r")._replace(store=stores[target.bucket], settings=msgspec.structs.replace(settings, target=target))
        for target in targets_of(settings)
    ]
    asyncio.run(run_sets(settings, tasks))
    found = {}
    for bucket, store in stores.items():
        stored = store.peek("x/_bqdump/project.json")
        assert stored
        project = decode(stored[0], Project, "project.json")
        found[bucket] = {one.dataset: one.state for one in project.datasets}
    assert found == {"memory": {"here": "published"}, "bucket-eu": {"there": "published"}}
    assert asyncio.run(verbs.verify(stores["bucket-eu"], tasks[1].settings)).findings == ()
