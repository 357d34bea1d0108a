"""How safe a dataset is: how old its newest proven run is, how long a restore takes, and which objective is broken."""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.cli.main import start
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.copying import CopyOf
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.errors import DocumentError
from bqdump.core.recovery import NEWEST, Recovery, Took, basis_of, expected_seconds
from bqdump.core.restore.drill import Sample
from bqdump.core.restore.plan import Options
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target, record_of
from bqdump.core.wording import COMMANDS
from bqdump.export.run import run as export
from bqdump.export.task import Task as ExportTask
from bqdump.ports.store import Stored
from bqdump.repository.exports import exports_at
from bqdump.restoration.drill import drill_one
from bqdump.restoration.listing import Place as Listed
from bqdump.restoration.listing import find_restores
from bqdump.restoration.recovery import recoveries, restores_took
from bqdump.restoration.restore import restore_one
from bqdump.restoration.task import Request, Task
from bqdump_memory import MemoryDestination
from observe.test_trust import public, sign
from opened import everywhere, open_given
from restore.world import SETTINGS
from retain.scene import SETTINGS as SCENE
from retain.scene import Scene
from sets.restores import RestoreWorld

HOUR, DAY = 3600, 86_400
EVERYTHING = Sample()
START = 1_800_000_000_000
OWN_FOLDER = replace(SETTINGS, path="{run}/{table}_*.{ext}", format="csv")


class Place:
    """A dataset that is exported, drilled and restored, by a clock that the event loop moves."""

    def __init__(self, settings: Settings = OWN_FOLDER, **options: Any) -> None:
        self.store, self.settings = MemoryStore(), settings
        self.big = MemoryDestination(self.store, self.now, **options)

    def now(self) -> int:
        return START + int(asyncio.get_running_loop().time() * 1000) if _in_loop() else START

    async def export(self, run: str, tables: Mapping[str, Sequence[str]]) -> None:
        for name, rows in tables.items():
            self.big.put("project", "data", name, list(rows))
        await export(ExportTask(self.store, self.big, self.settings, run, Owner(run, 0), 1))

    def task(self, execution: str, dataset: str = "", **fields: Any) -> Task:
        options = Options(project="project", dataset=dataset)
        return Task(self.store, self.big, self.settings, Request(options), Owner(execution, 0), 1)._replace(**fields)

    async def drill(self, name: str, sample: Sample = EVERYTHING) -> None:
        done = await drill_one(self.task(name, documents=MemoryStore()), sample)
        assert done.state == "proven"

    async def restore(self, name: str) -> Took:
        """How long a restore into a new dataset took."""
        before = await self.took()
        done = await restore_one(self.task(name, f"copy_{name}"))
        assert done.state == "restored"
        (took,) = set(await self.took()).difference(before)
        return took

    async def took(self) -> list[Took]:
        return await restores_took((await exports_at(everywhere(self.store), self.settings)).each[0])

    async def recovery(self, **objectives: int | None) -> Recovery:
        settings = replace(self.settings, **objectives)
        (found,) = await recoveries(await exports_at(everywhere(self.store), settings), self.now(), COMMANDS)
        return found


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def chance(*of: object) -> float:
    """From 0 to 1, always the same."""
    return zlib.crc32(repr(of).encode()) / 0xFFFFFFFF


def test_the_expected_time_is_within_a_quarter_of_the_next_restore_on_each_of_twenty_nights() -> None:
    """A table takes a fixed time, a time for each byte and one for each row, and up to a tenth more or less.

    The dataset grows and shrinks. Some nights drill all of it, some a third of the tables, some nothing.
    """
    night, sizes = 0, dict[str, tuple[int, int]]()

    def seconds(table: str) -> float:
        # Scratch tables have other names.
        rows, bytes_ = sizes.get(table, (0, 0))
        return (4 + 0.05 * rows + 0.004 * bytes_) * (0.9 + 0.2 * chance(night, table))

    async def nights() -> list[tuple[float, float, float]]:
        nonlocal night
        place, estimates, last = Place(replace(OWN_FOLDER, concurrency=2), seconds=seconds), [], 0.0
        for night in range(1, 21):
            count = 4 + int(10 * chance("tables", night))
            tables = {
                f"t{number:02}": ["x" * int(10 + 40 * chance("bytes", night, number))]
                * int(20 + 200 * chance("rows", night, number))
                for number in range(count)
            }
            for gone in {*sizes}.difference(tables):
                place.big.datasets["project", "data"].pop(gone)
            sizes.clear()
            sizes.update({name: (len(rows), sum(map(len, rows))) for name, rows in tables.items()})
            await asyncio.sleep(DAY)
            await place.export(f"n{night}", tables)
            if night % 3 != 2:
                await place.drill(f"d{night}", Sample(parts=3) if night % 3 == 0 else EVERYTHING)
            expected = (await place.recovery()).restore_seconds
            assert expected
            took = (await place.restore(f"r{night}")).seconds
            estimates.append((expected, took, last or took))
            last = took
        return estimates

    found = asyncio.run(nights())
    assert len(found) == 20
    errors = [expected / took - 1 for expected, took, _ in found]
    assert max(map(abs, errors)) <= 0.25, [round(error, 2) for error in errors]
    # That it takes as long as the last one is no answer.
    assert sum(abs(last / took - 1) > 0.25 for _, took, last in found) > 5


TABLES = {"one": ["a", "b"], "two": ["c"], "none": []}


def run_place(work: Any) -> Any:
    """What work on a place returns."""
    place = Place()
    return asyncio.run(work(place))


async def exported(place: Place, *runs: str, hours: int = 24) -> None:
    """One run after another, the last one just now."""
    for number, run in enumerate(runs):
        await asyncio.sleep(hours * HOUR if number else 0)
        await place.export(run, TABLES)


def test_without_a_drill_no_run_is_proven_and_the_sentence_has_the_drill() -> None:
    async def work(place: Place) -> Recovery:
        await exported(place, "r1")
        return await place.recovery(rpo=26 * HOUR, rto=4 * HOUR)

    found = run_place(work)
    assert (found.run, found.age, found.published, found.proven_tables, found.of) == ("", None, "r1", 0, 3)
    assert (found.restore_seconds, found.basis) == (None, "")
    assert found.broken_objectives == ("rpo", "rto")
    assert found.broken[0].startswith("no run is proven, so --rpo 26h is broken: of the published run r1, drills have")
    assert found.broken[0].endswith("proven 0 of 3 tables. Prove it: bqdump drill")
    assert found.broken[1].endswith("no drill or restore was measured here. Measure it: bqdump drill")


@pytest.mark.parametrize(("source", "via"), [("gs://first/x/", "gs://first"), ("s3://first/x/", "gs://BUCKET"),
                                              ("./first", "gs://BUCKET"), ("", "gs://BUCKET")])  # fmt: skip
@pytest.mark.parametrize("here", [Target("file", "copies"), Target("s3", "copies")], ids=str)
def test_where_load_jobs_cannot_read_the_drill_names_a_bucket_to_upload_to(here: Target, source: str, via: str) -> None:
    async def work(place: Place) -> Recovery:
        await exported(place, "r1")
        name = "_bqdump/runs/r1/manifest.json"
        stored = place.store.peek(name)
        assert stored
        manifest = decode(stored[0], Manifest, name)
        of = CopyOf(source=source, content="0" * 64, tool="1", at=1) if source else None
        place.store.put_now(name, encode(replace(manifest, settings=manifest.settings | record_of(here), copy_of=of)))
        place.settings = replace(place.settings, target=here)
        return await place.recovery(rpo=26 * HOUR, rto=4 * HOUR)

    sentences = run_place(work).broken
    assert [sentence.rpartition("bqdump drill")[2] for sentence in sentences] == [f" --via {via}"] * 2


def test_of_a_long_history_of_restores_only_the_documents_of_the_newest_are_read() -> None:
    async def work(place: Place) -> tuple[set[str], list[str], int]:
        place.store.clock = place.now
        await exported(place, "r1")
        for number in range(NEWEST + 3):
            await asyncio.sleep(DAY)
            await restore_one(place.task(f"x{number}", f"copy_{number}"))
        began = {
            found.decision.target.name: found.decision.restore
            for found in (await find_restores([Listed(place.store, place.settings.layout)])).restores
        }
        read, look = set[str](), place.store.read

        async def noted(name: str, start: int = 0, length: int | None = None) -> Stored:
            read.update(part for part in name.split("/") if part in began.values())
            return await look(name, start, length)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(place.store, "read", noted)
            took = await place.took()
        return read, [began[f"copy_{number}"] for number in range(3, NEWEST + 3)], len(took)

    read, newest, took = run_place(work)
    assert (read, took) == (set(newest), NEWEST)


def test_an_hour_after_a_drill_both_objectives_are_met_and_a_day_later_the_age_breaks_one() -> None:
    async def work(place: Place) -> list[Recovery]:
        await exported(place, "r1")
        await place.drill("d1")
        await asyncio.sleep(HOUR)
        met = await place.recovery(rpo=26 * HOUR, rto=4 * HOUR)
        await asyncio.sleep(26 * HOUR)
        return [met, await place.recovery(rpo=26 * HOUR, rto=4 * HOUR)]

    met, late = run_place(work)
    assert (met.run, met.broken, met.proven_tables) == ("r1", (), 3)
    assert HOUR <= met.age < HOUR + 60
    assert met.basis.startswith("1 drill of up to 3 tables, ")
    (sentence,) = late.broken
    assert sentence.startswith(
        "the published run r1 is 27 h 0 min old, more than --rpo 26h. Export it again: bqdump run"
    )
    assert " --project project --dataset data --bucket memory " in f"{sentence} "


def test_a_newer_run_that_is_not_proven_leaves_the_age_of_the_proven_one_and_each_table_has_its_own() -> None:
    async def work(place: Place) -> Recovery:
        await exported(place, "r1")
        await place.drill("d1")
        await asyncio.sleep(DAY)
        await place.export("r2", TABLES)
        await place.drill("d2", Sample(tables=1))
        return await place.recovery(rpo=12 * HOUR)

    found = run_place(work)
    assert (found.run, found.published, found.proven_tables, found.of) == ("r1", "r2", 1, 3)
    assert {table.run for table in found.tables} == {"r1", "r2"}
    newest = [table for table in found.tables if table.run == "r2"]
    assert len(newest) == 1
    assert newest[0].age is not None
    assert newest[0].age < 60 < DAY <= max(table.age or 0 for table in found.tables)
    (sentence,) = found.broken
    assert "the newest proven run r1 is 24 h 0 min old, so --rpo 12h is broken: of the published run r2" in sentence
    assert sentence.endswith("proven 1 of 3 tables. Prove it: bqdump drill")


@pytest.mark.parametrize("lost", ["file", "manifest"])
def test_a_proven_run_that_cannot_be_read_any_more_is_none(lost: str) -> None:
    async def work(place: Place) -> list[Recovery]:
        await exported(place, "r1")
        await place.drill("d1")
        before = await place.recovery(rpo=DAY)
        name = "_bqdump/runs/r1/manifest.json" if lost == "manifest" else "r1/one_000000000000.csv"
        found = place.store.peek(name)
        assert found
        await place.store.delete([(name, found[1].generation)])
        return [before, await place.recovery(rpo=DAY)]

    before, after = run_place(work)
    assert before.broken == ()
    assert (after.run, after.published, after.broken_objectives) == ("", "", ("rpo",))
    assert after.broken[0].startswith("nothing that is published can be read, so --rpo 1d is broken. Export it again: ")


def test_a_copy_is_fixed_by_another_copy_and_a_damaged_export_with_the_settings_of_its_own_run() -> None:
    async def work(place: Place) -> list[str]:
        await exported(place, "r1")
        name = "_bqdump/runs/r1/manifest.json"
        stored = place.store.peek(name)
        assert stored
        manifest = decode(stored[0], Manifest, name)
        at = CopyOf(source="gs://first/x/", content="0" * 64, tool="1", at=1)
        sentences = list[str]()
        for made in (manifest, replace(manifest, copy_of=at)):
            place.store.put_now(name, encode(made))
            await asyncio.sleep(2)
            sentences += (await place.recovery(rpo=1)).broken
        lost = place.store.peek("r1/one_000000000000.csv")
        assert lost
        await place.store.delete([("r1/one_000000000000.csv", lost[1].generation)])
        place.store.put_now(name, encode(manifest))
        return [*sentences, *(await place.recovery(rpo=1, rto=1)).broken]

    exports, copies, rpo, rto = run_place(work)
    again = "Export it again: bqdump run --project project --dataset data --bucket memory --no-header --path "
    assert again in exports
    assert copies.endswith("Copy a newer run here: bqdump copy gs://memory/ --to gs://first/x/")
    assert rpo.startswith(f"nothing that is published can be read, so --rpo 1s is broken. {again}")
    assert rto.startswith(f"nothing that is published can be read, so --rto 1s is broken. {again}")


def test_where_the_newest_run_is_damaged_the_proven_one_before_it_counts() -> None:
    async def work(place: Place) -> Recovery:
        await exported(place, "r1")
        await place.drill("d1")
        await asyncio.sleep(HOUR)
        await place.export("r2", TABLES)
        found = place.store.peek("r2/one_000000000000.csv")
        assert found
        await place.store.delete([("r2/one_000000000000.csv", found[1].generation)])
        return await place.recovery(rpo=26 * HOUR)

    found = run_place(work)
    assert (found.run, found.published, found.broken) == ("r1", "r1", ())


def test_a_run_whose_files_a_later_one_replaced_is_no_recovery_point() -> None:
    async def work() -> Recovery:
        place = Place(SETTINGS)
        await exported(place, "r1")
        await place.drill("d1")
        await asyncio.sleep(HOUR)
        await place.export("r2", TABLES)
        return await place.recovery(rpo=26 * HOUR)

    found = asyncio.run(work())
    assert (found.run, found.published, found.broken_objectives) == ("", "r2", ("rpo",))


def test_a_restore_that_is_expected_to_take_longer_than_allowed_breaks_the_objective() -> None:
    async def work() -> Recovery:
        place = Place(seconds=lambda table: 600.0)
        await exported(place, "r1")
        await place.drill("d1")
        return await place.recovery(rto=300)

    found = asyncio.run(work())
    assert found.broken_objectives == ("rto",)
    assert found.broken[0].startswith("a restore is expected to take 10 min (1 drill of up to 3 tables,")
    assert ", more than --rto 5m. Export as Parquet or in smaller datasets, then measure it again: " in found.broken[0]


def test_a_restore_that_was_interrupted_or_met_failures_is_no_measure() -> None:
    async def work() -> list[Took]:
        place, failing = Place(replace(OWN_FOLDER, concurrency=1), seconds=lambda table: 5.0), ["one"]
        await exported(place, "r1")
        first = await place.restore("whole")

        class StoppedError(Exception):
            pass

        def stop(event: object) -> None:
            if type(event).__name__ == "Restored" and failing:
                failing.clear()
                raise StoppedError

        with pytest.raises(StoppedError):
            await restore_one(place.task("stopped", "later", tell=stop))
        await asyncio.sleep(HOUR)
        await restore_one(place.task("again", "later"))
        assert await place.took() == [first]
        return await place.took()

    assert len(asyncio.run(work())) == 1


def test_the_estimate_grows_with_what_is_restored_and_is_unknown_before_the_first() -> None:
    took = [Took("drill", number, 10.0 * number, number, number * 100, number * 10) for number in range(1, 40)]
    assert expected_seconds([], 1, 1, 1) is None
    assert expected_seconds([Took("drill", 1, 5.0, 0, 0, 0)], 1, 1, 1) is None
    assert expected_seconds(took, 80, 8000, 800) == pytest.approx(800, rel=0.05)
    assert expected_seconds(took[:1], 1, 100, 10) == pytest.approx(10)
    assert expected_seconds(took[:1], 2, 200, 20) == pytest.approx(19)
    assert basis_of(took).startswith(f"{NEWEST} drills of up to 39 tables, 3.9 KB, 390 rows took ")
    assert basis_of([*took[-1:], took[0]._replace(kind="restore")]).startswith("1 drill and 1 restore of up to")


def status(monkeypatch: pytest.MonkeyPatch, place: Place, *flags: str, now: int = START) -> int:
    open_given(monkeypatch, lambda _: place.store)
    monkeypatch.setattr(time, "time", lambda: now / 1000)
    return start(["status", "--bucket", "memory", *flags])


def proven() -> tuple[Place, int]:
    """A place with one run, which a drill has proven, and the time by its clock."""
    place = Place()

    async def prepared() -> int:
        await exported(place, "r1")
        await place.drill("d1")
        return place.now()

    return place, asyncio.run(prepared())


def test_the_status_exits_with_4_for_a_broken_objective_and_says_how_safe_each_dataset_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place, now = proven()
    assert status(monkeypatch, place, "--rpo", "26h", "--rto", "4h", now=now) == 0
    out, err = capsys.readouterr()
    # The clock goes on while the place is prepared.
    assert re.search(
        r"data: objectives met: proven run r1, \d+ s old; a restore is expected to take \d+ s \(1 drill", out
    )
    assert "--rpo" not in err
    late = now + 27 * HOUR * 1000
    assert status(monkeypatch, place, "--rpo", "26h", "--quiet", now=late) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        "bqdump: the published run r1 is 27 h 0 min old, more than --rpo 26h. Export it again: bqdump "
    )
    assert status(monkeypatch, place, "--rpo", "26h", "--json", now=late) == 4
    assert '"age": 97200.' in capsys.readouterr().out
    assert status(monkeypatch, place, now=late) == 0


def test_an_objective_is_not_met_by_a_clock_that_is_behind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place, now = proven()
    assert status(monkeypatch, place, "--rpo", "26h", now=now - 30_000) == 0
    capsys.readouterr()
    assert status(monkeypatch, place, "--rpo", "26h", now=now - 2 * DAY * 1000) == 4
    why = r"bqdump: the published run r1 is 4\d h \d+ min ahead of this clock, so --rpo 26h cannot be shown\. Set "
    assert re.search(why, capsys.readouterr().err)


def test_each_dataset_of_a_set_is_named_and_what_must_be_signed_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    world = RestoreWorld()
    open_given(monkeypatch, lambda _: world.store)
    flags = ["status", "--bucket", "memory", "--prefix", "x", "--rpo", "3650d", "--rto", "1s"]
    assert start(flags) == 4
    out, err = capsys.readouterr()
    assert [line.partition(":")[0] for line in out.splitlines() if "objectives broken: no proven run" in line] == [
        "ops_eu",
        "ops_us",
        "sales",
    ]
    assert "bqdump: ops_us: no run is proven, so --rpo 3650d is broken" in err
    assert "Prove it: bqdump drill --project p --bucket memory --prefix x" in err
    assert start([*flags, "--trust", public(tmp_path)]) == 4
    assert "Export it again with --sign: bqdump run --project p --dataset" in capsys.readouterr().err


def test_a_run_that_another_key_has_signed_is_fixed_by_trusting_that_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = Scene()
    made.run("one")
    sign(made.store, SCENE.target, SCENE.layout, "one")
    open_given(monkeypatch, lambda _: made.store)
    flags = ["status", "--bucket", "memory", "--prefix", "x", "--rpo", "26h", "--rto", "4h"]
    assert start([*flags, "--trust", public(tmp_path, Ed25519PrivateKey.generate())]) == 4
    out, err = capsys.readouterr()
    assert "objectives broken: no proven run; no run to restore" in out
    for limit in ("--rpo 26h", "--rto 4h"):
        assert (
            f"bqdump: no published run is trusted, so {limit} is broken. If you know that key, add it to --trust."
            in err
        )


def test_a_copied_set_is_fixed_by_a_copy_of_the_complete_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = RestoreWorld()
    for name in [name for name in world.store.names_now() if name.endswith("/manifest.json")]:
        stored = world.store.peek(name)
        assert stored
        with suppress(DocumentError):
            manifest = decode(stored[0], Manifest, name)
            source = CopyOf(source=f"gs://first/x/{manifest.dataset}/", content="0" * 64, tool="1", at=1)
            world.store.put_now(name, encode(replace(manifest, copy_of=source)))
    open_given(monkeypatch, lambda _: world.store)
    assert start(["status", "--bucket", "memory", "--prefix", "x", "--rpo", "1s"]) == 4
    printed = [line for line in capsys.readouterr().err.splitlines() if "Copy a newer run here" in line]
    assert [line.rpartition(": bqdump ")[2] for line in printed] == ["copy gs://memory/x/ --to gs://first/x/"] * 3


def test_an_empty_place_breaks_every_objective(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(monkeypatch, Place(), "--rpo", "26h") == 4
    assert "Start one: bqdump run" in capsys.readouterr().err
    assert status(monkeypatch, Place()) == 5
