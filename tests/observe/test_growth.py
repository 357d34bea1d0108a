"""What grew, by table, since a run that a name, a date or a duration chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from bqdump import verbs
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import NotFoundError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.times import AsOf, milliseconds_of
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.observe.earlier import Growth, run_before
from bqdump.observe.history import RunLine
from bqdump.ports.store import Note
from bqdump_memory import MemoryWarehouse
from opened import everywhere

SETTINGS = Settings(project="project", dataset="data", target=Target("gs", "memory"))
# Three nights.
DAYS = {"monday": 26, "tuesday": 27, "sunday": 25}


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """Runs of sunday, monday and tuesday: a table grows, one shrinks, one comes, one goes, one stays as it is."""
    stored, now = MemoryStore(), [0]
    warehouse = MemoryWarehouse(stored, lambda: now[0])

    def export(day: str, **rows: int) -> None:
        now[0] = milliseconds_of(datetime(2026, 1, DAYS[day], 3, tzinfo=UTC))
        for table, number in rows.items():
            if number:
                warehouse.put("project", "data", table, ["x" * 10] * number)
            else:
                warehouse.drop("project", "data", table)
        asyncio.run(run(Task(stored, warehouse, SETTINGS, day, Owner(day, 0), 1)))

    export("sunday", orders=1, steady=3, shrinks=9, goes=1)
    export("monday", orders=4)
    export("tuesday", orders=100, shrinks=2, goes=0, comes=5)
    return stored


@pytest.mark.parametrize("question", ["growth", "run as of"])
def test_the_export_is_looked_for_once(store: MemoryStore, monkeypatch: pytest.MonkeyPatch, question: str) -> None:
    notes, listed = store.notes, list[str]()

    def listing(prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        listed.append(prefix)
        return notes(prefix, start)

    monkeypatch.setattr(store, "notes", listing)
    if question == "growth":
        assert grew(store).run == "tuesday"
    else:
        wanted = AsOf(milliseconds_of(datetime(2026, 1, 28, tzinfo=UTC)), "then")
        assert asyncio.run(verbs.run_as_of(everywhere(store), SETTINGS, wanted)).run == "tuesday"
    # Once for the export, and once for the runs.
    assert listed.count(SETTINGS.layout.log) == 2


def grew(store: MemoryStore, run: str = "", since: str = "") -> Growth:
    return asyncio.run(verbs.growth(everywhere(store), SETTINGS, run, since))


def test_what_grew_most_comes_first_and_what_stayed_as_it_is_is_left_out(store: MemoryStore) -> None:
    found = grew(store)
    assert (found.run, found.since, found.of) == ("tuesday", "monday", 5)
    assert [(one.table, one.rows, one.new, one.gone) for one in found.tables] == [
        ("orders", 96, False, False),
        ("comes", 5, True, False),
        ("goes", -1, False, True),
        ("shrinks", -7, False, False),
    ]
    assert [one.bytes for one in found.tables] == sorted((one.bytes for one in found.tables), reverse=True)


@pytest.mark.parametrize(
    ("since", "before"),
    [
        ("sunday", "sunday"),
        ("1d", "monday"),
        ("2d", "sunday"),
        # The end of a date, in UTC.
        ("2026-01-26", "monday"),
        ("2026-01-25", "sunday"),
        ("2026-01-26T02:00:00Z", "sunday"),
        # Older than every run: the oldest one.
        ("7d", "sunday"),
        ("2020-01-01", "sunday"),
        ("9999-12-31", "monday"),
    ],
)
def test_the_earlier_run_is_chosen_by_its_name_a_date_or_a_duration(
    since: str, before: str, store: MemoryStore
) -> None:
    assert grew(store, since=since).since == before


def test_an_earlier_run_can_be_looked_at(store: MemoryStore) -> None:
    assert [(one.table, one.rows) for one in grew(store, "monday").tables] == [("orders", 3)]


@pytest.mark.parametrize(
    ("run", "since", "words"),
    [
        ("", "yesterday", "run yesterday: it does not exist, or is not finished. Name a run, a date such as 2026"),
        ("friday", "", "cannot find run friday"),
        ("sunday", "", "cannot find the previous run: there is no earlier one"),
        ("sunday", "7d", "cannot find a run before run sunday: there is none"),
    ],
)
def test_a_run_that_does_not_exist_is_named_with_what_to_write(
    run: str, since: str, words: str, store: MemoryStore
) -> None:
    with pytest.raises(NotFoundError, match=words):
        grew(store, run, since)


def test_a_damaged_index_is_made_from_the_manifest_again(store: MemoryStore) -> None:
    expected = grew(store)
    name = SETTINGS.layout.run("monday").contents.name
    kept = store.peek(name)
    assert kept is not None
    asyncio.run(store.write(name, b"{", None))
    assert grew(store) == expected


def test_the_run_before_that_of_a_set_is_not_one_of_a_single_dataset() -> None:
    first, second, third = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3))
    lines = [
        RunLine(run="newest", state="complete", published=True, snapshot_time=third, dataset="*"),
        RunLine(run="alone", state="complete", published=False, snapshot_time=second, dataset="sales"),
        RunLine(run="before", state="complete", published=False, snapshot_time=first, dataset="*"),
    ]
    assert run_before(lines) == "before"
