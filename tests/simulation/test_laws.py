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

from simulation.prunes.world import simulate as simulate_prunes
from simulation.restores.world import simulate as simulate_restores
from simulation.sets.world import simulate as simulate_sets
from simulation.world import simulate

EACH = 10


@pytest.mark.parametrize("part", range(10))
def test_every_law_holds(part: int) -> None:
    for seed in range(part * EACH, (part + 1) * EACH):
        verdict = simulate(seed)
        assert verdict.broken is None, "\n".join(
            (*verdict.trace, str(verdict.broken), f"replay: python -m tests.simulation --seed {seed} --trace")
        )


@pytest.mark.parametrize("part", range(10))
def test_a_restored_dataset_equals_its_export(part: int) -> None:
    for seed in range(part * EACH, (part + 1) * EACH):
        verdict = simulate_restores(seed)
        replay = f"replay: python -m tests.simulation --restores --seed {seed} --trace"
        assert verdict.broken is None, "\n".join((*verdict.trace, str(verdict.broken), replay))


@pytest.mark.parametrize("part", range(6))
def test_prune_deletes_nothing_that_is_kept(part: int) -> None:
    for seed in range(part * EACH, (part + 1) * EACH):
        verdict = simulate_prunes(seed)
        replay = f"replay: python -m tests.simulation --prunes --seed {seed} --trace"
        assert verdict.broken is None, "\n".join((*verdict.trace, str(verdict.broken), replay))


@pytest.mark.parametrize("part", range(2))
def test_a_set_is_named_once_it_is_published(part: int) -> None:
    for seed in range(part * EACH, (part + 1) * EACH):
        verdict = simulate_sets(seed)
        replay = f"replay: python -m tests.simulation --sets --seed {seed} --trace"
        assert verdict.broken is None, "\n".join((*verdict.trace, str(verdict.broken), replay))


SIMULATIONS = {
    "world": simulate,
    "restores.world": simulate_restores,
    "prunes.world": simulate_prunes,
    "sets.world": simulate_sets,
}


@pytest.mark.parametrize("what", SIMULATIONS)
def test_a_seed_replays_exactly_in_any_process(what: str) -> None:
    schedule = SIMULATIONS[what]
    here = "\n".join(f"{verdict.steps} {verdict.trace}" for verdict in map(schedule, range(5)))
    program = (
        f"from simulation.{what} import simulate\n"
        "for verdict in map(simulate, range(5)): print(verdict.steps, verdict.trace)"
    )
    for hashes in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": str(Path(__file__).parents[1])}
        there = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert there.stdout.strip() == here
