"""The page of an unfinished run shows its current state, not the failures of an earlier execution."""

from __future__ import annotations

import asyncio
import html
import re
import time

import msgspec
import pytest

from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.run import Failure, Owner, Plan, Split
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.documents.units import Claim
from bqdump.ports.store import Note
from bqdump.ui.archive import Archive
from bqdump.ui.run import live_page
from browser.scenes import Scene, shop
from entries import entry

pytestmark = pytest.mark.usefixtures("no_waiting")


REMEDY = "bqdump run --run-id first --project my-project --dataset shop"


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Two of four tables failed just now."""
    made = shop()
    failing = {"orders": "Resources exceeded", "customers": "Resources exceeded"}
    asyncio.run(made.export("first", failing=failing, partial=False))
    monkeypatch.setattr(time, "time", lambda: made.time / 1000)
    return made


def layout(scene: Scene) -> RunLayout:
    return scene.settings.layout.run("first")


def text(scene: Scene, archive: Archive | None = None) -> str:
    body = bytes(asyncio.run(live_page(archive or Archive(scene.store, scene.settings), "first")).body).decode()
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", body)).split())


async def notes(scene: Scene, folder: str) -> list[Note]:
    return [note async for page in scene.store.notes(folder) for note in page]


async def take_over(scene: Scene) -> None:
    """Another execution takes over all units."""
    for name, data, generation, _ in await notes(scene, layout(scene).claims):
        claim = msgspec.structs.replace(decode(data, Claim, name), owner=Owner("again", 0))
        await scene.store.write_note(name, encode(claim), generation)


def test_a_failed_run_shows_its_failed_tables_and_how_to_resume(failed: Scene) -> None:
    shown = text(failed)
    assert "Failed. 2 tables failed, 2 done" in shown
    assert shown.count("Resources exceeded") == 2
    assert REMEDY in shown


def test_a_table_retried_by_another_execution_is_not_failed(failed: Scene) -> None:
    asyncio.run(take_over(failed))
    shown = text(failed)
    assert "running 2 waiting 0 failed 0" in shown
    assert "Resources exceeded" not in shown


def test_a_failure_in_a_running_export_shows_no_resume_command(failed: Scene) -> None:
    name, _, generation, _ = asyncio.run(notes(failed, layout(failed).receipts))[0]
    asyncio.run(failed.store.delete([(name, generation)]))
    shown = text(failed)
    assert "Running. 1 of 4 tables done." in shown
    assert shown.count("Resources exceeded") == 2
    assert REMEDY not in shown


def test_silence_is_measured_from_the_start_of_a_run_not_its_snapshot_time(failed: Scene) -> None:
    plan = decode(asyncio.run(failed.store.read(layout(failed).plan.name)).data, Plan, layout(failed).plan.name)
    days_ago = msgspec.structs.replace(plan, snapshot=plan.snapshot - 3 * 86_400_000)
    failed.store.put_now(layout(failed).plan.name, encode(days_ago))
    receipts = asyncio.run(notes(failed, layout(failed).receipts))
    asyncio.run(failed.store.delete([(name, generation) for name, _, generation, _ in receipts]))
    assert "No table has finished" not in text(failed)


def test_a_run_is_superseded_once_a_later_one_is_published() -> None:
    made = shop()
    asyncio.run(made.export("first"))
    asyncio.run(made.export("second"))
    for name in (
        layout(made).manifest.name,
        layout(made).contents.name,
        entry(made.store, made.settings.layout, "first"),
    ):
        found = made.store.peek(name)
        assert found
        asyncio.run(made.store.delete([(name, found[1].generation)]))
    shown = text(made)
    assert "Superseded. 4 of 4 tables done; run second, with a later snapshot time, is published." in shown
    assert "Publishing." not in shown
    assert REMEDY not in shown


def test_receipts_that_stop_counting_are_not_done(failed: Scene) -> None:
    archive = Archive(failed.store, failed.settings)
    assert "1 of 4 tables done" not in text(failed, archive)
    # As if the read session of its receipt had been retired.
    name, _, generation, _ = asyncio.run(notes(failed, layout(failed).receipts))[0]
    asyncio.run(failed.store.delete([(name, generation)]))
    assert "Running. 1 of 4 tables done." in text(failed, archive)


def test_a_split_table_fails_once_regardless_of_its_failed_parts(failed: Scene) -> None:
    plan = decode(asyncio.run(failed.store.read(layout(failed).plan.name)).data, Plan, layout(failed).plan.name)
    found = [decode(data, Failure, name) for name, data, *_ in asyncio.run(notes(failed, layout(failed).failures))]
    units = tuple(failure.unit for failure in found)
    shared = msgspec.structs.replace(plan, tables=3, splits=(Split("orders", units),))
    failed.store.put_now(layout(failed).plan.name, encode(shared))
    for failure, (name, _, generation, _) in zip(
        found, asyncio.run(notes(failed, layout(failed).failures)), strict=True
    ):
        part = msgspec.structs.replace(failure, table="orders")
        asyncio.run(failed.store.write_note(name, encode(part), generation))
    shown = text(failed)
    assert "Failed. 1 table failed, 2 done" in shown
    assert shown.count("Resources exceeded") == 1
