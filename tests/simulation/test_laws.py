"""Exports, restores, prunes and sets under faults: the first schedules of each, with every law asserted at every step.

`.ci/run` goes on with thousands, and `make soak` with many more. That a schedule finds what it is for, the planted bugs
show: each with the seed that found it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.copies.set_vaults import simulate as simulate_vaults
from simulation.copies.world import simulate as simulate_copies
from simulation.prunes.world import simulate as simulate_prunes
from simulation.restores.world import simulate as simulate_restores
from simulation.sets.nights import simulate as simulate_sets
from simulation.world import simulate

EACH = 10


@pytest.mark.parametrize("part", range(4))
def test_every_law_holds(part: int) -> None:
    for seed in range(part * EACH, (part + 1) * EACH):
        verdict = simulate(seed)
        assert verdict.broken is None, "\n".join(
            (*verdict.trace, str(verdict.broken), f"replay: python -m tests.simulation --seed {seed} --trace")
        )


@pytest.mark.parametrize("part", range(4))
def test_a_restored_dataset_equals_its_export(part: int) -> None:
    for seed in range(part * EACH, (part + 1) * EACH):
        verdict = simulate_restores(seed)
        replay = f"replay: python -m tests.simulation --restores --seed {seed} --trace"
        assert verdict.broken is None, "\n".join((*verdict.trace, str(verdict.broken), replay))


@pytest.mark.parametrize("part", range(2))
def test_prune_deletes_nothing_that_is_kept(part: int) -> None:
    for seed in range(part * EACH, (part + 1) * EACH):
        verdict = simulate_prunes(seed)
        replay = f"replay: python -m tests.simulation --prunes --seed {seed} --trace"
        assert verdict.broken is None, "\n".join((*verdict.trace, str(verdict.broken), replay))


@pytest.mark.parametrize("part", range(2))
def test_a_copy_is_complete_or_not_there(part: int) -> None:
    for seed in range(part * EACH, (part + 1) * EACH):
        verdict = simulate_copies(seed)
        replay = f"replay: python -m tests.simulation --copies --seed {seed} --trace"
        assert verdict.broken is None, "\n".join((*verdict.trace, str(verdict.broken), replay))


@pytest.mark.parametrize("part", range(2))
def test_what_is_locked_restores_until_its_date(part: int) -> None:
    for seed in range(part * EACH, (part + 1) * EACH):
        verdict = simulate_vaults(seed)
        replay = f"replay: python -m tests.simulation --vaults --seed {seed} --trace"
        assert verdict.broken is None, "\n".join((*verdict.trace, str(verdict.broken), replay))


def test_a_set_is_named_once_it_is_published() -> None:
    for seed in range(EACH):
        verdict = simulate_sets(seed)
        replay = f"replay: python -m tests.simulation --sets --seed {seed} --trace"
        assert verdict.broken is None, "\n".join((*verdict.trace, str(verdict.broken), replay))


REPLAYED = """
from simulation.copies.world import simulate as simulate_copies
from simulation.prunes.world import simulate as simulate_prunes
from simulation.restores.world import simulate as simulate_restores
from simulation.sets.nights import simulate as simulate_sets
from simulation.world import simulate

for schedule in (simulate, simulate_restores, simulate_prunes, simulate_copies, simulate_sets):
    for verdict in map(schedule, range(3)):
        print(verdict.steps, verdict.trace)
"""


def test_a_seed_replays_exactly_in_any_process() -> None:
    def replayed(hashes: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": str(Path(__file__).parents[1])}
        program = [sys.executable, "-c", REPLAYED]
        return subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout

    there = replayed("1")
    assert len(there.splitlines()) == 15
    assert replayed("2") == there
