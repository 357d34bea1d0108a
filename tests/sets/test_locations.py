"""Datasets in several locations go to a bucket for each; commands show them together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bqdump import verbs
from bqdump.adapters.memory import MemoryStore
from bqdump.check.doctor.checks import CheckOutcome
from bqdump.cli.main import start
from bqdump.core.documents.codec import decode
from bqdump.core.documents.sets import SetManifest
from bqdump.core.errors import UsageError
from bqdump.core.sets.selection import targets_of
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.diagnosis import Diagnosis
from bqdump.ports.store import ObjectStore
from bqdump.ports.warehouse import JobError
from bqdump.sets.run import run_sets
from opened import Given, everywhere, open_given
from sets.world import SetWorld

BUCKETS = {"memory": "here", "bucket-eu": "there"}


@pytest.fixture
def world() -> SetWorld:
    world = SetWorld("here", "there")
    world.warehouse.locations["there"] = "EU"
    return world


class Exported:
    """Both buckets, with a set in each."""

    def __init__(self, world: SetWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = world.settings(locations={"EU": "gs://bucket-eu/x"})
        by_bucket = {"memory": world.store, "bucket-eu": MemoryStore("bucket-eu")}
        by_bucket["bucket-eu"].bucket = replace(by_bucket["bucket-eu"].bucket, location="EU")
        failing = world.warehouse.failing

        def in_its_bucket(table: str, job_id: str) -> JobError | None:
            """Asked right before the files are written."""
            world.warehouse.store = by_bucket[world.warehouse.extracted[job_id].uri.split("/")[2]]
            return failing(table, job_id)

        monkeypatch.setattr(world.warehouse, "failing", in_its_bucket)
        self.stores: dict[Target, MemoryStore] = {one: by_bucket[one.bucket] for one in targets_of(self.settings)}
        tasks = [
            world.task("r")._replace(store=store, settings=self.at(target)) for target, store in self.stores.items()
        ]
        asyncio.run(run_sets(self.settings, tasks))

    def store_at(self, target: Target) -> MemoryStore:
        """The bucket, whatever the prefix."""
        return next(store for one, store in self.stores.items() if one.url == target.url)

    def at(self, target: Target) -> Settings:
        """The settings with this target."""
        return msgspec.structs.replace(self.settings, target=target)


@pytest.fixture
def exported(world: SetWorld, monkeypatch: pytest.MonkeyPatch) -> Exported:
    made = Exported(world, monkeypatch)
    open_given(monkeypatch, made.store_at)
    return made


def test_without_a_bucket_for_each_location_the_run_is_refused(world: SetWorld) -> None:
    with pytest.raises(UsageError, match=r"2 locations \(US: here; EU: there\)"):
        world.run("r")
    assert world.store.names_now() == []


def test_each_location_has_a_bucket_and_a_set_of_its_own(exported: Exported) -> None:
    for target, store in exported.stores.items():
        stored = store.peek("x/_bqdump/project.json")
        assert stored
        project = decode(stored[0], SetManifest, "project.json")
        assert {one.dataset: one.state for one in project.datasets} == {BUCKETS[target.bucket]: "published"}
        assert asyncio.run(verbs.verify(everywhere(store), exported.at(target))).findings == ()


def test_runs_shows_the_datasets_of_all_buckets_as_one_run(exported: Exported) -> None:
    lines = asyncio.run(verbs.runs(exported.store_at, exported.settings))
    assert [(line.dataset, line.published, line.tables) for line in lines] == [
        ("*", True, 4), ("here", True, 2), ("there", True, 2),
    ]  # fmt: skip


def test_the_report_links_to_the_bucket_of_each_dataset(exported: Exported) -> None:
    run, page = asyncio.run(verbs.report(exported.store_at, exported.settings))
    assert run == "r"
    assert b"2 datasets published by run <code>r</code>" in page
    for bucket, dataset in BUCKETS.items():
        assert f"_details/{bucket}/x/{dataset}/_bqdump/runs/r/report.html".encode() in page


def test_the_folder_of_one_dataset_shows_nothing_of_other_buckets(world: SetWorld, exported: Exported) -> None:
    """The locations stay in the file of settings when one dataset is named by its folder."""
    prefix = msgspec.structs.replace(exported.settings.target, prefix="x/here/")
    assert asyncio.run(verbs.status(exported.store_at, exported.at(prefix))).dataset == "p.here"
    settings = msgspec.structs.replace(exported.at(prefix), keep_last=1)
    services = Given(settings, exported.store_at, world.warehouse)
    pruned = asyncio.run(verbs.prune(services.store_at, settings, delete=False))
    assert {one.dataset for one in pruned.runs} == {"p.here"}


def test_the_doctor_examines_each_dataset_in_the_bucket_of_its_location(
    world: SetWorld, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    examined: list[tuple[str, str, str]] = []

    async def diagnose(store: ObjectStore, _warehouse: Any, _reads: Any, own: Settings, *_: Any) -> Diagnosis:
        examined.append((store.url, own.dataset, str(own.target)))
        at_target = str(own.target)
        return Diagnosis(verdict=CheckOutcome.OK, project="p", dataset="", target=at_target, checks=[], cures=[])

    monkeypatch.setattr("bqdump.verbs.checks.diagnose", diagnose)
    at = Given(exported.settings, exported.store_at, world.warehouse)
    asyncio.run(verbs.doctor(at, exported.settings))
    assert sorted(examined) == [
        ("gs://bucket-eu", "there", "gs://bucket-eu/x/there/"), ("gs://memory", "here", "gs://memory/x/here/"),
    ]  # fmt: skip


def test_the_console_names_the_buckets_that_it_does_not_show(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def serve(_s: object, _o: object, _p: int, listening: Callable[[str], None], _trusting: object) -> None:
        listening("http://127.0.0.1:1/")

    monkeypatch.setattr("bqdump.ui.app.serve", serve)
    open_given(monkeypatch, lambda _: MemoryStore())
    monkeypatch.setenv("SOURCE_DATASET", "*")
    monkeypatch.setenv("BQDUMP_LOCATIONS", "EU=gs://bucket-eu/my x")
    assert start(["ui", "--bucket", "memory"]) == 0
    assert "Datasets of another location: bqdump ui --to 'gs://bucket-eu/my x/' --port 0" in capsys.readouterr().out
