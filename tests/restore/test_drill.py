"""A drill proves an export restorable, and leaves nothing but a note."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.signing_keys import FileKey, FileKeys
from bqdump.core.documents.definitions import Definitions, RowPolicy
from bqdump.core.documents.run import Failure, Owner
from bqdump.core.documents.target import Drill
from bqdump.core.errors import DeniedError, NotFoundError, UnavailableError, UsageError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.drill import Drilled, Restorable, Sample, in_turn, sample_of
from bqdump.core.restore.plan import Options
from bqdump.core.restore.planning import LIFETIME_MS
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset
from bqdump.core.times import time_of
from bqdump.export.run import run as export
from bqdump.export.task import Task as ExportTask
from bqdump.repository.drills import read_drills, read_proof, store_of_signed_drills
from bqdump.repository.published import read_manifest
from bqdump.repository.repository import create
from bqdump.restoration import finish
from bqdump.restoration.changes import Compared
from bqdump.restoration.drill import NAME
from bqdump.restoration.drill import drill_one as drill
from bqdump.restoration.planning import _comparisons
from bqdump.restoration.task import Request, Task, Via
from entries import entry
from restore.killed import Killed, killed_at
from restore.test_objects import routine, view
from restore.world import ROWS, SETTINGS, ExportedWorld
from tiers import points

SCRATCH = Options(project="project", dataset="")
ALL = Sample()


def task(world: ExportedWorld, **fields: Any) -> Task:
    made = Task(world.store, world.big, SETTINGS, Request(SCRATCH), Owner("drill", 0), 1, documents=MemoryStore())
    return made._replace(**fields)


def drilled(world: ExportedWorld, size: Sample = ALL, **fields: Any) -> Drilled:
    return asyncio.run(drill(task(world, **fields), size))


def notes(world: ExportedWorld) -> list[Drill]:
    return asyncio.run(read_drills(world.store, SETTINGS.layout))


def proof(world: ExportedWorld) -> Restorable:
    return asyncio.run(read_proof(world.store, SETTINGS.layout, world.manifest.run))


def removed(world: ExportedWorld, name: str) -> None:
    found = world.store.peek(name)
    assert found
    asyncio.run(world.store.delete([(name, found[1].generation)]))


def scratch(world: ExportedWorld) -> list[str]:
    return [name for _, name in world.big.datasets if name.startswith(NAME)]


def test_a_drill_restores_everything_drops_it_and_leaves_one_note_with_its_tables() -> None:
    world = ExportedWorld()
    before = world.store.names_now()
    done = drilled(world)
    assert (done.state, done.tables, done.of, done.rows) == ("proven", ("none", "one", "two"), 3, 3)
    assert scratch(world) == []
    new = set(world.store.names_now()) - set(before)
    (note,) = notes(world)
    assert {name.startswith("_bqdump/drills/") for name in new} == {True}
    assert new - {name for name in new if name.endswith(".json")} == {SETTINGS.layout.proofs(note.proofs).name}
    assert (note.proven, note.run, note.tables, note.of, note.rows) == (True, "r1", 3, 3, 3)
    assert note.dataset == f"project.{done.dataset}"


def test_a_restore_after_a_drill_starts_afresh() -> None:
    world = ExportedWorld()
    drilled(world)
    assert world.restore().state == "restored"
    assert {name: world.rows(name) for name in ROWS} == ROWS


@pytest.mark.parametrize("path", ["{table}_*.{ext}", "{run}/{table}_*.{ext}"], ids=["replace", "keep"])
def test_a_drill_proves_an_incremental_export_with_files_of_earlier_runs(path: str) -> None:
    world = ExportedWorld()
    settings = msgspec.structs.replace(SETTINGS, target=Target("gs", "memory", "nightly/"), path=path, incremental=True)
    for run in ("r1", "r2", "r3"):
        if run == "r3":
            world.big.put("project", "data", "two", ["c", "d"])
        asyncio.run(export(ExportTask(world.store, world.big, settings, run, Owner(run, 0), 1)))
    manifest = asyncio.run(read_manifest(world.store, settings))
    origins = {entry.table: entry.carried and entry.carried.run for entry in manifest.tables}
    assert origins == {"none": "r2", "one": "r2", "two": None}
    done = drilled(world, settings=settings)
    assert (done.state, done.tables, done.of, done.rows) == ("proven", ("none", "one", "two"), 3, 4)
    (note,) = asyncio.run(read_drills(world.store, settings.layout))
    assert (note.proven, note.run, note.tables, note.of) == (True, "r3", 3, 3)
    # A file of an earlier run is proven like one of its own.
    file = next(entry for entry in manifest.tables if entry.table == "one").files[0]
    world.store.put_now(file.name, b"changed\n")
    assert drilled(world, settings=settings).state == "different"


def test_a_drill_of_some_tables_does_not_call_its_run_restorable(caplog: pytest.LogCaptureFixture) -> None:
    world = ExportedWorld({"one": ["x"], "two": ["x"]})
    with caplog.at_level(logging.INFO):
        drilled(world, Sample(tables=1))
        drilled(world)
    said = [record.getMessage() for record in caplog.records if "compared value by value" in record.getMessage()]
    run = notes(world)[0].run
    alike = "except what the files of {} have alike"
    assert said == [
        f"1 of 2 tables of run {run} can be restored: compared value by value, 1 row, {alike.format('1 table')}",
        f"run {run} is restorable: 2 of 2 tables compared value by value, 2 rows, {alike.format('2 tables')}",
    ]


def test_tables_take_turns_until_every_table_is_proven() -> None:
    world = ExportedWorld({f"t{number}": ["x"] for number in range(5)})
    turns = [drilled(world, Sample(tables=2)).tables for _ in range(3)]
    assert turns == [("t0", "t1"), ("t2", "t3"), ("t0", "t4")]
    assert [note.of for note in notes(world)] == [5, 5, 5]
    # What they have proven adds up.
    assert [note.altogether for note in notes(world)] == [2, 4, 5]
    assert (proof(world).complete, proof(world).oldest) == (True, time_of(notes(world)[0].ended))


@pytest.mark.parametrize("share", ["10%", "15%", "34%", "50%", "99%"])
def test_a_share_proves_every_table_in_as_many_drills_as_it_has_parts(share: str) -> None:
    names = [f"t{number}" for number in range(23)]
    size, last, seen = sample_of(None, share), "", set[str]()
    for _ in range(size.parts):
        turn = in_turn(names, size.size(len(names)), last)
        seen, last = seen | {*turn}, turn[-1]
    assert seen == {*names}


def test_a_table_that_disappears_does_not_disturb_the_turn() -> None:
    assert in_turn(["a", "c", "d"], 1, "b") == ("c",)
    assert in_turn(["a", "c"], 5, "z") == ("a", "c")


@pytest.mark.parametrize(
    ("tables", "sample", "problem"),
    [
        (0, "", "tables 0: expected at least 1 table"), (-1, "", "tables -1: expected at least 1 table"),
        (None, "ten", "sample 'ten': expected a share such as 10%"), (None, "0%", "expected a share from 0.1% to 100%"),
        (1, "10%", "cannot be used together with sample"),
    ],
)  # fmt: skip
def test_a_sample_that_is_none_is_refused(tables: int | None, sample: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        sample_of(tables, sample)


def test_views_and_routines_are_proven_with_all_tables_but_not_with_some() -> None:
    world = ExportedWorld()
    objects = (view("v", "SELECT * FROM `project.data.one`"),)
    world.change_manifest(definitions=Definitions(objects=objects, routines=(routine("q", "SELECT 1"),)))
    assert drilled(world).objects == 2
    some = drilled(world, Sample(tables=1))
    assert (some.state, some.objects) == ("proven", 0)


def test_views_alone_prove_nothing_of_an_export_with_rows(caplog: pytest.LogCaptureFixture) -> None:
    world = ExportedWorld()
    world.change_manifest(definitions=Definitions(objects=(view("v", "SELECT 1 AS one"),)))
    with caplog.at_level(logging.INFO):
        done = drilled(world, request=Request(replace(SCRATCH, include=("v",))))
    assert (done.state, done.tables, done.of, done.objects) == ("proven", (), 3, 1)
    assert proof(world) == Restorable(of=3)
    assert LogEvent.DRILL_PROVEN not in [getattr(one, "event", "") for one in caplog.records]
    # What an earlier drill found is still the newest finding, and what one proved the newest proof.
    world.change_manifest(tables=tuple(replace(entry, rows=7) for entry in world.manifest.tables))
    drilled(world, Sample(tables=1))
    drilled(world, request=Request(replace(SCRATCH, include=("v",))))
    assert "none: " in proof(world).problem


def test_a_table_whose_export_failed_is_one_that_a_drill_does_not_prove(caplog: pytest.LogCaptureFixture) -> None:
    world = ExportedWorld({"one": ["x"]})
    failure = Failure("00001-00000", "two", "job", 1, "invalid", "it has no columns", Owner("r1", 0))
    world.change_manifest(status="partial", failed=(failure,))
    # The index is that of the manifest before.
    removed(world, SETTINGS.layout.run(world.manifest.run).contents.name)
    with caplog.at_level(logging.INFO):
        done = drilled(world)
    assert (done.state, done.tables, done.of) == ("proven", ("one",), 2)
    assert (proof(world).extent, proof(world).complete) == ("1 of 2 tables", False)
    assert f"1 of 2 tables of run {done.run} can be restored" in caplog.text


def test_other_rows_than_in_the_manifest_are_a_difference() -> None:
    world = ExportedWorld()
    entries = [msgspec.structs.replace(entry, rows=7) if entry.table == "one" else entry
               for entry in world.manifest.tables]  # fmt: skip
    world.change_manifest(tables=tuple(entries))
    done = drilled(world)
    assert (done.state, [one.name for one in done.different], done.tables) == ("different", ["one"], ("none", "two"))
    (note,) = notes(world)
    assert (note.proven, note.different, note.tables, note.of) == (False, 1, 2, 3)
    assert note.problems[0].startswith("one: ")
    assert scratch(world) == []


def test_missing_files_are_a_difference_and_recorded() -> None:
    world = ExportedWorld()
    removed(world, next(file.name for entry in world.manifest.tables for file in entry.files))
    done = drilled(world)
    assert (done.state, done.tables) == ("different", ())
    assert "missing" in notes(world)[0].problems[0]


def test_a_view_that_cannot_be_created_makes_a_drill_incomplete() -> None:
    world = ExportedWorld()
    world.change_manifest(definitions=Definitions(objects=(view("v", "SELECT * FROM `project.data.gone`"),)))
    done = drilled(world)
    assert (done.state, [one.name for one in done.failed], len(done.tables)) == ("incomplete", ["v"], 3)


def test_a_note_stays_small_whatever_has_failed() -> None:
    rows = {f"{number}_{'長' * 150}": ["a"] for number in range(5)}
    world = ExportedWorld(rows)
    entries = tuple(msgspec.structs.replace(entry, rows=7) for entry in world.manifest.tables)
    world.change_manifest(tables=entries)
    assert len(drilled(world, Sample(tables=4)).different) == 4
    assert len(notes(world)[0].problems) == 3


def test_a_killed_drill_leaves_tables_that_expire_and_does_not_disturb_the_next() -> None:
    lifetimes, left = set(), 0
    for number in points(itertools.count(1)):
        world = ExportedWorld()
        try:
            asyncio.run(drill(killed_at(task(world), number), Sample()))
        except* Killed:
            for name in scratch(world):
                left += 1
                lifetimes.add(world.big.resources["project", name]["defaultTableExpirationMs"])
                tables = world.big.datasets["project", name]
                assert [one for one in tables if not world.definition(one, name).get("expirationTime")] == []
        else:
            break
        assert drilled(world).state == "proven"
    assert left > 3
    assert lifetimes == {str(LIFETIME_MS)}


def test_two_drills_at_once_do_not_disturb_each_other() -> None:
    world = ExportedWorld()

    async def both() -> list[Drilled]:
        return await asyncio.gather(*(drill(task(world), Sample()) for _ in range(2)))

    done = asyncio.run(both())
    assert [one.state for one in done] == ["proven", "proven"]
    assert done[0].dataset != done[1].dataset
    assert len(notes(world)) == 2
    assert scratch(world) == []


def test_where_nothing_is_published_the_error_states_it() -> None:
    world = ExportedWorld()
    removed(world, entry(world.store, SETTINGS.layout, "r1"))
    with pytest.raises(NotFoundError, match=r"Run r1 was about to be published\. Finish it: bqdump\.run\("):
        drilled(world)
    assert scratch(world) == []


class Refusing:
    """A warehouse that refuses some requests."""

    def __init__(self, port: Any, **errors: Exception) -> None:
        self._port, self._errors = port, errors

    def __getattr__(self, name: str) -> Any:
        if error := self._errors.get(name):

            async def refuse(*arguments: Any, **options: Any) -> Any:
                raise error

            return refuse
        return getattr(self._port, name)


def test_without_permission_to_create_datasets_nothing_is_deleted_and_the_error_is_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = ExportedWorld()
    denied = DeniedError("create", "dataset", "no permission", "Requires roles/bigquery.user.")
    with pytest.raises(DeniedError, match=r"roles/bigquery\.user"):
        drilled(world, destination=Refusing(world.big, create_dataset=denied))
    assert LogEvent.DRILL_DATASET_LEFT not in [getattr(one, "event", "") for one in caplog.records]
    assert notes(world) == []


def test_a_dataset_that_cannot_be_deleted_is_named_and_the_proof_stands(caplog: pytest.LogCaptureFixture) -> None:
    world = ExportedWorld()
    refused = UnavailableError("delete", "dataset", "no answer")
    with caplog.at_level(logging.WARNING):
        done = drilled(world, destination=Refusing(world.big, drop_dataset=refused))
    (warned,) = [one for one in caplog.records if getattr(one, "event", "") == LogEvent.DRILL_DATASET_LEFT]
    assert f"project:{done.dataset}" in warned.getMessage()
    assert notes(world)[0].proven


def test_the_dataset_is_dropped_when_a_drill_is_cancelled() -> None:
    world = ExportedWorld(seconds=lambda table: 1.0 if table == "one" else 0.0)

    async def cancelled() -> None:
        running = asyncio.create_task(drill(task(world), Sample()))
        while not any(world.big.datasets["project", name] for name in scratch(world)):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    assert scratch(world) == []
    assert notes(world) == []


def test_expirations_of_the_source_are_not_set_while_a_drill_compares() -> None:
    world = ExportedWorld()
    properties = {"location": "US", "defaultPartitionExpirationMs": "1", "labels": {"team": "a"}}
    world.change_manifest(definitions=Definitions(dataset=msgspec.Raw(msgspec.json.encode(properties))))
    seen: dict[str, Any] = {}

    class Watching(Refusing):
        async def drop_dataset(self, dataset: Any) -> None:
            seen.update(world.big.resources[dataset.project, dataset.name])
            await world.big.drop_dataset(dataset)

    assert drilled(world, destination=Watching(world.big)).state == "proven"
    assert "defaultPartitionExpirationMs" not in seen
    assert seen["labels"] == {"team": "a", "bqdump_drill": "true"}


def test_uploads_of_a_folder_are_deleted_also_after_a_failure() -> None:
    world, bucket, folder = ExportedWorld(), MemoryStore("via"), MemoryStore("folder")
    for name in world.store.names_now():
        found = world.store.peek(name)
        assert found
        folder.put_now(name, found[0])
    world.big.stores["via"] = bucket
    settings = msgspec.structs.replace(SETTINGS, target=Target("file", "folder"))
    through = Via(bucket, Target("gs", "via", "tmp/"))
    assert drilled(world, store=folder, settings=settings, via=through).state == "proven"
    entries = tuple(msgspec.structs.replace(entry, rows=7) for entry in world.manifest.tables)
    name = f"_bqdump/runs/{world.manifest.run}/manifest.json"
    folder.put_now(name, msgspec.json.encode(msgspec.structs.replace(world.manifest, tables=entries)))
    assert drilled(world, store=folder, settings=settings, via=through).state == "different"
    assert list(bucket.names_now()) == []


def test_a_drill_of_named_tables_leaves_the_turns_as_they_are() -> None:
    world = ExportedWorld({f"t{number}": ["x"] for number in range(5)})
    world.change_manifest(definitions=Definitions(objects=(view("v", "SELECT * FROM `project.data.t4`"),)))
    assert drilled(world, Sample(tables=2)).tables == ("t0", "t1")
    named = Request(msgspec.structs.replace(SCRATCH, include=("t3", "t4", "v")))
    done = drilled(world, request=named)
    assert (done.state, done.tables, done.of, done.objects) == ("proven", ("t3", "t4"), 5, 1)
    assert drilled(world, Sample(tables=2)).tables == ("t2", "t3")


def test_a_drill_of_a_name_that_the_export_lacks_is_refused_and_creates_nothing() -> None:
    world = ExportedWorld()
    with pytest.raises(UsageError, match="'on': matches no object of the export; did you mean 'one'"):
        drilled(world, request=Request(msgspec.structs.replace(SCRATCH, include=("on",))))
    assert (scratch(world), notes(world)) == ([], [])


def test_values_are_compared_before_policies_hide_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ExportedWorld()
    policy = RowPolicy("one", "p", "TRUE", ("user:a@example.com",))
    world.change_manifest(definitions=Definitions(policies=(policy,)))
    seen: list[int] = []

    async def compared(restore: Any, ledger: Any, reading: Any) -> Compared:
        seen.append(sum(map(len, world.big.policy_definitions.values())))
        return Compared(3, [])

    monkeypatch.setattr(finish, "compare_values", compared)
    reading: Any = object()
    options = msgspec.structs.replace(SCRATCH, with_policies=True)
    done = drilled(world, request=Request(options, reading=reading))
    assert (done.state, done.objects, done.not_restored, seen) == ("proven", 1, (), [0])


class Failing:
    """A key that cannot sign any more."""

    async def key_id(self) -> str:
        return "SHA256:x"

    async def sign(self, data: bytes) -> bytes:
        raise UnavailableError("sign", "the key", "it was disabled")


def test_a_drill_whose_note_cannot_be_signed_leaves_none() -> None:
    world = ExportedWorld()
    with pytest.raises(UnavailableError):
        drilled(world, signer=Failing())
    assert notes(world) == []
    assert scratch(world) == []


def test_the_turn_of_a_drill_follows_the_signed_ones_where_keys_are_trusted() -> None:
    world, key = ExportedWorld(), Ed25519PrivateKey.generate()
    store = store_of_signed_drills(world.store, SETTINGS.target, FileKeys([key.public_key()]))
    third = sample_of(None, "30%")
    first = drilled(world, third, store=store, signer=FileKey(key))
    planted = Drill(run="r1", snapshot=1, dataset="p.d", tool="1", began=2**42, ended=2**42, tables=1, of=3, last="one")
    asyncio.run(create(world.store, SETTINGS.layout.drill("planted"), planted))
    assert (first.tables, drilled(world, third, store=store, signer=FileKey(key)).tables) == (("none",), ("one",))


@pytest.mark.parametrize(
    ("time_travel", "days", "comparisons"),
    [(48, 1, 2), (48, 3, 1), (168, 3, 2), (168, 8, 1), (720, 8, 1), (48, None, 1)],
)
def test_the_bill_has_a_comparison_with_the_source_as_long_as_time_travel_reaches(
    monkeypatch: pytest.MonkeyPatch, time_travel: int, days: int | None, comparisons: int
) -> None:
    world = ExportedWorld()
    found = world.big.dataset

    async def limited(project: str, name: str) -> Dataset:
        if days is None:
            raise NotFoundError("find", name, "it is gone")
        return replace(await found(project, name), time_travel_hours=time_travel)

    async def later(location: str) -> int:
        return world.manifest.snapshot + (days or 0) * 86_400_000

    monkeypatch.setattr(world.big, "dataset", limited)
    monkeypatch.setattr(world.big, "now", later)
    request = Request(SCRATCH, compares=True)
    planned = _comparisons(task(world, request=request), world.manifest)
    assert asyncio.run(planned) == comparisons
