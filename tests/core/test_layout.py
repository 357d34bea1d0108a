"""Object names below _bqdump/, and back from a name to its unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.documents.layout import SMALL, Layout, is_note, most_bytes
from bqdump.core.documents.run_layout import RunLayout, unit_id, unit_of
from bqdump.core.restore.documents import Restores
from core.strategies import TABLE_NAMES

NUMBERS = st.integers(0, 99_999)
RUN = Layout("nightly/").run("run-1")


@given(NUMBERS, NUMBERS, st.integers(0, 999), TABLE_NAMES.filter(lambda name: "/" not in name))
def test_every_document_of_a_unit_leads_back_to_it(share: int, number: int, attempt: int, table: str) -> None:
    unit = unit_id(share, number)
    names = [RUN.claim(unit).name, RUN.receipt(unit).name, RUN.staged(unit, attempt, f"x/{table}_*.csv")]
    if table.split(".", 1)[0].split("_")[0] != unit:
        assert [unit_of(name) for name in names] == [unit] * 3
    assert unit_of(RUN.failure(unit, attempt, "12345").name) == unit


@given(NUMBERS, NUMBERS)
def test_a_unit_sorts_by_its_share(share: int, number: int) -> None:
    assert unit_id(share, number).startswith(f"{share:05d}-")
    assert (unit_id(share, number) < unit_id(share, 99_999)) == (number < 99_999)


def test_more_than_five_digits_are_units_too() -> None:
    assert unit_of(RUN.claim(unit_id(3, 123_456)).name) == "00003-123456"


@pytest.mark.parametrize(
    "name", ["", "claims/", RUN.plan.name, RUN.manifest.name, "_bqdump/runs/r/claims/1-2.json", "a/00000-0000.json"]
)
def test_other_names_have_no_unit(name: str) -> None:
    assert unit_of(name) == ""


@pytest.mark.parametrize("prefix", ["", "a/b/"])
def test_everything_lies_below_the_state_folder(prefix: str) -> None:
    layout = Layout(prefix)
    run = layout.run("r")
    names = [layout.latest.name, layout.publishing.name, layout.newest.name, layout.runs,
             run.root, run.plan.name, run.planner.name, run.claims,
             run.receipts, run.failures, run.staging, run.intent.name, run.manifest.name, run.units("n")]  # fmt: skip
    assert all(name.startswith(f"{prefix}_bqdump/") for name in names)
    assert len(set(names)) == len(names)
    assert run == RunLayout(f"{prefix}_bqdump/runs/r/")


def test_files_are_staged_apart_for_each_attempt() -> None:
    first, second = (RUN.staged("00000-00001", attempt, "deep/er/t_*.csv") for attempt in (0, 1))
    assert first == "nightly/_bqdump/runs/run-1/data/00000-00001.0/t_*.csv"
    assert first.rpartition("/")[0] != second.rpartition("/")[0]


def test_a_note_is_known_by_its_name_and_is_small() -> None:
    layout = Layout("a/b/")
    run, restore, project = layout.run("r"), Restores(layout).restore("0123456789ab-1"), layout.set_run("r")
    notes = [
        run.claim("00000-00000"), run.read_attempt("00000-00000", 1), run.receipt("00000-00000"),
        run.failure("00000-00000", 1, "e"), restore.receipt(1), restore.failure(1, 1, "e"),
        project.planned(1), project.receipt(1), project.failure(1, "e"), layout.stages("r"),
        layout.entry("r", 1), layout.mark("r"), layout.drill("d"), layout.tags("r"),
    ]  # fmt: skip
    assert [note.name for note in notes if not is_note(note.name) or most_bytes(note.name) != SMALL] == []
    assert {note.style for note in notes} == {"note"}
    others = [run.plan, run.session("00000-00000"), run.notified("failed", "e"), layout.latest]
    assert [one.name for one in others if is_note(one.name)] == []
    assert not is_note("a/b/_bqdump/tags/")
    assert not is_note("a/b/_bqdump/tags/README.txt")
