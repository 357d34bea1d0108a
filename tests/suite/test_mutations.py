"""The tool that tries mutants draws the same ones for a seed, changes what it says, and finds the test that fails."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mutations import __main__ as tool
from mutations import draw, reach
from mutations.trial import ORDERS, Orders, Result

SOURCE = """
def choose(store, old, new, generation, *names):
    if old is None or not names:
        return False
    log.info("text %s", old == new)
    store.delete(old)
    kept = [name for name in names if name != "x"]
    return store.put(old, new, generation=generation) if min(kept, names) <= new + 2 else f"{old == new}"
"""
CHANGES = [
    "old is None or not names → not names", "old is None or not names → old is None",
    "if old is None or not names → if False",
    "old is None → old is not None", "not names → names", "False → True", "store.delete(old) → nothing",
    "if name != 'x' → no filter", "name != 'x' → name == 'x'", "generation=generation → generation=None",
    "store.put(old, new, generation=generation) → store.put(new, old, generation=generation)",
    "min(kept, names) → max(kept, names)", "min(kept, names) → min(names, kept)", "2 → 3", "new + 2 → new - 2",
    "min(kept, names) <= new + 2 → min(kept, names) < new + 2",
]  # fmt: skip
VARINT = "bqdump.core.formats.varint"


def test_every_kind_of_change_is_drawn_and_text_is_left_alone() -> None:
    found = {f"{site.mutant.before} → {site.mutant.after}" for site in draw.sites("m", ast.parse(SOURCE))}
    chosen = {name for name in found if len(name) < 100}
    assert chosen == set(CHANGES)


def test_each_change_is_one_of_the_source() -> None:
    mutants = draw.mutants_of(VARINT)
    before = ast.unparse(ast.parse(draw.path_of(VARINT).read_text()))
    changed = {ast.unparse(draw.mutated(mutant)) for mutant in mutants}
    assert before not in changed
    assert len(changed) == len({mutant.name for mutant in mutants}) == len(mutants) > 5


def test_a_seed_draws_the_same_mutants_of_all_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [VARINT, "bqdump.telemetry", "bqdump.ports.store", "bqdump.core.times"]
    monkeypatch.setattr(draw, "modules", lambda: chosen)
    first, again, other = draw.sample(1, 20), draw.sample(1, 20), draw.sample(2, 20)
    assert first == again != other
    assert {mutant.room for mutant in first} == {"core", "ports", "telemetry"}


def test_equivalent_mutants_are_named_as_they_are_drawn_and_with_a_reason() -> None:
    named = tool.equivalent()
    modules = {name.partition(":")[0] for name in named}
    drawn = {mutant.name for module in modules for mutant in draw.mutants_of(module)}
    assert [name for name, reason in named.items() if name not in drawn or len(reason) < 20] == []


def test_the_table_counts_what_make_test_keeps() -> None:
    mutants = [draw.Mutant("m:f", "a", str(number), number) for number in range(5)]
    tiers = {"0": "test", "1": "test-all", "2": "", "4": "test"}
    results = {
        mutant.name: Result(mutant.name, "", tiers[mutant.after], "t.py::test", "", 7, 3, 0.1)
        for mutant in mutants if mutant.after in tiers
    }  # fmt: skip
    text, enough = tool.table(mutants, results, {mutants[4].name: "why", mutants[3].name: "why"})
    assert not enough
    assert "killed by make test: 1\n" in text
    assert "killed only by make test-all: 1\n  m:f: a → 1\n" in text
    assert "survived: 1\n  m:f: a → 2\n" in text
    assert text.endswith("equivalent: 2\nmake test keeps 50.0% of 2 kills, 95% are expected")


def test_what_tests_reach_is_recorded_and_a_mutant_is_killed_by_the_first_of_them(tmp_path: Path) -> None:
    file = reach.TESTS / "core/test_varint.py"
    reach.Reach(tmp_path).record([file], 1)
    reached = reach.Reach(tmp_path)
    assert file not in reached.unrecorded
    assert {test.partition("::")[0] for test in reached.tests} == {"tests/core/test_varint.py"}
    mutants = [mutant for mutant in draw.mutants_of(VARINT) if mutant.function == f"{VARINT}:unsigned"]
    mutants = [*mutants[:3], draw.Mutant("bqdump.core.times:days_text", "a", "b", 1)]
    orders, results = tmp_path / "orders.json", tmp_path / "results.jsonl"
    given = Orders(mutants, [mutant.name for mutant in mutants], str(tmp_path), str(results), 2)
    orders.write_text(json.dumps(given))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "mutations.trial", "-p", "no:cacheprovider", str(file)]
    variables = os.environ | {ORDERS: str(orders), "PYTHONPATH": str(reach.TESTS)}
    subprocess.run(command, cwd=reach.ROOT, env=variables, check=True, stdout=subprocess.DEVNULL)
    found = {result.name: result for result in (Result(*json.loads(line)) for line in results.read_text().splitlines())}
    assert {mutant.name: found[mutant.name].tier for mutant in mutants[:3]} == {one.name: "test" for one in mutants[:3]}
    assert (found[mutants[3].name].tier, found[mutants[3].name].reached) == ("", 0)
