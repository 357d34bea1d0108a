"""`make test` has every command, every adapter and every law, and its table names only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tiers
from bqdump.core.settings.target import BUCKET, FOLDER, S3
from bqdump.services.opening import OPENERS
from contract.test_object_store import STORES
from simulation.bugs import SIMULATIONS
from simulation.law import Law
from tiers import ALL, ASIDE, FIRST_HALF, NONE, QUICK, SECOND_HALF, TEST, TIERS, Selection, cases, leaves_out, points

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent


@pytest.fixture(autouse=True)
def _tier_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test may choose another tier."""
    monkeypatch.setattr(tiers, "_chosen", tiers._chosen)
    monkeypatch.setattr(tiers, "_without", tiers._without)


@pytest.mark.parametrize("row", sorted({*TEST, *QUICK, *(test for aside in ASIDE.values() for test in aside.tests)}))
def test_each_row_names_a_test_that_exists(row: str) -> None:
    file, _, test = row.partition("::")
    assert (TESTS / file).exists()
    assert not test or re.search(rf"^(async )?def {test}\(", (TESTS / file).read_text(), re.MULTILINE)


def test_each_folder_is_in_one_of_the_two_halves_of_all_tests() -> None:
    folders = {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}
    assert sorted((*FIRST_HALF, *SECOND_HALF)) == sorted(folders)


def test_make_test_runs_something_of_each_folder_in_memory() -> None:
    tiers.choose("test")
    assert [folder for folder in FIRST_HALF if leaves_out(folder)] == []


def test_each_part_is_about_files_that_exist() -> None:
    names = [name for aside in ASIDE.values() for name in aside.about]
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_quick_is_part_of_test() -> None:
    assert {row for row in QUICK if QUICK[row] and TEST[row] < QUICK[row]} == set()


def test_the_journey_through_every_command_runs() -> None:
    (test,) = re.findall(r"^def (test_\w+)", (TESTS / "integration/test_every_command.py").read_text(), re.MULTILINE)
    assert cases(f"integration/test_every_command.py::{test}", TEST) > 0


def test_each_promise_of_a_port_is_tried_once_with_every_adapter() -> None:
    named = {BUCKET: "cloud", FOLDER: "folder", S3: "s3"}
    assert (set(named), set(named.values()) <= set(STORES)) == (set(OPENERS), True)
    promises = ("definitions", "destination", "movers", "object_store", "reader", "warehouse")
    assert [cases(f"contract/test_{promise}.py::test", TEST) for promise in promises] == [1] * len(promises)
    tiers.choose("test")
    selection = Selection()
    tried = [(store, size) for size in (1, 2) for store in STORES]
    taken = [one for one in tried if selection.takes("contract/test_object_store.py::test_a", (one[0],))]
    assert taken == [(store, 1) for store in STORES]


def test_each_law_has_three_schedules_and_a_planted_bug() -> None:
    text = (TESTS / "simulation/test_laws.py").read_text()
    names = re.findall(r'@pytest.mark.parametrize\("seed", .*\)\ndef (test_\w+)', text)
    assert len(names) == len({*SIMULATIONS.values()}) + 1
    assert {cases(f"simulation/test_laws.py::{name}", TEST) for name in names} == {3}
    assert cases("simulation/test_mutations.py::test_a_known_bug_of_each_law_is_found", TEST) >= len(Law)


def test_the_longest_row_that_fits_a_test_counts() -> None:
    rows = {"a": ALL, "a/b.py": NONE, "a/b.py::test_c": 2}
    assert [cases(test, rows) for test in ("a/x.py::test_c", "a/b.py::test_d", "a/b.py::test_c", "x/b.py::test_c")] == [
        ALL, NONE, 2, NONE
    ]  # fmt: skip


def test_what_no_test_of_a_tier_needs_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TIERS, "test", tiers.Tier({"a": ALL, "a/b.py": NONE, "c/d.py::test_e": 1}, 4))
    tiers.choose("test")
    assert [leaves_out(path) for path in ("a", "a/b.py", "a/x.py", "c", "c/d.py", "c/x.py", "x")] == [
        False, True, False, False, False, True, True
    ]  # fmt: skip
    tiers.choose("servers", ["deployments"])
    assert leaves_out("deploy")
    tiers.choose("all", ["deployments"])
    assert [leaves_out(path) for path in ("deploy", "deploy/test_render.py", "docs", "c/x.py")] == [
        True, True, False, False
    ]  # fmt: skip


def test_all_places_are_tried_in_all_tests_and_every_fourth_in_make_test() -> None:
    tiers.choose("all")
    assert list(points(range(10))) == list(range(10))
    tiers.choose("test")
    assert list(points(range(10))) == [0, 4, 8]


def test_the_targets_of_make_choose_tiers_that_exist() -> None:
    text = (ROOT / "Makefile").read_text()
    named = re.findall(r"^\t@\$\(PYTEST\) (\w+)$", text, re.MULTILINE)
    (halves,) = re.findall(r"for tier in (.*?);", text)
    assert {*named, *halves.split(), "all"} == set(TIERS)
