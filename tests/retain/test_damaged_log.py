"""Entries of the log and manifests that are missing, damaged or of another run: what goes on, and who says so."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bqdump.check.verify import verify
from bqdump.core.documents.layout import SMALL
from bqdump.core.documents.target import LogEntry
from bqdump.core.errors import DocumentError, NotFoundError, UsageError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.times import rfc3339
from bqdump.export.run import run
from bqdump.observe.follow import Pace, follow
from bqdump.observe.history import list_runs
from bqdump.observe.status import Status, status
from bqdump.repository import publication
from bqdump.repository.manifests import published_run
from bqdump.repository.published import read_latest
from entries import entry
from logged import logged
from retain.scene import DAY, LAYOUT, SETTINGS, Scene

REPLACE = "{table}/{table}_*.{ext}"
LAYOUTS = pytest.mark.parametrize("path", [SETTINGS.path, REPLACE])
Damage = Callable[[Scene], None]


def put(name: Callable[[Scene], str], content: bytes | None) -> Damage:
    """Store another content; None: delete the object."""

    def damage(scene: Scene) -> None:
        if content is None:
            scene.delete_now(name(scene))
        else:
            scene.store.put_now(name(scene), content)

    return damage


def entry_of_b(scene: Scene) -> str:
    return entry(scene.store, LAYOUT, "b")


def manifest_of_b(_: Scene) -> str:
    return LAYOUT.run("b").manifest.name


def of_another_run(name: Callable[[Scene, str], str]) -> Damage:
    def damage(scene: Scene) -> None:
        found = scene.store.peek(name(scene, "a"))
        assert found
        scene.store.put_now(name(scene, "b"), found[0])

    return damage


CONTENTS = {"empty": b"", "{}": b"{}", "garbage": b"\x00garbage", "large": b" " * (SMALL + 1)}
DAMAGES: dict[str, Damage] = {
    **{f"entry {what}": put(entry_of_b, content) for what, content in CONTENTS.items()},
    "entry missing": put(entry_of_b, None),
    "entry of another run": of_another_run(lambda scene, run: entry(scene.store, LAYOUT, run)),
    **{f"manifest {what}": put(manifest_of_b, content) for what, content in CONTENTS.items()},
    "manifest missing": put(manifest_of_b, None),
    "manifest of another run": of_another_run(lambda _, run: LAYOUT.run(run).manifest.name),
}
DAMAGED = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


@LAYOUTS
@DAMAGED
def test_the_next_night_goes_on_from_the_newest_run_that_can_be_read_and_says_so(
    scene: Scene, path: str, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    scene.run("a", "b", path=path)
    damage(scene)
    missing = not scene.names("-b.json")
    assert asyncio.run(published_run(scene.store, SETTINGS)) == "a"
    assert bool(logged(caplog, LogEvent.LATEST_UNREADABLE)) == (not missing)
    (result,) = scene.run("c", path=path)
    assert (result.state, asyncio.run(published_run(scene.store, SETTINGS))) == ("published", "c")
    assert asyncio.run(verify(scene.store, SETTINGS)).findings == ()
    found = asyncio.run(read_latest(scene.store, SETTINGS))
    assert found
    # Where files are replaced, the run that has replaced them is entered in the log again.
    assert (found.over, found.number) == (("b", 2) if missing and path == REPLACE else ("a", 2))


@DAMAGED
def test_no_table_of_the_newest_run_that_can_be_read_leaves_the_export_unasked(scene: Scene, damage: Damage) -> None:
    scene.run("a", "b")
    damage(scene)
    with pytest.raises(UsageError, match="items"):
        scene.run("c", include=("sales",))


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name.startswith("manifest")])
def test_a_place_whose_only_run_is_damaged_is_exported_anew(
    scene: Scene, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene.run("b")
    if damage != "manifest of another run":
        DAMAGES[damage](scene)
    else:
        scene.store.put_now(manifest_of_b(scene), b"[]")
    with pytest.raises((DocumentError, VerificationError), match="manifest"):
        asyncio.run(published_run(scene.store, SETTINGS))
    assert scene.run("c")[0].state == "published"
    assert logged(caplog, LogEvent.MANIFEST_MISSING)
    assert asyncio.run(published_run(scene.store, SETTINGS)) == "c"


@LAYOUTS
@pytest.mark.parametrize("content", [None, *CONTENTS.values()])
def test_latest_json_is_made_from_the_log_whatever_was_there(scene: Scene, path: str, content: bytes | None) -> None:
    scene.run("a", "b", path=path)
    put(lambda _: LAYOUT.latest.name, content)(scene)
    assert asyncio.run(published_run(scene.store, SETTINGS)) == "b"
    assert asyncio.run(verify(scene.store, SETTINGS)).findings == ()
    scene.run("c", path=path)
    found = scene.store.peek(LAYOUT.latest.name)
    assert found
    assert msgspec.json.decode(found[0])["run"] == "c"
    scene.prune(path=path)


def test_an_entry_of_a_time_to_come_does_not_count(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.store.clock = lambda: scene.now
    scene.run("a", "b")
    name = entry_of_b(scene)
    found = scene.store.peek(name)
    assert found
    to_come = scene.now + DAY
    planted = msgspec.json.decode(found[0]) | {"snapshot": to_come, "snapshot_time": rfc3339(to_come)}
    document = LAYOUT.entry("b", to_come)
    scene.store.put_now(document.name, msgspec.json.encode(planted))
    assert asyncio.run(published_run(scene.store, SETTINGS)) == "b"
    assert f"{document.name} is not used: it is as of {rfc3339(to_come)}" in caplog.text
    scene.now += 2 * DAY
    # Nor does it once that time has come.
    latest = asyncio.run(read_latest(scene.store, SETTINGS))
    assert latest
    assert latest.snapshot == msgspec.json.decode(found[0])["snapshot"]


@pytest.mark.parametrize("name", ["x.json", "20270101T000000Z-b.json", "20279901T000000.000Z-b.json", "b/c.json"])
def test_what_has_no_name_of_an_entry_is_passed_over(scene: Scene, name: str, caplog: pytest.LogCaptureFixture) -> None:
    scene.run("a", "b")
    scene.store.put_now(f"{LAYOUT.log}{name}", b"{}")
    with caplog.at_level(logging.WARNING):
        assert asyncio.run(published_run(scene.store, SETTINGS)) == "b"
    assert (f"{LAYOUT.log}{name} is not used" in caplog.text) == ("/" not in name)


def test_a_run_that_lost_its_entry_is_published_again_by_its_id(scene: Scene) -> None:
    scene.run("a", "b")
    scene.delete_now(entry_of_b(scene))
    assert asyncio.run(published_run(scene.store, SETTINGS)) == "a"
    jobs = len(scene.warehouse.extracted)
    (result,) = scene.run("b")
    assert (result.state, len(scene.warehouse.extracted)) == ("published", jobs)
    assert asyncio.run(published_run(scene.store, SETTINGS)) == "b"


def test_a_late_run_enters_the_log_and_takes_the_place_of_no_later_one(scene: Scene) -> None:
    scene.run("a")
    late = scene.task("late", snapshot_time=rfc3339(scene.now + 1))
    scene.run("b")
    assert asyncio.run(run(late)).state == "superseded"
    assert asyncio.run(published_run(scene.store, SETTINGS)) == "b"
    lines = asyncio.run(list_runs(scene.store, SETTINGS))
    assert [(line.run, line.state) for line in lines] == [("b", "complete"), ("late", "complete"), ("a", "complete")]


def test_what_an_earlier_build_has_written_is_refused_with_the_last_commit_that_reads_it(scene: Scene) -> None:
    scene.run("a")
    scene.delete_now("/log/")
    scene.store.put_now(f"{LAYOUT.root}history/a.json", b"{}")
    said = r"an earlier build wrote it.*The last commit that reads it is [0-9a-f]{8}"
    for ask in (lambda: asyncio.run(verify(scene.store, SETTINGS)), lambda: scene.run("b")):
        with pytest.raises(UsageError, match=said):
            ask()


@pytest.mark.parametrize("copied", [False, True])
def test_where_the_log_was_deleted_runs_are_named_with_the_way_back(scene: Scene, copied: bool) -> None:
    scene.run("a", "b")
    jobs = len(scene.warehouse.extracted)
    scene.delete_now("/log/")
    if copied:
        for run in "ab":
            scene.delete_now(LAYOUT.run(run).plan.name)
    way = "Copy it again" if copied else "Enter it in the log, which exports nothing: bqdump.run(run_id='b', "
    said = re.escape(f"{LAYOUT.log} has no entry, although run b is complete. {way}")
    for ask in (verify(scene.store, SETTINGS), published_run(scene.store, SETTINGS)):
        with pytest.raises(NotFoundError, match=said):
            asyncio.run(ask)
    for line in asyncio.run(list_runs(scene.store, SETTINGS)):
        assert line.problem.startswith("it is complete, but not in the log. ")
        shown = asyncio.run(status(scene.store, SETTINGS, line.run))
        assert (shown.state, shown.problem) == ("complete", line.problem)
    if not copied:
        scene.run("a", "b")
        assert len(scene.warehouse.extracted) == jobs
        assert asyncio.run(published_run(scene.store, SETTINGS)) == "b"


def test_a_night_after_the_log_was_deleted_says_that_nothing_can_be_compared(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.run("a", "b")
    scene.delete_now("/log/")
    assert scene.run("c")[0].state == "published"
    (said,) = logged(caplog, LogEvent.LATEST_UNREADABLE)
    assert (
        "although run b is complete. Enter it in the log, which exports nothing: bqdump run --run-id b"
        in said.getMessage()
    )


@DAMAGED
def test_status_of_a_run_that_cannot_be_read_says_so(scene: Scene, damage: Damage) -> None:
    scene.run("a", "b")
    damage(scene)
    shown = asyncio.run(status(scene.store, SETTINGS, "b"))
    lost = damage in [DAMAGES[name] for name in DAMAGES if name.startswith("manifest")]
    assert (shown.state, shown.latest) == ("unreadable" if lost else "complete", "a")
    assert ("runs/b/manifest.json" if lost else "--run-id b") in shown.problem


@DAMAGED
def test_following_a_damaged_run_ends_with_what_is_wrong_and_waits_where_only_the_entry_is_missing(
    scene: Scene, damage: Damage
) -> None:
    scene.run("a", "b")
    damage(scene)
    looks = asyncio.run(_looks(scene))
    shown = asyncio.run(status(scene.store, SETTINGS, "b"))
    if damage is DAMAGES["entry missing"]:
        # A task enters it in the log next, or the command that status prints.
        assert (len(looks), looks[-1].state) == (LOOKS, "complete")
    else:
        assert [(look.state, look.problem) for look in looks] == [(shown.state, shown.problem)]


LOOKS = 5


async def _looks(scene: Scene) -> list[Status]:
    """What is found at each look at run b, up to the end or to LOOKS of them."""
    looks = list[Status]()
    async for look in follow(scene.store, SETTINGS, "b", pace=Pace(0.001, 0.002), every_look=True):
        looks.append(look)
        if len(looks) == LOOKS:
            break
    return looks


@pytest.mark.parametrize("late", ["b", "c"])
def test_of_two_runs_that_enter_the_log_at_the_same_time_the_tables_that_the_later_one_lacks_are_named(
    scene: Scene, late: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    include = {"b": ("items",), "c": ("sales",)}
    for name, tables in include.items():
        scene.abandon(name, include=tables)
    create, (other,) = publication._create, {*include} - {late}

    async def after_the_other(*given: Any) -> None:
        monkeypatch.setattr(publication, "_create", create)
        await run(scene.task(other, include=include[other]))
        await create(*given)

    monkeypatch.setattr(publication, "_create", after_the_other)
    scene.run(late, include=include[late])
    assert asyncio.run(published_run(scene.store, SETTINGS)) == "c"
    (said,) = {record.getMessage() for record in logged(caplog, LogEvent.TABLE_REMOVED)}
    assert said == (
        "run c does not have 1 table of run b, which was published at the same time (items): run b has them"
    )


def test_the_totals_of_a_run_are_of_the_entry_that_its_manifest_is_of(scene: Scene) -> None:
    scene.run("a")
    name = entry(scene.store, LAYOUT, "a")
    stored = scene.store.peek(name)
    assert stored
    planted = msgspec.json.decode(stored[0], type=LogEntry)
    later = planted.snapshot + 1
    planted = msgspec.structs.replace(planted, snapshot=later, snapshot_time=rfc3339(later), rows=planted.rows + 7)
    scene.store.put_now(LAYOUT.entry("a", later).name, msgspec.json.encode(planted))
    [line] = asyncio.run(list_runs(scene.store, SETTINGS))
    assert (line.state, line.rows) == ("complete", planted.rows - 7)
