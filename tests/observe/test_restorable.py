"""What drills have proven of a run, table by table: in the list of runs, the status, the report and the evidence."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Drill
from bqdump.core.restore.drill import Restorable, ago, of_the_rest
from bqdump.core.times import time_of
from bqdump.export.publish.report import report_page
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.ports.store import Note
from bqdump.repository.repository import create
from bqdump.verbs import report, runs, status
from bqdump_memory import MemoryWarehouse
from observe.test_history import SETTINGS, two_runs
from opened import everywhere
from proofs import drilled, note_of

DAY = 24 * 3600
NOW = 1_800_000_000_000
LAYOUT = SETTINGS.layout


def drill(store: MemoryStore, run: str, days: int, *tables: str, **fields: Any) -> Drill:
    """A drill of a run, so many days ago, that has proven these tables; all without any."""
    return drilled(store, LAYOUT, run, NOW - days * DAY * 1000, tables or None, **fields)


def restorable(store: MemoryStore, run: str) -> Restorable:
    found = asyncio.run(status(everywhere(store), SETTINGS, run)).restorable
    assert found
    return found


def text(store: MemoryStore, run: str) -> str:
    return restorable(store, run).text(NOW / 1000)


def evidence(store: MemoryStore, run: str) -> str:
    return " ".join(asyncio.run(report(everywhere(store), SETTINGS, run, drill=True))[1].decode().split())


def test_a_run_that_no_drill_has_restored_is_never_proven() -> None:
    assert text(two_runs(), "r2") == "never"


def test_all_tables_by_one_drill() -> None:
    store = two_runs()
    drill(store, "r2", 3)
    assert text(store, "r2") == "4 of 4 tables, 3 days ago"


def test_samples_add_up_to_all_tables() -> None:
    store = two_runs()
    drill(store, "r2", 9, "comes", "grows")
    assert text(store, "r2") == "2 of 4 tables, 9 days ago"
    drill(store, "r2", 3, "same", "widens")
    assert text(store, "r2") == "4 of 4 tables, the oldest proof 9 days old"
    assert "Proven restorable" in evidence(store, "r2")


def test_a_smaller_drill_takes_nothing_away() -> None:
    store = two_runs()
    drill(store, "r2", 9)
    drill(store, "r2", 3, "same")
    assert text(store, "r2") == "4 of 4 tables, the oldest proof 9 days old"
    drill(store, "r2", 1)
    assert text(store, "r2") == "4 of 4 tables, 24 hours ago"


def test_a_table_that_a_drill_found_different_is_proven_no_more() -> None:
    store = two_runs()
    drill(store, "r2", 9)
    drill(store, "r2", 3, "grows", different=("same",))
    assert text(store, "r2") == "3 of 4 tables, the oldest proof 9 days old; the newest drill failed: same: rows"
    drill(store, "r2", 2, "same")
    assert text(store, "r2") == "4 of 4 tables, the oldest proof 9 days old"


def test_a_drill_that_could_not_restore_a_table_takes_no_proof_away() -> None:
    store = two_runs()
    drill(store, "r2", 9)
    failed = replace(note_of(store, LAYOUT, "r2", NOW - DAY * 1000, ()), failed=1, problems=("same: denied",))
    asyncio.run(create(store, LAYOUT.drill("failed"), failed))
    assert text(store, "r2") == "4 of 4 tables, 9 days ago; the newest drill failed: same: denied"


def three_incremental_runs() -> MemoryStore:
    """Of the last one, an earlier run exported all but the table `two`."""
    store, clock = MemoryStore(), itertools.count(1_800_000_000_000)
    warehouse = MemoryWarehouse(store, lambda: next(clock))
    settings = replace(SETTINGS, incremental=True, path="{run}/{table}_*.{ext}")
    for table in ("one", "two", "three"):
        warehouse.put("project", "data", table, ["row"])
    for name in ("r1", "r2", "r3"):
        if name == "r3":
            warehouse.put("project", "data", "two", ["another"])
        asyncio.run(run(Task(store, warehouse, settings, name, Owner(name, 0), 1)))
    return store


def test_a_proof_counts_for_every_run_that_has_the_same_files_of_the_table() -> None:
    store = three_incremental_runs()
    drill(store, "r2", 6)
    assert text(store, "r3") == "2 of 3 tables, 6 days ago"
    assert restorable(store, "r3").run == "r2"
    page = evidence(store, "r3")
    assert "Proven in part" in page
    assert "2 of 3 tables were restored" in page
    assert page.count("never</td>") == 1
    drill(store, "r3", 1, "two")
    assert text(store, "r3") == "3 of 3 tables, the oldest proof 6 days old"


def test_files_that_another_run_exported_anew_are_not_proven_although_they_have_the_same_bytes() -> None:
    store = two_runs()
    drill(store, "r1", 6)
    assert text(store, "r2") == "never; run r1 was, 6 days ago"


def test_the_status_of_a_run_shows_no_other_runs_drill_as_its_own() -> None:
    store = two_runs()
    drill(store, "r2", 3, "comes")
    assert text(store, "r1") == "never; run r2 was, 3 days ago"
    assert (restorable(store, "r1").tables, restorable(store, "r1").of) == (0, 4)


def test_the_list_of_runs_has_the_proofs_of_each_run() -> None:
    store = two_runs()
    drill(store, "r1", 9, "goes", "same")
    drill(store, "r1", 5, "grows")
    drill(store, "r2", 9, "same")
    drill(store, "r2", 3, "comes", different=("widens",))
    found = {line.run: line for line in asyncio.run(runs(everywhere(store), SETTINGS))}
    first, second = found["r1"], found["r2"]
    assert (first.proven_tables, first.provable_tables) == (3, 4)
    assert (first.proven, first.oldest_proof) == (time_of(NOW - 5 * DAY * 1000), time_of(NOW - 9 * DAY * 1000))
    assert (second.proven_tables, second.drill_problem) == (2, "widens: rows")
    assert second.restorable.short(NOW / 1000) == "2 of 4 tables, the oldest proof 9 days old"


def test_times_in_the_past_are_written_in_one_unit() -> None:
    found = [ago(seconds) for seconds in (-5, 60, 7199, 7200, 2 * DAY - 1, 2 * DAY)]
    assert found == [
        "just now", "1 minute ago", "119 minutes ago", "2 hours ago", "47 hours ago", "2 days ago",
    ]  # fmt: skip


def test_one_table_is_singular() -> None:
    assert Restorable(time_of(NOW), "r", 1, 1).extent == "1 of 1 table"


@pytest.mark.parametrize(
    ("proven", "of", "left", "found"),
    [(4, 4, 3, (3, 3)), (3, 4, 3, (2, 3)), (1, 4, 3, (0, 3)), (4, 4, 0, (0, 0)), (2, 4, 5, (2, 4))],
)
def test_tables_that_were_erased_since_count_no_more(proven: int, of: int, left: int, found: tuple[int, int]) -> None:
    rest = of_the_rest(Restorable(time_of(NOW), "r1", proven, of, "", time_of(NOW)), left)
    assert (rest.tables, rest.of) == found


def test_a_drill_of_a_pruned_run_proves_nothing_of_the_run_that_has_its_id_now() -> None:
    store = two_runs()
    gone = replace(note_of(store, LAYOUT, "r2", NOW), snapshot=1, proofs="0" * 64)
    asyncio.run(create(store, LAYOUT.drill("gone"), gone))
    found = {line.run: line for line in asyncio.run(runs(everywhere(store), SETTINGS))}
    assert (found["r2"].proven, found["r2"].proven_tables) == (None, 0)
    assert text(store, "r2") == "never"
    _, page = asyncio.run(report_page(store, SETTINGS, "r2"))
    assert "proven restorable</dt><dd>never" in page.decode().replace("\n", "")
    how = "No drill has restored tables of run r2 yet: bqdump drill r2 --project project --to gs://"
    assert how in evidence(store, "r2")


def test_proofs_that_are_not_those_of_their_note_prove_nothing() -> None:
    store = two_runs()
    note = drill(store, "r2", 3)
    store.put_now(LAYOUT.proofs(note.proofs).name, b'{"format_version":1,"proven":{}}\n')
    assert restorable(store, "r2").tables == 0


def test_drills_are_read_by_one_listing_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    store = two_runs()
    for number in range(40):
        drill(store, f"r{number % 2 + 1}", number + 1)
    requested: list[str] = []
    listed = store.notes

    def notes(prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        requested.append(prefix)
        return listed(prefix)

    monkeypatch.setattr(store, "notes", notes)
    asyncio.run(runs(everywhere(store), SETTINGS))
    assert sorted(requested) == ["_bqdump/drills/", "_bqdump/log/", "_bqdump/log/", "_bqdump/tags/"]


def test_a_note_that_cannot_be_read_does_not_hide_the_others() -> None:
    store = two_runs()
    drill(store, "r1", 3)
    asyncio.run(store.write_note("_bqdump/drills/broken.json", b"{", 0))
    asyncio.run(store.write_note("_bqdump/drills/later.json", b'{"format_version":99}', 0))
    assert asyncio.run(runs(everywhere(store), SETTINGS))[1].proven


def test_the_report_shows_it() -> None:
    store = two_runs()
    drill(store, "r2", 3, "same")
    _, page = asyncio.run(report_page(store, SETTINGS))
    shown = page.decode().replace("\n", "")
    assert "proven restorable</dt><dd>1 of 4 tables</dd>" in shown
    assert "oldest proof</dt><dd>2027-01-12</dd>" in shown
