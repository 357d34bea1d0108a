"""When an export was last proven restorable: in the list of runs, the status, the report and the console."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.target import Drill
from bqdump.core.restore.drill import Restorable, ago, of_the_rest, restorable
from bqdump.core.times import EPOCH, time_of
from bqdump.export.publish.report import report_page
from bqdump.ports.store import Note
from bqdump.repository.repository import create
from bqdump.verbs import report, runs, status
from observe.test_history import SETTINGS, two_runs
from opened import everywhere, snapshot_of

DAY = 24 * 3600
NOW = 1_800_000_000_000


def noted(run: str, days: int, tables: int = 38, problems: tuple[str, ...] = (), of: int = 38) -> Drill:
    """A drill so many days ago."""
    began = NOW - days * DAY * 1000
    return Drill(run=run, snapshot=began, dataset="p.d", tool="1", began=began, ended=began, tables=tables, of=of,
                 different=len(problems), problems=problems)  # fmt: skip


def drilled(store: MemoryStore, *drills: Drill) -> MemoryStore:
    """The store with notes on drills of its runs."""
    for drill in drills:
        note(store, replace(drill, snapshot=snapshot_of(store, SETTINGS.layout, drill.run)))
    return store


def note(store: MemoryStore, drill: Drill) -> None:
    asyncio.run(create(store, SETTINGS.layout.drill(f"{drill.began}-{drill.run}"), drill))


@pytest.mark.parametrize(
    ("drills", "text"),
    [
        ([], "never"),
        ([noted("r1", 3)], "3 days ago (all 38 tables)"),
        ([noted("r1", 9, 11), noted("r1", 3, 12)], "3 days ago (12 of 38 tables)"),
        ([noted("r1", 9), noted("r1", 3, 12)], "3 days ago (12 of 38 tables), all tables 9 days ago"),
        (
            [noted("r1", 9), noted("r2", 3, 12)],
            "3 days ago (12 of 38 tables), all tables of run r1 9 days ago",
        ),
        (
            [noted("r1", 9), noted("r2", 3, 0, ("one: rows",))],
            "9 days ago (all 38 tables); the newest drill failed: one: rows",
        ),
        ([noted("r2", 3, 0, ("one: rows",))], "never; the newest drill failed: one: rows"),
        ([noted("r2", 3, 0, ("one: rows",)), noted("r2", 2)], "2 days ago (all 38 tables)"),
    ],
)  # fmt: skip
def test_it_is_described_in_words(drills: list[Drill], text: str) -> None:
    assert restorable(drills).text(NOW / 1000) == text


def test_times_in_the_past_are_written_in_one_unit() -> None:
    found = [ago(seconds) for seconds in (-5, 60, 7199, 7200, 2 * DAY - 1, 2 * DAY)]
    assert found == [
        "just now", "1 minute ago", "119 minutes ago", "2 hours ago", "47 hours ago", "2 days ago",
    ]  # fmt: skip


def test_one_table_is_singular() -> None:
    assert Restorable(EPOCH, "r", 1, 1).extent == "1 table"


def test_each_run_has_its_newest_proof() -> None:
    store = drilled(two_runs(), noted("r1", 9, 4, of=4), noted("r1", 3, 2, of=4), noted("r2", 2, 0, ("one: rows",)))
    found = {line.run: line for line in asyncio.run(runs(everywhere(store), SETTINGS))}
    assert (found["r1"].proven, found["r1"].proven_tables, found["r1"].provable_tables) == (
        time_of(NOW - 3 * DAY * 1000), 2, 4,
    )  # fmt: skip
    assert (found["r2"].proven, found["r2"].drill_problem) == (None, "one: rows")


@pytest.mark.parametrize(
    ("drills", "left", "text"),
    [
        ([noted("r1", 3, 4, of=4)], 3, "3 days ago (all 3 tables)"),
        ([noted("r1", 3, 3, of=4)], 3, "3 days ago (2 of 3 tables)"),
        ([noted("r1", 3, 1, of=4)], 3, "never"),
        ([noted("r1", 9, 4, of=4), noted("r1", 3, 1, of=4)], 3, "9 days ago (all 3 tables)"),
        ([noted("r1", 3, 4, of=4)], 0, "never"),
        ([noted("r1", 3, 2, of=4)], 5, "3 days ago (2 of 4 tables)"),
    ],
)
def test_tables_that_were_erased_since_count_no_more(drills: list[Drill], left: int, text: str) -> None:
    assert of_the_rest(restorable(drills), left).text(NOW / 1000) == text


def test_a_run_has_no_more_proven_tables_than_tables() -> None:
    store = drilled(two_runs(), noted("r2", 3, 5, of=5))
    found = next(line for line in asyncio.run(runs(everywhere(store), SETTINGS)) if line.run == "r2")
    assert (found.tables, found.proven_tables, found.provable_tables) == (4, 4, 4)


def test_a_drill_of_a_pruned_run_proves_nothing_of_the_run_that_has_its_id_now() -> None:
    store = two_runs()
    note(store, noted("r2", 3))
    found = {line.run: line for line in asyncio.run(runs(everywhere(store), SETTINGS))}
    assert (found["r2"].proven, found["r2"].all_proven) == (None, None)
    now = asyncio.run(status(everywhere(store), SETTINGS, "r2"))
    assert now.restorable == Restorable()
    _, page = asyncio.run(report_page(store, SETTINGS, "r2"))
    assert "last proven restorable</dt><dd>never" in page.decode().replace("\n", "")
    _, evidence = asyncio.run(report(everywhere(store), SETTINGS, "r2", drill=True))
    assert "No drill has restored run r2 yet" in evidence.decode()
    # Of another run, the status still shows it: the exports of this place were restorable then.
    other = asyncio.run(status(everywhere(store), SETTINGS, "r1"))
    assert other.restorable
    assert other.restorable.run == "r2"


def test_drills_are_read_by_one_listing_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    store = drilled(two_runs(), *(noted(f"r{number % 2 + 1}", number) for number in range(50)))
    requested: list[str] = []
    listed = store.notes

    def notes(prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        requested.append(prefix)
        return listed(prefix)

    monkeypatch.setattr(store, "notes", notes)
    asyncio.run(runs(everywhere(store), SETTINGS))
    assert sorted(requested) == ["_bqdump/drills/", "_bqdump/history/", "_bqdump/tags/"]


def test_a_note_that_cannot_be_read_does_not_hide_the_others() -> None:
    store = drilled(two_runs(), noted("r1", 3))
    asyncio.run(store.write_note("_bqdump/drills/broken.json", b"{", 0))
    asyncio.run(store.write_note("_bqdump/drills/later.json", b'{"format_version":99}', 0))
    assert asyncio.run(runs(everywhere(store), SETTINGS))[1].proven


def test_status_and_report_show_it() -> None:
    store = drilled(two_runs(), noted("r1", 3))
    found = asyncio.run(status(everywhere(store), SETTINGS, "r2"))
    assert found.restorable
    assert found.restorable.run == "r1"
    _, page = asyncio.run(report_page(store, SETTINGS))
    assert "last proven restorable" in page.decode()
    # The page is that of run r2.
    assert "(all 38 tables of run r1)" in page.decode()
    assert found.restorable.text(NOW / 1000, found.latest) == "3 days ago (all 38 tables of run r1)"
    assert found.restorable.text(NOW / 1000, "r1") == "3 days ago (all 38 tables)"
